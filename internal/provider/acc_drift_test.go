// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// ofRank is the id of the machine of a rank.
func (l *lab) ofRank(rank int) string {
	l.t.Helper()
	for _, m := range l.alive() {
		if m.Tags["sky-rank"] == strconv.Itoa(rank) {
			return m.ID
		}
	}
	l.t.Fatalf("no machine has rank %d: %+v", rank, l.alive())
	return ""
}

// preempt takes the machines of these ranks back, as a spot market does.
func (l *lab) preempt(ranks ...int) func() {
	return func() {
		for _, rank := range ranks {
			l.end("/preempt", rank)
		}
	}
}

// end ends a machine and returns once it is gone.
func (l *lab) end(how string, rank int) {
	l.t.Helper()
	id := l.ofRank(rank)
	l.call("POST", "/v1/instances/"+id+how, nil, nil)
	deadline := time.After(patience)
	for {
		gone := true
		for _, m := range l.alive() {
			gone = gone && m.ID != id
		}
		if gone {
			return
		}
		select {
		case <-deadline:
			l.t.Fatalf("machine %s is not gone", id)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func nodeValue(rank int, name string, want knownvalue.Check) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(cluster, tfjsonpath.New("nodes").AtSliceIndex(rank).AtMapKey(name), want)
}

// kept checks that the machines of these ranks, and the price, are what they
// were when it was first asked.
func kept(ranks ...int) resource.TestCheckFunc {
	var was string
	return func(s *terraform.State) error {
		attributes := s.RootModule().Resources[cluster].Primary.Attributes
		now := attributes["generation"] + " at " + attributes["hourly_cost"]
		for _, rank := range ranks {
			now += " " + attributes[fmt.Sprintf("nodes.%d.instance_id", rank)]
		}
		if was == "" {
			was = now
		}
		if now != was {
			return fmt.Errorf("it is %s, it was %s", now, was)
		}
		return nil
	}
}

// TestAccDrift walks through the table of statuses: nodes that are lost are
// planned back in place, whatever the market; nodes that were stopped are
// started; the price stays what it was at launch.
func TestAccDrift(t *testing.T) {
	t.Parallel()
	for _, market := range []string{"spot", "on_demand"} {
		t.Run(market, func(t *testing.T) {
			l := newLab(t)
			config := lifeConfig(l, 3, "UP", fmt.Sprintf(", market = %q, ports = [\"8080\"]", market))
			stays := kept(1)
			unknown := []plancheck.PlanCheck{
				plancheck.ExpectUnknownValue(cluster, tfjsonpath.New("nodes")), plancheck.ExpectUnknownValue(cluster, tfjsonpath.New("head_ip")),
				plancheck.ExpectUnknownValue(cluster, tfjsonpath.New("endpoints")), planned("hourly_cost", knownvalue.NotNull()),
			}
			how := "/kill"
			if market == "spot" {
				how = "/preempt"
			}
			l.test(
				resource.TestStep{Config: config, Check: stays, ConfigPlanChecks: action(cluster, plancheck.ResourceActionCreate)},
				resource.TestStep{
					PreConfig:    func() { l.end(how, 0); l.end(how, 2) },
					RefreshState: true, ExpectNonEmptyPlan: true, Check: stays,
					RefreshPlanChecks: resource.RefreshPlanChecks{PostRefresh: []plancheck.PlanCheck{plancheck.ExpectResourceAction(cluster, plancheck.ResourceActionUpdate)}},
				},
				resource.TestStep{
					Config: config, Check: resource.ComposeTestCheckFunc(stays, l.aliveNow(3)),
					ConfigPlanChecks: withChecks(action(cluster, plancheck.ResourceActionUpdate), unknown...),
					ConfigStateChecks: []statecheck.StateCheck{
						value("status", knownvalue.StringExact("UP")), value("status_reason", knownvalue.StringExact("")), value("nodes", knownvalue.ListSizeExact(3)),
						nodeValue(2, "status", knownvalue.StringExact("running")),
					},
				},
				resource.TestStep{Config: config, Check: stays, ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop)},
				// Lost and shrunk at once: what is beyond the new size is not made again.
				resource.TestStep{
					PreConfig: func() { l.end(how, 2) }, Config: lifeConfig(l, 2, "UP", fmt.Sprintf(", market = %q", market)),
					Check: l.aliveNow(2), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate),
				},
				resource.TestStep{
					PreConfig: func() { l.end(how, 0) }, Config: lifeConfig(l, 3, "UP", fmt.Sprintf(", market = %q", market)),
					Check: resource.ComposeTestCheckFunc(stays, l.aliveNow(3)), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate),
				},
			)
		})
	}
}

