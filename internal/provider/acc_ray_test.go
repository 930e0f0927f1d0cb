// SPDX-License-Identifier: MPL-2.0

//go:build ray && linux

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
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/skybroker/terraform-provider-sky/templates"
)

// rayLab is a cloud whose machines find Ray installed.
func rayLab(t *testing.T) (l *lab, templatesDir string) {
	t.Helper()
	python := os.Getenv("SKY_TEST_RAY")
	if python == "" {
		python, _ = filepath.Abs("../../.tools/ray")
	}
	if _, err := os.Stat(filepath.Join(python, "bin/python")); err != nil {
		t.Fatalf("this lane needs Ray in SKY_TEST_RAY or .tools/ray: run .ci/peers/test-ray: %v", err)
	}
	text, err := templates.FS.ReadFile("ray.piece.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	templatesDir = t.TempDir()
	own := regexp.MustCompile(`(?m)^preinstalled: .*$`).ReplaceAllString(string(text), "preinstalled: "+python)
	if err := os.WriteFile(filepath.Join(templatesDir, "ray.piece.tmpl"), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	return newLab(t), templatesDir
}

// TestAccRay is the life of a cluster with Ray: jobs side by side, more nodes
// and fewer, a stop and a start, and back to the other runtime.
func TestAccRay(t *testing.T) {
	t.Parallel()
	l, dir := rayLab(t)
	shared := t.TempDir()
	config := func(nodes int, runtime, status, jobs string) string {
		text := l.config(fmt.Sprintf(`
resource "sky_cluster" "c" {
  name           = "ray"
  num_nodes      = %d
  runtime        = %q
  desired_status = %q
  resources      = { instance_type = "puff-2" }
}
%s`, nodes, runtime, status, jobs))
		return strings.Replace(text, "state_dir ", fmt.Sprintf("templates_dir = %q\n  state_dir ", dir), 1)
	}
	gang := func(name string, nodes int) string {
		return fmt.Sprintf(`
resource "sky_job" %q {
  cluster_id = sky_cluster.c.id
  num_nodes  = %d
  run        = "echo $SKYPILOT_NODE_RANK of $(echo \"$SKYPILOT_NODE_IPS\" | wc -l); env | grep ^RAY_ || true"
  depends_on = [sky_cluster.c]
}
`, name, nodes)
	}
	meet := func(name, other string) string {
		return fmt.Sprintf(`
resource "sky_job" %[1]q {
  cluster_id = sky_cluster.c.id
  resources  = { cpus = "1" }
  run        = "touch %[3]s/%[1]s; until [ -e %[3]s/%[2]s ]; do sleep 0.2; done"
}
`, name, other, shared)
	}
	value := func(at, name string, want knownvalue.Check) statecheck.StateCheck {
		return statecheck.ExpectKnownValue(at, tfjsonpath.New(name), want)
	}
	succeeded := func(name string) statecheck.StateCheck {
		return value("sky_job."+name, "status", knownvalue.StringExact("SUCCEEDED"))
	}
	tail := func(name, pattern string) statecheck.StateCheck {
		return value("sky_job."+name, "log_tail", knownvalue.StringRegexp(regexp.MustCompile(pattern)))
	}
	inPlace := action("sky_cluster.c", plancheck.ResourceActionUpdate)
	l.test(
		resource.TestStep{
			Config: config(2, "ray", "UP", gang("two", 2)+meet("a", "b")+meet("b", "a")),
			ConfigStateChecks: []statecheck.StateCheck{
				succeeded("two"), succeeded("a"), succeeded("b"), tail("two", `\A(\(rank [01]\) [01] of 2\n){2}\z`),
			},
		},
		resource.TestStep{
			Config: config(3, "ray", "UP", gang("three", 3)), ConfigPlanChecks: inPlace,
			ConfigStateChecks: []statecheck.StateCheck{succeeded("three"), tail("three", `2 of 3`)},
		},
		resource.TestStep{Config: config(2, "ray", "STOPPED", ""), ConfigPlanChecks: inPlace},
		resource.TestStep{
			Config: config(2, "ray", "UP", gang("again", 2)), ConfigPlanChecks: inPlace,
			ConfigStateChecks: []statecheck.StateCheck{succeeded("again"), value("sky_cluster.c", "runtime", knownvalue.StringExact("ray"))},
		},
		resource.TestStep{
			Config: config(2, "ssh", "UP", gang("plain", 2)), ConfigPlanChecks: inPlace,
			ConfigStateChecks: []statecheck.StateCheck{succeeded("plain"), value("sky_cluster.c", "runtime", knownvalue.StringExact("ssh"))},
		},
		resource.TestStep{
			Config:      config(2, "ssh", "UP", meet("alone", "none")),
			ExpectError: regexp.MustCompile(`only a cluster\s+with\s+runtime\s+=\s+"ray"`),
		},
	)
}
