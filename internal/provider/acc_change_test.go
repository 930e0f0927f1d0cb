// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"bytes"
	"context"
	"fmt"
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
)

// eachHas checks a file of every living machine's home folder.
func (l *lab) eachHas(name, want string) resource.TestCheckFunc {
	return func(*terraform.State) error {
		for _, m := range l.alive() {
			if got := l.fileOf(m.ID, name); got != want {
				return fmt.Errorf("%s of machine %s is %q, want %q", name, m.ID, got, want)
			}
		}
		return nil
	}
}

// whenLogged makes a file once a line is in a cluster's log. stop ends the watch.
func (l *lab) whenLogged(line, file string) (stop func()) {
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			logs, _ := filepath.Glob(filepath.Join(l.dir, "logs", "*", "provision.log"))
			for _, path := range logs {
				if text, err := os.ReadFile(path); err == nil && bytes.Contains(text, []byte(line)) {
					if err := os.WriteFile(file, nil, 0o600); err != nil {
						l.t.Error(err)
					}
					return
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
		l.t.Errorf("%q was never logged", line)
	}()
	return func() { <-done; cancel() }
}

// Setup runs again only when its text or its inputs changed, and then on every
// node at the same time: the nodes wait for one another.
func TestAccSetupAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	meet := t.TempDir()
	config := func(round, extra string) string {
		return l.config(fmt.Sprintf(`
resource "sky_cluster" "c" {
  name      = "again"
  num_nodes = 3
  resources = { accelerators = "T4:1", labels = { round = "x"%s } }
  envs      = { ROUND = %q }
  setup     = <<-EOT
    echo "$ROUND" >>~/rounds
    touch %s/"$ROUND-$SKYPILOT_SETUP_NODE_RANK"
    t=0
    until [ "$(ls %s | grep -c "^$ROUND-")" = 3 ]; do
      t=$((t + 1))
      [ "$t" -lt 600 ] || exit 9
      sleep 0.1
    done
  EOT
}
`, extra, round, meet, meet))
	}
	l.test(
		resource.TestStep{Config: config("a", ""), Check: l.eachHas("rounds", "a\n")},
		resource.TestStep{Config: config("a", `, more = "y"`), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate), Check: l.eachHas("rounds", "a\n")},
		resource.TestStep{Config: config("b", `, more = "y"`), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate), Check: l.eachHas("rounds", "a\nb\n")},
		resource.TestStep{Config: config("b", `, more = "y"`), ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop)},
	)
}

// Fewer nodes wait for the jobs on those that go; a stopped cluster takes new
// labels and stays stopped.
func TestAccShrinkDrains(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	gate := filepath.Join(t.TempDir(), "gate")
	config := func(nodes int, desired, label string) string {
		return lifeConfig(l, nodes, desired, `, labels = { team = "`+label+`" }`) + fmt.Sprintf(`
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "wide"
  num_nodes  = 2
  wait       = false
  run        = "until [ -e %s ]; do sleep 0.1; done; echo through"
}
`, gate)
	}
	tags := func(want string) resource.TestCheckFunc {
		return func(*terraform.State) error {
			for _, m := range l.alive() {
				if m.Tags["team"] != want || m.State != "stopped" {
					return fmt.Errorf("machine %s is %s with tags %v", m.ID, m.State, m.Tags)
				}
			}
			return nil
		}
	}
	var stop func() // the job goes on once the shrinking waits for it
	l.test(
		resource.TestStep{Config: config(2, "UP", "a")},
		resource.TestStep{
			PreConfig: func() { stop = l.whenLogged("waiting for jobs on the nodes to be removed", gate) },
			Config:    config(1, "UP", "a"),
			Check: resource.ComposeTestCheckFunc(l.aliveNow(1), func(*terraform.State) error {
				stop()
				for _, m := range l.alive() {
					records, err := filepath.Glob(filepath.Join(l.dir, "fluffycloud", "machines", m.ID, "disk", "home", ".sky", "jobs", "*", "exit"))
					if err != nil || len(records) != 1 {
						return fmt.Errorf("records of ended jobs: %v %w", records, err)
					}
					if text, err := os.ReadFile(records[0]); err != nil || !strings.Contains(string(text), "phase=SUCCEEDED") {
						return fmt.Errorf("the job was not waited for: %s %w", text, err)
					}
				}
				return nil
			}),
		},
		resource.TestStep{Config: config(1, "STOPPED", "a"), Check: tags("a")},
		resource.TestStep{
			Config: config(1, "STOPPED", "b"), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate), Check: tags("b"),
			ConfigStateChecks: []statecheck.StateCheck{value("status", knownvalue.StringExact("STOPPED"))},
		},
		resource.TestStep{Config: config(1, "STOPPED", "b"), ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop)},
	)
}

