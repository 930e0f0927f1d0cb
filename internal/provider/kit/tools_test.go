// SPDX-License-Identifier: MPL-2.0

package kit_test

import (
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

func TestToolsTaken(t *testing.T) {
	for script, want := range map[string]string{
		"uv venv\nuv pip install x\nconda activate y":                         "uv conda",
		"cd x && uv run y":                                                    "uv",
		"if true; then uvx ruff; fi":                                          "uv",
		"conda create -n x -y\npip install uv":                                "conda",
		"curl -LsSf https://astral.sh/uv/install.sh | sh\nuv venv":            "",
		"uv venv\ncurl -LsSf https://astral.sh/uv/install.sh | sh":            "uv",
		"pip install -U uv\nuv venv":                                          "",
		"command -v uv || exit 1\nuv venv":                                    "",
		"bash Miniconda3-latest-Linux-x86_64.sh -b\nconda create -n x":        "",
		"source ~/anaconda3/etc/profile.d/conda.sh\nconda activate x":         "",
		"# uv venv\necho uv and conda are nice\npython uv.py\nls ./uv /conda": "",
		"": "",
	} {
		if got := strings.Join(kit.ToolsTaken(script), " "); got != want {
			t.Errorf("%q takes %q for granted, want %q", script, got, want)
		}
	}
}

// What is advised brings the very tool, and no other.
func TestToolInstall(t *testing.T) {
	for name, want := range map[string]string{"uv": "astral.sh/uv/install.sh", "conda": "conda-forge/miniforge"} {
		advice := kit.ToolInstall([]string{name})
		if !strings.Contains(advice, want) || strings.Contains(advice, map[string]string{"uv": "conda", "conda": "uv"}[name]) {
			t.Errorf("for %s: %q", name, advice)
		}
		if taken := kit.ToolsTaken(advice + "\n" + name + " --version"); len(taken) > 0 {
			t.Errorf("a script that does what is advised for %s is warned of again:\n%s", name, advice)
		}
	}
	if both := kit.ToolInstall([]string{"uv", "conda"}); !strings.Contains(both, "astral.sh") || !strings.Contains(both, "miniforge") {
		t.Errorf("for both: %q", both)
	}
}
