// SPDX-License-Identifier: MPL-2.0

package provider_test

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
)

const theJob = "sky_job.j"

func jobConfig(l *lab, body string) string {
	return l.config(`
resource "sky_cluster" "c" {
  name      = "jobs"
  num_nodes = 2
  resources = { instance_type = "puff-2" }
}
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
` + body + "\n}\n")
}

func jobValue(name string, want knownvalue.Check) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(theJob, tfjsonpath.New(name), want)
}

func jobID(s *terraform.State) string { return s.RootModule().Resources[theJob].Primary.ID }

func TestAccJobFailure(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.test(
		resource.TestStep{
			Config: jobConfig(l, `
  num_nodes = 2
  run       = "echo before the end; if [ $SKYPILOT_NODE_RANK = 1 ]; then exit 42; fi; sleep 600"
`),
			ExpectError: regexp.MustCompile(`(?s)ended FAILED with exit code 42 on rank 1.*before the end`),
		},
		resource.TestStep{
			// The failed one is tainted; one that is not waited for only has a status.
			Config:           jobConfig(l, "  run = \"exit 3\"\n  wait = false"),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(theJob, plancheck.ResourceActionDestroyBeforeCreate)}},
		},
	)
}

// TestAccJobAgain runs a failed job anew, though nothing in it changed.
func TestAccJobAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	config := jobConfig(l, `  run = "echo try >> ~/tries; test $(wc -l < ~/tries) -ge 2"`)
	l.test(
		resource.TestStep{Config: config, ExpectError: regexp.MustCompile(`exit code 1 on rank 0`)},
		resource.TestStep{Config: config, ConfigStateChecks: []statecheck.StateCheck{jobValue("status", knownvalue.StringExact("SUCCEEDED"))}},
	)
}

func TestAccJobRunID(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var first string
	body := "  run = \"wc -l < ~/runs; echo run >> ~/runs\"\n  run_id = %q"
	l.test(
		resource.TestStep{
			Config: jobConfig(l, fmt.Sprintf(body, "1")),
			Check:  func(s *terraform.State) error { first = jobID(s); return nil },
		},
		resource.TestStep{
			Config: jobConfig(l, fmt.Sprintf(body, "2")), ConfigPlanChecks: action(theJob, plancheck.ResourceActionDestroyBeforeCreate),
			ConfigStateChecks: []statecheck.StateCheck{jobValue("log_tail", knownvalue.StringRegexp(regexp.MustCompile(`^\s*1\n`)))},
			Check: func(s *terraform.State) error {
				if jobID(s) == first {
					return fmt.Errorf("the job is still %s", first)
				}
				return nil
			},
		},
	)
}

// TestAccJobDetached starts a job that outlives the apply, waits for it by
// switching wait on, and cancels another one by destroying it.
func TestAccJobDetached(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	running := "  run = \"echo up; while ! test -e ~/go; do sleep 0.1; done; echo done\"\n"
	release := "resource \"sky_job\" \"k\" {\n  cluster_id = sky_cluster.c.id\n  num_nodes = 2\n  run = \"true\"\n  wait = false\n}\n"
	l.test(
		resource.TestStep{
			Config:             jobConfig(l, running+"  wait = false"),
			ConfigStateChecks:  []statecheck.StateCheck{jobValue("exit_code", knownvalue.Null())},
			ExpectNonEmptyPlan: false,
		},
		resource.TestStep{
			// A queued second one, and the first still runs: both are cancelled by destroy.
			Config:            jobConfig(l, running+"  wait = false") + release,
			ConfigStateChecks: []statecheck.StateCheck{jobValue("status", knownvalue.StringExact("RUNNING"))},
		},
	)
}

// TestAccJobOutlivesItsCluster destroys a job whose machines are gone.
func TestAccJobOutlivesItsCluster(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	config := jobConfig(l, "  run = \"sleep 600\"\n  wait = false")
	l.test(
		resource.TestStep{Config: config},
		resource.TestStep{PreConfig: l.kill, Config: config, Destroy: true},
	)
}

