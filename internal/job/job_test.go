// SPDX-License-Identifier: MPL-2.0

package job_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

func TestMain(m *testing.M) { remotetest.Main(m) }

// fleet is a cluster of test machines with a runner for it.
type fleet struct {
	nodes  []*node
	spec   cluster.Cluster
	runner *job.Runner
	signer ssh.Signer
	brief  time.Duration // long enough for a job to start
	cuts   int           // how many times a test breaks a submission
}

// beside is a job of which so many may run at once.
func (f *fleet) beside(jobs int, s job.Spec) job.Spec {
	s.Parallel = jobs
	if f.spec.Runtime == cluster.RuntimeRay {
		s.Resources = &job.Resources{CPUs: rayCPUs / float64(jobs)}
	}
	return s
}

// rayCPUs is how many CPUs the nodes of Ray offer.
const rayCPUs = 4

// node is a machine of any kind. Host is where the other nodes reach it.
type node struct {
	Host, Home string
	machine
}

// machine is what tests do to a machine.
type machine interface {
	Processes() []string // of jobs
	KillAll()            // all that runs on it ends
	Close()              // it is gone
	Drop()               // connections break
	Down()               // it does not answer
	Up()
	Set(b remotetest.Behaviour)
}

// sshFleet is a fleet of the ssh runtime, in this process.
func sshFleet(t testing.TB, n int) *fleet {
	t.Helper()
	// The nodes of all tests are on one machine, where a runner finds the processes of
	// a job by its id. As with real clusters, no two fleets have a generation in common.
	f := &fleet{spec: cluster.Cluster{Name: "test", Cloud: "fluffycloud", Region: "meadow-1", Zone: "meadow-1a", Generation: rand.Text(), Accelerators: "A100:0.5", SSHUser: remotetest.User}}
	var user ssh.Signer
	for rank := range n {
		n := remotetest.NewNode(t, remotetest.Behaviour{})
		if rank == 0 {
			user = n.Signer()
		} else {
			n.Trust(user)
		}
		f.nodes = append(f.nodes, &node{Host: n.Host, Home: n.Home, machine: n})
		f.spec.Nodes = append(f.spec.Nodes, cluster.Node{Rank: rank, ExternalIP: n.Host, SSHPort: n.Port, HostKey: n.HostKey, InternalIP: n.Host})
	}
	f.signer, f.cuts, f.brief = user, 24, time.Second
	f.runner = f.newRunner(t)
	return f
}

// options are those of the fleet's runners. Nodes with Ray are reached through a
// network that may fail, and reach each other without it.
func (f *fleet) options() job.Options {
	o := job.Options{Signers: []ssh.Signer{f.signer}}
	if f.spec.Runtime == cluster.RuntimeRay {
		o.InternalPort = 22
	}
	return o
}