// A start that finds no capacity is an error that keeps the record; the same
// machines start later. What had started by then rests again.
func TestAccStartWithoutCapacity(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var first string
	l.test(
		resource.TestStep{Config: lifeConfig(l, 2, "UP", ""), Check: generation(&first, true)},
		resource.TestStep{Config: lifeConfig(l, 2, "STOPPED", ""), Check: generation(&first, true)},
		resource.TestStep{
			PreConfig: l.fault(`{"op": "start", "after": 1, "effect": {"error": {"code": "insufficient_capacity", "message": "not a puff left"}}}`),
			Config:    lifeConfig(l, 2, "UP", ""), ExpectError: regexp.MustCompile(`(?s)capacity.*it\s+stays\s+as\s+it\s+was.*not\s+a\s+puff\s+left`),
		},
		resource.TestStep{
			Config: lifeConfig(l, 2, "STOPPED", ""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop),
			Check:             resource.ComposeTestCheckFunc(generation(&first, true), l.allAre("stopped", 2)),
			ConfigStateChecks: []statecheck.StateCheck{value("status", knownvalue.StringExact("STOPPED"))},
		},
		resource.TestStep{
			PreConfig: l.noFaults, Config: lifeConfig(l, 2, "UP", ""), Check: generation(&first, true),
			ConfigStateChecks: []statecheck.StateCheck{value("status", knownvalue.StringExact("UP"))},
		},
	)
}

// allAre checks that so many machines are alive, and all in the state.
func (l *lab) allAre(state string, want int) resource.TestCheckFunc {
	return func(*terraform.State) error {
		alive := l.alive()
		for _, m := range alive {
			if m.State != state || len(alive) != want {
				return fmt.Errorf("want %d machines %s: %+v", want, state, alive)
			}
		}
		return nil
	}
}

// The plan says which attribute forces a replacement, and replaces nothing
// that satisfies the changed request.
func TestAccPlanNamesWhatForces(t *testing.T) {
	t.Parallel()
	body := func(resources string, nodes int) string {
		return fmt.Sprintf("resource \"sky_cluster\" \"c\" {\n  name = \"picky\"\n  num_nodes = %d\n  resources = { %s }\n}\n", nodes, resources)
	}
	const now = `accelerators = "T4:1"`
	w := newWorkspace(t, body(now, 1))
	w.mustRun(applyArgs()...)
	main := filepath.Join(w.dir, "main.tf")
	text := readFile(t, main)
	for _, c := range []struct {
		resources string
		nodes     int
		want      []string
	}{
		{now + `, cpus = "2+"`, 1, []string{"0 to add, 1 to change, 0 to destroy"}},
		{now + `, max_hourly_cost = 100, memory = "1+"`, 1, []string{"0 to add, 1 to change, 0 to destroy"}},
		{now + `, infra = "fluffycloud"`, 2, []string{"0 to add, 1 to change, 0 to destroy"}},
		{`accelerators = "A100:1"`, 1, []string{"Forced by: accelerators.", "must be replaced", "forces replacement", "1 to add, 0 to change, 1 to destroy"}},
		{now + `, region = "hilltop-1", cpus = "2+"`, 1, []string{"Forced by: region.", "forces replacement", "1 to add, 0 to change, 1 to destroy"}},
		{now + `, disk_size = 77`, 1, []string{"Forced by: disk_size.", "1 to add, 0 to change, 1 to destroy"}},
		{now + `, use_spot = true, memory = "1+"`, 1, []string{"Forced by: use_spot.", "1 to add, 0 to change, 1 to destroy"}},
	} {
		writeFile(t, main, strings.Replace(text, body(now, 1), body(c.resources, c.nodes), 1))
		var out bytes.Buffer
		err := w.start(&out, "plan", "-no-color").Wait()
		said := strings.Join(strings.Fields(strings.ReplaceAll(out.String(), "\u2502", "")), " ")
		for _, part := range c.want {
			if err != nil || !strings.Contains(said, part) {
				t.Errorf("%s: %v; the plan does not say %q:\n%s", c.resources, err, part, out.String())
			}
		}
	}
	writeFile(t, main, text)
}
