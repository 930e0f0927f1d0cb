// SPDX-License-Identifier: MPL-2.0

//go:build unix

package clusterconfig_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
	"github.com/skybroker/terraform-provider-sky/templates"
)

// TestHarmfulTemplates: what a user's template does wrong is an error that says
// so, and neither a crash nor all of the memory.
func TestHarmfulTemplates(t *testing.T) {
	const head = "ssh_user: me\n"
	wide := `{{ include "wide.tmpl" . }}`
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"fine":                {map[string]string{"aws.yaml.tmpl": head + `{{ include "p.tmpl" . | indent 0 }}`, "p.tmpl": "setup: {{ printf \"%q\" .Region }}"}, ""},
		"includes itself":     {map[string]string{"aws.yaml.tmpl": head + `{{ include "p.tmpl" . }}`, "p.tmpl": `{{ include "p.tmpl" . }}`}, "does one include itself?"},
		"the whole in itself": {map[string]string{"aws.yaml.tmpl": head + `{{ include "aws.yaml.tmpl" . }}`}, "does one include itself?"},
		"pieces that double":  {map[string]string{"aws.yaml.tmpl": head + strings.Repeat(wide, 150), "wide.tmpl": `{{ include "n.tmpl" . }}`, "n.tmpl": ""}, "more than 200 pieces"},
		"defines itself":      {map[string]string{"aws.yaml.tmpl": head + `{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}`}, "exceeded maximum template depth"},
		"a huge indent":       {map[string]string{"aws.yaml.tmpl": head + "# {{ indent 1000000000 \"x\" }}"}, "give a number of spaces from 0 to 100"},
		"a negative indent":   {map[string]string{"aws.yaml.tmpl": head + "# {{ indent -1 \"x\" }}"}, "give a number of spaces from 0 to 100"},
		"indents of indents":  {map[string]string{"aws.yaml.tmpl": head + "# {{ .Region " + strings.Repeat("| printf \"%[1]s%[1]s\" ", 64) + "}}"}, "renders to more than"},
		"deep brackets":       {map[string]string{"aws.yaml.tmpl": head + "node_config: {a: " + strings.Repeat("[", 10_000) + "}"}, "nested more than 100 deep"},
		"a bomb of aliases": {map[string]string{"aws.yaml.tmpl": head + "node_config:\n  a: &a [x, x]\n" +
			"  b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n  c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n" +
			"  d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n  e: [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n"}, "its aliases"},
		"too large": {map[string]string{"aws.yaml.tmpl": head + strings.Repeat("#\n", 1<<20)}, "larger than the 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range test.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			tmpl, err := clusterconfig.Load(templates.FS, dir, "aws")
			if err == nil {
				_, err = tmpl.Render(vars("aws"))
			}
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), filepath.Join(dir, "aws.yaml.tmpl"))):
				t.Errorf("error = %.300v, want %q and the path", err, test.want)
			}
		})
	}
}

// TestSpecialFilesAreNoTemplates: neither waits for a writer nor reads for ever.
func TestSpecialFilesAreNoTemplates(t *testing.T) {
	dir := t.TempDir()
	for file, want := range map[string]string{"aws.yaml.tmpl": "is a named pipe", "gcp.yaml.tmpl": "is a device"} {
		path := filepath.Join(dir, file)
		var err error
		if strings.Contains(want, "pipe") {
			err = syscall.Mkfifo(path, 0o600)
		} else {
			err = os.Symlink("/dev/zero", path)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := clusterconfig.Load(templates.FS, dir, file[:3]); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Load = %v, want that %s %s", err, path, want)
		}
	}
}