func (f *fleet) newRunner(t testing.TB) *job.Runner {
	t.Helper()
	r, err := job.New(f.spec, f.options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// run submits a job and waits for its end.
func (f *fleet) run(t testing.TB, spec job.Spec) (job.Status, string) {
	t.Helper()
	id, err := f.runner.Submit(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return f.wait(t, id)
}

func (f *fleet) wait(t testing.TB, id job.ID) (job.Status, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var log bytes.Buffer
	status, err := f.runner.Wait(ctx, id, &log)
	if err != nil {
		t.Fatalf("Wait = %v after %+v, log %q%s", err, status, log.String(), f.diagnose(id))
	}
	return status, log.String()
}

// diagnose gathers what the runner said, for a test that failed.
func (f *fleet) diagnose(id job.ID) string {
	var b strings.Builder
	for _, n := range f.nodes {
		data, _ := os.ReadFile(filepath.Join(n.Home, ".sky/jobs", string(id), "runner.log"))
		fmt.Fprintf(&b, "\nrunner.log: %s\nprocesses: %q", data, n.Processes())
	}
	return b.String()
}

func (f *fleet) idle(t testing.TB) {
	t.Helper()
	for rank, n := range f.nodes {
		deadline := time.Now().Add(patience)
		for now := range time.Tick(20 * time.Millisecond) {
			left := n.Processes()
			if len(left) == 0 {
				break
			}
			if now.After(deadline) {
				t.Fatalf("rank %d still runs %q", rank, left)
			}
		}
	}
}

// patience only ends a broken test: Ray on a busy machine takes a minute to begin.
const patience = 4 * time.Minute

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for now := range time.Tick(20 * time.Millisecond) {
		if f() {
			return
		}
		if now.After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func code(s job.Status) string {
	if s.ExitCode == nil {
		return "none"
	}
	return fmt.Sprint(*s.ExitCode)
}

func testJobOnOneNode(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	tests := []struct {
		name  string
		spec  job.Spec
		phase job.Phase
		code  string
		log   string
	}{
		{"success", job.Spec{Run: "echo hello; echo err >&2"}, job.Succeeded, "0", "hello\nerr\n"},
		{"failure", job.Spec{Run: "echo before\nexit 7"}, job.Failed, "7", "before\n"},
		{"signal", job.Spec{Run: "kill -SEGV $$"}, job.Failed, "139", ""},
		{"bash where there is bash", job.Spec{Run: `if command -v bash >/dev/null && [ -z "${BASH_VERSION:-}" ]; then echo "not bash"; fi`}, job.Succeeded, "0", ""},
		{"interpreter", job.Spec{Run: "#! /usr/bin/env -u NONE cat\nthis line"}, job.Succeeded, "0", "#! /usr/bin/env -u NONE cat\nthis line\n"},
		{"envs", job.Spec{Run: `printf '%s|%s|%s\n' "$id" "$dir" "$A"`, Envs: map[string]string{"id": "x", "dir": "it's", "A": "two\nlines $(x)"}}, job.Succeeded, "0", "x|it's|two\nlines $(x)\n"},
		{"setup", job.Spec{Setup: "echo setup", Run: "echo run"}, job.Succeeded, "0", "setup\nrun\n"},
		{"setup fails", job.Spec{Setup: "exit 3", Run: "echo run"}, job.FailedSetup, "3", ""},
		{"no newline at the end", job.Spec{Run: "printf ünï"}, job.Succeeded, "0", "ünï"},
		{"stdin is empty", job.Spec{Run: "cat; echo end"}, job.Succeeded, "0", "end\n"},
		{"leftovers die", job.Spec{Run: "sleep 1000 & setsid sleep 1000 & echo done"}, job.Succeeded, "0", "done\n"},
		{"too long", job.Spec{Run: "echo x; sleep 1000", MaxDuration: f.brief, Grace: time.Second}, job.Failed, "none", "x\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.Name = tt.name
			status, log := f.run(t, tt.spec)
			if status.Phase != tt.phase || code(status) != tt.code || log != tt.log {
				t.Errorf("%+v, code %s, log %q; want %s, %s, %q", status, code(status), log, tt.phase, tt.code, tt.log)
			}
			for _, at := range []string{status.SubmittedAt, status.EndedAt} {
				if _, err := time.Parse(time.RFC3339, at); err != nil {
					t.Error(err)
				}
			}
			f.idle(t)
		})
	}
}

func testGang(t *testing.T, newFleet fleets) {
	f := newFleet(t, 3)
	status, log := f.run(t, job.Spec{Name: "env", Run: `echo "$SKYPILOT_NODE_RANK of $SKYPILOT_NUM_NODES, $SKYPILOT_NUM_GPUS_PER_NODE, $(echo "$SKYPILOT_NODE_IPS" | sed -n "$((SKYPILOT_NODE_RANK + 1))p"), $SKYPILOT_CLUSTER_INFO, ${SKYPILOT_TASK_ID%%-*}"`})
	if status.Phase != job.Succeeded || len(status.ExitCodes) != 3 {
		t.Fatalf("%+v", status)
	}
	for rank, n := range f.nodes {
		want := fmt.Sprintf(`(rank %d) %d of 3, 1, %s, {"cluster_name":"test","cloud":"fluffycloud","region":"meadow-1","zone":"meadow-1a"}, sky`+"\n", rank, rank, n.Host)
		if !strings.Contains(log, want) {
			t.Errorf("log %q lacks %q", log, want)
		}
	}
	f.idle(t)
}

func testGangDiesTogether(t *testing.T, newFleet fleets) {
	f := newFleet(t, 3)
	spec := job.Spec{Name: "die", Grace: time.Second, Run: `
trap '' TERM
if [ "$SKYPILOT_NODE_RANK" = 1 ]; then sleep 0.5; exit 42; fi
(setsid sleep 1000 &) ; sleep 1000 & sleep 1000; sleep 1000`}
	status, _ := f.run(t, spec)
	if status.Phase != job.Failed || code(status) != "42" || status.FailedRank != 1 || !strings.Contains(status.Reason, "rank 1") {
		t.Errorf("%+v, code %s", status, code(status))
	}
	if fmt.Sprint(status.ExitCodes) != "map[0:137 1:42 2:137]" {
		t.Errorf("exit codes %v", status.ExitCodes)
	}
	f.idle(t)
}

func testAllRanksStartOrNone(t *testing.T, newFleet fleets) {
	f := newFleet(t, 3)
	t.Run("setup fails on one", func(t *testing.T) {
		status, log := f.run(t, job.Spec{Name: "none", Setup: `[ "$SKYPILOT_NODE_RANK" != 2 ]`, Run: "echo started"})
		if status.Phase != job.FailedSetup || status.FailedRank != 2 || strings.Contains(log, "started") {
			t.Errorf("%+v, log %q", status, log)
		}
	})
	f.idle(t)
}

// TestOneRankCannotBeReached is a node that the head is not let in to any more.
func TestOneRankCannotBeReached(t *testing.T) {
	t.Parallel()
	f := sshFleet(t, 3)
	id, err := f.runner.Submit(t.Context(), job.Spec{Name: "blocker", Run: "while [ ! -e ~/go ]; do sleep 0.1; done"})
	if err != nil {
		t.Fatal(err)
	}
	next, err := f.runner.Submit(t.Context(), job.Spec{Name: "next", Run: "echo started"})
	if err != nil {
		t.Fatal(err)
	}
	// The head's key is taken away before the second job's turn; the first one has its line.
	eventually(t, "the first job runs", func() bool {
		s, err := f.runner.Status(t.Context(), id)
		return err == nil && s.Phase == job.Running
	})
	if err := os.WriteFile(filepath.Join(f.nodes[2].Home, ".ssh/authorized_keys"), ssh.MarshalAuthorizedKey(f.signer.PublicKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, n := range f.nodes {
		if err := os.WriteFile(filepath.Join(n.Home, "go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, _ := f.wait(t, id); s.Phase != job.Succeeded {
		t.Errorf("blocker: %+v", s)
	}
	status, log := f.wait(t, next)
	if status.Phase != job.FailedDriver || status.FailedRank != 2 || strings.Contains(log, ") started") {
		t.Errorf("%+v, log %q", status, log)
	}
	f.idle(t)
}

func testCancel(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	id, err := f.runner.Submit(t.Context(), job.Spec{Name: "long", Grace: time.Second, Run: `trap '' TERM; setsid sleep 1000 & sleep 1000; sleep 1000`})
	if err != nil {
		t.Fatal(err)
	}
	queued, err := f.runner.Submit(t.Context(), job.Spec{Name: "queued", Run: "echo never"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the job runs", func() bool {
		s, err := f.runner.Status(t.Context(), id)
		return err == nil && s.Phase == job.Running
	})
	if s, err := f.runner.Status(t.Context(), queued); err != nil || s.Phase != job.Pending {
		t.Errorf("queued job: %+v, %v", s, err)
	}
	for _, id := range []job.ID{queued, id, id} {
		if err := f.runner.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if s, err := f.runner.Status(t.Context(), id); err != nil || s.Phase != job.Cancelled {
			t.Errorf("after Cancel: %+v, %v", s, err)
		}
	}
	for rank, n := range f.nodes {
		if p := n.Processes(); len(p) > 0 { // at once: Cancel has confirmed it
			eventually(t, fmt.Sprintf("rank %d: only closing sessions are left: %q", rank, p), func() bool { return len(n.Processes()) == 0 })
		}
	}
	if err := f.runner.Cancel(t.Context(), "0123456789abcdef01234567"); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("Cancel of nothing = %v, want ErrNotFound", err)
	}
}

func testSubmitIsIdempotent(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	spec := job.Spec{Name: "once", Run: `echo x >>~/starts; sleep 0.5`}
	ids := make([]job.ID, 6)
	var all sync.WaitGroup
	for i := range ids {
		r := f.newRunner(t)
		all.Go(func() {
			var err error
			if ids[i], err = r.Submit(t.Context(), spec); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	f.wait(t, ids[0])
	for range 2 {
		if id, err := f.runner.Submit(t.Context(), spec); err != nil || id != ids[0] {
			t.Errorf("Submit after the end = %s, %v, want %s", id, err, ids[0])
		}
	}
	f.wait(t, ids[0])
	for rank, n := range f.nodes {
		if data, err := os.ReadFile(filepath.Join(n.Home, "starts")); err != nil || string(data) != "x\n" {
			t.Errorf("rank %d: starts %q, %v, want one", rank, data, err)
		}
	}
	spec.RunID = "again"
	if s, _ := f.run(t, spec); s.Phase != job.Succeeded {
		t.Errorf("%+v", s)
	}
	if data, _ := os.ReadFile(filepath.Join(f.nodes[0].Home, "starts")); string(data) != "x\nx\n" {
		t.Errorf("starts %q, want two", data)
	}
}
