// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"errors"
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
)

const cluster = "sky_cluster.c"

func value(name string, want knownvalue.Check) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(cluster, tfjsonpath.New(name), want)
}

func action(of string, want plancheck.ResourceActionType) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply:             []plancheck.PlanCheck{plancheck.ExpectResourceAction(of, want)},
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAccQuickstartShape is the main job: two nodes with an accelerator, a
// folder that goes up, a job on both whose result comes back.
func TestAccQuickstartShape(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	work := filepath.Join(t.TempDir(), "work")
	numbers := ""
	for i := 1; i <= 100; i++ {
		numbers += fmt.Sprintln(i)
	}
	writeFile(t, filepath.Join(work, "numbers.txt"), numbers)
	config := l.config(fmt.Sprintf(`
resource "sky_cluster" "c" {
  name      = "quick"
  num_nodes = 2
  resources = { accelerators = "T4:1", max_hourly_cost = 5 }
  workdir   = %q
  setup     = "wc -l numbers.txt > lines; echo $COLOUR > colour"
  envs      = { COLOUR = "green" }
}
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "sum"
  num_nodes  = 2
  envs       = { WORD = "total" }
  run        = <<-EOT
    awk -v r=$SKYPILOT_NODE_RANK -v n=$SKYPILOT_NUM_NODES -v w=$WORD 'NR %% n == r { s += $1 } END { print w, r, s }' numbers.txt
    cat colour
  EOT
}
output "sum" {
  value = sum([for m in regexall("total \\d+ (\\d+)", sky_job.j.log_tail) : tonumber(m[0])])
}
`, work))
	job := func(name string, want knownvalue.Check) statecheck.StateCheck {
		return statecheck.ExpectKnownValue("sky_job.j", tfjsonpath.New(name), want)
	}
	l.test(
		resource.TestStep{
			Config: config, ConfigPlanChecks: action(cluster, plancheck.ResourceActionCreate),
			ConfigStateChecks: []statecheck.StateCheck{
				value("id", knownvalue.StringExact("fluffycloud/meadow-1/quick")), value("status", knownvalue.StringExact("UP")),
				value("hourly_cost", knownvalue.Float64Exact(0.876)), value("instance_type", knownvalue.StringExact("drizzle-t4-1")),
				value("accelerators", knownvalue.StringExact("T4:1")), value("nodes", knownvalue.ListSizeExact(2)),
				value("ssh_command", knownvalue.StringRegexp(regexp.MustCompile(`^ssh -i \S+ .*UserKnownHostsFile=\S+ .*StrictHostKeyChecking=yes fluffy@127\.`))),
				statecheck.ExpectKnownOutputValue("sum", knownvalue.Int64Exact(5050)),
				job("status", knownvalue.StringExact("SUCCEEDED")), job("exit_code", knownvalue.Int64Exact(0)), job("failed_rank", knownvalue.Null()),
				job("log_tail", knownvalue.StringRegexp(regexp.MustCompile(`green`))), job("log_path", knownvalue.StringFunc(fileHolds("green"))),
				job("ended_at", knownvalue.StringRegexp(regexp.MustCompile(`^\d{4}-\d\d-\d\dT.*Z$`))),
			},
		},
		resource.TestStep{Config: config, ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}},
	)
}

func fileHolds(part string) func(string) error {
	return func(path string) error {
		text, err := os.ReadFile(path)
		if err == nil && !regexp.MustCompile(part).Match(text) {
			err = fmt.Errorf("%s holds %q", path, text)
		}
		return err
	}
}

const plain = `
resource "sky_cluster" "c" {
  name      = "plain"
  resources = { instance_type = "puff-2" }
}
`

func TestAccFailover(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.test(resource.TestStep{
		PreConfig: func() {
			for _, zone := range []string{"meadow-1a", "meadow-1b", "meadow-1c"} {
				l.sold(zone, "puff-2", 0)
			}
		},
		Config: l.config(plain),
		ConfigStateChecks: []statecheck.StateCheck{
			value("region", knownvalue.StringExact("hilltop-1")), value("zone", knownvalue.StringExact("hilltop-1a")),
			value("hourly_cost", knownvalue.Float64Exact(0.0907)),
		},
		Check: func(*terraform.State) error {
			if alive := l.alive(); len(alive) != 1 || alive[0].Zone != "hilltop-1a" {
				return fmt.Errorf("alive after failover: %+v", alive)
			}
			return nil
		},
	})
}

