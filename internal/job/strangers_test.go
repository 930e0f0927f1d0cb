// SPDX-License-Identifier: MPL-2.0

//go:build unix

package job_test

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/job"
)

// TestReapLeavesStrangersAlone: what was a rank's process group has ended without
// the record, and its number is another group's by now, as it comes to be where
// numbers go to 32768 only.
func TestReapLeavesStrangersAlone(t *testing.T) {
	t.Parallel()
	for _, leader := range []string{"alive", "gone"} {
		t.Run(leader, func(t *testing.T) {
			t.Parallel()
			f := sshFleet(t, 2)
			id := f.submit(t, job.Spec{Name: "reaped", Run: untilGo})
			f.phase(t, id, job.Running)
			record := f.jobFile(1, id, "pid.1")
			var text []byte
			eventually(t, "rank 1 is on record", func() (ok bool) {
				text, _ = os.ReadFile(record)
				return len(text) > 0
			})
			text = regexp.MustCompile(`pid=\d+`).ReplaceAll(text, []byte("pid="+strconv.Itoa(stranger(t, leader == "gone"))))
			if err := os.WriteFile(record, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := f.runner.Reap(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			eventually(t, "rank 1 has ended", func() bool { return len(f.nodes[1].Processes()) == 0 })
		})
	}
}

// stranger starts a process group that no job knows, and returns its number. It
// lives until the test ends; that something ends it before fails the test.
func stranger(t *testing.T, leaderless bool) int {
	t.Helper()
	in, out, err := os.Pipe() // closed when the last of the group has ended
	if err != nil {
		t.Fatal(err)
	}
	text := "sleep 1000 & echo; wait"
	if leaderless {
		text = "sleep 1000 & echo"
	}
	cmd := exec.Command("sh", "-c", text) // not the test's context: its end is what the test looks at
	cmd.Stdout, cmd.SysProcAttr = out, &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	if _, err := in.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if leaderless {
		_ = cmd.Wait()
	}
	t.Cleanup(func() {
		_ = in.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := in.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the stranger was killed: %v", err)
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		_ = in.Close()
	})
	return cmd.Process.Pid
}
