// SPDX-License-Identifier: MPL-2.0

package job_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/job"
)

// testOldJobsArePruned keeps the logs of the last two jobs: the others keep
// their records alone, are never run again, and say that their logs are gone.
func testOldJobsArePruned(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	o := f.options()
	o.Keep = 2
	r, err := job.New(f.spec, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f.runner = r
	running := f.submit(t, f.beside(9, job.Spec{Name: "running", Run: "while [ ! -e ~/go ]; do sleep 0.1; done; echo through"}))
	f.phase(t, running, job.Running)
	spec := func(i int) job.Spec {
		run := fmt.Sprintf(`echo %[1]d >>~/starts; echo said; while [ ! -e ~/end.%[1]d ]; do sleep 0.1; done; exit %[1]d`, i)
		return f.beside(9, job.Spec{Name: fmt.Sprint("job", i), Run: run})
	}
	var ids []job.ID
	for i := range 5 {
		id := f.submit(t, spec(i))
		// A rank that fails ends the other, which must have begun by then.
		for _, n := range f.nodes {
			eventually(t, "the rank has begun", func() bool {
				text, _ := os.ReadFile(filepath.Join(n.Home, "starts"))
				return strings.Contains(string(text), fmt.Sprintln(i))
			})
		}
		for _, n := range f.nodes {
			if err := os.WriteFile(filepath.Join(n.Home, fmt.Sprint("end.", i)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f.wait(t, id)
		f.endedAt(t, id, time.Now().Add(time.Duration(i-60)*time.Minute))
		if ids = append(ids, id); i == 0 {
			if err := r.Remove(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The last claim came before the last job's end: one more than two are whole.
	for i, id := range ids {
		var log bytes.Buffer
		_, err := r.Logs(t.Context(), id, job.Merged, 0, &log)
		if pruned := i < 2; errors.Is(err, job.ErrPruned) != pruned || !pruned && (err != nil || !strings.Contains(log.String(), "said")) {
			t.Errorf("the log of job %d: %q, %v", i, log.String(), err)
		}
		if _, _, err := r.Tail(t.Context(), id, 0, 100, &log); errors.Is(err, job.ErrPruned) != (i < 2) {
			t.Errorf("the end of the log of job %d: %v", i, err)
		}
		if s, err := r.Status(t.Context(), id); err != nil || code(s) != fmt.Sprint(i) || len(s.ExitCodes) != 2 || s.StartedAt == "" {
			t.Errorf("the status of job %d: %+v, %v", i, s, err)
		}
		if i == 0 { // that it was removed is on record longer than its log
			if _, err := os.Stat(f.jobFile(0, id, "removed")); err != nil {
				t.Error(err)
			}
		} else if again := f.submit(t, spec(i)); again != id {
			t.Errorf("job %d has become %s", i, again)
		}
		if err := r.Cancel(t.Context(), id); err != nil {
			t.Errorf("cancelling ended job %d: %v", i, err)
		}
		if s, err := r.Status(t.Context(), id); err != nil || code(s) != fmt.Sprint(i) {
			t.Errorf("the status of job %d after Cancel: %+v, %v", i, s, err)
		}
	}
	starts, err := os.ReadFile(filepath.Join(f.nodes[0].Home, "starts"))
	if err != nil || string(starts) != "0\n1\n2\n3\n4\n" {
		t.Errorf("starts %q, %v", starts, err)
	}
	left, _ := filepath.Glob(f.jobFile(0, ids[0], "*"))
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	if !slices.Equal(left, []string{"digest", "exit", "fetched", "removed", "runner.sh", "running", "started", "submitted"}) {
		t.Errorf("a pruned job keeps %q on the head", left)
	}
	for i, id := range ids {
		if _, err := os.Stat(f.jobFile(1, id, "")); errors.Is(err, os.ErrNotExist) != (i < 2) {
			t.Errorf("the folder of job %d on the other node: %v", i, err)
		}
	}
	for _, n := range f.nodes {
		if err := os.WriteFile(filepath.Join(n.Home, "go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, log := f.wait(t, running); s.Phase != job.Succeeded || strings.Count(log, "through") != 2 {
		t.Errorf("the job that ran all along: %+v, %q", s, log)
	}
	f.idle(t)
}

// endedAt moves the end of a job on two nodes, since busybox tells ends apart by
// the second only.
func (f *fleet) endedAt(t *testing.T, id job.ID, at time.Time) {
	t.Helper()
	for node, end := range []string{"exit", "ended"} {
		eventually(t, end+" is written", func() bool { return os.Chtimes(f.jobFile(node, id, end), at, at) == nil })
	}
}

// testPhasesKeepTheirOrder looks at a job as often as it can: no status ever
// comes before one that was seen already.
func testPhasesKeepTheirOrder(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	order := []job.Phase{job.Init, job.Pending, job.SettingUp, job.Running, job.FailedDriver, job.Succeeded, job.Failed, job.FailedSetup, job.Cancelled}
	go func() { // the queue holds it in PENDING for a moment
		_, _ = f.newRunner(t).Submit(t.Context(), job.Spec{Name: "first", Run: "sleep 0.5"})
	}()
	id := f.submit(t, job.Spec{Name: "phases", Setup: "sleep 0.5", Run: "sleep 0.5"})
	var seen []job.Phase
	eventually(t, "it has ended", func() bool {
		s, err := f.runner.Status(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if len(seen) == 0 || seen[len(seen)-1] != s.Phase {
			seen = append(seen, s.Phase)
		}
		return s.Phase.Over()
	})
	if !slices.IsSortedFunc(seen, func(a, b job.Phase) int { return slices.Index(order, a) - slices.Index(order, b) }) ||
		!slices.Contains(seen, job.SettingUp) || !slices.Contains(seen, job.Running) {
		t.Errorf("seen %q", seen)
	}
}
