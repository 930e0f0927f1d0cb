// SPDX-License-Identifier: MPL-2.0

//go:build linux

package job_test

import (
	"os"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

// forksOf is how many processes the head starts for a job, from its submission
// until its end has been read.
func forksOf(t *testing.T, ranks int, spec job.Spec) int {
	t.Helper()
	f := sshFleet(t, ranks)
	forks := &remotetest.Forks{}
	f.nodes[0].Set(remotetest.Behaviour{Forks: forks})
	id := f.submit(t, spec)
	eventually(t, "the job has ended", func() bool { // asking the head would count
		_, err := os.Stat(f.jobFile(0, id, "exit"))
		return err == nil
	})
	f.idle(t)
	if s, log := f.wait(t, id); s.Phase != job.Succeeded || log == "" {
		t.Fatalf("%+v, log %q", s, log)
	}
	t.Logf("%d ranks: %d forks, programs %v", ranks, forks.Count(), forks.Programs())
	return forks.Count()
}

// TestForksOfAJob bounds what a job costs its node before it does anything: of
// 163 and 206 processes that it once was.
func TestForksOfAJob(t *testing.T) {
	t.Parallel()
	if n := forksOf(t, 1, job.Spec{Name: "plain", Run: "echo hello"}); n > 80 {
		t.Errorf("a job starts %d processes, want at most 80", n)
	}
	whole := job.Spec{Name: "whole", Setup: "echo setup", Run: "echo hello", Secrets: map[string]string{"TOKEN": "canary-4711"}}
	if n := forksOf(t, 1, whole); n > 100 {
		t.Errorf("a job with setup and a secret starts %d processes, want at most 100", n)
	}
}

// TestForksOfAGang is that each further rank costs the head the same, however
// many there are.
func TestForksOfAGang(t *testing.T) {
	t.Parallel()
	spec := job.Spec{Name: "gang", Run: "echo hello"}
	few, some, many := forksOf(t, 2, spec), forksOf(t, 6, spec), forksOf(t, 14, spec)
	first, last := (some-few)/4, (many-some)/8
	if first > 22 || last > 22 || last > first+1 {
		t.Errorf("a rank more starts %d processes on the head, and %d where there are many; want at most 22, and no more", first, last)
	}
}
