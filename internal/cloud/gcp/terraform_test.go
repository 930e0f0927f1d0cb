// SPDX-License-Identifier: MPL-2.0

//go:build linux

package gcp

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp/gcpfake"
	"github.com/skybroker/terraform-provider-sky/internal/provider/acctest"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// lab is a Compute Engine whose machines speak SSH, for the real Terraform.
type lab struct {
	account
	t         *testing.T
	machine   *guests
	dir       string
	templates string
	factory   Factory
	options   string // more of the cloud's settings
}

func newLab(t *testing.T) *lab {
	t.Helper()
	port := freePort(t)
	l := &lab{t: t, machine: newGuests(t, port), dir: t.TempDir(), templates: acctest.OwnTemplate(t, Name)}
	l.account = account{Cloud: gcpfake.Start(t, gcpfake.Options{Boot: l.machine.boot})}
	l.machine.cloud = l.Cloud
	l.factory = Factory{tune: func(d *driver) { hurry(d); d.SSHPort = uint16(port) }}
	t.Cleanup(func() {
		if n, m, f := len(l.Instances()), len(l.Disks()), len(l.Firewalls()); n+m+f != 0 {
			t.Errorf("left are %d machines, %d disks, %d firewall rules", n, m, f)
		}
	})
	return l
}

// config is a configuration whose clouds are this one.
func (l *lab) config(body string) string {
	return fmt.Sprintf(`
provider "sky" {
  state_dir       = %q
  enabled_clouds  = ["gcp"]
  show_plan_table = false
  templates_dir   = %q
  clouds = { gcp = {
    project = %q, access_token = %q, endpoint_url = %q%s
  } }
}
%s`, l.dir, l.templates, gcpfake.Project, gcpfake.Token, l.URL, l.options, body)
}

func (l *lab) test(steps ...resource.TestStep) {
	l.t.Helper()
	resource.ParallelTest(l.t, resource.TestCase{
		Steps:                    steps,
		ProtoV6ProviderFactories: acctest.Factories(func() (*cloud.Registry, error) { return cloud.NewRegistry(l.factory) }),
	})
}

// zones are the zones of the machines there are, sorted by machine.
func (l *lab) zones() (out []string) {
	for _, in := range l.Instances() {
		out = append(out, lastPart(in.Zone))
	}
	return out
}

func known(resource, name string, want knownvalue.Check) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(resource, tfjsonpath.New(name), want)
}

// TestAccQuickstart applies examples/quickstart with the real Terraform: two
// machines with an accelerator each, a job on both whose result is what
// mathematics says, no further change, and nothing left.
func TestAccQuickstart(t *testing.T) {
	l := newLab(t)
	config := l.config(acctest.Quickstart(t, "../../../examples/quickstart", map[string]string{`"fluffycloud"`: `"gcp/us-central1"`}))
	l.test(
		resource.TestStep{
			Config:           config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
			ConfigStateChecks: []statecheck.StateCheck{
				known("sky_cluster.primes", "status", knownvalue.StringExact("UP")), known("sky_cluster.primes", "cloud", knownvalue.StringExact(Name)),
				known("sky_cluster.primes", "region", knownvalue.StringExact("us-central1")), known("sky_cluster.primes", "accelerators", knownvalue.StringExact("T4:1")),
				known("sky_cluster.primes", "nodes", knownvalue.ListSizeExact(2)),
				known("sky_job.twins", "status", knownvalue.StringExact("SUCCEEDED")),
				statecheck.ExpectKnownOutputValue("total", knownvalue.ObjectExact(map[string]knownvalue.Check{
					"primes": knownvalue.Int64Exact(9592), "sum": knownvalue.Int64Exact(454396537), "twins": knownvalue.Int64Exact(1224),
				})),
			},
			Check: func(*terraform.State) error {
				for _, in := range l.Instances() {
					if g := in.GuestAccelerators; len(g) != 1 || lastPart(g[0].AcceleratorType) != "nvidia-tesla-t4" || metadataOf(in.Metadata)[metaCommitted] != committed {
						return fmt.Errorf("machine %s has %+v, or was not recorded", in.Name, g)
					}
				}
				if n := len(l.Instances()); n != 2 {
					return fmt.Errorf("there are %d machines, want 2", n)
				}
				return nil
			},
		},
	)
}

const twoNodes = `
resource "sky_cluster" "storm" {
  name          = "storm"
  num_nodes     = 2
  allowed_cidrs = ["127.0.0.0/8"]
  resources     = { infra = "gcp/us-central1", instance_type = "n2-standard-4" }
  setup         = "echo $SKYPILOT_SETUP_NODE_RANK > rank"
}
`

