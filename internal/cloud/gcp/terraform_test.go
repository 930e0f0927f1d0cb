// SPDX-License-Identifier: MPL-2.0

//go:build linux

package gcp

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp/gcpfake"
	"github.com/skybroker/terraform-provider-sky/internal/provider"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
	"github.com/skybroker/terraform-provider-sky/templates"
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
	l := &lab{t: t, machine: newGuests(t, port), dir: t.TempDir(), templates: ownTemplate(t)}
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

// ownTemplate is the cluster template of GCP for machines that are processes of
// this computer: its systemd is none of theirs.
func ownTemplate(t *testing.T) string {
	t.Helper()
	text, err := fs.ReadFile(templates.FS, Name+".yaml.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	own := bytes.Replace(text, []byte("process_manager: auto"), []byte("process_manager: setsid"), 1)
	if bytes.Equal(own, text) {
		t.Fatal("the template leaves no process manager to replace")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, Name+".yaml.tmpl"), own, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
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
		Steps: steps,
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){
			"sky": func() (tfprotov6.ProviderServer, error) {
				registry, err := cloud.NewRegistry(l.factory)
				if err != nil {
					return nil, err
				}
				return providerserver.NewProtocol6WithError(provider.New("test", registry)())()
			},
		},
	})
}

// zones are the zones of the machines there are, sorted by machine.
func (l *lab) zones() (out []string) {
	for _, in := range l.Instances() {
		out = append(out, lastPart(in.Zone))
	}
	return out
}

// quickstart is examples/quickstart on GCP: only the provider block and the
// place differ, and that nobody here can be asked from where this computer is seen.
func quickstart(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../examples/quickstart/main.tf")
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := os.ReadFile("../../../examples/quickstart/outputs.tf")
	if err != nil {
		t.Fatal(err)
	}
	whole := string(text) + string(outputs)
	work, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		`provider "sky" {}`:      "",
		`"fluffycloud"`:          `"gcp/us-central1"`,
		"  num_nodes = 2\n\n  r": "  num_nodes = 2\n  allowed_cidrs = [\"127.0.0.0/8\"]\n\n  r",
		"${path.module}":         work + "/../../../examples/quickstart",
	} {
		if !strings.Contains(whole, from) {
			t.Fatalf("the quickstart has no %q", from)
		}
		whole = strings.Replace(whole, from, to, 1)
	}
	return regexp.MustCompile(`(?s)\nterraform \{.*?\n\}\n`).ReplaceAllString(whole, "\n")
}

func known(resource, name string, want knownvalue.Check) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(resource, tfjsonpath.New(name), want)
}

// TestAccQuickstart applies examples/quickstart with the real Terraform: two
// machines with an accelerator each, a job on both whose result is what
// mathematics says, no further change, and nothing left.
func TestAccQuickstart(t *testing.T) {
	l := newLab(t)
	config := l.config(quickstart(t))
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
