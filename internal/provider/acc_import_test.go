// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// output runs the CLI and returns its exit code and what it printed.
func (w *workspace) output(args ...string) (int, string) {
	w.t.Helper()
	var out bytes.Buffer
	err := w.start(&out, args...).Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), out.String()
	}
	if err != nil {
		w.t.Fatalf("terraform %v: %v\n%s", args, err, out.String())
	}
	return 0, out.String()
}

// unchanged asserts that a plan has nothing to do.
func (w *workspace) unchanged() {
	w.t.Helper()
	if code, out := w.output("plan", "-detailed-exitcode", "-no-color"); code != 0 {
		w.t.Errorf("the plan is not empty (exit code %d):\n%s", code, out)
	}
}

// write replaces the configuration, provider block and all.
func (w *workspace) write(body string) {
	w.t.Helper()
	writeFile(w.t, filepath.Join(w.dir, "main.tf"), "terraform {\n  required_providers {\n    sky = { source = \"skybroker/sky\" }\n  }\n}\n"+w.config(body))
}

// only returns the id of the one machine there is.
func (w *workspace) only() string {
	w.t.Helper()
	alive := w.alive()
	if len(alive) != 1 {
		w.t.Fatalf("alive: %+v", alive)
	}
	return alive[0].ID
}

// rich is a configuration with everything that an import must know again.
const rich = `
resource "sky_cluster" "c" {
  name      = "rich"
  resources = {
    any_of          = [{ instance_type = "puff-2" }, { cpus = "4+", memory = "2x" }]
    ports           = ["8080", "9000-9010"]
    labels          = { team = "x" }
    max_hourly_cost = 1.25
    disk_size       = 40
  }
  setup       = "echo $COLOUR"
  envs        = { COLOUR = "green" }
  file_mounts = { "~/data" = "data.txt" }
  recovery    = "same_region"
  timeouts    = { create = "30m" }
}
`

// A state that was lost is restored by an import, by the same configuration
// and by one that Terraform writes, and there never is a second machine.
func TestAccImportRestores(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, rich)
	writeFile(t, filepath.Join(w.dir, "data.txt"), "d")
	w.mustRun("apply", "-auto-approve", "-no-color")
	machine := w.only()
	w.unchanged()

	// state rm: the next apply says how to import, and makes nothing.
	w.mustRun("state", "rm", "sky_cluster.c")
	code, out := w.output("apply", "-auto-approve", "-no-color")
	if flat := strings.Join(strings.Fields(strings.ReplaceAll(out, "│", "")), " "); code == 0 ||
		!strings.Contains(flat, `terraform import <address> fluffycloud/meadow-1/rich`) {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if w.only() != machine {
		t.Error("the machine is another one")
	}
	w.mustRun("import", "-no-color", "sky_cluster.c", "fluffycloud/meadow-1/rich")
	w.unchanged()

	// removed: state forgets, the machine stays, and an import block takes it
	// back with a configuration that Terraform writes.
	w.write("removed {\n  from = sky_cluster.c\n  lifecycle { destroy = false }\n}\n")
	w.mustRun("apply", "-auto-approve", "-no-color")
	if w.only() != machine || len(w.inState()) != 0 {
		t.Errorf("alive %v, in state %v", w.alive(), w.inState())
	}
	w.write("import {\n  to = sky_cluster.again\n  id = \"fluffycloud/meadow-1/rich\"\n}\n")
	if code, out := w.output("plan", "-generate-config-out=generated.tf", "-no-color"); code != 0 || !strings.Contains(out, "1 to import, 0 to add, 0 to change, 0 to destroy") {
		t.Errorf("exit code %d:\n%s\n%s", code, out, readFile(t, filepath.Join(w.dir, "generated.tf")))
	}
	w.mustRun("apply", "-auto-approve", "-no-color")
	w.write("")
	w.unchanged()
	if w.only() != machine {
		t.Error("the machine is another one")
	}

	// moved: another address, nothing to do.
	if err := os.Remove(filepath.Join(w.dir, "generated.tf")); err != nil {
		t.Fatal(err)
	}
	w.write(rich + "moved {\n  from = sky_cluster.again\n  to   = sky_cluster.c\n}\n")
	if code, out := w.output("plan", "-no-color"); code != 0 || !strings.Contains(out, "has moved to") || !strings.Contains(out, "0 to add, 0 to change, 0 to destroy") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	w.mustRun("apply", "-auto-approve", "-no-color")
	w.unchanged()
	if w.only() != machine {
		t.Error("the machine is another one")
	}
}

// A cluster of another computer is imported as far as the cloud knows it: what
// Terraform writes for it is a configuration that changes nothing.
func TestAccImportFromElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, strings.Replace(plain, "plain", "far", 1))
	w.mustRun("apply", "-auto-approve", "-no-color")
	machine := w.only()
	w.mustRun("state", "rm", "sky_cluster.c")
	if err := os.Rename(filepath.Join(w.lab.dir, "clusters"), filepath.Join(t.TempDir(), "clusters")); err != nil {
		t.Fatal(err)
	}
	w.write("import {\n  to = sky_cluster.c\n  id = \"fluffycloud/meadow-1/far\"\n}\n")
	if code, out := w.output("plan", "-generate-config-out=generated.tf", "-no-color"); code != 0 || !strings.Contains(out, "1 to import, 0 to add, 0 to change, 0 to destroy") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	w.mustRun("apply", "-auto-approve", "-no-color")
	w.unchanged()
	if w.only() != machine {
		t.Error("the machine is another one")
	}
}