func TestAccTotalFailureNamesEveryAttempt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.test(resource.TestStep{
		PreConfig: func() {
			for _, zone := range []string{"meadow-1a", "meadow-1b", "meadow-1c"} {
				l.sold(zone, "puff-2", 0)
			}
		},
		Config: l.config(`
resource "sky_cluster" "c" {
  name      = "none"
  resources = { instance_type = "puff-2", region = "meadow-1" }
}`),
		ExpectError: regexp.MustCompile(`(?s)Attempts, in order.*meadow-1a.*0\.08.*capacity.*meadow-1b.*meadow-1c.*Nothing of these attempts is left`),
	})
	l.wantEmpty()
}

func TestAccSetupFailure(t *testing.T) {
	t.Parallel()
	failing := func(l *lab, policy string) string {
		return l.config(fmt.Sprintf(`
resource "sky_cluster" "c" {
  name             = "broken"
  resources        = { instance_type = "puff-2" }
  setup            = "echo about to fail; exit 7"
  on_setup_failure = %q
}`, policy))
	}
	t.Run("destroy", func(t *testing.T) {
		l := newLab(t)
		l.test(resource.TestStep{
			Config: failing(l, "destroy"), ExpectError: regexp.MustCompile(`(?s)failed in setup.*exit code 7 on rank 0.*about to fail`),
		})
		l.wantEmpty()
	})
	t.Run("keep", func(t *testing.T) {
		l := newLab(t)
		l.test(
			resource.TestStep{Config: failing(l, "keep"), ExpectError: regexp.MustCompile(`(?s)exit code 7.*kept and billed`)},
			resource.TestStep{
				PreConfig: func() {
					if alive := l.alive(); len(alive) != 1 {
						l.t.Errorf("kept: %+v", alive)
					}
				},
				Config:           l.config(plain),
				ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(cluster, plancheck.ResourceActionDestroyBeforeCreate)}},
			},
		)
	})
}

func TestAccUpdateInPlace(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	work := filepath.Join(t.TempDir(), "work")
	writeFile(t, filepath.Join(work, "a"), "1")
	data := filepath.Join(t.TempDir(), "data")
	writeFile(t, data, "d")
	config := func(resources, rest string) string {
		return l.config(fmt.Sprintf("resource \"sky_cluster\" \"c\" {\n  name = \"same\"\n  resources = { instance_type = \"puff-2\"%s }\n%s\n}", resources, rest))
	}
	var first []machine
	same := func(*terraform.State) error {
		now := l.alive()
		if first == nil {
			first = now
		}
		if len(now) != 1 || now[0].ID != first[0].ID {
			return fmt.Errorf("machines changed from %+v to %+v", first, now)
		}
		return nil
	}
	step := func(config string, want plancheck.ResourceActionType) resource.TestStep {
		return resource.TestStep{Config: config, ConfigPlanChecks: action(cluster, want), Check: same}
	}
	rest := fmt.Sprintf("workdir = %q\n", work)
	mounts := rest + fmt.Sprintf("file_mounts = { \"~/data\" = %q }\n", data)
	changed := step(config("", mounts), plancheck.ResourceActionUpdate)
	changed.PreConfig = func() { writeFile(t, filepath.Join(work, "a"), "2") }
	l.test(
		step(config("", rest), plancheck.ResourceActionCreate),
		step(config(", labels = { team = \"x\" }", rest), plancheck.ResourceActionUpdate),
		step(config(", ports = [\"8080\", \"9000-9010\"]", rest), plancheck.ResourceActionUpdate),
		step(config("", rest), plancheck.ResourceActionUpdate),
		step(config("", mounts), plancheck.ResourceActionUpdate),
		changed,
		step(config("", mounts+"setup = \"cat a ~/data\""), plancheck.ResourceActionUpdate),
		step(config("", mounts+"setup = \"cat a ~/data\"\nenvs = { A = \"b\" }\nallowed_cidrs = [\"127.0.0.0/8\"]"), plancheck.ResourceActionUpdate),
		step(config(", cpus = \"2+\", max_hourly_cost = 1", mounts), plancheck.ResourceActionUpdate),
	)
}

