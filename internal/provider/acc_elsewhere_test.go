// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// runners are computers that run Terraform in turn: none has anything of the one
// before but the state and the configuration.
type runners struct {
	*workspace
	env   []string
	homes []string
}

func newRunners(t *testing.T, env ...string) *runners {
	t.Helper()
	r := &runners{workspace: newWorkspace(t, ""), env: env}
	t.Cleanup(func() { // before the workspace's own, which has another state folder
		if code, out := r.output("destroy", "-auto-approve", "-no-color"); code != 0 {
			t.Errorf("destroy: exit code %d:\n%s", code, out)
			return
		}
		r.write("", "")
	})
	return r
}

// write replaces the configuration; settings are further ones of the provider.
func (r *runners) write(settings, body string) {
	r.t.Helper()
	writeFile(r.t, filepath.Join(r.dir, "main.tf"), fmt.Sprintf(`terraform {
  required_providers {
    sky = { source = "skybroker/sky" }
  }
}
provider "sky" {
  enabled_clouds  = ["fluffycloud"]
  show_plan_table = false
  clouds          = { fluffycloud = { endpoint = %q, api_key = %q } }
%s
}
%s`, r.server.URL(), r.key, settings, body))
}

// output runs the CLI on the next computer.
func (r *runners) output(args ...string) (int, string) {
	r.t.Helper()
	return r.outputWith(nil, args...)
}

// outputWith is output with more of an environment.
func (r *runners) outputWith(env []string, args ...string) (int, string) {
	r.t.Helper()
	home, there := r.t.TempDir(), *r.workspace
	there.dir = r.t.TempDir()
	r.homes = append(r.homes, home, there.dir)
	state := "terraform.tfstate"
	for _, name := range []string{"main.tf", "rc", state, "plan"} {
		if text, err := os.ReadFile(filepath.Join(r.dir, name)); err == nil {
			writeFile(r.t, filepath.Join(there.dir, name), string(text))
		}
	}
	env = append(append([]string{"HOME=" + home}, r.env...), env...)
	if len(r.homes)%4 == 0 { // every other one keeps its state folder elsewhere
		env = append(env, "SKY_STATE_DIR="+filepath.Join(home, "sky"))
	}
	var out bytes.Buffer
	err := there.startWith(&out, env, args...).Wait()
	for _, name := range []string{state, "plan"} {
		if text, err := os.ReadFile(filepath.Join(there.dir, name)); err == nil {
			writeFile(r.t, filepath.Join(r.dir, name), string(text))
		}
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), out.String()
	}
	if err != nil {
		r.t.Fatalf("terraform %v: %v\n%s", args, err, out.String())
	}
	return 0, out.String()
}

func (r *runners) mustRun(args ...string) string {
	r.t.Helper()
	code, out := r.output(args...)
	if code != 0 {
		r.t.Fatalf("terraform %v: exit code %d:\n%s", args, code, out)
	}
	return out
}

func (r *runners) apply() string {
	r.t.Helper()
	return r.mustRun("apply", "-auto-approve", "-no-color")
}

// unchanged asserts that the next computer sees nothing to do and nothing changed.
func (r *runners) unchanged() {
	r.t.Helper()
	if code, out := r.output("plan", "-detailed-exitcode", "-no-color"); code != 0 || strings.Contains(out, "changed outside") {
		r.t.Errorf("the plan is not empty (exit code %d):\n%s", code, out)
	}
	// Terraform 1.11 calls every resource with a whole number changed that a
	// provider outside it has read, so it is the state that tells.
	before := r.rawState()
	r.mustRun("apply", "-refresh-only", "-auto-approve", "-no-color")
	if after := r.rawState(); after != before {
		r.t.Errorf("a refresh changes the state from\n%s\nto\n%s", before, after)
	}
}

// newKey is a private key as text.
func newKey(t *testing.T) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

