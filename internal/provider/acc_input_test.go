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
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// planOnly is a lab without a cloud: what is tried in it must not need one.
func planOnly(t *testing.T) *lab {
	t.Helper()
	cliPath(t)
	return &lab{t: t, dir: t.TempDir()}
}

// clusterWith is a good cluster, less what is overridden: attribute -> value.
func clusterWith(over map[string]string) string {
	attributes := map[string]string{"name": `"bad"`, "resources": `{ instance_type = "puff-2" }`}
	for name, v := range over {
		attributes[name] = v
	}
	var b strings.Builder
	b.WriteString("resource \"sky_cluster\" \"c\" {\n")
	for name, v := range attributes {
		if v != "" {
			fmt.Fprintf(&b, "  %s = %s\n", name, v)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// rewrapped matches text wherever Terraform broke its lines.
func rewrapped(parts ...string) *regexp.Regexp {
	for i, p := range parts {
		words := strings.Fields(p)
		for j := range words {
			words[j] = regexp.QuoteMeta(words[j])
		}
		parts[i] = strings.Join(words, `\s+`)
	}
	return regexp.MustCompile(`(?s)` + strings.Join(parts, ".*"))
}

// TestAccBadInput refuses at plan, at the attribute, and says what would be
// right. No cloud is running: none is asked.
func TestAccBadInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	loop := filepath.Join(dir, "loop", "l")
	if err := os.MkdirAll(filepath.Dir(loop), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	in := func(resources string) map[string]string {
		return map[string]string{"resources": "{ " + resources + " }"}
	}
	tests := []struct {
		name string
		over map[string]string
		want []string
	}{
		{"1 empty name", map[string]string{"name": `""`}, []string{"name = ", "The name is empty"}},
		{"2 name with a slash", map[string]string{"name": `"a/b"`}, []string{"name = ", "cannot be used"}},
		{"2 name with a newline", map[string]string{"name": `"a\nb"`}, []string{"name = ", "cannot be used"}},
		{"2 name of 300 characters", map[string]string{"name": `"` + strings.Repeat("x", 300) + `"`}, []string{"300 characters; write at most 63"}},
		{"4 no nodes", map[string]string{"num_nodes": "0"}, []string{"num_nodes = 0", "0 is out of range; write a number of machines from 1 to 1024"}},
		{"4 a billion nodes", map[string]string{"num_nodes": "1000000000"}, []string{"num_nodes", "out of range"}},
		{"5 unknown accelerator", in(`accelerators = "A10O:1"`), []string{"resources = ", "A10", "A100"}},
		{"6 no accelerators", in(`accelerators = "H100:0"`), []string{"resources.accelerators", "H100:0", "above zero"}},
		{"6 negative accelerators", in(`accelerators = "H100:-1"`), []string{"accelerators", "H100:-1"}},
		{"6 NaN accelerators", in(`accelerators = "H100:NaN"`), []string{"accelerators", "NaN"}},
		{"6 an accelerator of a list", in(`accelerators = ["A100:8", "H100:0"]`), []string{"resources.accelerators[1]", "H100:0", "above zero"}},
		{"6 an accelerator of a map", in(`accelerators = { A100 = -8 }`), []string{`resources.accelerators["A100"]`, "A100:-8"}},
		{"6 no accelerator in a list", in(`accelerators = []`), []string{"resources.accelerators", "names no accelerator"}},
		{"6 a TPU", in(`accelerators = "tpu-v3-8"`), []string{"resources.accelerators", "TPU VMs are not supported yet"}},
		{"7 zone outside the region", in(`instance_type = "puff-2", region = "meadow-1", zone = "hilltop-1a"`), []string{"hilltop-1a", "hilltop-1"}},
		{"8 bound below the cheapest", in(`instance_type = "puff-2", max_hourly_cost = 0.01`), []string{"max_hourly_cost", "0.084"}},
		{"9 nothing fits", in(`accelerators = "H100:1", memory = "4096+"`), []string{"not possible: nothing fits", "memory"}},
		{"10 port 0", in(`instance_type = "puff-2", ports = ["0"]`), []string{"resources.ports[0]", "outside 1 to 65535"}},
		{"10 port 70000", in(`instance_type = "puff-2", ports = ["70000"]`), []string{"outside 1 to 65535"}},
		{"10 reversed ports", in(`instance_type = "puff-2", ports = ["9000-8000"]`), []string{`write "8000-9000"`}},
		{"11 bad CIDR", map[string]string{"allowed_cidrs": `["300.0.0.0/8"]`}, []string{"allowed_cidrs", "no CIDR prefix"}},
		{"11 CIDR with host bits", map[string]string{"allowed_cidrs": `["10.1.2.3/8"]`}, []string{`write "10.0.0.0/8"`}},
		{"12 env name", map[string]string{"envs": `{ "A-B" = "1" }`}, []string{"envs", `"A-B" cannot name an environment variable`}},
		{"12 env name that expands", map[string]string{"envs": `{ "$(x)" = "1" }`}, []string{"cannot name an environment variable"}},
		{"13 NUL in an env", map[string]string{"envs": `{ A = base64decode("YQBi") }`}, []string{"NUL|base64decode"}},
		{"13 an env that no exec carries", map[string]string{"envs": `{ A = join("", [for i in range(132) : format("%1000d", i)]) }`}, []string{`envs["A"]: `, "has 132003 bytes", "file_mounts"}},
		{"14 huge setup", map[string]string{"setup": `join("", [for i in range(1000) : format("%1100d", i)])`}, []string{"setup", "put it into a file of workdir"}},
		{"15 no such workdir", map[string]string{"workdir": `"/nonexistent"`}, []string{"workdir", "no such file or directory"}},
		{"15 symlink loop", map[string]string{"workdir": fmt.Sprintf("%q", loop)}, []string{"workdir", "too many"}},
		{"15 no such file", map[string]string{"file_mounts": `{ "~/x" = "/nonexistent" }`}, []string{"file_mounts", "cannot be uploaded"}},
		{"15 relative target", map[string]string{"file_mounts": `{ "x" = "/etc/hosts" }`}, []string{"is relative", `"~/data"`}},
		{"16 negative timeout", map[string]string{"timeouts": `{ create = "-1m" }`}, []string{"timeouts.create", "above zero"}},
		{"16 endless timeout", map[string]string{"timeouts": `{ create = "999999h" }`}, []string{"longer than"}},
		{"17 infra and region", in(`infra = "fluffycloud", region = "meadow-1"`), []string{"Conflicting attributes", "resources.region: ", "either infra or region"}},
		{"17 any_of and ordered", in(`any_of = [{}], ordered = [{}]`), []string{"either any_of", "or ordered"}},
		{"17 no alternatives", in(`any_of = []`), []string{"resources.any_of: The list is empty"}},
		{"17 no resources", map[string]string{"resources": ""}, []string{`"resources" is required`}},
		{"in an alternative", in(`any_of = [{ cpus = "2" }, { cpus = "many" }]`), []string{"resources.any_of[1].cpus", "many"}},
		{"unknown cloud", in(`infra = "nimbostratus/x"`), []string{`there is no cloud "nimbostratus" in this provider`, allClouds(t)}},
		{"unknown policy", map[string]string{"on_setup_failure": `"shrug"`}, []string{"write destroy or keep"}},
		{"reserved label", in(`instance_type = "puff-2", labels = { sky-owner = "me" }`), []string{"is reserved"}},
		{"not a price", in(`instance_type = "puff-2", max_hourly_cost = -1`), []string{"-1 is out of range; write US dollars an hour"}},
		{"a price that no float holds", in(`instance_type = "puff-2", max_hourly_cost = 1e400`), []string{"Invalid value", "resources.max_hourly_cost: 1e+400 is out of range"}},
		{"hours that no float holds, in an alternative", in(`any_of = [{ cpus = "2" }, { cpus = "4", estimated_hours = 1e-400 }]`), []string{"Invalid value", "estimated_hours: 1e-400 is out of range"}},
		{"minutes that no float holds", map[string]string{"autostop": "{ idle_minutes = 1e400 }"}, []string{"Invalid value", "autostop.idle_minutes: 1e+400 is out of range"}},
		{"no hours", in(`instance_type = "puff-2", estimated_hours = 0`), []string{"resources.estimated_hours: 0 is out of range; write hours, above zero"}},
		{"no idle minutes", map[string]string{"autostop": "{ idle_minutes = 0 }"}, []string{"autostop.idle_minutes: 0 is out of range; write minutes, above zero"}},
		{"data of no size", in(`instance_type = "puff-2", inputs = [{ cloud = "aws", size_gb = -1 }]`), []string{"resources.inputs[0].size_gb: -1 is out of range; write gigabytes"}},
		{"a bucket", map[string]string{"file_mounts": `{ "~/x" = "s3://bucket/x" }`}, []string{"only local files and folders are uploaded"}},
		{"a repository", map[string]string{"workdir": `"https://github.com/a/b"`}, []string{"only local files and folders are uploaded"}},
		{"empty workdir", map[string]string{"workdir": `""`}, []string{"The path is empty; leave it out"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.name == "13 NUL in an env" {
				tt.want = nil // Terraform itself refuses it
			}
			l := planOnly(t)
			l.test(resource.TestStep{Config: l.config(clusterWith(tt.over)), PlanOnly: true, ExpectError: rewrapped(tt.want...)})
		})
	}
}

func TestAccBadJob(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		want       []string
	}{
		{"cluster id", `cluster_id = "train"` + "\nrun = \"true\"", []string{"cluster_id", `reads "cloud/region/name"`}},
		{"empty run", "cluster_id = \"a/b/c\"\nrun = \" \"", []string{"run", "script is empty"}},
		{"env name", "cluster_id = \"a/b/c\"\nrun = \"true\"\nenvs = { \"1A\" = \"\" }", []string{"cannot name an environment variable"}},
		{"own variable", "cluster_id = \"a/b/c\"\nrun = \"true\"\nenvs = { SKYPILOT_NODE_RANK = \"\" }", []string{"is set by the provider"}},
		{"a secret that no exec carries", "cluster_id = \"a/b/c\"\nrun = \"true\"\nsecrets = { A = join(\"\", [for i in range(132) : format(\"%1000d\", i)]) }", []string{`secrets["A"]: `, "has 132003 bytes"}},
		{"too many variables", "cluster_id = \"a/b/c\"\nrun = \"true\"\nenvs = { for n in range(11) : \"A${n}\" => join(\"\", [for i in range(100) : format(\"%1000d\", i)]) }", []string{"have 1100", "bytes together"}},
		{"no nodes", "cluster_id = \"a/b/c\"\nrun = \"true\"\nnum_nodes = -3", []string{"-3 is out of range"}},
		{"workdir", "cluster_id = \"a/b/c\"\nrun = \"true\"\nworkdir = \"/nonexistent\"", []string{"workdir", "no such file"}},
		{"no outputs", "cluster_id = \"a/b/c\"\nrun = \"true\"\noutputs = { files = [], folder = \"r\" }", []string{"outputs.files", "The list is empty"}},
		{"no folder", "cluster_id = \"a/b/c\"\nrun = \"true\"\noutputs = { files = [\"a\"], folder = \"\" }", []string{"outputs.folder", "write one such as"}},
		{"timeout", "cluster_id = \"a/b/c\"\nrun = \"true\"\ntimeouts = { create = \"soon\" }", []string{"no duration"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := planOnly(t)
			l.test(resource.TestStep{
				Config: l.config("resource \"sky_job\" \"j\" {\n" + tt.body + "\n}"), PlanOnly: true, ExpectError: rewrapped(tt.want...),
			})
		})
	}
}

// TestAccUnknownValuesDefer plans with values that another resource will give.
func TestAccUnknownValuesDefer(t *testing.T) {
	t.Parallel()
	l := planOnly(t)
	l.test(resource.TestStep{
		Config: l.config(`
resource "terraform_data" "later" {}
locals { later = terraform_data.later.id }
resource "sky_cluster" "c" {
  name      = local.later
  num_nodes = length(local.later)
  resources = { infra = local.later, accelerators = local.later, cpus = local.later, ports = [local.later], labels = { a = local.later }, any_of = [{ memory = local.later }] }
  setup     = local.later
  workdir   = local.later
  envs      = { A = local.later }
  file_mounts   = { "~/x" = local.later }
  allowed_cidrs = [local.later]
}
resource "sky_cluster" "element" {
  name      = "element"
  resources = { accelerators = ["A100:8", local.later] }
}
resource "sky_cluster" "count" {
  name      = "count"
  resources = { accelerators = { A100 = length(local.later) } }
}
data "sky_catalog_offer" "later" {
  accelerators = jsondecode(local.later)
}
resource "sky_cluster" "whole" {
  name      = "whole"
  resources = jsondecode(local.later)
  envs      = jsondecode(local.later)
  file_mounts = jsondecode(local.later)
}
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  run        = local.later
  workdir    = local.later
}
`),
		PlanOnly: true, ExpectNonEmptyPlan: true,
	})
}

func TestAccBadProvider(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	writeFile(t, key, "not a key")
	for name, tt := range map[string]struct {
		block string
		want  []string
	}{
		"bastion":         {`bastion = { host = "b:22", user = "me", host_key = "ssh-ed25519 x" }`, []string{"bastion.host:", "not a host"}},
		"bastion's key":   {`bastion = { host = "b:22", user = "me", host_key = "ssh-ed25519 x" }`, []string{"bastion.host_key", "no public key"}},
		"bastion of":      {`bastion = { host = "b", user = "me", host_key = "` + hostKey + `", clouds = ["nimbus"] }`, []string{"bastion.clouds", `no cloud "nimbus"`}},
		"owner":           {`owner = "Me"`, []string{"owner", "3 to 40 lower-case"}},
		"cloud":           {`enabled_clouds = ["nimbus"]`, []string{"enabled_clouds", `no cloud "nimbus"`, "fluffycloud"}},
		"twice":           {`enabled_clouds = ["fluffycloud", "fluffycloud"]`, []string{"listed twice"}},
		"key":             {fmt.Sprintf("ssh_private_key_path = %q", key), []string{"ssh_private_key_path", "holds no private key"}},
		"no catalog":      {`catalog = { path = "/nonexistent" }`, []string{"path", "no such file"}},
		"version":         {`catalog = { version = "xyz" }`, []string{"is no content hash"}},
		"base URL":        {`catalog = { base_url = "catalogs.example" }`, []string{"catalog.base_url", "is no web address"}},
		"TTL":             {`catalog = { ttl = "often" }`, []string{"catalog.ttl", "is no duration"}},
		"state folder":    {fmt.Sprintf("state_dir = %q", key), []string{"state_dir = ", "is a file; name a folder"}},
		"no clouds":       {`enabled_clouds = []`, []string{"enabled_clouds = ", "The list is empty"}},
		"other clouds":    {`enabled_clouds = ["aws"]`, []string{"fluffycloud is not among enabled_clouds"}},
		"another version": {`catalog = { version = "0123456789abcdef" }`, []string{"catalogs hold version", "0123456789abcdef is pinned"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := planOnly(t)
			l.test(resource.TestStep{
				Config:   "provider \"sky\" {\n" + tt.block + "\n}\n" + clusterWith(map[string]string{"resources": `{ infra = "fluffycloud" }`}),
				PlanOnly: true, ExpectError: rewrapped(tt.want...),
			})
		})
	}
}

func TestAccCatalogOffer(t *testing.T) {
	t.Parallel()
	l := planOnly(t)
	offer := func(name string, want knownvalue.Check) statecheck.StateCheck {
		return statecheck.ExpectKnownValue("data.sky_catalog_offer.o", tfjsonpath.New(name), want)
	}
	l.test(
		resource.TestStep{
			Config: l.config(`data "sky_catalog_offer" "o" {
  market   = "spot"
  use_spot = true
}`),
			ExpectError: rewrapped("Conflicting attributes", "either market or use_spot"),
		},
		resource.TestStep{
			Config: l.config(`data "sky_catalog_offer" "o" {
  accelerators = "t4:1"
  cpus         = "4+"
  limit        = 3
}`),
			ConfigStateChecks: []statecheck.StateCheck{
				offer("cloud", knownvalue.StringExact("fluffycloud")), offer("region", knownvalue.StringExact("meadow-1")),
				offer("instance_type", knownvalue.StringExact("drizzle-t4-1")), offer("hourly_cost", knownvalue.Float64Exact(0.438)),
				offer("accelerator_name", knownvalue.StringExact("T4")), offer("offers", knownvalue.ListSizeExact(3)),
				offer("catalogs", knownvalue.ListPartial(map[int]knownvalue.Check{0: knownvalue.ObjectPartial(map[string]knownvalue.Check{
					"cloud": knownvalue.StringExact("fluffycloud"), "kind": knownvalue.StringExact("embedded"),
					"sha256": knownvalue.StringRegexp(regexp.MustCompile(`^[0-9a-f]{64}$`)),
				})})),
			},
		},
		resource.TestStep{
			Config: l.config(`
data "sky_catalog_offer" "list" { accelerators = ["A100:8", "T4:1"] }
data "sky_catalog_offer" "o" { accelerators = toset(["A100:8", "T4:1"]) }
data "sky_catalog_offer" "map" { accelerators = { A100 = 8, T4 = 1 } }
output "list" { value = data.sky_catalog_offer.list.accelerator_name }
output "map" { value = data.sky_catalog_offer.map.accelerator_name }
output "version" { value = data.sky_catalog_offer.map.catalog_version }`),
			ConfigStateChecks: []statecheck.StateCheck{
				offer("accelerator_name", knownvalue.StringExact("T4")),
				statecheck.ExpectKnownOutputValue("list", knownvalue.StringExact("A100")),
				statecheck.ExpectKnownOutputValue("map", knownvalue.StringExact("T4")),
				statecheck.ExpectKnownOutputValue("version", knownvalue.StringRegexp(regexp.MustCompile(`^[0-9a-f]{64}$`))),
			},
		},
		resource.TestStep{
			Config: l.config(`data "sky_catalog_offer" "o" {
  arch              = "arm64"
  instance_families = ["mist"]
  num_nodes         = 4
  max_hourly_cost   = 1
}
data "sky_catalog_offer" "x86" { cpus = "8+" }
data "sky_catalog_offer" "memory" { accelerators = "40GB+" }
data "sky_catalog_offer" "preferred" {
  cpus              = "8+"
  preferred_regions = ["hilltop-1"] # costs more
}
output "x86" { value = data.sky_catalog_offer.x86.instance_type }
output "memory" { value = data.sky_catalog_offer.memory.accelerator_name }
output "preferred" { value = "${data.sky_catalog_offer.preferred.instance_type} ${data.sky_catalog_offer.preferred.region}" }`),
			ConfigStateChecks: []statecheck.StateCheck{
				offer("instance_type", knownvalue.StringExact("mist-4")),
				statecheck.ExpectKnownOutputValue("x86", knownvalue.StringExact("puff-8")),
				statecheck.ExpectKnownOutputValue("memory", knownvalue.StringExact("A100")),
				statecheck.ExpectKnownOutputValue("preferred", knownvalue.StringExact("puff-8 meadow-1")),
			},
		},
		resource.TestStep{
			Config: l.config(`data "sky_catalog_offer" "o" {
  instance_families = ["mist"]
  num_nodes         = 40
  max_hourly_cost   = 1
}`),
			ExpectError: rewrapped("not possible: nothing fits", "max_hourly_cost", "for all 40 nodes"),
		},
		resource.TestStep{
			Config:      l.config(`data "sky_catalog_offer" "o" { arch = "sparc" }`),
			ExpectError: rewrapped(`"sparc" is not known`, "x86_64, arm64 or any"),
		},
		resource.TestStep{
			Config:      l.config(`data "sky_catalog_offer" "o" { instance_families = ["m6[i]"] }`),
			ExpectError: rewrapped("names no family", "such as \"m6i\""),
		},
		resource.TestStep{
			Config: l.config(`data "sky_catalog_offer" "o" {
  accelerators = "T4:1"
  memory       = "999+"
}`),
			ExpectError: rewrapped("not possible: nothing fits", "memory"),
		},
	)
}
