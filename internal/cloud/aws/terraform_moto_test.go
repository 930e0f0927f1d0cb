// SPDX-License-Identifier: MPL-2.0

//go:build aws

package aws

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
)

// TestMotoQuickstart applies examples/quickstart, file for file as it is, with
// the real Terraform on AWS, and destroys it: two machines in private subnets,
// reached through the provider's bastion alone, a job on both whose result is
// what mathematics says, no further change, and nothing left.
func TestMotoQuickstart(t *testing.T) {
	m := newMachines(t)
	h := newPrivateMotoHarness(t, &ec2proxy.Proxy{Launched: m.boot})
	m.inside = h.privateAddress
	gate := newGate(t, m)
	before := motoDump(t, h)
	tf := newTerraform(t, overrides(t, h, gate))
	tf.run(t, "apply", "-auto-approve", "-no-color", "-input=false")
	t.Log(tf.run(t, "output", "-no-color"))
	if n := len(m.launched()); n != 2 {
		t.Errorf("%d machines were launched, want 2", n)
	}
	if n := gate.passed.Load(); n < 2 {
		t.Errorf("%d connections came through the bastion", n)
	}
	tf.run(t, "plan", "-detailed-exitcode", "-no-color", "-input=false")
	tf.run(t, "destroy", "-auto-approve", "-no-color", "-input=false")
	wantGone(t, h, before, motoDump(t, h))
	if n := h.proxy.PlacementGroups(); n != 0 {
		t.Errorf("%d placement groups are left", n)
	}
	checkRequests(t, h.proxy)
	checkPolicy(t, h.proxy)
}

// overrides is the one file that is put beside the quickstart: Terraform merges
// it into the configuration. The place and the account are all it says.
func overrides(t *testing.T, h *harness, gate *gate) string {
	t.Helper()
	return fmt.Sprintf(`
provider "sky" {
  state_dir      = %q
  enabled_clouds = ["aws"]
  clouds = { aws = {
    endpoint_url = %q, access_key_id = %q, secret_access_key = "secret", regions = %q, use_internal_ips = "true"
  } }
  bastion = { host = %q, port = %d, user = %q, host_key = %q, private_key_path = %q }
}

resource "sky_cluster" "primes" {
  resources = { infra = "aws/%s", accelerators = "T4:1", max_hourly_cost = 5 }
}
`, filepath.Join(t.TempDir(), "state"), h.url, testAccessKey, testRegion, gate.host, gate.port, gateUser, gate.hostKey, gate.keyPath, testRegion)
}

// motoDump are the ids of what may cost money or be in the way, by kind, from
// moto's dump of its state. The dump never forgets: it holds what was removed, too.
func motoDump(t *testing.T, h *harness) map[string][]string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.proxy.Upstream+"/moto-api/data.json", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := h.proxy.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var dump struct {
		EC2 map[string][]struct{ ID, Name string } `json:"ec2"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&dump); err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, kind := range []string{"Instance", "SecurityGroup", "KeyPair", "Volume"} {
		for _, thing := range dump.EC2[kind] {
			out[kind] = append(out[kind], cmp.Or(thing.ID, thing.Name))
		}
	}
	if len(out["SecurityGroup"]) == 0 { // every VPC has one
		t.Fatal("moto's dump has another shape than this test knows")
	}
	return out
}

// wantGone asks moto for everything that was made since before, one by one.
func wantGone(t *testing.T, h *harness, before, after map[string][]string) {
	t.Helper()
	made := func(kind string) []string {
		return slices.DeleteFunc(slices.Clone(after[kind]), func(id string) bool { return slices.Contains(before[kind], id) })
	}
	if len(made("Instance")) != 2 || len(made("SecurityGroup")) != 1 || len(made("Volume")) != 2 {
		t.Errorf("made were %v, %v and %v: not two machines with a disk each, and one group", made("Instance"), made("SecurityGroup"), made("Volume"))
	}
	if keys := made("KeyPair"); len(keys) > 0 {
		t.Errorf("key pairs %v were made", keys)
	}
	for _, id := range made("Instance") {
		if m, err := h.show(t.Context(), id); err != nil || m.State != cloud.StateTerminated {
			t.Errorf("machine %s is %s, %v", id, m.State, err)
		}
	}
	for _, id := range made("SecurityGroup") {
		if _, err := h.direct.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{GroupIds: []string{id}}); !isNotFound(err) {
			t.Errorf("security group %s is there: %v", id, err)
		}
	}
	for _, id := range made("Volume") {
		if _, err := h.direct.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{VolumeIds: []string{id}}); !isNotFound(err) {
			t.Errorf("volume %s is there: %v", id, err)
		}
	}
}

// terraform runs the CLI on a copy of the quickstart.
type terraform struct {
	binary, dir string
	env         []string
}

func newTerraform(t *testing.T, override string) terraform {
	t.Helper()
	dir := t.TempDir()
	work := filepath.Join(dir, "quickstart")
	if err := os.CopyFS(work, os.DirFS("../../../examples/quickstart")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, "aws_override.tf"), []byte(override), 0o600); err != nil {
		t.Fatal(err)
	}
	rc := filepath.Join(dir, "rc")
	text := fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"skybroker/sky\" = %q\n  }\n  direct {}\n}\n", providerFolder(t, dir))
	if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return terraform{binary: cli(t), dir: work, env: append(os.Environ(), "TF_CLI_CONFIG_FILE="+rc, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")}
}

// providerFolder holds the provider: the one that SKY_PROVIDER_DIR names, or one built here.
func providerFolder(t *testing.T, dir string) string {
	t.Helper()
	if own := os.Getenv("SKY_PROVIDER_DIR"); own != "" {
		return own
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "terraform-provider-sky"), "../../..")
	me, err := user.Current() // HOME is the test's by now
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "HOME="+me.HomeDir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the provider: %v: %s", err, out)
	}
	return dir
}

// cli is Terraform, or OpenTofu where there is none.
func cli(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("TERRAFORM"), "terraform", "tofu"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is neither Terraform nor OpenTofu on PATH")
	return ""
}

func (tf terraform) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tf.binary, args...)
	cmd.Dir, cmd.Env = tf.dir, tf.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