// TestAccAnyComputer goes through a cluster's life with each step on a computer
// that has nothing but state, owner and the text of a key.
func TestAccAnyComputer(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	r := newRunners(t, "SKY_OWNER=team-weather", "SKY_SSH_PRIVATE_KEY="+key)
	with := func(nodes int, status, more, rest string) {
		r.write("", fmt.Sprintf(`
resource "sky_cluster" "c" {
  name           = "any"
  num_nodes      = %d
  desired_status = %q
  resources      = { instance_type = "puff-2"%s }
  setup          = "echo set up > ~/setup"
}
%s`, nodes, status, more, rest))
	}
	with(1, "UP", "", "")
	if out := r.apply(); strings.Contains(out, "another computer") {
		t.Errorf("it warns of what works:\n%s", out)
	}
	r.unchanged()
	if state := r.rawState(); !strings.Contains(state, `"ssh_key_path":""`) || !strings.Contains(state, "UserKnownHostsFile=~/.terraform-provider-sky/") {
		t.Errorf("the paths in state are not the same everywhere:\n%s", state)
	}
	with(2, "UP", `, ports = ["8080"], labels = { team = "x" }`, "")
	r.apply()
	r.unchanged()
	job := `
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "j"
  num_nodes  = 2
  run        = "cat ~/setup; echo rank $SKYPILOT_NODE_RANK"
}
`
	if writeOnly(t, r.cli) {
		job += `
ephemeral "sky_cluster_ssh" "n" {
  cluster_id = sky_cluster.c.id
  rank       = 1
}
resource "terraform_data" "probe" {
  provisioner "local-exec" {
    command     = "test -f \"$KNOWN\" && printf '%s' \"$KEY\" > k && chmod 600 k && ssh-keygen -y -f k > /dev/null && rm k && printf '%s' \"$HOST_KEY\" | grep -q '^ssh-ed25519 AAAA'"
    environment = {
      KEY      = ephemeral.sky_cluster_ssh.n.private_key
      HOST_KEY = ephemeral.sky_cluster_ssh.n.host_key
      KNOWN    = ephemeral.sky_cluster_ssh.n.known_hosts_path
    }
  }
}
`
	}
	with(2, "UP", `, ports = ["8080"], labels = { team = "x" }`, job)
	r.apply()
	r.unchanged()
	if state := r.rawState(); !strings.Contains(state, `(rank 0) set up\n`) {
		t.Errorf("the job left no log:\n%s", state)
	}
	with(2, "STOPPED", "", "")
	r.apply()
	with(2, "UP", "", "")
	r.apply()
	r.unchanged()
	if machines := r.alive(); len(machines) != 2 {
		t.Errorf("alive: %+v", machines)
	}
	r.mustRun("destroy", "-auto-approve", "-no-color")
	wantNowhere(t, strings.Split(key, "\n")[2], append(r.homes, r.dir, r.lab.dir)...)
}

// wantNowhere asserts that no file under the folders holds the text.
func wantNowhere(t *testing.T, secret string, folders ...string) {
	t.Helper()
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), secret) {
				t.Errorf("%s holds the private key", path)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestAccAutomationIsWarned says once what another computer could not do.
func TestAccAutomationIsWarned(t *testing.T) {
	t.Parallel()
	r := newRunners(t)
	two := plain + strings.NewReplacer(`"c"`, `"d"`, "plain", "other").Replace(plain)
	warning := func(settings string) string {
		r.write(settings, two)
		out := r.mustRun("plan", "-no-color")
		if n := strings.Count(out, "The next run may be on another computer"); n > 1 {
			t.Errorf("%d warnings:\n%s", n, out)
		}
		_, text, _ := strings.Cut(strings.Join(strings.Fields(strings.NewReplacer("│", "").Replace(out)), " "), "The next run may be on another computer")
		return text
	}
	if text := warning(""); !strings.Contains(text, "SKY_OWNER") || !strings.Contains(text, "SKY_SSH_PRIVATE_KEY") {
		t.Errorf("without both: %q", text)
	}
	if text := warning("owner = \"team\""); strings.Contains(text, "SKY_OWNER") || !strings.Contains(text, "log in to the machines") {
		t.Errorf("without a key: %q", text)
	}
	if text := warning("owner = \"team\"\nssh_private_key = <<-EOT\n" + newKey(t) + "EOT\n"); text != "" {
		t.Errorf("with both: %q", text)
	}
	r.write("", "")
}

// TestAccKeyTextIsChecked refuses what could not be used at apply, and shows
// nothing of it.
func TestAccKeyTextIsChecked(t *testing.T) {
	t.Parallel()
	r := newRunners(t)
	r.write("ssh_private_key = \"nonsense-canary\"", plain)
	if code, out := r.output("plan", "-no-color"); code == 0 || !strings.Contains(out, "ssh_private_key") || strings.Contains(out, "is no file") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	r.write("", plain)
	if code, out := r.outputWith([]string{"SKY_SSH_PRIVATE_KEY=canary-nonsense"}, "plan", "-no-color"); code == 0 || !strings.Contains(out, "Invalid SKY_SSH_PRIVATE_KEY") || strings.Contains(out, "canary") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if code, out := r.outputWith([]string{"SKY_SSH_PRIVATE_KEY=" + string(pem.EncodeToMemory(locked))}, "plan", "-no-color"); code == 0 || !strings.Contains(out, "passphrase") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	r.write("", "")
}

// TestAccEphemeralKey gives the key as an ephemeral variable: it is in no state
// and in no plan.
func TestAccEphemeralKey(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	r := newRunners(t, "SKY_OWNER=team-weather", "TF_VAR_key="+key)
	ephemeral := "\n  ephemeral = true"
	if !writeOnly(t, r.cli) { // a CLI older than ephemeral values
		ephemeral = "\n  sensitive = true"
	}
	r.write("ssh_private_key = var.key", "variable \"key\" {"+ephemeral+"\n}\n"+strings.Replace(plain, "plain", "ephemeral", 1)+`
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "j"
  run        = "echo in"
}
`)
	r.mustRun("plan", "-out=plan", "-no-color")
	if err := os.Remove(filepath.Join(r.dir, "plan")); err != nil {
		t.Fatal(err)
	}
	r.apply()
	r.unchanged()
	if ephemeral == "\n  ephemeral = true" {
		wantNowhere(t, strings.Split(key, "\n")[2], append(r.homes, r.dir, r.lab.dir)...)
	}
}

// TestAccReplaceElsewhere plans a replacement that creates first, without a
// refresh, and applies the plan on another computer.
func TestAccReplaceElsewhere(t *testing.T) {
	t.Parallel()
	r := newRunners(t, "SKY_OWNER=team-weather", "SKY_SSH_PRIVATE_KEY="+newKey(t))
	with := func(kind, more string) {
		r.write("", fmt.Sprintf(`
resource "sky_cluster" "c" {
  name      = "first"
  resources = { instance_type = %q }
%s
  lifecycle {
    create_before_destroy = true
  }
}
`, kind, more))
	}
	with("puff-2", "")
	r.apply()
	old := r.only()
	with("puff-4", "")
	r.mustRun("plan", "-refresh=false", "-out=plan", "-no-color")
	if code, out := r.output("apply", "-no-color", "plan"); code == 0 || !strings.Contains(out, "create_before_destroy") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if r.only() != old {
		t.Error("the machine is another one")
	}
	with("puff-4", "  create_before_destroy = true")
	r.mustRun("plan", "-refresh=false", "-out=plan", "-no-color")
	r.mustRun("apply", "-no-color", "plan")
	if err := os.Remove(filepath.Join(r.dir, "plan")); err != nil {
		t.Error(err)
	}
	if r.only() == old {
		t.Error("the machine is the old one")
	}
	r.unchanged()
}

// TestAccReplaceWithoutRefresh is the same on one computer, where nothing has to
// be written for it.
func TestAccReplaceWithoutRefresh(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, "resource \"sky_cluster\" \"c\" {\n  name = \"first\"\n  resources = { instance_type = \"puff-2\" }\n  lifecycle { create_before_destroy = true }\n}\n")
	w.mustRun("apply", "-auto-approve", "-no-color")
	old := w.only()
	w.rewrite("puff-2", "puff-4")
	w.mustRun("plan", "-refresh=false", "-out=plan", "-no-color")
	w.mustRun("apply", "-no-color", "plan")
	if w.only() == old {
		t.Error("the machine is the old one")
	}
}

