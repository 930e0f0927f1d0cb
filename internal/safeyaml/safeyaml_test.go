// SPDX-License-Identifier: MPL-2.0

package safeyaml_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/safeyaml"
)

// bomb is a text whose aliases double level by level.
func bomb(levels int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x]\n")
	for n := 1; n < levels; n++ {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d]\n", n, n, n-1, n-1)
	}
	return b.String()
}

func merges(levels int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 {x: 1}\n")
	for n := 1; n < levels; n++ {
		fmt.Fprintf(&b, "a%d: &a%d\n  <<: *a%d\n  b%d: *a%d\n  c%d: *a%d\n", n, n, n-1, n, n-1, n, n-1)
	}
	return b.String()
}

func staircase(steps int) string {
	var b strings.Builder
	for n := range steps {
		b.WriteString(strings.Repeat(" ", n) + "a:\n")
	}
	return b.String()
}

func TestBounds(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"plain":                  {"a: 1\nb: {c: [1, 2]}\n", ""},
		"brackets in a text":     {"a: |\n" + strings.Repeat("  \\033[1m [[ {\n", 5000), ""},
		"a long text":            {"run: |\n" + strings.Repeat("  echo hello\n", 100_000), ""},
		"many brackets, closed":  {"a: [" + strings.Repeat("[], ", 3000) + "]", ""},
		"aliases in moderation":  {"x: &x {a: 1, b: 2}\nall: [" + strings.Repeat("*x, ", 500) + "]\nm: {<<: *x}\n", ""},
		"brackets":               {"a: " + strings.Repeat("[", 15_000), "nested more than 100 deep"},
		"closed brackets":        {"a: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "nested more than 100 deep"},
		"braces":                 {"a: " + strings.Repeat("{a: ", 5000), "nested more than 100 deep"},
		"entries on one line":    {"a:\n " + strings.Repeat("- ", 15_000) + "x", "nested more than 100 deep"},
		"entries, far too many":  {"a:\n " + strings.Repeat("- ", 500_000) + "x", "more than 20000 parts"},
		"keys on one line":       {strings.Repeat("? ", 5000) + "x", "nested more than 100 deep"},
		"anchors":                {"a: " + strings.Repeat("&x ", 5000) + "x", "nested more than 100 deep"},
		"a staircase":            {staircase(200), "nested more than 100 deep"},
		"lines":                  {strings.Repeat("a: 1\n", 100_000), "more than 20000 parts"},
		"an alias bomb":          {bomb(64), "its aliases"},
		"a bomb of merges":       {merges(40), "its aliases"},
		"an alias within itself": {"a: &a [*a]\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var v map[string]any
			err := safeyaml.Unmarshal([]byte(test.text), &v)
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error = %v, want %q", err, test.want)
			}
		})
	}
}
