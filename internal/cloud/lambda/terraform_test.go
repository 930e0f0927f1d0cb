// SPDX-License-Identifier: MPL-2.0

//go:build linux

package lambda

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
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
	"github.com/skybroker/terraform-provider-sky/internal/cloud/lambda/lambdafake"
	"github.com/skybroker/terraform-provider-sky/internal/provider/acctest"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// lab is a Lambda Cloud whose machines speak SSH, for the real Terraform.
type lab struct {
	*lambdafake.Cloud
	t       *testing.T
	dir     string
	tmpl    string
	factory Factory
	others  []cloud.Factory
}

func newLab(t *testing.T) *lab {
	t.Helper()
	host := guests.New(t, "ubuntu", 78)
	l := &lab{t: t, dir: t.TempDir(), tmpl: acctest.OwnTemplate(t, Name)}
	l.Cloud = lambdafake.Start(t, lambdafake.Options{Boot: func(m *lambdafake.Machine) (string, func()) {
		n, _ := strconv.ParseInt(m.ID, 16, 64)
		return host.Boot(int(n), m.Order.UserData)
	}})
	l.AddKey("somebody's laptop")
	l.factory = Factory{tune: func(d *driver) { hurry(d); d.SSHPort = uint16(host.Port) }}
	t.Cleanup(func() {
		if n, k, r := len(l.Machines()), len(l.Keys()), len(l.Rulesets()); n+r != 0 || k != 1 {
			t.Errorf("left are %d machines, %d keys, of which one is somebody's, %d rulesets", n, k, r)
		}
	})
	return l
}

// hurry makes a driver wait milliseconds where a real one waits seconds.
func hurry(d *driver) {
	d.Poll = retry.Policy{Initial: time.Millisecond, Max: 4 * time.Millisecond}
	d.Settle, d.Granularity = 50*time.Millisecond, time.Millisecond
	d.c.Tries = retry.Policy{Initial: time.Millisecond, Max: 4 * time.Millisecond, Attempts: 6}
	d.launching.Tries = d.c.Tries
}

// config is a configuration whose clouds are this one.
func (l *lab) config(body string) string {
	return fmt.Sprintf(`
provider "sky" {
  state_dir       = %q
  enabled_clouds  = ["lambda"]
  show_plan_table = false
  templates_dir   = %q
  clouds = { lambda = { api_key = %q, endpoint_url = %q } }
}
%s`, l.dir, l.tmpl, lambdafake.Key, l.URL, body)
}

func (l *lab) test(steps ...resource.TestStep) {
	l.t.Helper()
	resource.ParallelTest(l.t, resource.TestCase{
		Steps: steps,
		ProtoV6ProviderFactories: acctest.Factories(func() (*cloud.Registry, error) {
			return cloud.NewRegistry(append([]cloud.Factory{l.factory}, l.others...)...)
		}),
	})
}

func known(resource, name string, want knownvalue.Check) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(resource, tfjsonpath.New(name), want)
}

// TestAccQuickstart applies examples/quickstart with the real Terraform: two
// machines with an accelerator each, a job on both whose result is what mathematics
// says, no further change; then -replace, which makes two others; and nothing left.
func TestAccQuickstart(t *testing.T) {
	l := newLab(t)
	config := l.config(acctest.Quickstart(t, "../../../examples/quickstart", map[string]string{`"fluffycloud"`: `"lambda/us-east-1"`, `"T4:1"`: `"A10:1"`}))
	var first []string
	checks := []statecheck.StateCheck{
		known("sky_cluster.primes", "status", knownvalue.StringExact("UP")), known("sky_cluster.primes", "cloud", knownvalue.StringExact(Name)),
		known("sky_cluster.primes", "region", knownvalue.StringExact("us-east-1")), known("sky_cluster.primes", "accelerators", knownvalue.StringExact("A10:1")),
		known("sky_cluster.primes", "nodes", knownvalue.ListSizeExact(2)), known("sky_job.twins", "status", knownvalue.StringExact("SUCCEEDED")),
		statecheck.ExpectKnownOutputValue("total", knownvalue.ObjectExact(map[string]knownvalue.Check{
			"primes": knownvalue.Int64Exact(9592), "sum": knownvalue.Int64Exact(454396537), "twins": knownvalue.Int64Exact(1224),
		})),
	}
	two := func(*terraform.State) error {
		all := l.Machines()
		for _, m := range all {
			if slices.Contains(first, m.ID) || strings.HasSuffix(m.Name, unrecorded) || m.Name != m.Hostname || len(m.Rulesets) != 1 || m.Order.Image.ID != lambdafake.Stack24 {
				return fmt.Errorf("machine %s of %v: %+v", m.ID, first, m)
			}
			first = append(first, m.ID)
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

// small is a cluster of one machine.
func small(more string) string {
	return `
resource "sky_cluster" "s" {
  name          = "s"
  allowed_cidrs = ["127.0.0.0/8"]
  ` + more + `
}
`
}

// TestAccLabelsStay: a change of labels is refused with the reason, and what would
// be right; the machine stays.
func TestAccLabelsStay(t *testing.T) {
	l := newLab(t)
	labelled := func(team string) string {
		return l.config(small(fmt.Sprintf("resources = { infra = \"lambda/us-west-2\", instance_type = \"gpu_1x_a10\", labels = { Team = %q } }", team)))
	}
	l.test(
		resource.TestStep{Config: labelled("weather"), ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}},
		resource.TestStep{Config: labelled("climate"), ExpectError: regexp.MustCompile(`(?s)labels of cluster "s"\s+cannot change.*only\s+at\s+launch.*terraform\s+taint`)},
		resource.TestStep{
			Config: labelled("climate"), Taint: []string{"sky_cluster.s"},
			Check: func(*terraform.State) error {
				all := l.Machines()
				if n := l.Calls(lambdafake.CallLaunch); len(all) != 1 || n != 2 || !slices.ContainsFunc(all[0].Tags, func(tag lambdafake.Tag) bool { return tag.Value == "climate" }) {
					return fmt.Errorf("there are %d machines after %d launches", len(all), n)
				}
				return nil
			},
		},
	)
}

// TestAccEmptyLabels: no labels and empty ones are the same.
func TestAccEmptyLabels(t *testing.T) {
	l := newLab(t)
	const resources = `resources = { infra = "lambda/us-west-2", instance_type = "gpu_1x_a10"%s }`
	l.test(
		resource.TestStep{Config: l.config(small(fmt.Sprintf(resources, "")))},
		resource.TestStep{Config: l.config(small(fmt.Sprintf(resources, ", labels = {}")))},
	)
}

// TestAccAutostopRefused: the plan says that no machine of Lambda ends itself.
func TestAccAutostopRefused(t *testing.T) {
	l := newLab(t)
	var steps []resource.TestStep
	for _, down := range []string{"false", "true"} {
		steps = append(steps, resource.TestStep{
			Config:      l.config(small("resources = { infra = \"lambda\", accelerators = \"A10:1\" }\nautostop = { idle_minutes = 10, down = " + down + " }")),
			ExpectError: regexp.MustCompile(`(?s)terraform\s+destroy.*(machines\s+of\s+lambda\s+cannot|not\s+on\s+lambda)`),
		})
	}
	l.test(steps...)
	if n := l.Calls("*"); n > 0 {
		t.Errorf("%d calls were made for a plan that is refused", n)
	}
}
