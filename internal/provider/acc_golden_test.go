// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// golden is a folder that a released version wrote: its configuration and the
// state that its apply left.
const golden = "testdata/golden"

// stateFile is a Terraform state as far as the tests read and write one.
type stateFile struct {
	Version          int             `json:"version"`
	TerraformVersion string          `json:"terraform_version"`
	Serial           int             `json:"serial"`
	Lineage          string          `json:"lineage"`
	Outputs          json.RawMessage `json:"outputs"`
	Resources        []stateResource `json:"resources"`
}

type stateResource struct {
	Mode      string          `json:"mode"`
	Type      string          `json:"type"`
	Name      string          `json:"name"`
	Provider  string          `json:"provider"`
	Instances []stateInstance `json:"instances"`
}

type stateInstance struct {
	SchemaVersion int            `json:"schema_version"`
	Attributes    map[string]any `json:"attributes"`
	Dependencies  []string       `json:"dependencies,omitempty"`
}

func readState(t *testing.T, path string) stateFile {
	t.Helper()
	var s stateFile
	if err := json.Unmarshal([]byte(readFile(t, path)), &s); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return s
}

// ofThisRun are the attributes that name machines, times and places of one
// run; all others of an old state stand as the old version wrote them.
func ofThisRun(resourceType string) []string {
	if resourceType == "sky_job" {
		return []string{"id", "cluster_generation", "cluster_id", "log_path", "submitted_at", "started_at", "ended_at"}
	}
	return []string{
		"id", "account", "generation", "head_ip", "hourly_cost", "launched_at", "market", "nodes", "owner",
		"region", "ssh_command", "ssh_key_path", "zone",
	}
}

// asWrittenBy gives the old version's state the machines of the present one.
func (old stateFile) asWrittenBy(t *testing.T, now stateFile) stateFile {
	t.Helper()
	old.Serial, old.Lineage = now.Serial+1, now.Lineage
	fresh := map[string]map[string]any{}
	for _, r := range now.Resources {
		fresh[r.Type+"."+r.Name] = r.Instances[0].Attributes
	}
	for _, r := range old.Resources {
		attributes := r.Instances[0].Attributes
		present := fresh[r.Type+"."+r.Name]
		for _, name := range ofThisRun(r.Type) {
			if _, ok := attributes[name]; !ok {
				t.Fatalf("the old state of %s.%s has no %s", r.Type, r.Name, name)
			}
			attributes[name] = present[name]
		}
		forgetNewNodeAttributes(r, attributes)
	}
	return old
}

// forgetNewNodeAttributes drops what the old version did not know of a node.
func forgetNewNodeAttributes(r stateResource, attributes map[string]any) {
	nodes, _ := attributes["nodes"].([]any)
	known := map[string]any{"external_ip": 0, "host_key": 0, "instance_id": 0, "internal_ip": 0, "rank": 0, "reason": 0, "ssh_port": 0, "status": 0}
	for _, n := range nodes {
		node, _ := n.(map[string]any)
		maps.DeleteFunc(node, func(name string, _ any) bool { _, ok := known[name]; return !ok && r.Type == "sky_cluster" })
	}
}

// A state that a released version wrote is read without loss: the plan is
// empty, and destroy removes every machine.
func TestAccGoldenStates(t *testing.T) {
	t.Parallel()
	versions, err := os.ReadDir(golden)
	if err != nil || len(versions) == 0 {
		t.Fatalf("no golden states in %s: %v", golden, err)
	}
	for _, v := range versions {
		t.Run(v.Name(), func(t *testing.T) {
			dir := filepath.Join(golden, v.Name())
			w := newWorkspace(t, readFile(t, filepath.Join(dir, "resources.tf")))
			if err := os.CopyFS(filepath.Join(w.dir, "work"), os.DirFS(filepath.Join(dir, "work"))); err != nil {
				t.Fatal(err)
			}
			w.mustRun("apply", "-auto-approve", "-no-color")
			path := filepath.Join(w.dir, "terraform.tfstate")
			old := readState(t, filepath.Join(dir, "state.json")).asWrittenBy(t, readState(t, path))
			text, err := json.MarshalIndent(old, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, path, string(text))
			w.wantNoChanges()
			if alive, held := len(w.alive()), len(w.inState()); alive != 3 || held != 3 {
				t.Errorf("%d machines are alive, %d in state; want 3", alive, held)
			}
		})
	}
}

// wantNoChanges plans, and fails unless there is nothing to do.
func (w *workspace) wantNoChanges() {
	w.t.Helper()
	var out bytes.Buffer
	err := w.start(&out, "plan", "-detailed-exitcode", "-no-color").Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 {
		w.t.Errorf("the plan is not empty:\n%s", out.String())
	} else if err != nil {
		w.t.Errorf("plan: %v\n%s", err, out.String())
	}
}

// The key that a living cluster accepts is gone: nothing is made anew, what
// needs it says how to go on, and destroy needs none.
func TestAccMissingKey(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, plain+"resource \"sky_job\" \"j\" {\n  cluster_id = sky_cluster.c.id\n  name = \"j\"\n  run = \"sleep 600\"\n  wait = false\n}\n")
	w.mustRun("apply", "-auto-approve", "-no-color")
	keys, err := filepath.Glob(filepath.Join(w.lab.dir, "clusters", "*", "*", "id_ed25519"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys %v, %v; want one", keys, err)
	}
	if err := os.Remove(keys[0]); err != nil {
		t.Fatal(err)
	}
	w.wantNoChanges()
	main := filepath.Join(w.dir, "main.tf")
	writeFile(t, main, strings.Replace(readFile(t, main), `run = "sleep 600"`, `run = "echo again"`, 1))
	var out bytes.Buffer
	err = w.start(&out, "apply", "-auto-approve", "-no-color").Wait()
	said := strings.Join(strings.Fields(strings.ReplaceAll(out.String(), "\u2502", "")), " ")
	for _, part := range []string{"id_ed25519", "none is made anew while they run", "Bring the file back", "-replace="} {
		if err == nil || !strings.Contains(said, part) {
			t.Errorf("a job without the key: %v; %q is not said:\n%s", err, part, out.String())
		}
	}
	if _, err := os.Stat(keys[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key was made anew: %v", err)
	}
	w.mustRun("destroy", "-auto-approve", "-no-color")
	if n := len(w.alive()); n != 0 {
		t.Errorf("%d machines outlive destroy", n)
	}
}

// A state folder that cannot be written to is said before anything is launched.
func TestAccStateFolderUnwritable(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, plain)
	main := filepath.Join(w.dir, "main.tf")
	good := readFile(t, main)
	file := filepath.Join(w.dir, "a-file")
	writeFile(t, file, "")
	for _, dir := range []string{"/proc/sky", filepath.Join(file, "below")} {
		writeFile(t, main, strings.Replace(good, strconv.Quote(w.lab.dir), strconv.Quote(dir), 1))
		var out bytes.Buffer
		err := w.start(&out, "apply", "-auto-approve", "-no-color").Wait()
		if err == nil || !strings.Contains(out.String(), dir) {
			t.Errorf("state_dir %s: %v\n%s", dir, err, out.String())
		}
	}
	writeFile(t, main, good)
}