func TestAccReplacement(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	config := func(resources string) string {
		return l.config("resource \"sky_cluster\" \"c\" {\n  name = \"other\"\n  resources = {" + resources + "}\n}")
	}
	l.test(
		resource.TestStep{Config: config(`accelerators = "T4:1"`), ConfigPlanChecks: action(cluster, plancheck.ResourceActionCreate)},
		resource.TestStep{
			Config: config(`accelerators = "L4:1"`), ConfigPlanChecks: action(cluster, plancheck.ResourceActionDestroyBeforeCreate),
			ConfigStateChecks: []statecheck.StateCheck{value("instance_type", knownvalue.StringExact("breeze-l4-1"))},
		},
	)
}

func TestAccGone(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.test(
		resource.TestStep{Config: l.config(plain)},
		resource.TestStep{PreConfig: l.kill, Config: l.config(plain), ConfigPlanChecks: action(cluster, plancheck.ResourceActionCreate)},
	)
}

func TestAccReadKeepsStateOn5xx(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var id string
	remember := func(s *terraform.State) error {
		now := s.RootModule().Resources[cluster].Primary.Attributes["nodes.0.instance_id"]
		if id != "" && now != id {
			return errors.New("the machine is another one")
		}
		id = now
		return nil
	}
	l.test(
		resource.TestStep{Config: l.config(plain), Check: remember},
		resource.TestStep{
			PreConfig: l.fault(`{"op":"list","effect":{"error":{"status":500,"code":"internal","message":"the cloud is unwell"}}}`),
			Config:    l.config(plain), ExpectError: regexp.MustCompile(`Refresh of cluster "plain" failed`),
		},
		resource.TestStep{PreConfig: l.noFaults, Config: l.config(plain), Check: remember, ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop)},
	)
}

func TestAccImport(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.test(
		resource.TestStep{Config: l.config(plain)},
		resource.TestStep{
			ResourceName: cluster, ImportState: true, ImportStateId: "fluffycloud/meadow-1/plain", ImportStateVerify: true,
		},
		resource.TestStep{ResourceName: cluster, ImportState: true, ImportStateId: "plain", ExpectError: regexp.MustCompile(`cloud/region/name`)},
		resource.TestStep{ResourceName: cluster, ImportState: true, ImportStateId: "fluffycloud/meadow-1/absent", ExpectError: regexp.MustCompile(`not found`)},
	)
}

// TestAccOneConnection brings a working folder, two mounts and a setup script to
// three nodes over one connection each, which every machine has on its console.
func TestAccOneConnection(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	src := t.TempDir()
	for i := range 50 {
		writeFile(t, filepath.Join(src, fmt.Sprintf("file%d", i)), "content")
	}
	config := l.config(fmt.Sprintf(`
resource "sky_cluster" "c" {
  name        = "one"
  num_nodes   = 3
  resources   = { instance_type = "puff-2" }
  workdir     = %[1]q
  file_mounts = { "~/a" = %[1]q, "~/b/file" = "%[1]s/file0" }
  setup       = "test $(ls ~/sky_workdir ~/a | grep -c file) = 100 && cat ~/b/file"
}
`, src))
	l.test(resource.TestStep{Config: config, Check: func(*terraform.State) error {
		consoles, err := filepath.Glob(filepath.Join(l.dir, "fluffycloud", "machines", "*", "disk", "console.log"))
		if err != nil || len(consoles) != 3 {
			return fmt.Errorf("consoles %q: %w", consoles, err)
		}
		for _, path := range consoles {
			if n := strings.Count(readFile(t, path), "msg=login"); n != 1 {
				return fmt.Errorf("%d connections to a node:\n%s", n, readFile(t, path))
			}
		}
		return nil
	}})
}