// TestAccJobWhole uses what a job can be given: setup on every node, a restart,
// outputs of all nodes, limits, and codes by rank.
func TestAccJobWhole(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	folder := filepath.Join(t.TempDir(), "not", "there yet")
	// Rank 0 alone asks for the restart: it ends the other rank, which may not have
	// come to count its run.
	body := func(files string) string {
		return fmt.Sprintf(`
  num_nodes             = 2
  setup                 = "echo made by setup > ~/made"
  run                   = "mkdir -p out; cat ~/made > out/part-$SKYPILOT_NODE_RANK; echo run >> ~/runs; test $SKYPILOT_NODE_RANK != 0 || test $(wc -l < ~/runs) -ge 2 || exit 33"
  recover_on_exit_codes = [33, 34]
  max_duration          = "10m"
  parallel              = 2
  max_log_mib           = 1
  grace_period          = "2s"
  outputs               = { files = [%q], folder = %q, all_nodes = true }
`, files, folder)
	}
	file := func(rank int) string {
		return fmt.Sprintf("%s/rank-%d/out/part-%d", filepath.ToSlash(folder), rank, rank)
	}
	files := func(names ...knownvalue.Check) statecheck.StateCheck {
		return statecheck.ExpectKnownValue(theJob, tfjsonpath.New("output_files"), knownvalue.ListExact(names))
	}
	here := func(*terraform.State) error {
		for rank := range 2 {
			text, err := os.ReadFile(file(rank))
			if err != nil || string(text) != "made by setup\n" {
				return fmt.Errorf("%s holds %q: %w", file(rank), text, err)
			}
		}
		return os.RemoveAll(folder)
	}
	zero := knownvalue.Int64Exact(0)
	l.test(
		resource.TestStep{
			Config: jobConfig(l, body("out/*")),
			ConfigStateChecks: []statecheck.StateCheck{
				jobValue("status", knownvalue.StringExact("SUCCEEDED")), jobValue("restarts", knownvalue.Int64Exact(1)),
				jobValue("exit_codes", knownvalue.ListExact([]knownvalue.Check{zero, zero})),
				files(knownvalue.StringExact(file(0)), knownvalue.StringExact(file(1))),
			},
			Check: here,
		},
		resource.TestStep{ // another pattern: fetched in place, and nothing else changes
			Config: jobConfig(l, body("o*/p*")), ConfigPlanChecks: action(theJob, plancheck.ResourceActionUpdate),
			ConfigStateChecks: []statecheck.StateCheck{jobValue("restarts", knownvalue.Int64Exact(1))},
			Check:             here,
		},
		// Outputs that are not there taint nothing, and are asked for until they are.
		resource.TestStep{Config: jobConfig(l, body("none/*")), ExpectError: regexp.MustCompile(`(?s)Fetching of the outputs.*nothing\s+matches\s+none/`)},
		resource.TestStep{
			Config: jobConfig(l, body("out/*")), ConfigPlanChecks: action(theJob, plancheck.ResourceActionUpdate),
			Check: here,
		},
	)
}

