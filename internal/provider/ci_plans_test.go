// SPDX-License-Identifier: MPL-2.0

//go:build ci && linux

package provider_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAccCIWholeLife is point 1 and point 2: every step of a cluster's life is on a
// computer of its own, and every one of them knows the machines' host keys.
func TestAccCIWholeLife(t *testing.T) {
	t.Parallel()
	m := newTeam(t, ciCluster)
	if out := m.apply(); strings.Contains(out, "another computer") {
		t.Errorf("it warns of what works: %s", out)
	}
	m.settled()
	m.rewrite("num_nodes = 1", "num_nodes = 2")
	m.apply()
	m.rewrite("echo set up >>", "echo set up again >>")
	m.rewrite(`"puff-2" }`, `"puff-2", ports = ["8080"] }`)
	m.apply()
	if n := m.lines("setups"); n != 4 {
		t.Errorf("%d setups on two nodes, after a growth and a change", n)
	}
	m.settled()
	m.config["main.tf"] += `
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  num_nodes  = 2
  run        = "echo rank $SKYPILOT_NODE_RANK"
}
`
	m.apply()
	nodes, ok := m.state.of(t, "sky_cluster.c", "nodes").([]any)
	if !ok || len(nodes) != 2 {
		t.Fatalf("nodes in state: %v", nodes)
	}
	for _, machine := range m.alive() {
		key := machine.Tags["sky-host-key"]
		found := false
		for _, n := range nodes {
			node, _ := n.(map[string]any)
			found = found || node["host_key"] == key
		}
		if !strings.HasPrefix(key, "ssh-ed25519 AAAA") || !found {
			t.Errorf("the host key on %s is %q", machine.ID, key)
		}
	}
	for _, status := range []string{"STOPPED", "UP"} {
		m.rewrite("num_nodes = 2", "num_nodes = 2\n  desired_status = \""+status+"\"")
		m.apply()
		m.rewrite("\n  desired_status = \""+status+"\"", "")
	}
	m.computer().must("destroy", "-auto-approve")
	m.wantEmpty()
}

// TestAccCIWithoutSettings is the other half of point 1: without owner and key a
// plan says, once, what will not be possible elsewhere and what to set.
func TestAccCIWithoutSettings(t *testing.T) {
	t.Parallel()
	m := newTeam(t, ciCluster+strings.NewReplacer(`"c"`, `"d"`, `"ci"`, `"di"`).Replace(ciCluster))
	m.env = nil
	out := m.computer().must("plan")
	m.computer().says(out, "SKY_OWNER", "SKY_SSH_PRIVATE_KEY")
	if n := strings.Count(out, "may be on another computer"); n != 1 {
		t.Errorf("it warns %d times: %s", n, out)
	}
}

// TestAccCIHostKeys is point 2 for a machine that another one stands in for: what
// shows a wrong key is let in nowhere, and what has no key on record neither.
func TestAccCIHostKeys(t *testing.T) {
	t.Parallel()
	m := newTeam(t, ciCluster)
	m.apply()
	head := m.alive()[0]
	m.call("POST", "/v1/instances/"+head.ID+"/stop", nil, nil)
	m.waitFor("stopped")
	m.fault(`{"op":"boot","effect":{"boot":"wrong_host_key"}}`)()
	m.call("POST", "/v1/instances/"+head.ID+"/start", nil, nil)
	m.waitFor("running")
	m.noFaults()
	m.config["main.tf"] += `
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  run        = "echo started >> ~/starts"
  timeouts   = { create = "20s" }
}
`
	m.computer().refuses([]string{"host key"}, "apply", "-auto-approve")
	if n := m.lines("starts"); n != 0 {
		t.Errorf("%d starts on a machine with a wrong key", n)
	}
}

// TestAccCIPlansElsewhere is point 5: plans are applied on another computer and in
// another folder, also without a refresh and with create_before_destroy.
func TestAccCIPlansElsewhere(t *testing.T) {
	t.Parallel()
	m := newTeam(t, ciCluster+"\n")
	m.rewrite("setup     =", "workdir = \"src\"\n  create_before_destroy = true\n  lifecycle { create_before_destroy = true }\n  setup     =")
	m.config["src/data"] = "data\n"
	m.elsewhere()
	first := m.state.of(t, "sky_cluster.c", "generation")
	m.settled()
	m.rewrite(`"puff-2"`, `"puff-4"`)
	m.elsewhere("-refresh=false")
	if m.state.of(t, "sky_cluster.c", "generation") == first || len(m.alive()) != 1 {
		t.Errorf("alive after create_before_destroy: %+v", m.alive())
	}
	m.settled()

	laptop := m.computer()
	laptop.must("plan")
	moved := m.computer()
	if err := os.CopyFS(moved.stateDir(), os.DirFS(laptop.stateDir())); err != nil {
		t.Fatal(err)
	}
	chmod(t, moved.stateDir())
	moved.must("plan", "-detailed-exitcode")
	m.elsewhere("-destroy")
	m.wantEmpty()
}

