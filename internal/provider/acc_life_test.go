// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/compare"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// aliveNow checks how many machines the cloud bills.
func (l *lab) aliveNow(want int) resource.TestCheckFunc {
	return func(*terraform.State) error {
		if got := l.alive(); len(got) != want {
			return fmt.Errorf("%d machines are alive, want %d: %+v", len(got), want, got)
		}
		return nil
	}
}

// waitFor returns once every living machine is in the state.
func (l *lab) waitFor(state string) {
	l.t.Helper()
	deadline := time.After(patience)
	for {
		if !slices.ContainsFunc(l.alive(), func(m machine) bool { return m.State != state }) {
			return
		}
		select {
		case <-deadline:
			l.t.Fatalf("the machines are not %s: %+v", state, l.alive())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func lifeConfig(l *lab, nodes int, desired, extra string) string {
	return l.config(fmt.Sprintf(`
resource "sky_cluster" "c" {
  name           = "life"
  num_nodes      = %d
  desired_status = %q
  resources      = { accelerators = "T4:1", max_hourly_cost = 3%s }
  setup          = "echo rank $SKYPILOT_SETUP_NODE_RANK of $SKYPILOT_NUM_NODES"
}
`, nodes, desired, extra))
}

// A cluster grows and shrinks in place: the nodes that stay are the same.
func TestAccResize(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var head, first string
	same := func(s *terraform.State) error {
		attributes := s.RootModule().Resources[cluster].Primary.Attributes
		now := attributes["nodes.0.instance_id"] + " " + attributes["generation"]
		if head == "" {
			head = now
		}
		if now != head {
			return fmt.Errorf("the head is %s, it was %s", now, head)
		}
		first = attributes["hourly_cost"]
		return nil
	}
	l.test(
		resource.TestStep{
			Config: lifeConfig(l, 1, "UP", ""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionCreate),
			Check: resource.ComposeTestCheckFunc(same, l.aliveNow(1)),
		},
		resource.TestStep{
			Config: lifeConfig(l, 3, "UP", ""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate),
			Check: resource.ComposeTestCheckFunc(same, l.aliveNow(3)),
			ConfigStateChecks: []statecheck.StateCheck{
				value("nodes", knownvalue.ListSizeExact(3)), value("status", knownvalue.StringExact("UP")), value("hourly_cost", knownvalue.Float64Exact(3*0.438)),
			},
		},
		resource.TestStep{Config: lifeConfig(l, 3, "UP", ""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop)},
		resource.TestStep{
			Config: lifeConfig(l, 2, "UP", ""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate),
			Check: resource.ComposeTestCheckFunc(same, l.aliveNow(2)),
		},
		// Eight of them cost more than 3 dollars an hour, and nothing cheaper is sold.
		resource.TestStep{Config: lifeConfig(l, 8, "UP", ""), ExpectError: regexp.MustCompile(`max_hourly_cost`)},
	)
	if first == "" {
		t.Error("the price was never looked at")
	}
}

// Growth that the cloud refuses leaves the cluster as it was.
func TestAccGrowthWithoutCapacity(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	zone := ""
	where := func(s *terraform.State) error {
		zone = s.RootModule().Resources[cluster].Primary.Attributes["zone"]
		return nil
	}
	l.test(
		resource.TestStep{Config: lifeConfig(l, 1, "UP", ""), Check: where},
		resource.TestStep{
			PreConfig: func() { l.sold(zone, "drizzle-t4-1", 0) }, Config: lifeConfig(l, 2, "UP", ""),
			ExpectError: regexp.MustCompile(`it stays at 1 nodes`),
		},
		resource.TestStep{
			Config: lifeConfig(l, 1, "UP", ""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop), Check: l.aliveNow(1),
		},
	)
}

func TestAccStopAndStart(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var machines string
	same := func(s *terraform.State) error {
		attributes := s.RootModule().Resources[cluster].Primary.Attributes
		now := attributes["nodes.0.instance_id"] + " " + attributes["nodes.1.instance_id"]
		if machines == "" {
			machines = now
		}
		if now != machines {
			return fmt.Errorf("the machines are %s, they were %s", now, machines)
		}
		return nil
	}
	l.test(
		resource.TestStep{Config: lifeConfig(l, 2, "UP", ""), Check: same},
		resource.TestStep{
			Config: lifeConfig(l, 2, "STOPPED", ""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate), Check: same,
			ConfigStateChecks: []statecheck.StateCheck{value("status", knownvalue.StringExact("STOPPED"))},
		},
		resource.TestStep{Config: lifeConfig(l, 2, "STOPPED", ""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop)},
		resource.TestStep{Config: lifeConfig(l, 1, "STOPPED", ""), ExpectError: regexp.MustCompile(`Cluster is stopped`)},
		resource.TestStep{
			Config:      lifeConfig(l, 2, "STOPPED", "") + "data \"sky_job_logs\" \"stopped\" {\n  cluster_id = sky_cluster.c.id\n  job_id = \"0123456789abcdef01234567\"\n}\n",
			ExpectError: rewrapped("is STOPPED, the log is on its machines, and there is no local copy"),
		},
		resource.TestStep{
			Config: lifeConfig(l, 2, "UP", ""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate), Check: same,
			ConfigStateChecks: []statecheck.StateCheck{value("status", knownvalue.StringExact("UP"))},
		},
		// Stopped behind Terraform's back: the plan starts it again, in place.
		resource.TestStep{
			PreConfig: func() {
				for _, m := range l.alive() {
					l.call("POST", "/v1/instances/"+m.ID+"/stop", nil, nil)
				}
				l.waitFor("stopped")
			},
			Config: lifeConfig(l, 2, "UP", ""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate), Check: same,
			ConfigStateChecks: []statecheck.StateCheck{value("status", knownvalue.StringExact("UP"))},
		},
	)
}

func TestAccSpotCannotStop(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.test(
		resource.TestStep{Config: lifeConfig(l, 1, "STOPPED", `, market = "spot"`), ExpectError: regexp.MustCompile(`(?s)nothing fits.*stop`)},
		resource.TestStep{
			Config:            lifeConfig(l, 1, "UP", `, market = "spot_then_on_demand"`),
			ConfigStateChecks: []statecheck.StateCheck{value("market", knownvalue.StringExact("spot"))},
		},
		resource.TestStep{Config: lifeConfig(l, 1, "STOPPED", `, market = "spot_then_on_demand"`), ExpectError: regexp.MustCompile(`cannot be stopped`)},
	)
}

// The data sources answer about what is there.
func TestAccDataSources(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const more = `
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "j"
  run        = "echo one; echo two; echo three"
}
data "sky_cluster" "c" {
  name       = "life"
  depends_on = [sky_cluster.c]
}
data "sky_job_logs" "j" {
  cluster_id = sky_cluster.c.id
  job_id     = sky_job.j.id
  tail_lines = 2
}
data "sky_clouds" "all" {}
data "sky_accelerators" "a100" { name = "a100" }
data "sky_catalog_offer" "any" {
  accelerators = "T4:1"
  market       = "any"
}
locals {
  task = provider::sky::task(yamlencode({ resources = { accelerators = { A100 = 8 } }, num_nodes = 2 }))
}
output "task" { value = "${local.task.num_nodes} ${local.task.resources.accelerators} ${provider::sky::parse_accelerators("T4").count}" }
`
	l.test(resource.TestStep{
		Config: lifeConfig(l, 1, "UP", "") + more,
		ConfigStateChecks: []statecheck.StateCheck{
			statecheck.CompareValuePairs("data.sky_cluster.c", tfjsonpath.New("generation"), cluster, tfjsonpath.New("generation"), compare.ValuesSame()),
			statecheck.ExpectKnownValue("data.sky_cluster.c", tfjsonpath.New("status"), knownvalue.StringExact("UP")),
			statecheck.ExpectKnownValue("data.sky_job_logs.j", tfjsonpath.New("content"), knownvalue.StringExact("two\nthree\n")),
			statecheck.ExpectKnownValue("data.sky_clouds.all", tfjsonpath.New("clouds").AtMapKey("fluffycloud").AtMapKey("enabled"), knownvalue.Bool(true)),
			statecheck.ExpectKnownValue("data.sky_accelerators.a100", tfjsonpath.New("names").AtSliceIndex(0), knownvalue.StringExact("A100")),
			statecheck.ExpectKnownValue("data.sky_catalog_offer.any", tfjsonpath.New("offers").AtSliceIndex(0).AtMapKey("market"), knownvalue.StringExact("spot")),
			statecheck.ExpectKnownOutputValue("task", knownvalue.StringExact("2 A100:8 1")),
		},
	},
		// The log of a cluster at rest is the local copy of it, in the plan too.
		resource.TestStep{
			Config:            lifeConfig(l, 1, "STOPPED", "") + more,
			ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownValue("data.sky_job_logs.j", tfjsonpath.New("content"), knownvalue.StringExact("two\nthree\n"))},
		},
		resource.TestStep{Config: lifeConfig(l, 1, "STOPPED", "") + more, ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop)},
	)
}

// With create_before_destroy two clusters of one name live side by side for a
// while, the one of the state never being taken for somebody else's; a second
// plan is empty.
func TestAccCreateBeforeDestroy(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, `
resource "sky_cluster" "c" {
  name      = "swap"
  resources = { instance_type = "puff-2" }
  lifecycle { create_before_destroy = true }
}
`)
	w.mustRun(applyArgs()...)
	before := w.inState()
	w.rewrite(`"puff-2"`, `"puff-4"`)
	w.mustRun(applyArgs()...)
	after, alive := w.inState(), w.alive()
	if len(after) != 1 || len(alive) != 1 || alive[0].ID != after[0] || after[0] == before[0] {
		t.Errorf("in state %v, then %v; alive %+v", before, after, alive)
	}
	w.wantNoChanges()
}