// TestAccJobOutputsRefused takes what can be taken of the outputs, once.
func TestAccJobOutputsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	folder := filepath.Join(t.TempDir(), "results")
	body := func(more string) string {
		return fmt.Sprintf(`
  run     = "mkdir -p out/.git && cd out && echo good > part && ln part again && ln -s /etc/passwd absolute && mkfifo pipe && echo evil | tee override.tf x.auto.tfvars .git/config; head -c 3000000 /dev/zero > big"
  outputs = { files = ["out"%s], folder = %q, max_size_mib = 10 }
`, more, folder)
	}
	names := func(names ...string) statecheck.StateCheck {
		var want []knownvalue.Check
		for _, name := range names {
			want = append(want, knownvalue.StringExact(filepath.ToSlash(filepath.Join(folder, "out", name))))
		}
		return jobValue("output_files", knownvalue.ListExact(want))
	}
	l.test(
		resource.TestStep{Config: jobConfig(l, body("")), ConfigStateChecks: []statecheck.StateCheck{names("again", "big", "part")}},
		resource.TestStep{Config: jobConfig(l, body(`, "out/override.tf"`)), ConfigStateChecks: []statecheck.StateCheck{names("again", "big", "override.tf", "part")}},
		resource.TestStep{
			Config:      jobConfig(l, strings.Replace(body(""), "= 10", "= 2", 1)),
			ExpectError: regexp.MustCompile(`(?s)more than 2 MiB.*raise max_size_mib`),
		},
		resource.TestStep{
			Config:      jobConfig(l, strings.Replace(body(""), "= 10", "= 10, max_files = 2", 1)),
			ExpectError: regexp.MustCompile(`(?s)more than 2 files.*raise`),
		},
	)
	for _, name := range []string{"absolute", "pipe", "x.auto.tfvars", ".git"} {
		if _, err := os.Lstat(filepath.Join(folder, "out", name)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// TestAccJobFailsInSetup names the rank whose setup failed; what the job made
// until then comes back all the same.
func TestAccJobFailsInSetup(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	folder := t.TempDir()
	l.test(resource.TestStep{
		Config: jobConfig(l, fmt.Sprintf(`
  num_nodes = 2
  setup     = "echo here > trace; exit $((SKYPILOT_SETUP_NODE_RANK * 7))"
  run       = "echo never"
  outputs   = { files = ["none", "trace"], folder = %q }
`, folder)),
		ExpectError: regexp.MustCompile(`ended FAILED_SETUP with exit code 7 on rank 1`),
	})
	if text, err := os.ReadFile(filepath.Join(folder, "trace")); err != nil || string(text) != "here\n" {
		t.Errorf("the outputs of the failed job: %q, %v", text, err)
	}
}

// TestAccJobWaitRunsOut cuts a wait off by its timeout, at creation and later:
// the job is never tainted and never started a second time.
func TestAccJobWaitRunsOut(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	body := func(timeout string) string {
		return fmt.Sprintf(`
  run      = "echo run >> ~/runs; until test -e ~/go; do sleep 0.1; done; wc -l < ~/runs"
  timeouts = { create = %[1]q, update = %[1]q }
`, timeout)
	}
	goes := func() {
		for _, home := range l.homes() {
			writeFile(t, filepath.Join(home, "go"), "")
		}
	}
	l.test(
		resource.TestStep{
			Config: jobConfig(l, body("3s")), ExpectNonEmptyPlan: true,
			ConfigStateChecks: []statecheck.StateCheck{jobValue("exit_code", knownvalue.Null())},
		},
		resource.TestStep{Config: jobConfig(l, body("2s")), ExpectError: regexp.MustCompile(`(?s)Wait for job "job" ran out of time.*The job goes on`)},
		resource.TestStep{
			PreConfig: goes, Config: jobConfig(l, body("90s")), ConfigPlanChecks: action(theJob, plancheck.ResourceActionUpdate),
			ConfigStateChecks: []statecheck.StateCheck{
				jobValue("status", knownvalue.StringExact("SUCCEEDED")),
				jobValue("log_tail", knownvalue.StringRegexp(regexp.MustCompile(`^\s*1\n$`))),
			},
		},
	)
}

// TestAccJobLogs reads the ends of logs, by rank and by lines.
func TestAccJobLogs(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	logs := func(body string) string {
		return jobConfig(l, "  num_nodes = 2\n  run = \"seq 1000; echo rank $SKYPILOT_NODE_RANK\"\n") +
			"data \"sky_job_logs\" \"l\" {\n  cluster_id = sky_cluster.c.id\n  job_id = sky_job.j.id\n" + body + "}\n"
	}
	content := func(want string) []statecheck.StateCheck {
		return []statecheck.StateCheck{statecheck.ExpectKnownValue("data.sky_job_logs.l", tfjsonpath.New("content"), knownvalue.StringRegexp(regexp.MustCompile(want)))}
	}
	l.test(
		resource.TestStep{Config: logs("  rank = 1\n  tail_lines = 2\n"), ConfigStateChecks: content(`^1000\nrank 1\n$`)},
		resource.TestStep{Config: logs(""), ConfigStateChecks: content(`^(\(rank [01]\) [^\n]*\n){100}$`)},
		resource.TestStep{Config: logs("  rank = 2\n"), ExpectError: regexp.MustCompile(`the job has no\s+rank 2`)},
	)
}

// TestAccJobInput refuses at plan what no job can be, at the attribute's path.
func TestAccJobInput(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for body, want := range map[string]string{
		`max_restarts = 2`:                                         `which is not set`,
		`recover_on_exit_codes = [1, 256]`:                         `recover_on_exit_codes\[1\]: 256 is out of range`,
		`recover_on_exit_codes = [3, 3]`:                           `3 is listed twice`,
		`max_duration = "soon"`:                                    `"soon" is no duration`,
		`max_duration = "1500ms"`:                                  `not in whole seconds`,
		`grace_period = "-1s"`:                                     `not above zero`,
		`parallel = 0`:                                             `0 is out of range`,
		`max_log_mib = 0`:                                          `0 is out of range`,
		`setup = "  "`:                                             `The script is empty`,
		`outputs = { files = ["a\nb"], folder = "x" }`:             `holds a line\s+break`,
		`outputs = { files = ["a"], folder = "" }`:                 `The folder is empty`,
		`outputs = { files = ["a"] }`:                              `(?s)attribute\s+"folder" is\s+required`,
		`secrets = { A = "x" }` + "\n  envs = { A = \"y\" }":       `(?s)(in envs as\s+well|WriteOnly Attribute Not Allowed)`,
		`secrets = { "A-B" = "x" }`:                                `(?s)("A-B" cannot name|WriteOnly Attribute Not Allowed)`,
		`envs = { SKYPILOT_NODE_RANK = "1" }`:                      `is set by the\s+provider`,
		`num_nodes = 0`:                                            `0 is out of range`,
		`timeouts = { create = "forever" }`:                        `"forever" is no duration`,
		`workdir = "/none/such"`:                                   `cannot be used`,
		`cluster_id = "x"`:                                         `is no cluster id`,
		`run = "x"` + "\n  num_nodes = 2000":                       `2000 is out of range`,
		`outputs = { files = ["a"], folder = "x", all_nodes = 3}`:  `bool`,
		`outputs = { files = ["../a"], folder = "x" }`:             `holds "\.\."`,
		`outputs = { files = ["a"], folder = "x", max_files = 0 }`: `number of files`,
	} {
		t.Run(body, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(body, "cluster_id") {
				body += "\n  cluster_id = \"fluffycloud/meadow-1/c\""
			}
			if !strings.Contains(body, "run =") {
				body += "\n  run = \"true\""
			}
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories(), Steps: []resource.TestStep{{
				PlanOnly: true, Config: l.config("resource \"sky_job\" \"j\" {\n  " + body + "\n}\n"),
				ExpectError: regexp.MustCompile(strings.ReplaceAll(want, " ", `\s+`)), // lines are wrapped
			}}})
		})
	}
}
