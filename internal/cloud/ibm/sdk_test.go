// SPDX-License-Identifier: MPL-2.0

//go:build sdks

package ibm

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/ibm/ibmfake"
)

// TestSDKWitness lets IBM's own client, which knows neither the driver nor the fake,
// judge both: it reads all that the fake answers of a cluster that the driver
// launched, holds what the driver sent against its models, and then leads a life of
// its own on the fake, from network to removal.
func TestSDKWitness(t *testing.T) {
	python := os.Getenv("SKY_SDKS_PYTHON")
	if python == "" {
		t.Fatal("SKY_SDKS_PYTHON is not set: make test-sdks sets it")
	}
	a := newAccount(t, ibmfake.Options{})
	d := a.session(t)
	hurry(d)
	up(t, d, testSpec(2))
	if err := d.Commit(t.Context(), testRef); err != nil {
		t.Fatal(err)
	}
	spec := testSpec(2)
	spec.Labels = map[string]string{"Team": "Climate"}
	up(t, d, spec)
	type sent struct {
		Name string          `json:"name"`
		Body json.RawMessage `json:"body"`
	}
	var bodies []sent
	for _, c := range a.Log() {
		if len(c.Body) > 0 && c.Name != ibmfake.CallToken {
			bodies = append(bodies, sent{c.Name, c.Body})
		}
	}
	text, err := json.Marshal(bodies)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sent.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/witness.py", file)
	cmd.Env = append(os.Environ(), "FAKE_URL="+a.URL, "FAKE_KEY="+ibmfake.Key, "NO_PROXY=127.0.0.1", "PYTHONWARNINGS=ignore")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("IBM's client complains: %v", err)
	}
	down(t, a, d)
}
