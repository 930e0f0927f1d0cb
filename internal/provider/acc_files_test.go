// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A workdir that is the configuration itself: Terraform's own files stay here, and
// nothing that an apply writes is a change for the next one.
func TestAccWorkdirIsTheModule(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, `
variable "token" {
  sensitive = true
}

resource "sky_cluster" "c" {
  name        = "module"
  resources   = { instance_type = "puff-2" }
  workdir     = path.module
  file_mounts = { "~/results" = path.module }
}

resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  workdir    = path.module
  run        = "echo done > made && ls -a"
  outputs    = { files = ["made"], folder = "${path.module}/results/first" }
}
`)
	state := filepath.Join(w.dir, "sky-state")
	if err := errors.Join(os.Mkdir(state, 0o700), os.Symlink(filepath.Join(w.lab.dir, "fluffycloud"), filepath.Join(state, "fluffycloud"))); err != nil {
		t.Fatal(err)
	}
	w.rewrite(fmt.Sprintf("%q", w.lab.dir), `"${path.root}/sky-state"`)
	writeFile(t, filepath.Join(w.dir, "terraform.tfvars"), "token = \"hush-hush\"\n")
	writeFile(t, filepath.Join(w.dir, "train.py"), "print()\n")
	var plan bytes.Buffer
	if err := w.start(&plan, "plan", "-out=saved", "-no-color").Wait(); err != nil {
		t.Fatalf("plan: %v\n%s", err, plan.String())
	}
	if n := strings.Count(plan.String(), "Terraform's own folder is uploaded"); n != 1 {
		t.Errorf("the plan warns %d times, want once:\n%s", n, plan.String())
	}
	w.mustRun("apply", "-no-color", "saved")
	w.wantNoChanges()
	writeFile(t, filepath.Join(w.dir, "results", "first", "plot.png"), "drawn from it")
	w.mustRun("plan", "-out=another", "-no-color")
	w.wantNoChanges()
	for _, home := range w.homes() {
		for _, dir := range []string{"sky_workdir", "results"} {
			for name, there := range map[string]bool{
				"main.tf": true, "train.py": true, "terraform.tfvars": false, "terraform.tfstate": false, "saved": false, ".terraform": false,
				".terraform.lock.hcl": false, "results": false, "sky-state": false,
			} {
				if _, err := os.Lstat(filepath.Join(home, dir, name)); (err == nil) != there {
					t.Errorf("%s/%s on the node: %v, want there %t", dir, name, err, there)
				}
			}
		}
	}
}

// Local files are needed by what uploads them, and by nothing else.
func TestAccWithoutLocalFiles(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, `
resource "sky_cluster" "c" {
  name        = "elsewhere"
  resources   = { instance_type = "puff-2" }
  workdir     = "${path.module}/src"
  file_mounts = { "~/data" = "${path.module}/data" }
}

resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  workdir    = "${path.module}/src"
  run        = "true"
}
`)
	key := filepath.Join(w.dir, "key")
	writeFile(t, key, newKey(t))
	w.rewrite("provider \"sky\" {\n", fmt.Sprintf("provider \"sky\" {\n  ssh_private_key_path = %q\n", key))
	writeFile(t, filepath.Join(w.dir, "src", "a"), "1")
	writeFile(t, filepath.Join(w.dir, "data", "a"), "1")
	w.mustRun("apply", "-auto-approve", "-no-color")
	for _, dir := range []string{"src", "data", "key"} {
		if err := os.RemoveAll(filepath.Join(w.dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
	w.mustRun("validate", "-no-color")
	w.mustRun("plan", "-refresh-only", "-no-color")
	w.mustRun("plan", "-destroy", "-no-color")
	for _, args := range [][]string{{"plan", "-no-color"}, {"plan", "-no-color", "-replace=sky_cluster.c"}} {
		var out bytes.Buffer
		err := w.start(&out, args...).Wait()
		said := strings.Join(strings.Fields(strings.ReplaceAll(out.String(), "\u2502", "")), " ")
		parts := []string{`"./src" cannot be used: no such file or directory`, `file_mounts["~/data"]: "./data" cannot be uploaded: no such file or directory`}
		if len(args) == 2 {
			parts[1] = "2 more similar warnings" // as Terraform counts them
		} else {
			parts = append(parts, "ssh_private_key_path: the private key", "cannot be read: no such file")
		}
		for _, part := range parts {
			if (err == nil) != (len(args) == 2) || !strings.Contains(said, part) {
				t.Errorf("%q without the files: %v; %q is not said:\n%s", args, err, part, out.String())
			}
		}
	}
	// What was not made yet is planned like any other before a destroy.
	w.mustRun("state", "rm", "sky_job.j")
	var out bytes.Buffer
	if err := w.start(&out, "destroy", "-auto-approve", "-no-color").Wait(); err == nil || !strings.Contains(out.String(), "-refresh=false") {
		t.Errorf("destroy beside a job that was not made = %v:\n%s", err, out.String())
	}
	w.mustRun("destroy", "-auto-approve", "-no-color", "-refresh=false")
	if n := len(w.alive()); n != 0 {
		t.Errorf("%d machines outlive destroy", n)
	}
}
