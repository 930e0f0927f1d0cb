// SPDX-License-Identifier: MPL-2.0

//go:build ci && linux

package provider_test

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

const ciCluster = `
resource "sky_cluster" "c" {
  name      = "ci"
  num_nodes = 1
  resources = { instance_type = "puff-2" }
  setup     = "echo set up >> ~/setups"
}
`

const ciJob = `
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  run        = "echo started >> ~/starts; until test -e ~/go; do sleep 0.2; done"
  wait       = false
}
`

// TestAccCIJobIsRemovedWhereItRuns is point 3: a job that one computer started is
// cancelled by another, runs again once, and again, and not a second time where a
// run was killed.
func TestAccCIJobIsRemovedWhereItRuns(t *testing.T) {
	t.Parallel()
	m := newTeam(t, ciCluster+ciJob)
	running := func() int { return len(processes(t, m.lab.dir, "SKY_JOB_MARK")) }
	m.apply()
	m.until("the job runs", func() bool { return m.lines("starts") == 1 && running() > 0 })
	m.apply("-replace=sky_job.j")
	m.until("its second run runs", func() bool { return m.lines("starts") == 2 })
	m.rewrite("wait       = false", "wait       = false\n  envs = {}\n  run_id = \"\"") // the same in other words
	m.apply("-replace=sky_job.j")
	m.until("its third run runs", func() bool { return m.lines("starts") == 3 })
	m.apply("-refresh-only")
	m.settled()

	m.computer().must("destroy", "-auto-approve", "-target=sky_job.j")
	if n := running(); n != 0 {
		t.Errorf("%d processes of a cancelled job run", n)
	}
	killed := m.computer()
	var out bytes.Buffer
	m.rewrite("wait       = false", "wait       = true")
	cmd := killed.start(&out, "apply", "-auto-approve", "-no-color")
	m.until("its fourth run runs", func() bool { return m.lines("starts") == 4 })
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	m.state.unlock()
	m.rewrite("wait       = true", "wait       = false")
	m.apply()
	m.apply("-refresh-only")
	if n := m.lines("starts"); n != 4 {
		t.Errorf("%d starts after a kill", n)
	}
	m.settled()
}

// TestAccCIJobWithoutTheKey is point 3 on a computer that cannot reach the cluster:
// the job stays in state for as long as the cluster does, and what is to be set is
// said; a destroy of both gets through.
func TestAccCIJobWithoutTheKey(t *testing.T) {
	t.Parallel()
	m := newTeam(t, ciCluster+ciJob)
	m.apply()
	owner := m.env[:1]
	m.env = owner
	for _, args := range [][]string{{"apply", "-auto-approve", "-replace=sky_job.j"}, {"destroy", "-auto-approve", "-target=sky_job.j"}} {
		m.computer().refuses([]string{"SKY_SSH_PRIVATE_KEY", "stays in state"}, args...)
		if got := m.state.of(t, "sky_job.j", "status"); got == nil {
			t.Errorf("after %v the job is lost", args)
		}
	}
	out := m.computer().must("destroy", "-auto-approve")
	m.computer().says(out, "was not cancelled in order")
}

// TestAccCIClusterReplacedElsewhere is point 9 for jobs: a computer that keeps its
// disk has an old journal; the cluster is replaced from another one, and jobs go to
// the new machines, whichever computer submits them.
func TestAccCIClusterReplacedElsewhere(t *testing.T) {
	t.Parallel()
	m := newTeam(t, ciCluster+ciJob)
	laptop := m.computer()
	laptop.must("apply", "-auto-approve")
	old := m.state.of(t, "sky_cluster.c", "generation")
	m.computer().must("apply", "-auto-approve", "-replace=sky_cluster.c", "-target=sky_cluster.c")
	if m.state.of(t, "sky_cluster.c", "generation") == old {
		t.Fatal("the cluster was not replaced")
	}
	out := laptop.must("plan")
	laptop.says(out, "sky_job.j must be replaced")
	laptop.must("apply", "-auto-approve")
	m.until("the job runs on the new machine", func() bool { return m.lines("starts") == 1 })
	m.apply("-refresh-only")
	if got, want := m.state.of(t, "sky_job.j", "cluster_generation"), m.state.of(t, "sky_cluster.c", "generation"); got != want {
		t.Errorf("the job is on %v, the cluster is %v", got, want)
	}
	m.settled()
}

// TestAccCIForgottenAlias is point 9 for owners: a job without its cluster's
// provider block is refused, though both share a computer.
func TestAccCIForgottenAlias(t *testing.T) {
	t.Parallel()
	m := newTeam(t, ciCluster+ciJob)
	m.rewrite("resource \"sky_cluster\"", `provider "sky" {
  alias           = "other"
  owner           = "another-team"
  enabled_clouds  = ["fluffycloud"]
  show_plan_table = false
}
resource "sky_cluster"`)
	m.rewrite("resource \"sky_job\" \"j\" {", "resource \"sky_job\" \"j\" {\n  provider = sky.other")
	m.computer().refuses([]string{"another-team", "owner"}, "apply", "-auto-approve")
	if n := m.lines("starts"); n != 0 {
		t.Errorf("%d starts", n)
	}
	m.rewrite("  provider = sky.other\n", "")
	m.apply()
}

// TestAccCILogs is point 1 for logs: any computer reads them, of a job that runs
// and of one that has ended.
func TestAccCILogs(t *testing.T) {
	t.Parallel()
	m := newTeam(t, ciCluster+ciJob+`
data "sky_job_logs" "j" {
  cluster_id = sky_cluster.c.id
  job_id     = sky_job.j.id
}
output "log" { value = data.sky_job_logs.j.content }
`)
	m.rewrite("echo started", "echo it prints; echo started")
	m.apply()
	m.until("the job runs", func() bool { return m.lines("starts") == 1 })
	m.apply()
	m.computer().says(m.computer().must("output", "-no-color"), "it prints")
	m.release()
	m.rewrite("wait       = false", "wait       = true")
	m.apply()
	if tail := fmt.Sprint(m.state.of(t, "sky_job.j", "log_tail")); !strings.Contains(tail, "it prints") {
		t.Errorf("log_tail %q", tail)
	}
	m.computer().says(m.computer().must("output", "-no-color"), "it prints")
	m.settled()
}

// release lets the jobs go on that wait for a file.
func (m *team) release() {
	m.t.Helper()
	for _, home := range m.homes() {
		writeFile(m.t, home+"/go", "")
	}
}