// elsewhere plans on one computer and applies on another one.
func (m *team) elsewhere(args ...string) {
	m.t.Helper()
	planner, applier := m.computer(), m.computer()
	planner.must(append([]string{"plan", "-out=plan"}, args...)...)
	text, err := os.ReadFile(filepath.Join(planner.dir, "plan"))
	if err != nil {
		m.t.Fatal(err)
	}
	writeFile(m.t, filepath.Join(applier.dir, "plan"), string(text))
	applier.must("apply", "plan")
}

// chmod gives a folder that was copied the modes of the original.
func chmod(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAccCIUnknownValues is point 6: what is known at apply only changes a cluster
// that is there, and a bound can be computed from a price.
func TestAccCIUnknownValues(t *testing.T) {
	t.Parallel()
	m := newTeam(t, `
variable "n" { default = 1 }
resource "terraform_data" "n" { input = var.n }
data "sky_catalog_offer" "o" { instance_type = "puff-2" }
`+ciCluster)
	m.rewrite("num_nodes = 1", "num_nodes = terraform_data.n.output")
	m.rewrite(`{ instance_type = "puff-2" }
  setup`, `{ instance_type = "puff-2", max_hourly_cost = data.sky_catalog_offer.o.hourly_cost * 2 }
  setup`)
	m.apply()
	m.apply("-var=n=2")
	if n := len(m.alive()); n != 2 {
		t.Errorf("%d machines are alive", n)
	}
	m.computer().must("plan", "-detailed-exitcode", "-var=n=2")
}

// TestAccCIDigests is point 7 and point 10: the same content is the same whatever
// the checkout's modes and times, and what removes needs no local files.
func TestAccCIDigests(t *testing.T) {
	t.Parallel()
	m := newTeam(t, ciCluster+ciJob)
	m.rewrite("cluster_id = ", "workdir = \"src\"\n  cluster_id = ")
	m.config["src/train.py"] = "print()\n"
	m.apply()
	id := m.state.of(t, "sky_job.j", "id")
	under002 := m.computer()
	under002.checkout()
	for path, mode := range map[string]os.FileMode{"src": 0o775, "src/train.py": 0o664} {
		if err := os.Chmod(filepath.Join(under002.dir, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	if out := under002.must("plan"); strings.Contains(out, "replaced") {
		t.Errorf("other modes run the job anew: %s", out)
	}
	m.config["src/train.py"] = "print(1)\n"
	m.apply()
	if m.state.of(t, "sky_job.j", "id") == id {
		t.Error("other content does not run the job anew")
	}
	delete(m.config, "src/train.py")
	for _, args := range [][]string{{"validate"}, {"plan", "-refresh-only"}, {"plan", "-destroy"}, {"destroy", "-auto-approve"}} {
		m.computer().must(args...)
	}
	m.wantEmpty()
}

// TestAccCISmallThings is point 11.
func TestAccCISmallThings(t *testing.T) {
	t.Parallel()
	m := newTeam(t, strings.Replace(ciCluster, `{ instance_type = "puff-2" }`, `{ any_of = [{ instance_type = "puff-2" }, null] }`, 1))
	m.computer().refuses([]string{"any_of"}, "validate", "-no-color")
	m.config["main.tf"] = strings.Replace(m.config["main.tf"], ", null", "", 1)
	m.config["mock.tftest.hcl"] = "mock_provider \"sky\" {}\nrun \"mocked\" {\n  command = apply\n  assert {\n    condition     = sky_cluster.c.name == \"ci\"\n    error_message = \"no cluster\"\n  }\n}\n"
	var out bytes.Buffer
	if err := m.computer().start(&out, "test", "-no-color").Wait(); err != nil {
		t.Errorf("terraform test with a bare mock: %v\n%s", err, out.String())
	}
}

// TestAccCISSH is point 2 for people's own tools: on any computer the way to a node
// comes with its host key, and Terraform's own SSH client logs in and checks it.
func TestAccCISSH(t *testing.T) {
	t.Parallel()
	m := newTeam(t, ciCluster)
	m.apply()
	m.config["main.tf"] += `
ephemeral "sky_cluster_ssh" "n" {
  cluster_id = sky_cluster.c.id
}
resource "terraform_data" "probe" {
  connection {
    host        = ephemeral.sky_cluster_ssh.n.host
    port        = ephemeral.sky_cluster_ssh.n.port
    user        = ephemeral.sky_cluster_ssh.n.user
    host_key    = ephemeral.sky_cluster_ssh.n.host_key
    private_key = ephemeral.sky_cluster_ssh.n.private_key
  }
  provisioner "remote-exec" {
    inline = ["echo reached >> ~/reached"]
  }
}
`
	if !writeOnly(t, m.cli) { // a CLI older than ephemeral resources, too
		var out bytes.Buffer
		p := m.computer()
		p.checkout()
		if err := p.command(&out, "init", "-no-color").Run(); err == nil || !strings.Contains(out.String(), `"ephemeral" are not expected here`) {
			t.Errorf("init: %v\n%s", err, out.String())
		}
		m.config["main.tf"], _, _ = strings.Cut(m.config["main.tf"], "\nephemeral ")
		return
	}
	m.apply()
	if n := m.lines("reached"); n != 1 {
		t.Errorf("reached %d times", n)
	}
}
