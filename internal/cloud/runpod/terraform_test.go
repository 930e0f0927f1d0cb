// SPDX-License-Identifier: MPL-2.0

//go:build linux

package runpod

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider/acctest"
)

// lab is a RunPod whose pods run their command and speak SSH, for the real Terraform.
type lab struct {
	account
	t   *testing.T
	pod *guests
	dir string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, pod: newGuests(t), dir: t.TempDir(), account: account{startFake(t, 0)}}
	l.boot = l.pod.boot
	t.Cleanup(func() {
		l.Locked(func() {
			for _, p := range l.pods.All() {
				t.Errorf("left is pod %s", p.Name)
				l.drop(p)
			}
		})
	})
	return l
}

func (l *lab) config(body string) string {
	return fmt.Sprintf(`
provider "sky" {
  state_dir       = %q
  enabled_clouds  = ["runpod"]
  show_plan_table = false
  clouds          = { runpod = { api_key = %q, endpoint_url = %q } }
}
%s`, l.dir, fakeKey, l.URL, body)
}

func (l *lab) test(steps ...resource.TestStep) {
	l.t.Helper()
	resource.ParallelTest(l.t, resource.TestCase{
		Steps:                    steps,
		ProtoV6ProviderFactories: acctest.Factories(func() (*cloud.Registry, error) { return cloud.NewRegistry(l.Factory()) }),
	})
}

func known(resource, name string, want knownvalue.Check) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(resource, tfjsonpath.New(name), want)
}

const one = `
resource "sky_cluster" "train" {
  name      = "train"
  resources = { infra = "runpod/US", accelerators = "A40:1", ports = ["8080", "9000-9001"], image_id = "docker:pytorch/pytorch:2.9" }
  setup     = "echo $SKYPILOT_SETUP_NODE_RANK > rank"
}
resource "sky_job" "hello" {
  cluster_id = sky_cluster.train.id
  run        = "cat ~/sky_workdir/rank && echo gpus=$SKYPILOT_NUM_GPUS_PER_NODE key=$RUNPOD_API_KEY."
  outputs    = {}
}
`

// TestAccLife: a cluster and a job, no further change, a replacement, and nothing
// left. The host key in the state is none that the API shows, and the ports in it
// are those that RunPod mapped.
func TestAccLife(t *testing.T) {
	l := newLab(t)
	var first string
	config := l.config(strings.Replace(one, "\n  outputs    = {}", "", 1))
	cluster := "sky_cluster.train"
	l.test(
		resource.TestStep{
			Config:           config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
			ConfigStateChecks: []statecheck.StateCheck{
				known(cluster, "status", knownvalue.StringExact("UP")), known(cluster, "region", knownvalue.StringExact("US")),
				known(cluster, "accelerators", knownvalue.StringExact("A40:1")), known(cluster, "instance_type", knownvalue.StringExact("1x_A40_SECURE")),
				known("sky_job.hello", "status", knownvalue.StringExact("SUCCEEDED")),
			},
			Check: func(s *terraform.State) error {
				attrs := s.RootModule().Resources[cluster].Primary.Attributes
				first = attrs["nodes.0.instance_id"]
				return l.checkFirst(attrs)
			},
		},
		resource.TestStep{
			Config: config, Taint: []string{cluster},
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(cluster, plancheck.ResourceActionReplace)}},
			Check: func(s *terraform.State) error {
				attrs := s.RootModule().Resources[cluster].Primary.Attributes
				if attrs["nodes.0.instance_id"] == first || len(l.alive()) != 1 {
					return fmt.Errorf("pod %s is there, and %d in all", attrs["nodes.0.instance_id"], len(l.alive()))
				}
				return nil
			},
		},
	)
}

// alive are the pods as they are now.
func (l *lab) alive() (all []fakePod) {
	l.Locked(func() {
		for _, p := range l.pods.All() {
			all = append(all, *p)
		}
	})
	return all
}

func (l *lab) checkFirst(attrs map[string]string) error {
	p := l.alive()[0]
	key, err := os.ReadFile(filepath.Join(l.pod.root(&p), "etc/ssh/sky_host_key.pub"))
	if err != nil {
		return err
	}
	pinned := strings.Fields(attrs["nodes.0.host_key"])
	switch {
	case len(pinned) < 2 || !strings.Contains(string(key), pinned[1]):
		return fmt.Errorf("pinned is %v, where the pod has %s", pinned, key)
	case strings.Contains(fmt.Sprint(p.Env)+string(started(p.Args)), pinned[1]):
		return fmt.Errorf("the API shows the host key that is pinned")
	case strings.HasSuffix(p.Name, unrecorded):
		return fmt.Errorf("pod %s is not committed", p.Name)
	case p.Image != "pytorch/pytorch:2.9":
		return fmt.Errorf("the image is %s", p.Image)
	}
	public := map[string]string{}
	for _, at := range p.Runtime.Ports {
		public[fmt.Sprint(at.Private)] = fmt.Sprint(*at.Public)
	}
	for _, port := range []string{"8080", "9000", "9001"} {
		if want := *p.Runtime.Ports[0].IP + ":" + public[port]; attrs["endpoints."+port] != want {
			return fmt.Errorf("port %s is at %s, want %s", port, attrs["endpoints."+port], want)
		}
		if attrs["nodes.0.public_ports."+port] != public[port] {
			return fmt.Errorf("of the node port %s is at %s, want %s", port, attrs["nodes.0.public_ports."+port], public[port])
		}
	}
	if want := "-p " + public["22"]; !strings.Contains(attrs["ssh_command"], want) {
		return fmt.Errorf("ssh_command is %s, want %s in it", attrs["ssh_command"], want)
	}
	return nil
}

// TestAccRefusals: what RunPod has not is refused or told at plan.
func TestAccRefusals(t *testing.T) {
	l := newLab(t)
	refuse := func(body, want string) resource.TestStep {
		return resource.TestStep{Config: l.config(body), PlanOnly: true, ExpectError: regexp.MustCompile(want)}
	}
	l.test(
		refuse(`resource "sky_cluster" "c" {
  name      = "c"
  num_nodes = 2
  resources = { accelerators = "A40:1" }
}`, `(?s)several nodes.*not on runpod`),
		refuse(`resource "sky_cluster" "c" {
  name      = "c"
  autostop  = { idle_minutes = 10 }
  resources = { accelerators = "A40:1" }
}`, `(?s)autostop.*leave\s+autostop\s+out.*cannot\s+be\s+stopped`),
		refuse(`resource "sky_cluster" "c" {
  name      = "c"
  autostop  = { idle_minutes = 10, down = true }
  resources = { accelerators = "A40:1" }
}`, `(?s)autostop.*leave\s+autostop\s+out.*remove\s+themselves`),
	)
	if n := len(l.alive()); n > 0 {
		t.Errorf("%d pods were made", n)
	}
}

// TestAccWhyNotEnabled: sky_clouds says what would enable RunPod, and no key.
func TestAccWhyNotEnabled(t *testing.T) {
	l := newLab(t)
	l.test(resource.TestStep{
		Config: strings.Replace(l.config(`
data "sky_clouds" "all" {}
output "why" { value = data.sky_clouds.all.clouds["runpod"].reason }`), fakeKey, "rpa_WRONG", 1),
		Check: resource.TestMatchOutput("why", regexp.MustCompile("not enabled: RunPod refuses the API key: set api_key in clouds.runpod or RUNPOD_API_KEY .*401")),
	})
}
