// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// everMade counts the machines that were ever made, the removed ones too.
func (l *lab) everMade() int {
	l.t.Helper()
	var list struct {
		Instances []machine `json:"instances"`
	}
	l.call("GET", "/v1/instances", nil, &list)
	return len(list.Instances)
}

func setUpConfig(l *lab, body string) string {
	return l.config("resource \"sky_cluster\" \"c\" {\n  name = \"setup\"\n  resources = { cpus = \"2+\" }\n" + body + "\n}\n")
}

// TestAccSetupThatEndsItsParent is a setup that kills what started it: it goes on
// by itself, and its own end counts.
func TestAccSetupThatEndsItsParent(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.test(resource.TestStep{
		Config: setUpConfig(l, `  setup = "echo one; kill -9 $PPID; sleep 0.5; echo two >~/two"`),
		Check: func(*terraform.State) error {
			if n := l.everMade(); n != 1 {
				return fmt.Errorf("%d machines were made", n)
			}
			_, err := os.Stat(filepath.Join(l.homes()[0], "two"))
			return err
		},
	})
	l = newLab(t)
	l.test(resource.TestStep{
		Config:      setUpConfig(l, `  setup = "echo one; kill -9 $PPID; sleep 0.5; exit 7"`),
		ExpectError: regexp.MustCompile(`ended with exit code 7 on\s+rank 0`),
	})
	if n := l.everMade(); n != 1 {
		t.Errorf("%d machines were made", n)
	}
}

// TestAccSetupThatRestartsItsMachine is started anew, on the same machine, and
// told so; one that does so each time is given up.
func TestAccSetupThatRestartsItsMachine(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.test(resource.TestStep{
		Config: setUpConfig(l, `  setup = "echo $SKY_SETUP_RESTARTS >>~/starts; if [ $SKY_SETUP_RESTARTS = 0 ]; then fluffycloud-self reboot; sleep 600; fi; echo again"`),
		Check: func(*terraform.State) error {
			starts, err := os.ReadFile(filepath.Join(l.homes()[0], "starts"))
			if n := l.everMade(); err != nil || n != 1 || string(starts) != "0\n1\n" {
				return fmt.Errorf("%d machines were made, setup was started so: %q, %w", n, starts, err)
			}
			return nil
		},
	})
	l = newLab(t)
	l.test(resource.TestStep{
		Config:      setUpConfig(l, `  setup = "fluffycloud-self reboot; sleep 600"`),
		ExpectError: regexp.MustCompile(`(?s)restarted\s+4\s+times.*SKY_SETUP_RESTARTS`),
	})
	if n := l.everMade(); n != 1 {
		t.Errorf("%d machines were made", n)
	}
}

// TestAccUploadThatIsForbidden is a path that no machine lets anybody write to:
// another machine is no help.
func TestAccUploadThatIsForbidden(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.test(resource.TestStep{
		Config:      setUpConfig(l, fmt.Sprintf("  file_mounts = { \"/proc/none/file\" = %q }", file)),
		ExpectError: regexp.MustCompile(`(?s)Uploading\s+file_mounts\s.*to\s+/proc/none/file.*failed\s+on\s+rank\s+0`),
	})
	if n := l.everMade(); n != 1 {
		t.Errorf("%d machines were made", n)
	}
}

// TestAccHeadLostUnderAJob has the head of a gang vanish while nobody waits: the
// next apply makes it anew, and the job is what its settings say.
func TestAccHeadLostUnderAJob(t *testing.T) {
	t.Parallel()
	for _, recovers := range []bool{true, false} {
		t.Run(fmt.Sprint("recovers ", recovers), func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			body, then, after := "  num_nodes = 2\n  run = \"sleep 600\"\n  wait = false\n", plancheck.ResourceActionNoop, "^LOST$"
			if recovers {
				body += "  recover_on_exit_codes = [1]\n"
				then, after = plancheck.ResourceActionDestroyBeforeCreate, "^(INIT|PENDING|SETTING_UP|RUNNING)$"
			}
			config := jobConfig(l, body)
			l.test(
				resource.TestStep{Config: config},
				resource.TestStep{
					PreConfig:    func() { l.end("/kill", 0) },
					RefreshState: true, ExpectNonEmptyPlan: true,
					Check: resource.TestCheckResourceAttr(theJob, "status", "LOST"),
					RefreshPlanChecks: resource.RefreshPlanChecks{PostRefresh: []plancheck.PlanCheck{
						plancheck.ExpectResourceAction(cluster, plancheck.ResourceActionUpdate), plancheck.ExpectResourceAction(theJob, then),
					}},
				},
				resource.TestStep{Config: config, Check: l.aliveNow(2), ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownValue(cluster, tfjsonpath.New("status"), knownvalue.StringExact("UP")), jobValue("status", said(after)),
				}},
			)
		})
	}
}