// TestAccOtherHome restores a state folder under another HOME, and grows a
// cluster with its old key in a state folder that is new.
func TestAccOtherHome(t *testing.T) {
	t.Parallel()
	r := newRunners(t, "SKY_OWNER=team-weather")
	with := func(nodes int) {
		r.write("", fmt.Sprintf("resource \"sky_cluster\" \"c\" {\n  name = \"moved\"\n  num_nodes = %d\n  resources = { instance_type = \"puff-2\" }\n  setup = \"true # %d\"\n}\n", nodes, nodes))
	}
	with(1)
	r.apply()
	folder := filepath.Join(r.homes[len(r.homes)-2], ".terraform-provider-sky")
	moved := filepath.Join(t.TempDir(), "home", ".terraform-provider-sky")
	if err := os.MkdirAll(filepath.Dir(moved), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(folder, moved); err != nil {
		t.Fatal(err)
	}
	home := []string{"HOME=" + filepath.Dir(moved), "SKY_STATE_DIR="}
	with(2)
	if code, out := r.outputWith(home, "apply", "-auto-approve", "-no-color"); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	r.unchanged()
	// The key alone, under a new state folder, as the path in state has it.
	fresh := filepath.Join(t.TempDir(), "fresh")
	with(3)
	if code, out := r.outputWith([]string{home[0], "SKY_STATE_DIR=" + fresh}, "apply", "-auto-approve", "-no-color"); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	if made, err := filepath.Glob(filepath.Join(fresh, "clusters", "*", "*", "id_ed25519")); err != nil || len(made) > 0 {
		t.Errorf("another key was made: %q, %v", made, err)
	}
	with(2) // without any key: nodes can be taken away, but none can be added
	if code, out := r.output("apply", "-auto-approve", "-no-color"); code == 0 || !strings.Contains(out, "SKY_SSH_PRIVATE_KEY") && !strings.Contains(out, "cannot be read") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// writeOnly reports whether the CLI has write-only attributes, from 1.11 on.
func writeOnly(t *testing.T, cli string) bool {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), cli, "version", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Version string `json:"terraform_version"`
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return !slices.Contains([]string{"1.8", "1.9", "1.10"}, v.Version[:strings.LastIndexByte(v.Version, '.')])
}
