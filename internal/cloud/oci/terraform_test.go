// SPDX-License-Identifier: MPL-2.0

//go:build linux

package oci

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/guests"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/oci/ocifake"
	"github.com/skybroker/terraform-provider-sky/internal/provider/acctest"
)

// lab is a cloud of Oracle's whose machines speak SSH, for the real Terraform.
type lab struct {
	*ocifake.Cloud
	t         *testing.T
	dir, tmpl string
	factory   Factory
}

func newLab(t *testing.T) *lab {
	t.Helper()
	host := guests.New(t, sshUser, 79)
	l := &lab{t: t, dir: t.TempDir(), tmpl: acctest.OwnTemplate(t, Name)}
	l.Cloud = ocifake.Start(t, ocifake.Options{Boot: func(m *ocifake.Machine) (string, func()) { return host.Boot(m.Number(), m.UserData()) }})
	l.factory = Factory{tune: func(d *driver) { hurry(d); d.SSHPort = uint16(host.Port) }}
	t.Cleanup(func() {
		if n, v, g := len(l.Machines()), l.Volumes(), len(l.Parts("networkSecurityGroups")); n+v+g != 0 {
			t.Errorf("left are %d machines, %d volumes, %d groups", n, v, g)
		}
		if n := len(l.Parts("vcns")); n > 1 {
			t.Errorf("%d networks were made", n)
		}
	})
	return l
}

// config is a configuration whose clouds are this one. The credentials are those of
// a session, from a file as oci session authenticate writes it.
func (l *lab) config(body string) string {
	return fmt.Sprintf(`
provider "sky" {
  state_dir       = %q
  enabled_clouds  = ["oci"]
  show_plan_table = false
  templates_dir   = %q
  clouds = { oci = { config_file = %q, profile = "SESSION", compartment = %q, endpoint_url = %q } }
}
%s`, l.dir, l.tmpl, l.WriteConfig(l.t, l.t.TempDir()), ocifake.Compartment, l.Endpoint(), body)
}

func (l *lab) test(steps ...resource.TestStep) {
	l.t.Helper()
	resource.ParallelTest(l.t, resource.TestCase{
		Steps:                    steps,
		ProtoV6ProviderFactories: acctest.Factories(func() (*cloud.Registry, error) { return cloud.NewRegistry(l.factory) }),
	})
}

func known(resource, name string, want knownvalue.Check) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(resource, tfjsonpath.New(name), want)
}

// TestAccQuickstart applies examples/quickstart with the real Terraform: two
// machines with an accelerator each, on the image that has its driver, a job on both
// whose result is what mathematics says, no further change; then -replace, which
// makes two others; and nothing left.
func TestAccQuickstart(t *testing.T) {
	l := newLab(t)
	config := l.config(acctest.Quickstart(t, "../../../examples/quickstart", map[string]string{`"fluffycloud"`: `"oci/us-ashburn-1"`, `"T4:1"`: `"A10:1"`}))
	checks := []statecheck.StateCheck{
		known("sky_cluster.primes", "status", knownvalue.StringExact("UP")), known("sky_cluster.primes", "cloud", knownvalue.StringExact(Name)),
		known("sky_cluster.primes", "region", knownvalue.StringExact("us-ashburn-1")), known("sky_cluster.primes", "accelerators", knownvalue.StringExact("A10:1")),
		known("sky_cluster.primes", "nodes", knownvalue.ListSizeExact(2)), known("sky_job.twins", "status", knownvalue.StringExact("SUCCEEDED")),
		statecheck.ExpectKnownOutputValue("total", knownvalue.ObjectExact(map[string]knownvalue.Check{
			"primes": knownvalue.Int64Exact(9592), "sum": knownvalue.Int64Exact(454396537), "twins": knownvalue.Int64Exact(1224),
		})),
	}
	var before []string
	two := func(*terraform.State) error {
		all := l.Machines()
		for _, m := range all {
			if slices.Contains(before, m.ID) || strings.HasSuffix(m.Name, unrecorded) || m.Shape != "VM.GPU.A10.1" || m.Image != ocifake.ImageID("linux8gpu", "us-ashburn-1") {
				return fmt.Errorf("machine %s of %v: %+v", m.ID, before, m)
			}
			before = append(before, m.ID)
		}
		if len(all) != 2 {
			return fmt.Errorf("there are %d machines, want 2", len(all))
		}
		return nil
	}
	l.test(
		resource.TestStep{
			Config: config, ConfigStateChecks: checks, Check: two,
			ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
		},
		resource.TestStep{Config: config, Taint: []string{"sky_cluster.primes"}, ConfigStateChecks: checks, Check: two},
	)
}

