// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"syscall"
	"testing"
)

// deafCluster has everything that is installed on a head.
const deafCluster = `
resource "sky_cluster" "c" {
  name      = "deaf"
  num_nodes = 2
  resources = { instance_type = "puff-2", ports = ["8080"] }
  setup     = "true"
  autostop  = { idle = "30m", down = true }
  timeouts  = { delete = "3m" }
}
`

// freeze stops the whole machine of a rank: its SSH server takes connections and
// says nothing.
func (w *workspace) freeze(rank int) {
	w.t.Helper()
	var report struct {
		PID int `json:"pid"`
	}
	text := readFile(w.t, filepath.Join(w.lab.dir, "fluffycloud", "machines", w.ofRank(rank), "run.json"))
	if err := json.Unmarshal([]byte(text), &report); err != nil || report.PID <= 1 {
		w.t.Fatalf("no process in %s: %v", text, err)
	}
	if err := syscall.Kill(report.PID, syscall.SIGSTOP); err != nil {
		w.t.Fatal(err)
	}
}

// reboot boots the machine of a rank again, with a fault.
func (w *workspace) reboot(rank int, fault string) {
	w.t.Helper()
	id := w.ofRank(rank)
	is := func(state string) func() bool {
		return func() bool {
			for _, m := range w.alive() {
				if m.ID == id {
					return m.State == state
				}
			}
			return false
		}
	}
	w.call("POST", "/v1/instances/"+id+"/stop", nil, nil)
	w.until("the machine stops", is("stopped"))
	w.fault(`{"op":"boot","effect":{"boot":"` + fault + `"}}`)()
	w.call("POST", "/v1/instances/"+id+"/start", nil, nil)
	w.until("the machine runs", is("running"))
	w.noFaults()
}

// TestAccDestroyWithDeafHead removes clusters whose head does not answer, in
// every way that a head can: a removal asks the cloud alone.
func TestAccDestroyWithDeafHead(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*workspace){
		"gone":                     func(w *workspace) { w.end("/kill", 0) },
		"takes TCP, says nothing":  func(w *workspace) { w.freeze(0) },
		"every node says nothing":  func(w *workspace) { w.freeze(0); w.freeze(1) },
		"refuses connections":      func(w *workspace) { w.reboot(0, "no_ssh") },
		"refuses commands":         func(w *workspace) { w.reboot(0, "exec_refused") },
		"commands have no end":     func(w *workspace) { w.reboot(0, "no_exit_status") },
		"has another host's key":   func(w *workspace) { w.reboot(0, "wrong_host_key") },
		"talks what is no SSH":     func(w *workspace) { w.reboot(0, "babble") },
		"stops before it is asked": func(w *workspace) { w.call("POST", "/v1/instances/"+w.ofRank(0)+"/stop", nil, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t, deafCluster)
			w.mustRun(applyArgs()...)
			harm(w)
			var out bytes.Buffer
			if err := w.start(&out, "destroy", "-auto-approve", "-no-color").Wait(); err != nil {
				t.Errorf("destroy: %v\n%s", err, out.String())
			}
			w.wantEmpty()
		})
	}
}
