// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
	"golang.org/x/crypto/ssh"
)

// endsBy waits until so many machines are alive and all of them are in state.
// Nobody but the machines themselves brings that about.
func (l *lab) endsBy(machines int, state string) func() {
	return func() {
		l.t.Helper()
		deadline := time.After(patience)
		for {
			alive := l.alive()
			done := len(alive) == machines
			for _, m := range alive {
				done = done && m.State == state
			}
			if done {
				return
			}
			select {
			case <-deadline:
				l.t.Fatalf("want %d machines %s: %+v", machines, state, alive)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// autostopConfig is a cluster with the given further attributes.
func autostopConfig(l *lab, nodes int, extra string) string {
	return l.config(fmt.Sprintf(`
resource "sky_cluster" "c" {
  name      = "sleepy"
  num_nodes = %d
  resources = { accelerators = "T4:1" }
  %s
}
`, nodes, extra))
}

func said(pattern string) knownvalue.Check {
	return knownvalue.StringRegexp(regexp.MustCompile(pattern))
}

// generation remembers the first generation and says whether it is still that.
func generation(first *string, same bool) resource.TestCheckFunc {
	return func(s *terraform.State) error {
		attributes := s.RootModule().Resources[cluster].Primary.Attributes
		now := attributes["generation"] + " " + attributes["nodes.0.instance_id"]
		if *first == "" {
			*first = now
		}
		if (now == *first) != same {
			return fmt.Errorf("the cluster is %s, it was %s; the same: want %t", now, *first, same)
		}
		return nil
	}
}

// A cluster of two nodes stops by itself, in real time, is left stopped, takes
// changes that need no machines, and starts again when asked to.
func TestAccAutostop(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var first string
	const quick, slow = `autostop = { idle_minutes = 0.1, hook = "echo hooked >~/hooked" }`, `autostop = { idle_minutes = 60 }`
	status := func(want string) statecheck.StateCheck { return value("status", knownvalue.StringExact(want)) }
	l.test(
		resource.TestStep{Config: autostopConfig(l, 2, quick), Check: generation(&first, true)},
		resource.TestStep{
			PreConfig: l.endsBy(2, "stopped"), Config: autostopConfig(l, 2, quick),
			ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop), Check: generation(&first, true),
			ConfigStateChecks: []statecheck.StateCheck{
				status("STOPPED"), value("status_reason", said(`^autostop after 0\.1 idle minutes; seen 20..-.*: rank 0 is stopped \(self_request\), rank 1`)),
				value("on_autostop", knownvalue.StringExact("keep")),
			},
		},
		// Twice refreshed, the state is the same to the byte.
		resource.TestStep{RefreshState: true, RefreshPlanChecks: resource.RefreshPlanChecks{PostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}},
		// What needs no machines leaves them stopped.
		resource.TestStep{
			Config:           autostopConfig(l, 2, slow+"\n  timeouts = { update = \"10m\" }\n  allowed_cidrs = [\"127.0.0.0/9\"]"),
			ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate), Check: l.aliveNow(2),
			ConfigStateChecks: []statecheck.StateCheck{status("STOPPED"), value("status_reason", said(`^autostop after 0\.1`))},
		},
		// It starts when asked to, with the autostop that was noted meanwhile.
		resource.TestStep{
			Config: autostopConfig(l, 2, slow+"\n  on_autostop = \"restart\""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate),
			Check:             resource.ComposeTestCheckFunc(generation(&first, true), l.headHas("hooked", "hooked\n"), l.headHas(".sky/autostop/conf", "idle=3600\n")),
			ConfigStateChecks: []statecheck.StateCheck{status("UP"), value("status_reason", knownvalue.StringExact(""))},
		},
		resource.TestStep{Config: autostopConfig(l, 2, slow+"\n  on_autostop = \"restart\""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop)},
		// Without autostop the watchdog is gone.
		resource.TestStep{
			Config: autostopConfig(l, 2, ""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate),
			Check: resource.ComposeTestCheckFunc(generation(&first, true), l.headHas(".sky/autostop/conf", "")),
		},
	)
}

// headHas checks the beginning of a file of the head's home folder; empty wants none.
func (l *lab) headHas(name, want string) resource.TestCheckFunc {
	return func(s *terraform.State) error {
		id := s.RootModule().Resources[cluster].Primary.Attributes["nodes.0.instance_id"]
		got := l.fileOf(id, name)
		if (want == "" && got != "") || !strings.HasPrefix(got, want) {
			return fmt.Errorf("the head's %s is %q, want %q", name, got, want)
		}
		return nil
	}
}

// fileOf is a file of a machine's home folder; empty where there is none.
func (l *lab) fileOf(id, name string) string {
	text, err := os.ReadFile(filepath.Join(l.dir, "fluffycloud", "machines", id, "disk", "home", name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		l.t.Error(err)
	}
	return string(text)
}

// A change that needs machines starts a cluster that stopped by itself.
func TestAccAutostopYieldsToWork(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const quick = `autostop = { idle_minutes = 0.05, wait_for = "jobs" }`
	l.test(
		resource.TestStep{Config: autostopConfig(l, 1, quick)},
		resource.TestStep{
			PreConfig: l.endsBy(1, "stopped"),
			Config:    autostopConfig(l, 1, `autostop = { idle_minutes = 60 }`+"\n  setup = \"echo set up >~/marker\""),
			Check:     l.headHas("marker", "set up\n"), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate),
			ConfigStateChecks: []statecheck.StateCheck{value("status", knownvalue.StringExact("UP"))},
		},
		// Stopped by hand it starts again: no watchdog did that, but it cannot be told.
		resource.TestStep{
			Config:            autostopConfig(l, 1, `desired_status = "STOPPED"`),
			ConfigStateChecks: []statecheck.StateCheck{value("status", knownvalue.StringExact("STOPPED"))},
		},
		resource.TestStep{
			Config: autostopConfig(l, 1, `desired_status = "STOPPED"`+"\n  autostop = { idle_minutes = 30 }"), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate),
			ConfigStateChecks: []statecheck.StateCheck{value("status", knownvalue.StringExact("STOPPED"))},
		},
		resource.TestStep{
			Config: autostopConfig(l, 1, `autostop = { idle_minutes = 30 }`), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate),
			Check: l.headHas(".sky/autostop/conf", "idle=1800\n"), ConfigStateChecks: []statecheck.StateCheck{value("status", knownvalue.StringExact("UP"))},
		},
	)
}

