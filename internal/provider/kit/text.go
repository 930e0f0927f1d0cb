// SPDX-License-Identifier: MPL-2.0

package kit

import (
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/job"
)

// KeepLines puts a space before lines that are columns. Terraform rewraps all
// lines but those.
func KeepLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.Contains(strings.TrimSpace(line), "  ") {
			lines[i] = " " + line
		}
	}
	return strings.Join(lines, "\n")
}

// Indent puts a space before every line, so that Terraform rewraps none.
func Indent(text string) string {
	return " " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n ")
}

// Printable leaves of text what does no harm in a terminal: of lines that were
// written over, as progress bars are, the last version.
func Printable(text string) string { return job.Plain(text) }

// Clause makes an error's text what a function returns: the CLI adds the full stop.
func Clause(text string) string { return strings.TrimSuffix(Sentence(text), ".") }

// Sentence makes an error's text one: capital letter first, full stop last. What
// of it a machine said, wherever that was, does no harm in a terminal.
func Sentence(text string) string {
	text = strings.TrimSpace(Printable(text))
	if text == "" {
		return text
	}
	if c := text[0]; c >= 'a' && c <= 'z' && !strings.HasPrefix(text, "http") {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	if !strings.ContainsRune(".!?:|\n", rune(text[len(text)-1])) {
		text += "."
	}
	return text
}
