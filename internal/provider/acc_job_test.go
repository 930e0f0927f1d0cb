// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"fmt"
	"regexp"
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
	l := newLab(t)
	config := jobConfig(l, `  run = "echo try >> ~/tries; test $(wc -l < ~/tries) -ge 2"`)
	l.test(
		resource.TestStep{Config: config, ExpectError: regexp.MustCompile(`exit code 1 on rank 0`)},
		resource.TestStep{Config: config, ConfigStateChecks: []statecheck.StateCheck{jobValue("status", knownvalue.StringExact("SUCCEEDED"))}},
	)
}

func TestAccJobRunID(t *testing.T) {
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
	l := newLab(t)
	config := jobConfig(l, "  run = \"sleep 600\"\n  wait = false")
	l.test(
		resource.TestStep{Config: config},
		resource.TestStep{PreConfig: l.kill, Config: config, Destroy: true},
	)
}