// A cluster of two nodes removes itself. It stays in state without machines
// until the configuration asks for them.
func TestAccAutodown(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var first string
	// Half a minute, so that the plan after the apply has been made before one of two nodes goes.
	const quick, slow = `autostop = { idle_minutes = 0.5, down = true }`, `autostop = { idle_minutes = 60, down = true }`
	gone := []statecheck.StateCheck{
		value("status", knownvalue.StringExact("TERMINATED")),
		value("status_reason", said(`^autostop \(down\) after 0\.5 idle minutes: the cluster removed itself; seen 20`)),
		value("head_ip", knownvalue.StringExact("")), value("nodes", knownvalue.ListSizeExact(2)),
	}
	l.test(
		resource.TestStep{Config: autostopConfig(l, 2, quick), Check: generation(&first, true)},
		resource.TestStep{
			PreConfig: l.endsBy(0, ""), Config: autostopConfig(l, 2, quick),
			ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop), ConfigStateChecks: gone,
			Check: resource.ComposeTestCheckFunc(generation(&first, true), l.nothingLeft()),
		},
		resource.TestStep{RefreshState: true, RefreshPlanChecks: resource.RefreshPlanChecks{PostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}},
		resource.TestStep{
			Config: autostopConfig(l, 2, slow), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate),
			Check: l.aliveNow(0), ConfigStateChecks: gone,
		},
		resource.TestStep{Config: autostopConfig(l, 2, slow+"\n  desired_status = \"STOPPED\""), ExpectError: regexp.MustCompile(`Cluster is gone`)},
		resource.TestStep{
			Config: autostopConfig(l, 2, slow+"\n  on_autostop = \"restart\""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionDestroyBeforeCreate),
			Check:             resource.ComposeTestCheckFunc(generation(&first, false), l.aliveNow(2)),
			ConfigStateChecks: []statecheck.StateCheck{value("status", knownvalue.StringExact("UP"))},
		},
		resource.TestStep{Config: autostopConfig(l, 2, slow+"\n  on_autostop = \"restart\""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop)},
		// Removed by somebody else, it is no autodown: it is planned anew, as ever.
		resource.TestStep{
			PreConfig: func() {
				for _, m := range l.alive() {
					l.call("DELETE", "/v1/instances/"+m.ID, nil, nil)
				}
				l.endsBy(0, "")()
			},
			Config: autostopConfig(l, 2, slow), ConfigPlanChecks: action(cluster, plancheck.ResourceActionCreate), Check: l.aliveNow(2),
		},
	)
}

// A change that needs machines creates a cluster that removed itself anew, and
// one that removed itself can simply be destroyed.
func TestAccAutodownThenWork(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const quick = `autostop = { idle_minutes = 0.5, down = true }`
	l.test(
		resource.TestStep{Config: autostopConfig(l, 1, quick)},
		resource.TestStep{
			PreConfig: l.endsBy(0, ""), Config: autostopConfig(l, 2, quick), ConfigPlanChecks: action(cluster, plancheck.ResourceActionDestroyBeforeCreate),
			ConfigStateChecks: []statecheck.StateCheck{value("nodes", knownvalue.ListSizeExact(2))},
		},
		resource.TestStep{PreConfig: l.endsBy(0, ""), Config: autostopConfig(l, 2, quick), ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop)},
	)
}

