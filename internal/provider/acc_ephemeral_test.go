// SPDX-License-Identifier: MPL-2.0

//go:build linux

package provider_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/echoprovider"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// TestAccClusterSSH hands the way to a node to another provider, whose resource
// shows what it was given.
func TestAccClusterSSH(t *testing.T) {
	t.Parallel()
	if !writeOnly(t, cliPath(t)) { // a CLI older than ephemeral resources, too
		w := newWorkspace(t, "ephemeral \"sky_cluster_ssh\" \"node\" {\n  cluster_id = \"a/b/c\"\n}\n")
		if code, out := w.output("plan", "-no-color"); code == 0 || !strings.Contains(out, `"ephemeral" are not expected here`) {
			t.Errorf("exit code %d:\n%s", code, out)
		}
		w.write("")
		return
	}
	l := newLab(t)
	with := func(desired, rank string) string {
		return lifeConfig(l, 2, desired, "") + `
ephemeral "sky_cluster_ssh" "node" {
  cluster_id = sky_cluster.c.id
  rank       = ` + rank + `
}
provider "echo" {
  data = ephemeral.sky_cluster_ssh.node
}
resource "echo" "rank` + rank + `" {}
`
	}
	seen := func(name string, want knownvalue.Check) statecheck.StateCheck {
		return statecheck.ExpectKnownValue("echo.rank1", tfjsonpath.New("data").AtMapKey(name), want)
	}
	isFile := knownvalue.StringFunc(func(path string) error {
		_, err := os.Stat(path)
		return err
	})
	factories := factories()
	factories["echo"] = echoprovider.NewProviderServer()
	resource.Test(l.t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{
			Config: with("UP", "1"),
			ConfigStateChecks: []statecheck.StateCheck{
				seen("host", knownvalue.StringRegexp(regexp.MustCompile(`^127\.`))), seen("port", knownvalue.NotNull()), seen("user", knownvalue.StringExact("fluffy")),
				seen("host_key", knownvalue.StringRegexp(regexp.MustCompile(`^ssh-ed25519 AAAA`))), seen("status", knownvalue.StringExact("UP")),
				seen("key_path", isFile), seen("known_hosts_path", isFile), seen("ssh_config_path", isFile), seen("bastion", knownvalue.Null()),
			},
		},
		// It is opened while the plan is made, too: a stopped cluster is no error.
		{Config: with("STOPPED", "1"), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate)},
		{Config: with("UP", "1"), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate)},
		// Neither is a rank that is not there; an error would forbid a destroy.
		{Config: with("UP", "2"), ConfigStateChecks: []statecheck.StateCheck{
			statecheck.ExpectKnownValue("echo.rank2", tfjsonpath.New("data").AtMapKey("host"), knownvalue.Null()),
		}},
	}})
}
