// SPDX-License-Identifier: MPL-2.0

package remote_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"plain\n":                            "plain\n",
		"\x1b[31mred\x1b[0m\x07 \u202eover":  "red over",
		" 10%\r 50%\r100%\r\nnext":           "100%\nnext",
		"\x1b]0;title\x07text\ttab":          "text\ttab",
		"\x1b]52;c;aGk=\x1b\\clip":           "clip",
		"\x1b]8;;http://x\x07link\x1b]8;;\a": "link",
		"\x1bPq#0\x1b\\sixel\x1b_apc\x1b\\":  "sixel",
		"\x1b]0;no end\nnext line":           "0;no end\nnext line",
		"\u009b2Jc1\u009d0;t\u009cosc":       "c1osc",
		"\x1b(0set\x1b7\x1b8\x1bc\x1b#8":     "set",
		"torn\x1b":                           "torn",
		"\u2066iso\u2069\u200f\u200e\u061c":  "iso",
		"\ufeffbom\u2028line":                "bomline",
		"日本　語 é e\u0301 👩\u200d💻 \u00a0":     "日本　語 é e\u0301 👩\u200d💻 \u00a0",
		"\xff\xc3":               "?",
		"a\x00b\x08\x7f\x0b\x0c": "ab",
	} {
		got := remote.Plain(text)
		if got != want {
			t.Errorf("Plain(%q) = %q, want %q", text, got, want)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
			t.Errorf("Plain(%q) = %q", text, got)
		}
	}
}
