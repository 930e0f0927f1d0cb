// SPDX-License-Identifier: MPL-2.0

//go:build aws && ci

package aws

import (
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
)

// TestAccCIMotoAnyComputer is the quickstart's life on AWS, where the identity and
// the host keys of machines are in their tags: every step on a computer that has
// but the state, the owner and the key.
func TestAccCIMotoAnyComputer(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	m := newMachines(t)
	h := newPrivateMotoHarness(t, &ec2proxy.Proxy{Launched: m.boot})
	m.inside = h.privateAddress
	gate := newGate(t, m)
	tf := newTerraform(t, overrides(t, h, gate))
	if path := os.Getenv("TF_ACC_TERRAFORM_PATH"); path != "" {
		tf.binary = path
	}
	elsewhere := func(args ...string) {
		t.Helper()
		// overrides makes a state folder anew.
		text := strings.Replace(overrides(t, h, gate), "provider \"sky\" {", fmt.Sprintf("provider \"sky\" {\n  owner = \"team-ci\"\n  ssh_private_key = %q", pem.EncodeToMemory(block)), 1)
		if err := os.WriteFile(filepath.Join(tf.dir, "aws_override.tf"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		tf.run(t, append(args, "-no-color", "-input=false")...)
	}
	elsewhere("apply", "-auto-approve")
	for _, id := range m.launched() {
		machine, err := h.show(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if key := machine.Tags["sky-host-key"]; !strings.HasPrefix(key, "ssh-ed25519 AAAA") {
			t.Errorf("the host key on %s is %q", id, key)
		}
	}
	elsewhere("plan", "-detailed-exitcode")
	elsewhere("apply", "-auto-approve", "-replace=sky_job.twins")
	elsewhere("plan", "-detailed-exitcode")
	elsewhere("destroy", "-auto-approve")
}
