// SPDX-License-Identifier: MPL-2.0

//go:build linux

package provider_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const removedJob = `
resource "sky_cluster" "c" {
  name      = "removed"
  num_nodes = 2
  resources = { instance_type = "puff-2" }
}
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  num_nodes  = 2
  wait       = false
  run        = "echo started >> ~/starts; sleep 4712"
}
`

// run runs the CLI and returns what it said, in one line.
func (w *workspace) run(args ...string) (string, error) {
	w.t.Helper()
	var out bytes.Buffer
	err := w.start(&out, append(args, "-no-color")...).Wait()
	text := strings.Map(func(r rune) rune {
		if strings.ContainsRune("│╷╵", r) {
			return ' '
		}
		return r
	}, out.String())
	return strings.Join(strings.Fields(text), " "), err
}

// TestAccJobWithoutItsKey removes a running job on a computer that lacks the
// cluster's key. As long as the cluster stays, that fails and the job stays in
// state; with the cluster it is no obstacle.
func TestAccJobWithoutItsKey(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, removedJob)
	w.mustRun(applyArgs()...)
	w.until("both ranks run", func() bool { return w.starts() == 2 })
	keys, err := filepath.Glob(filepath.Join(w.lab.dir, "*", "*", "*", "id_ed25519"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys %q, %v", keys, err)
	}
	if err := os.Remove(keys[0]); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"apply", "-auto-approve", "-replace=sky_job.j"},
		{"destroy", "-auto-approve", "-target=sky_job.j"},
	} {
		out, err := w.run(args...)
		if err == nil || !strings.Contains(out, "may still run; it stays in state") || !strings.Contains(out, "SKY_SSH_PRIVATE_KEY") {
			t.Errorf("%v: %v, %s", args, err, out)
		}
		if state := w.rawState(); !strings.Contains(state, `"type":"sky_job"`) {
			t.Fatalf("after %v the job is not in state:\n%s", args, state)
		}
	}
	out, err := w.run("destroy", "-auto-approve")
	if err != nil || !strings.Contains(out, "was not cancelled in order") || !strings.Contains(out, "which this plan removes") {
		t.Errorf("destroy: %v, %s", err, out)
	}
	w.wantEmpty()
}

// TestAccJobsOfAReplacedCluster has a cluster replaced with -target, which leaves
// its jobs where they were: none stays RUNNING, and all are planned anew.
func TestAccJobsOfAReplacedCluster(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, removedJob+`
resource "sky_job" "ended" {
  cluster_id = sky_cluster.c.id
  name       = "ended"
  run        = "echo ended >> ~/ended"
  parallel   = 2
}
`)
	w.rewrite("wait       = false", "wait       = false\n  parallel   = 2")
	w.mustRun(applyArgs()...)
	w.mustRun("apply", "-auto-approve", "-no-color", "-target=sky_cluster.c", "-replace=sky_cluster.c")
	out, err := w.run("plan")
	if err != nil || !strings.Contains(out, "sky_job.j must be replaced") || !strings.Contains(out, "sky_job.ended must be replaced") {
		t.Errorf("plan: %v, %s", err, out)
	}
	w.mustRun("apply", "-refresh-only", "-auto-approve", "-no-color")
	if state := w.rawState(); strings.Contains(state, `"status":"RUNNING"`) || !strings.Contains(state, `"status":"LOST"`) {
		t.Errorf("the state after a refresh:\n%s", state)
	}
	w.mustRun(applyArgs()...)
	w.until("the job runs on the new machines", func() bool { return w.starts() == 2 })
	w.wantNoChanges()
}

// TestAccJobOfAnotherOwner gives a job another provider block than its cluster has.
func TestAccJobOfAnotherOwner(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, removedJob)
	w.rewrite("  enabled_clouds ", "  alias = \"mine\"\n  owner = \"alice\"\n  enabled_clouds ")
	w.rewrite("provider \"sky\" {", "provider \"sky\" {\n  state_dir = \""+w.lab.dir+"\"\n  owner = \"bob\"\n  enabled_clouds = [\"fluffycloud\"]\n}\nprovider \"sky\" {")
	w.rewrite("resource \"sky_cluster\" \"c\" {", "resource \"sky_cluster\" \"c\" {\n  provider = sky.mine")
	out, err := w.run(applyArgs()...)
	if err == nil || !strings.Contains(out, "owner") || !strings.Contains(out, "bob") || !strings.Contains(out, "provider") {
		t.Errorf("apply: %v, %s", err, out)
	}
	if n := w.starts(); n != 0 {
		t.Errorf("%d starts", n)
	}
	w.rewrite("resource \"sky_job\" \"j\" {", "resource \"sky_job\" \"j\" {\n  provider = sky.mine")
	w.mustRun(applyArgs()...)
}

// TestAccJobInOtherWords writes defaults out, which replaces nothing; a run that is
// asked for is one run, whichever way it is written.
func TestAccJobInOtherWords(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, strings.Replace(removedJob, "sleep 4712", "true", 1))
	w.rewrite("wait       = false", "wait       = true")
	w.mustRun(applyArgs()...)
	words := "wait       = true\n  envs = {}\n  parallel = 1\n  run_id = \"\"\n  secrets_version = \"\""
	w.rewrite("wait       = true", words)
	if out, err := w.run("plan"); err != nil || strings.Contains(out, "replaced") {
		t.Errorf("plan: %v, %s", err, out)
	}
	for _, change := range [][2]string{{"", ""}, {words, "wait       = true"}, {"wait       = true", words}} {
		before := w.starts()
		if change[0] != "" {
			w.rewrite(change[0], change[1])
		}
		w.mustRun("apply", "-auto-approve", "-no-color", "-replace=sky_job.j")
		if n := w.starts(); n != before+2 {
			t.Errorf("%d starts on two nodes, %d before", n, before)
		}
		w.wantNoChanges()
	}
}

// TestAccDestroyWithJobOnDeafHead removes a cluster with a running job whose head
// says nothing: after a bounded try both go, and the job is named.
func TestAccDestroyWithJobOnDeafHead(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*workspace){
		"frozen": func(w *workspace) { w.freeze(0) },
		"gone":   func(w *workspace) { w.end("/kill", 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t, removedJob)
			w.mustRun(applyArgs()...)
			w.until("both ranks run", func() bool { return w.starts() == 2 })
			harm(w)
			out, err := w.run("destroy", "-auto-approve", "-refresh=false")
			if err != nil || !strings.Contains(out, `Job "job" was not cancelled in order`) || !strings.Contains(out, "fluffycloud/meadow-1/removed") {
				t.Errorf("destroy: %v, %s", err, out)
			}
			w.wantEmpty()
		})
	}
}