// TestAccFailover: the zones without capacity are passed over, and what an
// attempt made there is gone before the next one begins.
func TestAccFailover(t *testing.T) {
	l := newLab(t)
	// In the first zone there is room for one of the two.
	l.Inject(gcpfake.Fault{Method: "compute.instances.insert", Match: "us-central1-a", Skip: 1, Code: "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", Message: "no room", Hint: "try elsewhere"})
	l.Inject(gcpfake.Fault{Method: "compute.instances.insert", Match: "us-central1-b", Code: "ZONE_RESOURCE_POOL_EXHAUSTED", Message: "no room"})
	l.test(resource.TestStep{
		Config: l.config(twoNodes),
		ConfigStateChecks: []statecheck.StateCheck{
			known("sky_cluster.storm", "status", knownvalue.StringExact("UP")), known("sky_cluster.storm", "zone", knownvalue.StringExact("us-central1-c")),
		},
		Check: func(*terraform.State) error {
			if zones := l.zones(); !slices.Equal(zones, []string{"us-central1-c", "us-central1-c"}) || len(l.Disks()) != 2 {
				return fmt.Errorf("there are machines in %v, with %d disks", zones, len(l.Disks()))
			}
			if n := l.Calls("compute.instances.insert"); n < 5 {
				return fmt.Errorf("%d launches were tried: no zone was passed over", n)
			}
			return nil
		},
	})
}

// TestAccNoRoomAnywhere: the error is the table of attempts, with Compute
// Engine's own words, and nothing is left.
func TestAccNoRoomAnywhere(t *testing.T) {
	l := newLab(t)
	l.Inject(gcpfake.Fault{Method: "compute.instances.insert", Code: "ZONE_RESOURCE_POOL_EXHAUSTED", Message: "The zone does not have enough resources."})
	l.test(resource.TestStep{
		Config:      l.config(twoNodes),
		ExpectError: regexp.MustCompile(`(?s)us-central1-a.*capacity.*does not have enough`),
	})
}

// idle is a cluster that ends itself soon after it began.
func idle(down bool) string {
	return fmt.Sprintf(`
resource "sky_cluster" "storm" {
  name          = "storm"
  num_nodes     = 2
  allowed_cidrs = ["127.0.0.0/8"]
  resources     = { infra = "gcp/us-central1", instance_type = "n2-standard-4" }
  autostop      = { idle_minutes = 0.02, wait_for = "none", down = %t }
}
`, down)
}

// until waits for the machines to be as they should.
func (l *lab) until(done func([]compute.Instance) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return retry.Poll(ctx, retry.Policy{Initial: 20 * time.Millisecond, Max: 200 * time.Millisecond}, func(context.Context) (bool, error) {
		return done(l.Instances()), nil
	})
}

// TestAccAutostop: the machines of an idle cluster shut down by themselves, and
// keep their disks.
func TestAccAutostop(t *testing.T) {
	l := newLab(t)
	config := l.config(idle(false))
	l.test(
		resource.TestStep{Config: config, Check: func(*terraform.State) error {
			return l.until(func(all []compute.Instance) bool {
				return len(all) == 2 && !slices.ContainsFunc(all, func(in compute.Instance) bool { return in.Status != "TERMINATED" })
			})
		}},
		resource.TestStep{
			Config: config,
			ConfigStateChecks: []statecheck.StateCheck{
				known("sky_cluster.storm", "status", knownvalue.StringExact("STOPPED")),
			},
			Check: func(*terraform.State) error {
				if n := len(l.Disks()); n != 2 {
					return fmt.Errorf("there are %d disks", n)
				}
				return nil
			},
		},
	)
}

// TestAccAutodownRefused: without an account of the machines' own the plan says
// what to set.
func TestAccAutodownRefused(t *testing.T) {
	l := newLab(t)
	l.test(resource.TestStep{
		Config: l.config(idle(true)), ExpectError: regexp.MustCompile(`(?s)remove\s+themselves.*service_account.*compute\.instances\.delete.*self_delete`),
	})
	if n := l.Calls("compute.instances.insert"); n > 0 {
		t.Errorf("%d launches were tried", n)
	}
}

// TestAccAutodown: with an account of their own that may, the machines of an
// idle cluster remove themselves.
func TestAccAutodown(t *testing.T) {
	l := newLab(t)
	l.options = fmt.Sprintf(", service_account = %q, self_delete = \"true\"", gcpfake.Deleter)
	config := l.config(idle(true))
	l.test(
		resource.TestStep{Config: config, Check: func(*terraform.State) error {
			return l.until(func(all []compute.Instance) bool { return len(all) == 0 })
		}},
		resource.TestStep{
			Config: config,
			ConfigStateChecks: []statecheck.StateCheck{
				known("sky_cluster.storm", "status", knownvalue.StringExact("TERMINATED")),
				known("sky_cluster.storm", "status_reason", knownvalue.StringRegexp(regexp.MustCompile("the cluster removed itself; seen"))),
			},
			Check: func(*terraform.State) error {
				if n := len(l.Disks()) + len(l.Instances()); n != 0 {
					return fmt.Errorf("%d machines and disks are left", n)
				}
				return nil
			},
		},
	)
}
