// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// alone runs this test in a process of its own, whose files can be limited, and
// reports true there. It must be called outside of a bubble.
func alone(t *testing.T) bool {
	t.Helper()
	const mark = "SKY_TEST_ALONE"
	if os.Getenv(mark) == t.Name() {
		signal.Ignore(syscall.SIGXFSZ) // a write beyond the limit is an error then
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a process of its own: %v\n%s", err, out)
	}
	return false
}

// limited runs f while no file of this process can grow, as on a disk that is
// full.
func limited(t *testing.T, f func()) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 0, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}

// A disk without room holds up neither a refresh nor a removal.
func TestReadAndDestroyOnAFullDisk(t *testing.T) {
	if !alone(t) {
		return
	}
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		again := newBench(t, x.cfg.StateDir, x.cloud)
		limited(t, func() {
			if fresh, err := again.Refresh(t.Context(), c); err != nil || fresh.Status != cluster.StatusUp {
				t.Errorf("Refresh = %s, %v", fresh.Status, err)
			}
			if err := again.NoteReplacement(t.Context(), c.Name); err != nil {
				t.Errorf("NoteReplacement: %v", err)
			}
			if err := again.Destroy(t.Context(), c); err != nil {
				t.Errorf("Destroy: %v", err)
			}
		})
		x.wantLive(t, 0)
		if _, err := x.Launch(t.Context(), twoNodes("train")); err != nil {
			t.Errorf("a launch once there is room again: %v", err)
		}
	})
}
