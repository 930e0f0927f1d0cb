// SPDX-License-Identifier: MPL-2.0

//go:build openssh && !windows

package provider_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const reached = `
resource "sky_cluster" "c" {
  name      = "reach"
  num_nodes = 2
  resources = { instance_type = "puff-2" }
}
ephemeral "sky_cluster_ssh" "node" {
  cluster_id = sky_cluster.c.id
  rank       = 1
}
resource "terraform_data" "greeting" {
  input = sky_cluster.c.generation
  connection {
    host        = ephemeral.sky_cluster_ssh.node.host
    port        = ephemeral.sky_cluster_ssh.node.port
    user        = ephemeral.sky_cluster_ssh.node.user
    host_key    = ephemeral.sky_cluster_ssh.node.host_key
    private_key = file(ephemeral.sky_cluster_ssh.node.key_path)
    script_path = "/tmp/sky-%RAND%.sh"
    timeout     = "1m"
  }
  provisioner "remote-exec" {
    inline = ["echo hello > ~/greeting"]
  }
}
`

// TestAccOpenSSHClient logs in by the cluster's ssh_config, named and included,
// with the real client; and a provisioner goes the way that the ephemeral
// resource tells.
func TestAccOpenSSHClient(t *testing.T) {
	t.Parallel()
	client, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatalf("this lane needs the OpenSSH client: %v", err)
	}
	w := newWorkspace(t, reached)
	w.mustRun("apply", "-auto-approve", "-no-color")
	found, err := filepath.Glob(filepath.Join(w.lab.dir, "clusters", "*", "ssh_config"))
	if err != nil || len(found) != 1 {
		t.Fatalf("files: %v, %v", found, err)
	}
	including := filepath.Join(t.TempDir(), "config")
	writeFile(t, including, "Include "+filepath.Join(w.lab.dir, "clusters", "*", "ssh_config")+"\nHost *\n  ConnectTimeout 20\n")
	for _, config := range []string{found[0], including} {
		for host, want := range map[string]string{"reach": "", "reach-worker1": "hello"} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			out, err := exec.CommandContext(ctx, client, "-F", config, "-o", "BatchMode=yes", host, "cat ~/greeting 2>/dev/null; whoami >&2; true").Output()
			cancel()
			if err != nil || strings.TrimSpace(string(out)) != want {
				t.Errorf("ssh -F %s %s = %q, %v", config, host, out, err)
			}
		}
	}
	// Another host key ends it.
	known := filepath.Join(filepath.Dir(found[0]), "known_hosts")
	lines := strings.Fields(readFile(t, known))
	for i := 2; i < len(lines); i += 3 {
		lines[i] = "AAAAC3NzaC1lZDI1NTE5AAAAIKqP3vpQRxbl1iQ5eT5Q3kFVQ5KzEXPpQpEk5Tz6pQ5k"
	}
	var text strings.Builder
	for i := 0; i+2 < len(lines); i += 3 {
		text.WriteString(strings.Join(lines[i:i+3], " ") + "\n")
	}
	if err := os.WriteFile(known, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, client, "-F", found[0], "-o", "BatchMode=yes", "reach", "true").CombinedOutput(); err == nil {
		t.Errorf("a wrong host key was accepted: %s", out)
	}
}

// TestAccOpenSSHOddPaths: ssh_command and ssh_config work from a state folder
// whose name means something to ssh or to a shell, and each name is one machine.
func TestAccOpenSSHOddPaths(t *testing.T) {
	t.Parallel()
	client, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatalf("this lane needs the OpenSSH client: %v", err)
	}
	w := newWorkspace(t, `
resource "sky_cluster" "pair" {
  name      = "r1"
  num_nodes = 2
  resources = { instance_type = "puff-2" }
  setup     = "echo r1 $SKYPILOT_SETUP_NODE_RANK > ~/who"
}

resource "sky_cluster" "single" {
  depends_on = [sky_cluster.pair]
  name       = "r1-worker1"
  resources  = { instance_type = "puff-2" }
  setup      = "echo single > ~/who"
}

output "commands" {
  value = [sky_cluster.pair.ssh_command, sky_cluster.single.ssh_command]
}
`)
	odd := filepath.Join(w.lab.dir, `50% of "it's" #1 %h`)
	if err := os.Mkdir(odd, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(w.lab.dir, "fluffycloud"), filepath.Join(odd, "fluffycloud")); err != nil {
		t.Fatal(err)
	}
	w.rewrite(fmt.Sprintf("state_dir       = %q", w.lab.dir), fmt.Sprintf("state_dir       = %q", odd))
	w.mustRun("apply", "-auto-approve", "-no-color")
	run := func(want string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		var said strings.Builder
		cmd.Stderr = &said
		if out, err := cmd.Output(); err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%q = %q, %v: %s", args, out, err, said.String())
		}
	}
	var out bytes.Buffer
	if err := w.start(&out, "output", "-json", "-no-color", "commands").Wait(); err != nil {
		t.Fatal(err, out.String())
	}
	var commands []string
	if err := json.Unmarshal(out.Bytes()[bytes.IndexByte(out.Bytes(), '['):], &commands); err != nil {
		t.Fatal(err, out.String())
	}
	for i, want := range []string{"r1 0", "single"} {
		run(want, "sh", "-c", commands[i]+" -o BatchMode=yes cat who </dev/null")
	}
	found, err := filepath.Glob(filepath.Join(w.lab.dir, "50*", "clusters", "*", "ssh_config"))
	if err != nil || len(found) != 2 {
		t.Fatalf("files: %v, %v", found, err)
	}
	all := filepath.Join(t.TempDir(), "config")
	writeFile(t, all, readFile(t, found[0])+"\n"+readFile(t, found[1]))
	for alias, want := range map[string]string{"r1": "r1 0", "r1+worker1": "r1 1", "r1-worker1": "single"} {
		run(want, client, "-F", all, "-o", "BatchMode=yes", alias, "cat who")
	}
}