// A job keeps the cluster, its end starts the idle time; the job's record stays
// readable, and the plan empty.
func TestAccAutodownAfterAJob(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	config := autostopConfig(l, 1, `autostop = { idle_minutes = 0.05, down = true, wait_for = "jobs" }`) + `
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "j"
  run        = "sleep 5; echo done"
}
`
	l.test(
		resource.TestStep{Config: config, ConfigStateChecks: []statecheck.StateCheck{
			statecheck.ExpectKnownValue("sky_job.j", tfjsonpath.New("status"), knownvalue.StringExact("SUCCEEDED")),
			statecheck.ExpectKnownValue("sky_job.j", tfjsonpath.New("log_tail"), knownvalue.StringExact("done\n")),
		}},
		resource.TestStep{PreConfig: l.endsBy(0, ""), Config: config, ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop)},
	)
}

// The watchdog survives a reboot that nobody of the provider's did, and a hard
// limit does not wait for a job.
func TestAccAutostopAfterAReboot(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	config := autostopConfig(l, 1, `autostop = { idle_minutes = 0.1, wait_for = "none" }`) + `
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "j"
  run        = "sleep 600"
  wait       = false
}
`
	l.test(
		resource.TestStep{Config: config},
		resource.TestStep{
			PreConfig: func() {
				l.endsBy(1, "stopped")()
				for _, m := range l.alive() {
					l.call("POST", "/v1/instances/"+m.ID+"/start", nil, nil)
				}
				l.waitFor("running")
				l.endsBy(1, "stopped")()
			},
			Config: config, ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop),
			ConfigStateChecks: []statecheck.StateCheck{value("status", knownvalue.StringExact("STOPPED"))},
		},
	)
}

// An SSH session on the head keeps the cluster, until it ends.
func TestAccAutostopWaitsForSSH(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var session *ssh.Client
	config := autostopConfig(l, 1, `autostop = { idle_minutes = 0.1 }`)
	l.test(
		resource.TestStep{Config: config, Check: func(s *terraform.State) error {
			var err error
			session, err = login(s.RootModule().Resources[cluster].Primary.Attributes)
			return err
		}},
		resource.TestStep{
			PreConfig: func() {
				id := l.alive()[0].ID
				for deadline := time.After(patience); l.fileOf(id, ".sky/autostop/why") != "an SSH session is open\n"; {
					select {
					case <-deadline:
						t.Fatalf("the watchdog is busy with %q", l.fileOf(id, ".sky/autostop/why"))
					case <-time.After(20 * time.Millisecond):
					}
				}
				if err := session.Close(); err != nil {
					t.Error(err)
				}
				l.endsBy(1, "stopped")()
			},
			Config: config, ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop),
		},
	)
}

// login opens an SSH connection to the head, whose host key is in state.
func login(attributes map[string]string) (*ssh.Client, error) {
	key, err := os.ReadFile(attributes["ssh_key_path"])
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		return nil, err
	}
	pinned, _, _, _, err := ssh.ParseAuthorizedKey([]byte(attributes["nodes.0.host_key"])) //nolint:dogsled // five results, one wanted
	if err != nil {
		return nil, err
	}
	return ssh.Dial("tcp", net.JoinHostPort(attributes["head_ip"], attributes["nodes.0.ssh_port"]), &ssh.ClientConfig{
		User: attributes["ssh_user"], Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(pinned), Timeout: patience,
	})
}

// What a market cannot do is refused at plan, where it is written.
func TestAccAutostopRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	spot := func(extra string) string {
		return strings.Replace(autostopConfig(l, 1, extra), `"T4:1"`, `"T4:1", market = "spot"`, 1)
	}
	l.test(
		resource.TestStep{Config: spot(`autostop = { idle_minutes = 0 }`), ExpectError: regexp.MustCompile(`autostop.idle_minutes`)},
		resource.TestStep{Config: spot(`autostop = { wait_for = "godot" }`), ExpectError: regexp.MustCompile(`autostop.wait_for`)},
		resource.TestStep{Config: spot(`autostop = {}`), ExpectError: regexp.MustCompile(`(?s)autostop.*write\s+down\s+=\s+true`)},
		resource.TestStep{Config: spot(`autostop = { idle_minutes = 60, down = true }`), ConfigStateChecks: []statecheck.StateCheck{value("market", knownvalue.StringExact("spot"))}},
		resource.TestStep{Config: spot(`autostop = { idle_minutes = 60 }`), ExpectError: regexp.MustCompile(`(?s)Spot\s+machines\s+of\s+fluffycloud\s+cannot\s+be\s+stopped.*down\s+=\s+true`)},
	)
}

// nothingLeft checks that no machine, rule or key of the cloud is left.
func (l *lab) nothingLeft() resource.TestCheckFunc {
	return func(*terraform.State) error {
		for _, kind := range []string{"firewalls", "ssh-keys", "disks"} {
			var list map[string]any
			l.call("GET", "/v1/"+kind, nil, &list)
			for name, things := range list {
				if some, ok := things.([]any); ok && len(some) > 0 {
					return fmt.Errorf("%s are left: %v", name, some)
				}
			}
		}
		return nil
	}
}
