// SPDX-License-Identifier: MPL-2.0

package job_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/job"
)

const untilGo = "while [ ! -e ~/go ]; do sleep 0.1; done"

// letGo ends the jobs that run untilGo.
func (f *fleet) letGo(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.nodes[0].Home, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// waits checks that a job is in the queue for as long as it takes one to start.
func (f *fleet) waits(t *testing.T, id job.ID) {
	t.Helper()
	end := time.Now().Add(f.brief)
	for now := range time.Tick(50 * time.Millisecond) {
		if s, err := f.runner.Status(t.Context(), id); err != nil || s.Phase != job.Pending {
			t.Fatalf("%+v, %v, want it to wait for the job before it", s, err)
		}
		if now.After(end) {
			return
		}
	}
}

// The number of an ended job's ticket may be another's by now, which keeps it
// whatever is done to the ended one.
func TestCancelOfAnEndedJobLeavesTheQueueAlone(t *testing.T) {
	t.Parallel()
	f := sshFleet(t, 1)
	first := f.submit(t, job.Spec{Name: "first", Run: "true"})
	f.wait(t, first)
	second := f.submit(t, job.Spec{Name: "second", Run: untilGo})
	f.phase(t, second, job.Running)
	if err := f.runner.Cancel(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	third := f.submit(t, job.Spec{Name: "third", Run: "true"})
	f.waits(t, third)
	f.letGo(t)
	for _, id := range []job.ID{second, third} {
		if s, _ := f.wait(t, id); s.Phase != job.Succeeded {
			t.Errorf("%+v", s)
		}
	}
}

// A claim that a reboot cut off between its ticket and the job's folder leaves
// the ticket: the job does not wait for itself.
func TestTicketOfAClaimThatWasCutOff(t *testing.T) {
	t.Parallel()
	spec := job.Spec{Name: "claimed twice", Run: "true"}
	other, f := sshFleet(t, 1), sshFleet(t, 1)
	id := other.submit(t, spec)
	other.wait(t, id)
	f.spec.Generation = other.spec.Generation // the id is that of the job below
	f.runner = f.newRunner(t)
	queue := filepath.Join(f.nodes[0].Home, ".sky/queue")
	if err := os.MkdirAll(queue, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(queue, "1"), []byte(id+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, _ := f.run(t, spec); s.Phase != job.Succeeded {
		t.Errorf("%+v", s)
	}
	if left, _ := filepath.Glob(filepath.Join(queue, "*")); len(left) != 0 {
		t.Errorf("tickets left: %q", left)
	}
}

// A job that was claimed and left alone may be passed by others. When its client
// comes back it queues again, and does not run beside them.
func TestClaimThatWasPassedQueuesAgain(t *testing.T) {
	t.Parallel()
	f := sshFleet(t, 1)
	blocker := f.submit(t, job.Spec{Name: "blocker", Run: "sleep 1000"})
	f.phase(t, blocker, job.Running)
	spec := job.Spec{Name: "left alone", Run: "true"}
	alone := f.submit(t, spec)
	f.phase(t, alone, job.Pending)
	f.nodes[0].KillAll() // as if it had never come to a start
	for _, name := range []string{"started", "events", "phase"} {
		if err := os.Remove(f.jobFile(0, alone, name)); err != nil {
			t.Fatal(err)
		}
	}
	number, err := os.ReadFile(f.jobFile(0, alone, "ticket"))
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(f.nodes[0].Home, ".sky/queue", strings.TrimSpace(string(number))), old, old); err != nil {
		t.Fatal(err)
	}
	passing := f.submit(t, job.Spec{Name: "passing", Run: untilGo})
	f.phase(t, passing, job.Running)
	if again := f.submit(t, spec); again != alone {
		t.Fatalf("it has become %s", again)
	}
	f.waits(t, alone)
	f.letGo(t)
	for _, id := range []job.ID{passing, alone} {
		if s, _ := f.wait(t, id); s.Phase != job.Succeeded {
			t.Errorf("%+v", s)
		}
	}
}

// What a reboot cut off while a claim was staged holds an environment, with
// secrets perhaps; the next claim removes it.
func TestStageOfAClaimThatWasCutOffGoes(t *testing.T) {
	t.Parallel()
	f := sshFleet(t, 1)
	jobs := filepath.Join(f.nodes[0].Home, ".sky/jobs")
	old, fresh := filepath.Join(jobs, ".0123456789abcdef01234567.OLD"), filepath.Join(jobs, ".0123456789abcdef01234567.NEW")
	for _, dir := range []string{old, fresh} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "env"), []byte("TOKEN=canary"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, before, before); err != nil {
		t.Fatal(err)
	}
	f.run(t, job.Spec{Name: "next", Run: "true"})
	left, _ := filepath.Glob(filepath.Join(jobs, ".*"))
	if len(left) != 1 || left[0] != fresh {
		t.Errorf("staged claims left: %q, want %s alone, which may be under way", left, fresh)
	}
}

// A job whose leader alone was killed is UNKNOWN, and its work runs on: the next
// job does not start beside it.
func TestWorkWithoutItsLeaderHoldsTheQueue(t *testing.T) {
	t.Parallel()
	f := sshFleet(t, 1)
	orphan := f.submit(t, job.Spec{Name: "orphan", Run: "touch ~/works; " + untilGo})
	eventually(t, "it works", func() bool { _, err := os.Stat(filepath.Join(f.nodes[0].Home, "works")); return err == nil })
	f.killLeader(t, orphan)
	f.phase(t, orphan, job.Unknown)
	next := f.submit(t, job.Spec{Name: "next", Run: "true"})
	f.phase(t, next, job.Pending)
	f.waits(t, next)
	f.letGo(t)
	if s, _ := f.wait(t, next); s.Phase != job.Succeeded {
		t.Errorf("%+v", s)
	}
	f.phase(t, orphan, job.Unknown) // nobody has seen how it ended
}

// killLeader ends the leader of a job and nothing else.
func (f *fleet) killLeader(t *testing.T, id job.ID) {
	t.Helper()
	started, err := os.ReadFile(f.jobFile(0, id, "started"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(started), "\npid=")
	text, _, _ := strings.Cut(rest, "\n")
	pid, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%q: %v", started, err)
	}
	leader, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
}
