// SPDX-License-Identifier: MPL-2.0

package kit

import (
	"regexp"
	"slices"
	"strings"
)

// tool is a command that scripts take for granted and many images lack.
type tool struct {
	name string
	// used finds the command, and brought what installs it, finds it elsewhere, or
	// asks whether it is there.
	used, brought *regexp.Regexp
	// install are lines of a script that bring the command.
	install string
}

func tools() []tool {
	command := func(names string) *regexp.Regexp {
		return regexp.MustCompile(`(?m)(^|[;&|({]|\b(then|do|else|exec|sudo)\s)\s*(` + names + `)\s`)
	}
	return []tool{
		{"uv", command("uv|uvx"), regexp.MustCompile(`astral\.sh/uv|\binstall\b[^\n]*\buv\b|(command -v|which|hash|type) uv\b`),
			"curl -LsSf https://astral.sh/uv/install.sh | sh\nexport PATH=\"$HOME/.local/bin:$PATH\""},
		{"conda", command("conda|mamba"), regexp.MustCompile(`(?i)miniconda|miniforge|anaconda|mambaforge|micromamba|conda\.sh|(command -v|which|hash|type) (conda|mamba)\b`),
			"curl -fsSL -o miniforge.sh https://github.com/conda-forge/miniforge/releases/latest/download/Miniforge3-Linux-$(uname -m).sh\n" +
				"bash miniforge.sh -b -u -p \"$HOME/miniforge3\"\n. \"$HOME/miniforge3/etc/profile.d/conda.sh\""},
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

// ToolInstall are lines for the beginning of a script that bring these commands.
func ToolInstall(names []string) string {
	var lines []string
	for _, t := range tools() {
		if slices.Contains(names, t.name) {
			lines = append(lines, t.install)
		}
	}
	return strings.Join(lines, "\n")
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
