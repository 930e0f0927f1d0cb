// SPDX-License-Identifier: MPL-2.0

//go:build ci && linux

package provider_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestAccCIStateUploadFails is point 4: the state does not come through and the
// disk goes. With the owner known the next computer takes the cluster up, or says
// how to; it never stands beside a second one.
func TestAccCIStateUploadFails(t *testing.T) {
	t.Parallel()
	m := newTeam(t, ciCluster)
	m.state.failing(true)
	if out, err := m.computer().run("apply", "-auto-approve"); err == nil {
		t.Errorf("the apply succeeds: %s", out)
	}
	m.state.failing(false)
	m.state.unlock()
	before := m.ids()
	if len(before) != 1 {
		t.Fatalf("alive after the first apply: %v", before)
	}
	next := m.computer()
	if out, err := next.run("apply", "-auto-approve"); err != nil {
		next.says(out, before[0], "terraform import")
		if list := m.gc(); !strings.Contains(list, before[0]) {
			t.Errorf("gc does not list %s:\n%s", before[0], list)
		}
		next.must("import", "-no-color", "sky_cluster.c", "fluffycloud/meadow-1/ci")
	}
	if after := m.ids(); !slices.Equal(before, after) {
		t.Errorf("alive: %v, before: %v", after, before)
	}
	m.apply()
	m.settled()
}

// ids are the machines that are billed.
func (m *team) ids() []string {
	var out []string
	for _, machine := range m.alive() {
		out = append(out, machine.ID)
	}
	slices.Sort(out)
	return out
}

// gc runs the command for people on a computer of its own.
func (m *team) gc(args ...string) string {
	m.t.Helper()
	var out bytes.Buffer
	cmd := m.computer().command(&out)
	cmd.Path, cmd.Args = providerPath(m.t), append([]string{"terraform-provider-sky", "gc"}, args...)
	_ = cmd.Run() // it fails where it finds something
	return out.String()
}

// TestAccCIKilledAndLost is the rest of point 4: the apply is killed in the middle
// and its disk is gone. Another computer gets the name free, and nothing is left.
func TestAccCIKilledAndLost(t *testing.T) {
	t.Parallel()
	m := newTeam(t, strings.Replace(ciCluster, "echo set up >> ~/setups", "echo begun >> ~/begun; until test -e ~/go; do sleep 0.2; done", 1))
	p := m.computer()
	var out bytes.Buffer
	cmd := p.start(&out, "apply", "-auto-approve", "-no-color")
	m.until("the setup has begun", func() bool { return len(m.alive()) == 1 && m.begun() })
	kill(t, cmd)
	m.state.unlock()
	m.rewrite("echo begun >> ~/begun; until test -e ~/go; do sleep 0.2; done", "true")
	said, err := m.computer().run("apply", "-auto-approve")
	if err == nil {
		return // taken up, or launched anew after what was left was removed
	}
	command := regexp.MustCompile(`gc --owner (\S+) --take-over (\S+)`).FindStringSubmatch(said)
	if command == nil {
		t.Fatalf("the way out is not said: %s", said)
	}
	m.computer().says(said, "until", m.ids()[0])
	m.gc(strings.Fields(strings.TrimRight(command[0], "."))[1:]...)
	m.apply()
	m.settled()
}

// begun reports whether a machine's setup was started.
func (m *team) begun() bool {
	begun, err := filepath.Glob(filepath.Join(m.lab.dir, "fluffycloud", "machines", "*", "disk", "home", "begun"))
	return err == nil && len(begun) > 0
}

// kill ends the CLI and the provider at once, as a lost runner does.
func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

// TestAccCIDrift is point 8: a rule that somebody opened is seen, and a repair
// leaves exactly what is configured.
func TestAccCIDrift(t *testing.T) {
	t.Parallel()
	m := newTeam(t, ciCluster)
	m.rewrite(`"puff-2" }`, `"puff-2", ports = ["8080"], labels = { team = "x" } }`)
	m.apply()
	m.settled()
	id, rules := m.firewall()
	m.call("PUT", "/v1/firewalls/"+id+"/rules", map[string]any{"rules": append(slices.Clone(rules), map[string]any{
		"from_port": 1, "to_port": 65535, "cidrs": []string{"0.0.0.0/0"},
	})}, nil)
	out, err := m.computer().run("plan", "-detailed-exitcode")
	if err == nil {
		t.Errorf("a rule from outside is not seen: %s", out)
	}
	m.apply()
	_, after := m.firewall()
	was, _ := json.Marshal(rules)
	is, _ := json.Marshal(after)
	if !bytes.Equal(was, is) {
		t.Errorf("the rules after the repair are %s, not %s", is, was)
	}
	m.settled()
}

// firewall is the one firewall there is, with its rules.
func (m *team) firewall() (string, []map[string]any) {
	m.t.Helper()
	var list struct {
		Firewalls []struct {
			ID    string           `json:"id"`
			Rules []map[string]any `json:"rules"`
		} `json:"firewalls"`
	}
	m.call("GET", "/v1/firewalls", nil, &list)
	if len(list.Firewalls) != 1 {
		m.t.Fatalf("firewalls: %+v", list)
	}
	return list.Firewalls[0].ID, list.Firewalls[0].Rules
}

// TestAccCISameName is point 9 for clusters: a second resource of the name is
// refused on any computer, and the first one's machines stay its own.
func TestAccCISameName(t *testing.T) {
	t.Parallel()
	m := newTeam(t, ciCluster)
	m.apply()
	before := m.ids()
	m.config["main.tf"] += strings.Replace(ciCluster, `"c"`, `"second"`, 1)
	m.computer().refuses([]string{"ci"}, "apply", "-auto-approve", "-target=sky_cluster.second")
	m.computer().refuses([]string{"ci"}, "apply", "-auto-approve", "-refresh=false")
	if after := m.ids(); !slices.Equal(before, after) {
		t.Errorf("alive: %v, before: %v", after, before)
	}
	m.rewrite(strings.Replace(ciCluster, `"c"`, `"second"`, 1), "")
	m.settled()
}
