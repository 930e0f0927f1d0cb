// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestAccMocks runs terraform test with a bare mock_provider: what it makes up
// goes through every attribute that takes what another gives.
func TestAccMocks(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, "")
	w.write(`
data "sky_catalog_offer" "o" { accelerators = "T4:1" }
data "sky_cluster" "other" { name = "other" }
data "sky_clouds" "all" {}
data "sky_accelerators" "all" {}
resource "sky_cluster" "c" {
  name      = "mocked"
  resources = {
    region          = data.sky_catalog_offer.o.region
    instance_type   = data.sky_catalog_offer.o.instance_type
    max_hourly_cost = data.sky_catalog_offer.o.hourly_cost * 2
    ports           = ["8080"]
  }
}
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "j"
  run        = "echo ${sky_cluster.c.head_ip}"
}
resource "sky_job" "k" {
  cluster_id = data.sky_cluster.other.id
  name       = "k"
  run        = "true"
}
data "sky_job_logs" "j" {
  cluster_id = sky_cluster.c.id
  job_id     = sky_job.j.id
}
output "ip" { value = sky_cluster.c.head_ip }
`)
	writeFile(t, filepath.Join(w.dir, "mock.tftest.hcl"), `
mock_provider "sky" {}
run "planned" {
  command = plan
  assert {
    condition     = sky_cluster.c.name == "mocked"
    error_message = "The name is another one."
  }
}
run "applied" {
  assert {
    condition     = output.ip != ""
    error_message = "There is no address."
  }
}
`)
	code, out := w.output("test", "-no-color")
	if code != 0 || !strings.Contains(out, "2 passed, 0 failed") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	w.write("")
}

// TestAccNullElements refuses null where an object belongs, with the place.
func TestAccNullElements(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, "")
	for _, list := range []string{"any_of", "ordered", "inputs", "reserved"} {
		w.write("resource \"sky_cluster\" \"c\" {\n  name = \"nulls\"\n  resources = { " + list + " = [null] }\n}\n")
		code, out := w.output("validate", "-no-color")
		flat := strings.Join(strings.Fields(strings.ReplaceAll(out, "│", "")), " ")
		if code == 0 || !strings.Contains(flat, "resources."+list+"[0]") || !strings.Contains(flat, "The element is null") {
			t.Errorf("%s: exit code %d:\n%s", list, code, out)
		}
	}
	w.write("")
}

// TestAccKeylessClouds leaves clouds out of the plan that nothing could open, and
// says so once; alone, they are planned upon, and said to be missing.
func TestAccKeylessClouds(t *testing.T) {
	t.Parallel()
	r := newRunners(t, "AWS_ACCESS_KEY_ID=", "AWS_PROFILE=", "GOOGLE_APPLICATION_CREDENTIALS=", "SKY_OWNER=team", "SKY_SSH_PRIVATE_KEY="+newKey(t))
	plan := func(clouds string) string {
		r.write("", "resource \"sky_cluster\" \"c\" {\n  name = \"keyless\"\n  resources = { cpus = \"2+\" }\n}\nresource \"sky_cluster\" \"d\" {\n  name = \"keyless-2\"\n  resources = { cpus = \"2+\", preferred_regions = [\"frankfurt\", \"meadow-1\"] }\n}\n")
		path := filepath.Join(r.dir, "main.tf")
		writeFile(t, path, strings.NewReplacer(`["fluffycloud"]`, clouds, "show_plan_table = false", "show_plan_table = true").Replace(readFile(t, path)))
		out := r.mustRun("plan", "-no-color")
		return strings.Join(strings.Fields(strings.ReplaceAll(out, "│", "")), " ")
	}
	out := plan(`["fluffycloud", "gcp"]`)
	if strings.Count(out, "No credentials for gcp") != 1 || !strings.Contains(out, "left out of this plan") || strings.Contains(out, "only stop by themselves") {
		t.Errorf("beside another cloud:\n%s", out)
	}
	if strings.Count(out, "Unknown region is preferred") != 1 || strings.Count(out, `Region "frankfurt", which is preferred, is in no catalog`) != 1 {
		t.Errorf("of a region that no cloud has:\n%s", out)
	}
	if _, table, _ := strings.Cut(out, "what was considered"); !strings.Contains(table, "fluffycloud") || strings.Contains(table, "gcp/") {
		t.Errorf("the table is %s", table)
	}
	if out := plan(`["gcp"]`); strings.Count(out, "No credentials for gcp") != 1 || !strings.Contains(out, "will launch nothing") || strings.Count(out, "only stop by themselves") != 1 {
		t.Errorf("alone:\n%s", out)
	}
	r.write("", "")
}
