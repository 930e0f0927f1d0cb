// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// Setup, a job and a hook are bash with what a login has, also where the file
// was written on Windows. A hook that fails is seen, holds the removal, and lets
// it happen once it succeeds.
func TestAccScripts(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	setup := "setup = \"set -o pipefail\\r\\nmkdir -p ~/.local/bin\\r\\nprintf '#!/bin/sh\\\\necho hello\\\\n' >~/.local/bin/greet\\r\\nchmod +x ~/.local/bin/greet &>/dev/null\\r\\n\"\n"
	t.Cleanup(func() {
		out, _ := exec.Command("sh", "-c", "cd "+l.dir+"/fluffycloud/machines && tail -n 30 */disk/home/.sky/autostop/log */disk/home/.sky/autostop/hook.log; ls -la */disk/home/.sky/autostop; ls -la ../; tail -50 ../*.log").CombinedOutput()
		t.Log(string(out))
	})
	config := autostopConfig(l, 1, setup+`
  autostop = { idle_minutes = 0.3, down = true, wait_for = "jobs", hook = "[[ -e ~/disk_is_free ]] &>/dev/null" }
`) + `
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "j"
  run        = "greet\r\n[[ $PWD == $HOME/sky_workdir ]] && echo \"$PYTHONUNBUFFERED\"\r\n"
}
`
	l.test(
		resource.TestStep{Config: config, ConfigStateChecks: []statecheck.StateCheck{
			statecheck.ExpectKnownValue("sky_job.j", tfjsonpath.New("log_tail"), knownvalue.StringExact("hello\n1\n")),
		}},
		resource.TestStep{
			PreConfig: l.headSays(".sky/autostop/hook.failed", "tries=1"), Config: config, ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop),
			ConfigStateChecks: []statecheck.StateCheck{
				value("status", knownvalue.StringExact("UP")),
				value("status_reason", said(`^the hook of autostop failed: exit code 1, first at 20.*Once it has failed for 24h0m0s the cluster is removed`)),
			},
		},
		resource.TestStep{
			PreConfig: func() {
				if len(l.alive()) != 1 {
					t.Error("the cluster is gone, although its hook failed")
				}
			},
			Config: strings.Replace(config, "-e ~/disk", "! -e ~/disk", 1), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate),
			ConfigStateChecks: []statecheck.StateCheck{value("status_reason", knownvalue.StringExact(""))},
		},
		resource.TestStep{
			PreConfig: l.endsBy(0, ""), Config: strings.Replace(config, "-e ~/disk", "! -e ~/disk", 1), ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop),
			ConfigStateChecks: []statecheck.StateCheck{value("status", knownvalue.StringExact("TERMINATED"))},
		},
	)
}

// headSays waits until a file of the head's home folder holds a text.
func (l *lab) headSays(name, want string) func() {
	return func() {
		l.t.Helper()
		id := l.alive()[0].ID
		for deadline := time.After(patience); !strings.Contains(l.fileOf(id, name), want); {
			select {
			case <-deadline:
				l.t.Fatalf("%s is %q; the log of autostop:\n%s", name, l.fileOf(id, name), l.fileOf(id, ".sky/autostop/log"))
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// A job that ends while nobody looks is read before the cluster removes itself. A
// refresh does not count, since a plan's is thrown away: the cluster waits as long as it is told.
func TestAccAutodownWaitsToBeRead(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	config := autostopConfig(l, 1, `autostop = { idle_minutes = 0.3, down = true, wait_for = "jobs", unread_hold = "50s" }`) + `
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "j"
  run        = "sleep 4; echo done; exit 3"
  wait       = false
}
`
	l.test(
		resource.TestStep{Config: config},
		resource.TestStep{
			PreConfig: l.headSays(".sky/autostop/why", "nobody has read how job"), Config: config, ConfigPlanChecks: action("sky_job.j", plancheck.ResourceActionNoop),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue("sky_job.j", tfjsonpath.New("status"), knownvalue.StringExact("FAILED")),
				statecheck.ExpectKnownValue("sky_job.j", tfjsonpath.New("exit_code"), knownvalue.Int64Exact(3)),
			},
		},
		resource.TestStep{PreConfig: l.endsBy(0, ""), Config: config, ConfigPlanChecks: action("sky_job.j", plancheck.ResourceActionNoop)},
	)
}
