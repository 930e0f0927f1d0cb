// SPDX-License-Identifier: MPL-2.0

//go:build aws

package aws

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
)

// TestMotoQuickstart applies examples/quickstart with the real Terraform, on AWS
// instead of FluffyCloud, and destroys it: two machines, a job on both, and
// nothing left. Only the place and the provider block differ.
func TestMotoQuickstart(t *testing.T) {
	m := &machines{t: t, dir: t.TempDir(), at: map[string]string{}}
	h := newMotoHarness(t, &ec2proxy.Proxy{Launched: m.boot, Address: m.address})
	before, err := h.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tf := newTerraform(t, h.url)
	tf.run(t, "apply", "-auto-approve", "-no-color", "-input=false")
	out := tf.run(t, "output", "-no-color")
	t.Log(out)
	if len(m.at) != 2 {
		t.Errorf("%d machines were launched, want 2", len(m.at))
	}
	tf.run(t, "plan", "-detailed-exitcode", "-no-color", "-input=false")
	tf.run(t, "destroy", "-auto-approve", "-no-color", "-input=false")
	after, err := h.Count(t.Context())
	if err != nil || after != before {
		t.Errorf("left are %+v, before %+v: %v", after, before, err)
	}
	checkRequests(t, h.proxy)
	checkPolicy(t, h.proxy)
}

// terraform runs the CLI on a copy of the quickstart.
type terraform struct {
	binary, dir string
	env         []string
}

func newTerraform(t *testing.T, endpoint string) terraform {
	t.Helper()
	dir := t.TempDir()
	work := filepath.Join(dir, "quickstart")
	if err := os.CopyFS(work, os.DirFS("../../../examples/quickstart")); err != nil {
		t.Fatal(err)
	}
	main := filepath.Join(work, "main.tf")
	text, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	block := fmt.Sprintf("provider \"sky\" {\n  state_dir      = %q\n  enabled_clouds = [\"aws\"]\n  clouds = { aws = { endpoint_url = %q, access_key_id = %q, secret_access_key = \"secret\", regions = %q } }\n}",
		filepath.Join(dir, "state"), endpoint, testAccessKey, testRegion)
	config := strings.Replace(string(text), "provider \"sky\" {}", block, 1)
	config = strings.Replace(config, `"fluffycloud"`, `"aws/`+testRegion+`"`, 1)
	// Nobody here can be asked from where this computer is seen.
	config = strings.Replace(config, "  num_nodes = 2\n", "  num_nodes = 2\n  allowed_cidrs = [\"127.0.0.0/8\"]\n", 1)
	if err := os.WriteFile(main, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	rc := filepath.Join(dir, "rc")
	override := fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"skybroker/sky\" = %q\n  }\n  direct {}\n}\n", providerFolder(t, dir))
	if err := os.WriteFile(rc, []byte(override), 0o600); err != nil {
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
		t.Fatalf("terraform %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}
