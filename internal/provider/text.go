// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/job"
)

// keepLines puts a space before lines that are columns. Terraform rewraps all
// lines but those.
func keepLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.Contains(strings.TrimSpace(line), "  ") {
			lines[i] = " " + line
		}
	}
	return strings.Join(lines, "\n")
}

// indent puts a space before every line, so that Terraform rewraps none.
func indent(text string) string {
	return " " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n ")
}

// printable leaves of text what does no harm in a terminal: of lines that were
// written over, as progress bars are, the last version.
func printable(text string) string { return job.Plain(text) }

// clause makes an error's text what a function returns: the CLI adds the full stop.
func clause(text string) string { return strings.TrimSuffix(sentence(text), ".") }

// sentence makes an error's text one: capital letter first, full stop last. What
// of it a machine said, wherever that was, does no harm in a terminal.
func sentence(text string) string {
	text = strings.TrimSpace(printable(text))
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
