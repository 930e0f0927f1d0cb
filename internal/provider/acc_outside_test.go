// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestAccChangedOutside changes ports, sources and labels behind Terraform's
// back: a refresh shows what, the plan repairs it, and an apply restores exactly
// what is configured, with no other word for who may come in than the state's.
func TestAccChangedOutside(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, `
resource "sky_cluster" "c" {
  name      = "outside"
  num_nodes = 2
  resources = { instance_type = "puff-2", ports = ["8080"], labels = { team = "x", keep = "y" } }
}
`)
	w.mustRun("apply", "-auto-approve", "-no-color")
	w.unchanged()
	was := w.firewallRules("outside")
	var list struct {
		Firewalls []struct {
			ID    string            `json:"id"`
			Tags  map[string]string `json:"tags"`
			Rules json.RawMessage   `json:"rules"`
		} `json:"firewalls"`
	}
	w.call("GET", "/v1/firewalls", nil, &list)
	rules := `{"rules":[{"from_port":2222,"to_port":2222,"cidrs":["127.0.0.0/8"]},{"from_port":1,"to_port":65535,"cidrs":["0.0.0.0/0"]}]}`
	w.call("PUT", "/v1/firewalls/"+list.Firewalls[0].ID+"/rules", json.RawMessage(rules), nil)
	w.call("PATCH", "/v1/instances/"+w.ofRank(1)+"/tags", json.RawMessage(`{"set":{"team":"other","more":"z"},"remove":["keep"]}`), nil)
	code, out := w.output("plan", "-detailed-exitcode", "-no-color")
	if code != 2 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	for _, want := range []string{
		"1-65535 from 0.0.0.0/0 is open", "8080 from 127.0.0.0/8 is closed", `label \"team\" of rank 1 is \"other\"`,
		`label \"keep\" of rank 1 is missing`, `label \"more\" of rank 1 was added`, "updated in-place",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan does not show %q:\n%s", want, out)
		}
	}
	w.mustRun("apply", "-auto-approve", "-no-color")
	if got := w.firewallRules("outside"); !slices.Equal(got, was) {
		t.Errorf("the rules are %q, want %q", got, was)
	}
	for _, m := range w.alive() {
		labels := map[string]string{}
		for k, v := range m.Tags {
			if !strings.HasPrefix(k, "sky-") {
				labels[k] = v
			}
		}
		if len(labels) != 2 || labels["team"] != "x" || labels["keep"] != "y" {
			t.Errorf("the labels of %s are %v", m.ID, labels)
		}
	}
	w.unchanged()
}
