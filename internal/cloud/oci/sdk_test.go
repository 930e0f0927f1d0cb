// SPDX-License-Identifier: MPL-2.0

//go:build sdks

package oci

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/oci/ocifake"
)

// TestSDKWitness lets Oracle's Python client, which knows neither the driver nor the
// fake, judge both: it holds what the driver sent against its models, reads all that
// the fake answers of a cluster that the driver launched, and then leads a life of
// its own on the fake, from network to removal, with an API key and with a session.
func TestSDKWitness(t *testing.T) {
	python := os.Getenv("SKY_SDKS_PYTHON")
	if python == "" {
		t.Fatal("SKY_SDKS_PYTHON is not set: make test-sdks sets it")
	}
	a, dir := start(t, ocifake.Options{PageSize: 1, EmptyPages: true}), t.TempDir()
	a.life(t)
	s, err := a.open(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, at := request(2, cloud.Spot)
	spec.Nodes[0].Identity.Attempt, spec.Nodes[1].Identity.Attempt = 1, 1
	cfg, err := s.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(t.Context(), spec.Ref, cfg); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context(), spec.Ref, cloud.StateRunning); err != nil {
		t.Fatal(err)
	}
	for _, ports := range [][]cloud.PortRange{{{First: 8080, Last: 8081}}, nil} {
		if err := s.OpenPorts(t.Context(), spec.Ref, cfg, ports); err != nil {
			t.Fatal(err)
		}
	}
	file := a.bodies(t, dir)
	cmd := exec.CommandContext(t.Context(), python, "testdata/witness.py", file)
	cmd.Env = append(os.Environ(), "FAKE_URL="+a.URL, "FAKE_CONFIG="+a.WriteConfig(t, dir), "FAKE_COMPARTMENT="+ocifake.Compartment, "NO_PROXY=127.0.0.1", "PYTHONWARNINGS=ignore")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("Oracle's client complains: %v", err)
	}
	if n := len(a.Machines()); n != 2 {
		t.Errorf("it left %d machines, want the cluster's two", n)
	}
	if err := s.Terminate(t.Context(), spec.Ref); err != nil {
		t.Error(err)
	}
}

// bodies writes what the driver sent into a file.
func (a account) bodies(t *testing.T, dir string) (file string) {
	t.Helper()
	type sent struct {
		Name string          `json:"name"`
		Body json.RawMessage `json:"body"`
	}
	var bodies []sent
	for _, c := range a.Log() {
		if body := string(c.Body); body != "" && body != "{}" && body != "null" { // Oracle's client sends these for none
			bodies = append(bodies, sent{c.Name, c.Body})
		}
	}
	text, err := json.Marshal(bodies)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "sent.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
