// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestAccUnknownOnExisting changes a running cluster by values that are known at
// apply only. None of them may make the final plan another than the plan.
func TestAccUnknownOnExisting(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, "")
	with := func(step int, nodes, status, members string) {
		w.write(fmt.Sprintf(`
resource "terraform_data" "later" {
  input            = { nodes = 2, status = "STOPPED", up = "UP", port = "9000", team = "x", bound = 2.5, type = "puff-2" }
  triggers_replace = %d
}
locals { later = terraform_data.later.output }
resource "sky_cluster" "c" {
  name           = "later"
  num_nodes      = %s
  desired_status = %s
  resources      = { %s }
}
`, step, nodes, status, members))
	}
	const puff = `instance_type = "puff-2"`
	apply := func(what string) string {
		t.Helper()
		code, out := w.output("apply", "-auto-approve", "-no-color")
		if code != 0 || strings.Contains(out, "inconsistent") {
			t.Fatalf("%s: exit code %d:\n%s", what, code, out)
		}
		return out
	}
	with(0, "1", `"UP"`, puff)
	apply("create")
	first := w.only()
	with(1, "local.later.nodes", `"UP"`, puff)
	apply("num_nodes")
	if n := len(w.alive()); n != 2 {
		t.Errorf("%d machines", n)
	}
	with(2, "local.later.nodes", "local.later.status", puff)
	apply("desired_status STOPPED")
	with(3, "local.later.nodes", "local.later.up", puff)
	apply("desired_status UP")
	with(4, "2", `"UP"`, puff+`, ports = [local.later.port], labels = { team = local.later.team }, max_hourly_cost = local.later.bound`)
	apply("ports, labels and max_hourly_cost")
	if machines := w.alive(); len(machines) != 2 || (machines[0].ID != first && machines[1].ID != first) || machines[0].Tags["team"] != "x" {
		t.Errorf("alive: %+v, at first %s", machines, first)
	}
	with(5, "2", `"UP"`, `instance_type = local.later.type`)
	if out := apply("instance_type"); !strings.Contains(out, "known at apply only") {
		t.Errorf("the plan does not say why it replaces:\n%s", out)
	}
	if machines := w.alive(); len(machines) != 2 || machines[0].ID == first || machines[1].ID == first {
		t.Errorf("alive: %+v, at first %s", machines, first)
	}
}

// TestAccPricesRoundTrip calculates with prices and gives them back.
func TestAccPricesRoundTrip(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, `
data "sky_catalog_offer" "o" { instance_type = "puff-2" }
resource "sky_cluster" "c" {
  name      = "priced"
  resources = {
    instance_type   = "puff-2"
    max_hourly_cost = data.sky_catalog_offer.o.hourly_cost * 2
    estimated_hours = data.sky_catalog_offer.o.hourly_cost / 3
    inputs          = [{ cloud = "aws", size_gb = data.sky_catalog_offer.o.hourly_cost * 0.1 }]
  }
}
output "same" { value = data.sky_catalog_offer.o.hourly_cost == 0.084 && sky_cluster.c.hourly_cost == 0.084 }
`)
	w.mustRun("apply", "-auto-approve", "-no-color")
	w.unchanged()
	if state := w.rawState(); !strings.Contains(state, `"same":{"value":true`) {
		t.Errorf("the price is not what it says:\n%s", state)
	}
	for _, bound := range []string{"data.sky_catalog_offer.o.hourly_cost", "data.sky_catalog_offer.o.hourly_cost * 7 / 3", "sum([data.sky_catalog_offer.o.hourly_cost, 0.1, 0.2])"} {
		w.rewrite("data.sky_catalog_offer.o.hourly_cost * 2", bound)
		w.mustRun("apply", "-auto-approve", "-no-color")
		w.unchanged()
		w.rewrite("max_hourly_cost = "+bound, "max_hourly_cost = data.sky_catalog_offer.o.hourly_cost * 2")
	}
}
