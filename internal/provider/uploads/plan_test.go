// SPDX-License-Identifier: MPL-2.0

package uploads

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

func filesIn(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestFormerDigestsStayValid: what version 0.1 left in state is no change, until
// something is.
func TestFormerDigestsStayValid(t *testing.T) {
	t.Parallel()
	dir := filesIn(t, map[string]string{"a": "1", "results/x": "of a job"})
	d := session.New(session.Settings{StateDir: filepath.Join(dir, "state")})
	tree, err := broker.OpenTree(dir, filepath.Join(dir, "results"))
	if err != nil {
		t.Fatal(err)
	}
	mounts := types.MapValueMust(types.StringType, map[string]attr.Value{"~/x": types.StringValue(filepath.Join(dir, "a"))})
	one, err := broker.OpenTree(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	for name, old := range map[string]struct{ workdir, mounts string }{
		"of 0.1": {tree.FormerDigest(), joined(map[string]digest{"~/x": digestOf(one)}).former},
		"of now": {tree.Digest(), joined(map[string]digest{"~/x": digestOf(one)}).now},
	} {
		var diags diag.Diagnostics
		workdir := PlanWorkdir(d, types.StringValue(dir), Uploaded{Digest: types.StringValue(old.workdir)}, &diags, filepath.Join(dir, "results"))
		mounted := PlanMounts(d, mounts, Uploaded{Digest: types.StringValue(old.mounts)}, &diags)
		if workdir.ValueString() != old.workdir || mounted.ValueString() != old.mounts || len(diags) > 0 {
			t.Errorf("%s: %s and %s, %v", name, workdir, mounted, diags)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("2"), 0o600); err != nil {
		t.Fatal(err)
	}
	var diags diag.Diagnostics
	if got := PlanWorkdir(d, types.StringValue(dir), Uploaded{Digest: types.StringValue(tree.FormerDigest())}, &diags); got.ValueString() == tree.FormerDigest() {
		t.Error("a change is not seen behind a digest of 0.1")
	}
}

// TestPlanTellsOfFiles: warnings come once a process, and errors only where the
// files are needed.
func TestPlanTellsOfFiles(t *testing.T) {
	t.Parallel()
	d := session.New(session.Settings{StateDir: t.TempDir()})
	module, none := filesIn(t, map[string]string{"main.tf": ""}), filepath.Join(t.TempDir(), "none")
	nothing := filesIn(t, map[string]string{".gitignore": "*", "a": ""})
	keys := filesIn(t, map[string]string{"authorized_keys": "x"})
	said := func(diags diag.Diagnostics) string {
		var all []string
		for _, x := range diags {
			all = append(all, x.Severity().String()+" "+x.Summary()+" "+x.Detail())
		}
		return strings.Join(all, "\n")
	}
	for _, tt := range []struct {
		name, workdir string
		needed        bool
		want          string
	}{
		{"the configuration", module, true, "Warning Terraform's own folder is uploaded"},
		{"the configuration again", module + "/.", true, ""},
		{"all left out", nothing, true, "Warning Nothing is uploaded"},
		{"missing", none, true, "Error Invalid value"},
		{"missing and not needed", none, false, "Warning Local files cannot be compared"},
	} {
		var diags diag.Diagnostics
		got := PlanWorkdir(d, types.StringValue(tt.workdir), Uploaded{types.StringValue("old"), tt.needed}, &diags)
		if text := said(diags); !strings.HasPrefix(text, tt.want) || tt.want == "" && text != "" {
			t.Errorf("%s: %s, want %s", tt.name, text, tt.want)
		}
		if !tt.needed && got.ValueString() != "old" {
			t.Errorf("%s: the digest becomes %s", tt.name, got)
		}
	}
	var diags diag.Diagnostics
	PlanMounts(d, types.MapValueMust(types.StringType, map[string]attr.Value{"~/.ssh/": types.StringValue(keys), "~/keys": types.StringValue(keys)}), Uploaded{Needed: true}, &diags)
	if text := said(diags); len(diags) != 1 || !strings.Contains(text, "let the provider in") || !strings.Contains(text, `file_mounts["~/.ssh/"]`) {
		t.Errorf("keys for ~/.ssh: %s", text)
	}
}
