// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

// TestAccBastion reaches machines through another machine of the same cloud,
// and none where that one is not who it should be.
func TestAccBastion(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	jump := `
resource "sky_cluster" "jump" {
  name      = "jump"
  resources = { instance_type = "puff-2" }
}
`
	// behind is what lies behind the bastion, which has this host key.
	behind := func(key, body string) string {
		return l.config(jump + fmt.Sprintf(`
provider "sky" {
  alias           = "behind"
  state_dir       = %q
  enabled_clouds  = ["fluffycloud"]
  show_plan_table = false
  bastion = {
    host             = sky_cluster.jump.head_ip
    port             = sky_cluster.jump.nodes[0].ssh_port
    user             = sky_cluster.jump.ssh_user
    private_key_path = sky_cluster.jump.ssh_key_path
    host_key         = %s
  }
}
`, l.dir, key) + body)
	}
	cluster := func(name string, nodes int) string {
		return fmt.Sprintf(`
resource "sky_cluster" %q {
  provider  = sky.behind
  name      = %q
  num_nodes = %d
  resources = { instance_type = "puff-2" }
  setup     = "echo ready > ~/ready"
}
`, name, name, nodes)
	}
	job := `
resource "sky_job" "j" {
  provider   = sky.behind
  cluster_id = sky_cluster.c.id
  num_nodes  = 2
  run        = "cat ~/ready"
}
`
	const own = "sky_cluster.jump.nodes[0].host_key"
	l.test(
		resource.TestStep{Config: l.config(jump)},
		resource.TestStep{
			Config: behind(own, cluster("c", 2)+job),
			ConfigStateChecks: []statecheck.StateCheck{
				value("ssh_command", knownvalue.StringRegexp(regexp.MustCompile(`ProxyCommand=ssh .*StrictHostKeyChecking=yes -W \[%h\]:%p fluffy@127\.`))),
				jobValue("log_tail", knownvalue.StringRegexp(regexp.MustCompile(`ready\n.*ready`))),
			},
		},
		resource.TestStep{
			Config:      behind(fmt.Sprintf("%q", hostKey), cluster("c", 2)+job+cluster("d", 1)),
			ExpectError: rewrapped("the bastion of cloud fluffycloud", "not the pinned"),
		},
		resource.TestStep{
			Config: behind(own, cluster("c", 2)+job),
			Check: func(*terraform.State) error {
				if alive := l.alive(); len(alive) != 3 {
					return fmt.Errorf("alive are %+v", alive)
				}
				return nil
			},
		},
	)
}
