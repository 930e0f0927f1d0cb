// SPDX-License-Identifier: MPL-2.0

//go:build linux

package ibm

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/guests"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/ibm/ibmfake"
	"github.com/skybroker/terraform-provider-sky/internal/provider/acctest"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// lab is an IBM Cloud whose machines speak SSH, for the real Terraform.
type lab struct {
	*ibmfake.Cloud
	t       *testing.T
	dir     string
	tmpl    string
	factory Factory
}

func newLab(t *testing.T) *lab {
	t.Helper()
	host := guests.New(t, sshUser, 81)
	l := &lab{t: t, dir: t.TempDir(), tmpl: acctest.OwnTemplate(t, Name)}
	l.Cloud = ibmfake.Start(t, ibmfake.Options{Boot: func(m *ibmfake.Machine) (string, func()) { return host.Boot(m.Number, m.Order.UserData) }})
	l.factory = New()
	l.factory.tune = func(d *driver) {
		hurry(d)
		d.SSHPort = uint16(host.Port)
	}
	t.Cleanup(func() {
		if n := len(l.Machines()) + len(l.Volumes()) + len(l.Addresses()) + len(l.SecurityGroups()) + len(l.Interfaces()); n != 0 {
			t.Errorf("left are %d machines, %d disks, %d addresses, %d firewalls, %d interfaces",
				len(l.Machines()), len(l.Volumes()), len(l.Addresses()), len(l.SecurityGroups()), len(l.Interfaces()))
		}
	})
	return l
}

// hurry makes a driver wait milliseconds where a real one waits seconds.
func hurry(d *driver) {
	d.Poll = retry.Policy{Initial: time.Millisecond, Max: 4 * time.Millisecond}
	d.Settle, d.Granularity = 50*time.Millisecond, time.Millisecond
	d.c.pace = nil
	d.c.tries = retry.Policy{Initial: time.Millisecond, Max: 4 * time.Millisecond, Attempts: 6}
}

// config is a configuration whose clouds are this one.
func (l *lab) config(body string) string {
	return fmt.Sprintf(`
provider "sky" {
  state_dir       = %q
  enabled_clouds  = ["ibm"]
  show_plan_table = false
  templates_dir   = %q
  clouds = { ibm = { api_key = %q, endpoint_url = %q, iam_endpoint_url = %q } }
}
%s`, l.dir, l.tmpl, ibmfake.Key, l.Endpoint(), l.URL, body)
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

var empty = resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}

// TestAccQuickstart applies examples/quickstart with the real Terraform: two
// machines with an accelerator each, a job on both whose result is what mathematics
// says, no further change; then -replace, which makes two others; and nothing left.
func TestAccQuickstart(t *testing.T) {
	l := newLab(t)
	config := l.config(acctest.Quickstart(t, "../../../examples/quickstart", map[string]string{`"fluffycloud"`: `"ibm/us-south"`, `"T4:1"`: `"V100:1"`}))
	var first []string
	checks := []statecheck.StateCheck{
		known("sky_cluster.primes", "status", knownvalue.StringExact("UP")), known("sky_cluster.primes", "cloud", knownvalue.StringExact(Name)),
		known("sky_cluster.primes", "region", knownvalue.StringExact("us-south")), known("sky_cluster.primes", "accelerators", knownvalue.StringExact("V100:1")),
		known("sky_cluster.primes", "nodes", knownvalue.ListSizeExact(2)), known("sky_job.twins", "status", knownvalue.StringExact("SUCCEEDED")),
		statecheck.ExpectKnownOutputValue("total", knownvalue.ObjectExact(map[string]knownvalue.Check{
			"primes": knownvalue.Int64Exact(9592), "sum": knownvalue.Int64Exact(454396537), "twins": knownvalue.Int64Exact(1224),
		})),
	}
	two := func(*terraform.State) error {
		all := l.Machines()
		for _, m := range all {
			if slices.Contains(first, m.ID) || m.AttachmentName != recorded || m.Order.Image.ID != ibmfake.Ubuntu22 || !m.Order.Metadata.Enabled {
				return fmt.Errorf("machine %s of %v: %+v", m.ID, first, m)
			}
			first = append(first, m.ID)
		}
		if len(all) != 2 || len(l.Addresses()) != 2 {
			return fmt.Errorf("there are %d machines and %d addresses, want 2", len(all), len(l.Addresses()))
		}
		return nil
	}
	l.test(
		resource.TestStep{Config: config, ConfigStateChecks: checks, Check: two, ConfigPlanChecks: empty},
		resource.TestStep{Config: config, Taint: []string{"sky_cluster.primes"}, ConfigStateChecks: checks, Check: two},
	)
}

