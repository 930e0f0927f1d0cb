// SPDX-License-Identifier: MPL-2.0

package kit

import (
	"regexp"
	"strings"
)

// tool is a command that scripts take for granted and many images lack.
type tool struct {
	name string
	// used finds the command, and brought what installs it, finds it elsewhere, or
	// asks whether it is there.
	used, brought *regexp.Regexp
}

func tools() []tool {
	command := func(names string) *regexp.Regexp {
		return regexp.MustCompile(`(?m)(^|[;&|({]|\b(then|do|else|exec|sudo)\s)\s*(` + names + `)\s`)
	}
	return []tool{
		{"uv", command("uv|uvx"), regexp.MustCompile(`astral\.sh/uv|\binstall\b[^\n]*\buv\b|(command -v|which|hash|type) uv\b`)},
		{"conda", command("conda|mamba"), regexp.MustCompile(`(?i)miniconda|miniforge|anaconda|mambaforge|micromamba|conda\.sh|(command -v|which|hash|type) (conda|mamba)\b`)},
	}
}

// ToolsTaken are the commands that a script takes for granted, of those that many
// images lack.
func ToolsTaken(script string) []string {
	var out []string
	for _, t := range tools() {
		at := t.used.FindStringIndex(withoutComments(script))
		if at != nil && !t.brought.MatchString(withoutComments(script)[:at[1]]) {
			out = append(out, t.name)
		}
	}
	return out
}

func withoutComments(script string) string {
	var b strings.Builder
	for line := range strings.Lines(script) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}
