// SPDX-License-Identifier: MPL-2.0

package job_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/job"
)

// starts counts what a job wrote on the head each time it ran.
func (f *fleet) starts(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.nodes[0].Home, "starts"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "x\n")
}

// testRemovedJobRunsAgain removes a job and submits it from several computers: it
// runs once more, once, and so on. The head alone keeps count, also where its log
// was pruned and where the same is written in other words.
func testRemovedJobRunsAgain(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	spec := job.Spec{Name: "again", Run: "echo x >>~/starts"}
	same := spec
	same.Envs, same.Parallel, same.NumNodes = map[string]string{}, 1, 1
	var seen []job.ID
	for run := range 3 {
		for _, s := range []job.Spec{spec, same} {
			id, err := f.newRunner(t).Submit(t.Context(), s) // as on a computer of its own
			if err != nil {
				t.Fatal(err)
			}
			f.wait(t, id)
			if len(seen) == run {
				seen = append(seen, id)
			}
			if id != seen[run] || f.starts(t) != run+1 {
				t.Errorf("run %d is job %s, job %s before; %d starts", run+1, id, seen[run], f.starts(t))
			}
		}
		for range 2 { // as where the answer was lost
			if err := f.newRunner(t).Remove(t.Context(), seen[run]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if seen[0] == seen[1] || seen[1] == seen[2] {
		t.Errorf("the runs are %q", seen)
	}
}

// testCountsOfOldVersions are kept: a version that counted on its own disk knows
// of two removed runs, and the head takes that over.
func testCountsOfOldVersions(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	spec := job.Spec{Name: "old", Run: "echo x >>~/starts"}
	second := spec
	second.RunID = "#2" // what that version submitted for the second run
	for _, s := range []job.Spec{spec, second} {
		f.run(t, s)
	}
	known := spec
	known.Removed = 2
	third := f.submit(t, known)
	f.wait(t, third)
	if n := f.starts(t); n != 3 {
		t.Errorf("%d starts, want a third", n)
	}
	if id := f.submit(t, spec); id != third {
		t.Errorf("a computer without that count submits job %s, not %s", id, third)
	}
}

// testReapWithoutTheHead ends what runs beside a head that does not answer.
func testReapWithoutTheHead(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	id := f.submit(t, job.Spec{Name: "reaped", Run: "sleep 1000"})
	f.phase(t, id, job.Running)
	eventually(t, "both ranks run", func() bool { return len(f.nodes[0].Processes()) > 0 && len(f.nodes[1].Processes()) > 0 })
	f.nodes[0].Down()
	defer f.nodes[0].Up()
	if err := f.runner.Reap(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if left := f.nodes[1].Processes(); slices.ContainsFunc(left, func(line string) bool { return strings.Contains(line, "sleep 1000") }) {
		t.Errorf("the other node still runs %q", left)
	}
	eventually(t, "the rank's own process ends, too", func() bool { return len(f.nodes[1].Processes()) == 0 })
}

// testPeekLeavesNoMark: a plan reads how a job ended and may forget it.
func testPeekLeavesNoMark(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	id := f.submit(t, job.Spec{Name: "peek", Run: "exit 3"})
	eventually(t, "it has ended", func() bool {
		s, err := f.runner.Peek(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return s.Phase == job.Failed && code(s) == "3"
	})
	if _, err := os.Stat(f.jobFile(0, id, "fetched")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the end counts as read: %v", err)
	}
	if _, err := f.runner.Status(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.jobFile(0, id, "fetched")); err != nil {
		t.Error(err)
	}
}
