// SPDX-License-Identifier: MPL-2.0

//go:build linux

package job_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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
	most := 80
	if os.Getenv("SKY_TEST_SYSTEM_PATH") != "" { // the timeout of busybox leaves something behind, which has to be ended
		most = 90
	}
	if n := forksOf(t, 1, job.Spec{Name: "plain", Run: "echo hello"}); n > most {
		t.Errorf("a job starts %d processes, want at most %d", n, most)
	}
	whole := job.Spec{Name: "whole", Setup: "echo setup", Run: "echo hello", Secrets: map[string]string{"TOKEN": "canary-4711"}}
	if n := forksOf(t, 1, whole); n > most+25 {
		t.Errorf("a job with setup and a secret starts %d processes, want at most %d", n, most+25)
	}
}

// TestForksOfAGang is that each further rank costs the head the same, however
// many there are.
func TestForksOfAGang(t *testing.T) {
	t.Parallel()
	spec := job.Spec{Name: "gang", Run: "echo hello"}
	few, some, many := forksOf(t, 2, spec), forksOf(t, 6, spec), forksOf(t, 14, spec)
	first, last := (some-few)/4, (many-some)/8
	if first > 20 || last > 20 || last > first+1 {
		t.Errorf("a rank more starts %d processes on the head, and %d where there are many; want at most 20, and no more", first, last)
	}
}

// TestEndOfARankLooksAtFew is that a rank, at its end, does not look through all
// processes of its machine: two hundred ranks may share one.
func TestEndOfARankLooksAtFew(t *testing.T) { // not beside others, whose processes would count
	// With the host's programs: the timeout of busybox leaves something behind.
	const others = 300
	looked := func(name string) int {
		f := sshFleet(t, 1)
		programs := t.TempDir()
		const grep = "#!/bin/sh\necho $# >>\"$HOME/looked\"\nPATH=${PATH#*:}\nexec grep \"$@\"\n"
		if err := os.WriteFile(filepath.Join(programs, "grep"), []byte(grep), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
		f.nodes[0].Set(remotetest.Behaviour{Env: []string{"PATH=" + programs + ":/usr/bin:/bin"}})
		if s, _ := f.run(t, job.Spec{Name: name, Run: "true"}); s.Phase != job.Succeeded {
			t.Fatalf("%+v", s)
		}
		data, err := os.ReadFile(filepath.Join(f.nodes[0].Home, "looked"))
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for word := range strings.FieldsSeq(string(data)) {
			n, _ := strconv.Atoi(word)
			sum += n
		}
		return sum
	}
	alone := looked("alone")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do sleep 1000 & i=$((i + 1)); done; echo; wait", others))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if crowded := looked("crowded"); crowded-alone > others/2 {
		t.Errorf("beside %d processes that are not its own a rank looked at %d files more", others, crowded-alone)
	}
}