// small is a cluster of one flexible machine.
func small(more string) string {
	return `
resource "sky_cluster" "s" {
  name          = "s"
  allowed_cidrs = ["127.0.0.0/8"]
  ` + more + `
}
`
}

// TestAccStopAndStart: a cluster is stopped, its labels change meanwhile, and the
// same machine runs again.
func TestAccStopAndStart(t *testing.T) {
	l := newLab(t)
	with := func(team, status string) string {
		return l.config(small(fmt.Sprintf(`resources = { infra = "oci/us-phoenix-1", cpus = "4", labels = { Team = %q } }
  desired_status = %q`, team, status)))
	}
	var id string
	is := func(state, team string) func(*terraform.State) error {
		return func(*terraform.State) error {
			all := l.Machines()
			if len(all) != 1 || all[0].State != state || all[0].Tags["Team"] != team || (id != "" && all[0].ID != id) || all[0].ShapeConfig == nil {
				return fmt.Errorf("there are %+v, want one that is %s for %s, %s", all, state, team, id)
			}
			id = all[0].ID
			return nil
		}
	}
	l.test(
		resource.TestStep{Config: with("weather", "UP"), Check: is("RUNNING", "weather")},
		resource.TestStep{Config: with("weather", "STOPPED"), Check: is("STOPPED", "weather")},
		resource.TestStep{
			Config: with("climate", "UP"), Check: is("RUNNING", "climate"),
			ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
		},
	)
}

// TestAccFailover: domains without room are passed over, one by the report and one
// by the launch, within an attempt; a preemptible machine is made in the third.
func TestAccFailover(t *testing.T) {
	l := newLab(t)
	domains := ocifake.Domains("us-phoenix-1")
	l.Fill("VM.Standard.A1.Flex", domains[0], false)
	l.Fill("VM.Standard.E4.Flex", domains[0], true)
	l.Fill("VM.Standard.E4.Flex", domains[1], true)
	l.test(resource.TestStep{
		Config:            l.config(small(`resources = { infra = "oci/us-phoenix-1", instance_type = "VM.Standard.E4.Flex$_2_16", use_spot = true }`)),
		ConfigStateChecks: []statecheck.StateCheck{known("sky_cluster.s", "zone", knownvalue.StringExact(domains[2]))},
		Check: func(*terraform.State) error {
			if all := l.Machines(); len(all) != 1 || all[0].Preemptible == nil || strings.HasSuffix(all[0].Name, unrecorded) || l.Calls(callLaunch) != 3 {
				return fmt.Errorf("after %d launches there are %+v", l.Calls(callLaunch), all)
			}
			return nil
		},
	})
}

// TestAccStopRefused: a machine that is billed while it is stopped is not stopped,
// and the plan says so before anything is made.
func TestAccStopRefused(t *testing.T) {
	l := newLab(t)
	l.test(resource.TestStep{
		Config:      l.config(small("resources = { infra = \"oci\", accelerators = \"V100:1\" }\nautostop = { idle_minutes = 10 }")),
		ExpectError: regexp.MustCompile(`(?s)(VM\.GPU3|V100|oci)`),
	})
	if n := l.Calls("*"); n > 0 {
		t.Errorf("%d calls were made for a plan that is refused", n)
	}
}