// small is a cluster of one machine.
func small(more string) string {
	return `
resource "sky_cluster" "s" {
  name          = "s"
  allowed_cidrs = ["127.0.0.0/8"]
  resources     = { infra = "ibm/us-south/us-south-2", instance_type = "bx2-2x8", labels = { Team = "weather" } }
  ` + more + `
}
`
}

// TestAccStopStart stops a cluster and starts it again: the machine, its disk and
// its address stay, and a job runs on it before and after. An address that somebody
// took away comes back with the start.
func TestAccStopStart(t *testing.T) {
	l := newLab(t)
	job := func(n int) string {
		return fmt.Sprintf("resource \"sky_job\" \"j%d\" {\n  cluster_id = sky_cluster.s.id\n  run = \"expr %d '*' 6\"\n}\n", n, n)
	}
	var id, address string
	is := func(status string) func(*terraform.State) error {
		return func(*terraform.State) error {
			all, addresses := l.Machines(), l.Addresses()
			if len(all) != 1 || len(addresses) != 1 || all[0].Status != status || (id != "" && all[0].ID != id) {
				return fmt.Errorf("there are %+v, %+v", all, addresses)
			}
			id, address = all[0].ID, addresses[0].ID
			return nil
		}
	}
	l.test(
		resource.TestStep{Config: l.config(small("") + job(7)), Check: is("running"), ConfigPlanChecks: empty},
		resource.TestStep{
			Config: l.config(small(`desired_status = "STOPPED"`) + job(7)), Check: is("stopped"), ConfigPlanChecks: empty,
			ConfigStateChecks: []statecheck.StateCheck{known("sky_cluster.s", "status", knownvalue.StringExact("STOPPED"))},
		},
		resource.TestStep{
			PreConfig: func() { l.RemoveAddress(address) },
			Config:    l.config(small(`desired_status = "UP"`) + job(7) + job(8)), Check: is("running"), ConfigPlanChecks: empty,
			ConfigStateChecks: []statecheck.StateCheck{
				known("sky_cluster.s", "status", knownvalue.StringExact("UP")), known("sky_job.j8", "log_tail", knownvalue.StringRegexp(regexp.MustCompile("48"))),
			},
		},
	)
}

// TestAccFailover: a zone that takes the launch and then has no room is left for
// another, with nothing in it, and the attempt is told.
func TestAccFailover(t *testing.T) {
	l := newLab(t)
	l.Fill("*", "us-south-1")
	l.Fill("*", "us-south-2")
	config := l.config(strings.Replace(small(""), "/us-south-2", "", 1))
	l.test(resource.TestStep{
		Config: config, ConfigStateChecks: []statecheck.StateCheck{known("sky_cluster.s", "zone", knownvalue.StringExact("us-south-3"))}, ConfigPlanChecks: empty,
		Check: func(*terraform.State) error {
			if all := l.Machines(); len(all) != 1 || len(l.Volumes()) != 1 || len(l.Addresses()) != 1 || l.Calls(ibmfake.CallCreate) != 3 {
				return fmt.Errorf("after %d launches there are %+v", l.Calls(ibmfake.CallCreate), all)
			}
			return nil
		},
	})
}

// TestAccLabelsChange: labels change in place, those of machines that run.
func TestAccLabelsChange(t *testing.T) {
	l := newLab(t)
	tagged := func(want string) func(*terraform.State) error {
		return func(*terraform.State) error {
			all := l.Volumes()
			if len(all) != 1 || tagsOf(all[0].Tags)["Team"] != want || l.Calls(ibmfake.CallCreate) != 1 {
				return fmt.Errorf("the disks are %+v, want the label %q", all, want)
			}
			return nil
		}
	}
	l.test(
		resource.TestStep{Config: l.config(small("")), Check: tagged("weather")},
		resource.TestStep{Config: l.config(strings.Replace(small(""), `"weather"`, `"Climate & Co"`, 1)), Check: tagged("Climate & Co"), ConfigPlanChecks: empty},
	)
}

// TestAccRefused: what IBM Cloud cannot do is told at plan, without a call.
func TestAccRefused(t *testing.T) {
	l := newLab(t)
	refused := func(more, want string) resource.TestStep {
		return resource.TestStep{Config: l.config("resource \"sky_cluster\" \"s\" {\n  name = \"s\"\n  " + more + "\n}\n"), ExpectError: regexp.MustCompile("(?s)" + want)}
	}
	l.test(
		refused(`resources = { infra = "ibm", cpus = "2" }`+"\n  autostop = { idle_minutes = 10, down = true }", `terraform\s+destroy.*remove\s+themselves.*not\s+on\s+ibm`),
		refused(`resources = { infra = "ibm", cpus = "2", use_spot = true }`, `market\s+spot`),
		refused(`resources = { infra = "ibm", accelerators = "H100:8" }`, `accelerators\s+H100:8`),
	)
	if n := l.Calls("*"); n > 0 {
		t.Errorf("%d calls were made for plans that are refused", n)
	}
}