// TestAccDriftIsShown reads what a refresh says of a cluster that is not whole.
func TestAccDriftIsShown(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	config := lifeConfig(l, 2, "UP", "") + `
data "sky_cluster" "c" {
  name = "life"
}
output "seen" { value = "${data.sky_cluster.c.status}: ${data.sky_cluster.c.status_reason}; ${join(" ", data.sky_cluster.c.nodes[*].status)}" }
`
	seen := func(want string) []statecheck.StateCheck {
		return []statecheck.StateCheck{statecheck.ExpectKnownOutputValue("seen", knownvalue.StringRegexp(regexp.MustCompile(want)))}
	}
	stopOne := func() {
		l.call("POST", "/v1/instances/"+l.ofRank(1)+"/stop", nil, nil)
		l.waitFor1(l.ofRank(1), "stopped")
	}
	l.test(
		resource.TestStep{Config: lifeConfig(l, 2, "UP", "")},
		resource.TestStep{Config: config, ConfigStateChecks: seen(`^UP: ; running running$`)},
		// The data source is read before the change that follows from it.
		resource.TestStep{PreConfig: stopOne, Config: config, ConfigStateChecks: seen(`^INIT: rank 1 is stopped.*; running stopped$`), ExpectNonEmptyPlan: true},
		resource.TestStep{Config: config, ConfigStateChecks: seen(`^UP: ; running running$`)},
		resource.TestStep{
			PreConfig: func() { l.end("/kill", 1) }, Config: config, ExpectNonEmptyPlan: true,
			ConfigStateChecks: seen(`^DEGRADED: rank 1 is terminated \(the machine is gone.*\); running terminated$`),
		},
		resource.TestStep{Config: config, ConfigStateChecks: seen(`^UP: ; running running$`)},
	)
}

// waitFor1 returns once the machine is in the state.
func (l *lab) waitFor1(id, state string) {
	l.t.Helper()
	deadline := time.After(patience)
	for {
		for _, m := range l.alive() {
			if m.ID == id && m.State == state {
				return
			}
		}
		select {
		case <-deadline:
			l.t.Fatalf("machine %s is not %s: %+v", id, state, l.alive())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestAccRestoreWithoutCapacity leaves a cluster as it is where its lost node
// cannot be had again.
func TestAccRestoreWithoutCapacity(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	zone := ""
	where := func(s *terraform.State) error {
		zone = s.RootModule().Resources[cluster].Primary.Attributes["zone"]
		return nil
	}
	config := lifeConfig(l, 2, "UP", `, market = "spot"`)
	l.test(
		resource.TestStep{Config: config, Check: where},
		resource.TestStep{
			PreConfig: func() { l.preempt(1)(); l.sold(zone, "drizzle-t4-1", 0) }, Config: config,
			ExpectError: regexp.MustCompile(`(?s)lost\s+nodes\s+\[1\].*-replace`),
		},
		resource.TestStep{PreConfig: func() { l.sold(zone, "drizzle-t4-1", 4) }, Config: config, Check: l.aliveNow(2), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate)},
	)
}

// TestAccPreempted plans a spot cluster that was taken back as a whole again:
// elsewhere, or in the region it was in.
func TestAccPreempted(t *testing.T) {
	t.Parallel()
	for how, region := range map[string]string{"failover": "hilltop-1", "same_region": "meadow-1"} {
		t.Run(how, func(t *testing.T) {
			l := newLab(t)
			config := l.config(fmt.Sprintf(`
resource "sky_cluster" "c" {
  name      = "spot"
  num_nodes = 2
  resources = { instance_type = "puff-2", use_spot = true }
  recovery  = %q
}`, how))
			in := func(region string) []statecheck.StateCheck {
				return []statecheck.StateCheck{value("region", knownvalue.StringExact(region)), value("market", knownvalue.StringExact("spot"))}
			}
			l.test(
				resource.TestStep{Config: config, ConfigStateChecks: in("meadow-1")},
				resource.TestStep{
					PreConfig: l.preempt(0, 1), Config: config, ConfigStateChecks: in(region), Check: l.aliveNow(2),
					ConfigPlanChecks: action(cluster, plancheck.ResourceActionCreate),
				},
				resource.TestStep{Config: config, ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop)},
			)
		})
	}
}
