// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// TestAccSpecialFiles: a pipe that nobody writes to and a device without an end
// are refused at plan, wherever a file is named.
func TestAccSpecialFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe, catalogs := filepath.Join(dir, "pipe"), filepath.Join(dir, "catalogs", "fluffycloud")
	if err := os.MkdirAll(catalogs, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{pipe, filepath.Join(catalogs, "vms.csv")} {
		if err := syscall.Mkfifo(p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mount := func(path string) map[string]string {
		return map[string]string{"file_mounts": fmt.Sprintf(`{ "~/x" = %q }`, path)}
	}
	for name, tt := range map[string]struct {
		block string
		over  map[string]string
		want  []string
	}{
		"a pipe as the key":    {fmt.Sprintf("ssh_private_key_path = %q", pipe), nil, []string{"ssh_private_key_path", "is a named pipe"}},
		"zeros as the key":     {`ssh_private_key_path = "/dev/zero"`, nil, []string{"ssh_private_key_path", "is a device"}},
		"a pipe as a catalog":  {fmt.Sprintf("catalog = { path = %q }", filepath.Dir(catalogs)), nil, []string{"is a named pipe"}},
		"a pipe to upload":     {"", mount(pipe), []string{"file_mounts", "neither a file nor a folder"}},
		"zeros to upload":      {"", mount("/dev/zero"), []string{"file_mounts", "neither a file nor a folder"}},
		"a pipe as the folder": {"", map[string]string{"workdir": fmt.Sprintf("%q", pipe)}, []string{"workdir", "name a folder"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := planOnly(t)
			over := map[string]string{"resources": `{ infra = "fluffycloud" }`}
			for k, v := range tt.over {
				over[k] = v
			}
			l.test(resource.TestStep{Config: "provider \"sky\" {\n" + tt.block + "\n}\n" + clusterWith(over), PlanOnly: true, ExpectError: rewrapped(tt.want...)})
		})
	}
}

// TestAccBrokenTemplate: a template that cannot be used is an error of the plan
// that would launch with it, and stands in nobody's way otherwise.
func TestAccBrokenTemplate(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, `
resource "sky_cluster" "c" {
  name      = "templated"
  num_nodes = 1
  resources = { instance_type = "puff-2" }
}
`)
	dir := t.TempDir()
	path := filepath.Join(dir, "fluffycloud.yaml.tmpl")
	w.rewrite("show_plan_table = false", fmt.Sprintf("show_plan_table = false\n  templates_dir = %q", dir))
	good := readFile(t, filepath.Join("..", "..", "templates", "fluffycloud.yaml.tmpl"))
	refused := func(broken, want string) {
		t.Helper()
		writeFile(t, path, broken)
		var out bytes.Buffer
		err := w.start(&out, "plan", "-no-color").Wait()
		if err == nil || !rewrapped("templates_dir cannot be used", path, want).MatchString(out.String()) {
			t.Errorf("plan = %v, want %q:\n%s", err, want, out.String())
		}
	}
	refused("ssh_user: [", "as rendered")
	refused("ssh_user: {{ .NoSuchThing }}", "NoSuchThing")
	refused(`{{ include "fluffycloud.yaml.tmpl" . }}`, "does one include itself?")
	writeFile(t, path, good)
	w.mustRun(applyArgs()...)
	writeFile(t, path, "ssh_user: [")
	w.wantNoChanges()
	w.rewrite("num_nodes = 1", "num_nodes = 2")
	refused("ssh_user: [", "as rendered")
	w.rewrite("num_nodes = 2", "num_nodes = 1") // and it is destroyed with the broken one
	if !strings.Contains(readFile(t, path), "[") {
		t.Error("the template is whole again")
	}
}
