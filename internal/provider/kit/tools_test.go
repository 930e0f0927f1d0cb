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
