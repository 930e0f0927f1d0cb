// SPDX-License-Identifier: MPL-2.0

package remotetest

import (
	"os/exec"
	"sync"
	"testing"
)

// TestForksTakeNobodysEnd: to count what one command starts takes the end of no
// other command from who waits for it.
func TestForksTakeNobodysEnd(t *testing.T) {
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "sleep 0.1; exit 7")
			if err := cmd.Start(); err != nil {
				t.Error(err)
				return
			}
			if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
				t.Errorf("the end of a command = %v, want exit code 7", cmd.ProcessState)
			}
		})
		all.Go(func() {
			cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "true; (exit 3); exit 5")
			detach(cmd)
			forks := &Forks{}
			wait, err := forks.start(cmd)
			if err != nil {
				t.Error(err)
				return
			}
			if end := wait(); end.code != 5 || forks.Count() != 1 {
				t.Errorf("the end of a counted command = %+v after %d forks, want exit code 5 after 1", end, forks.Count())
			}
		})
	}
	all.Wait()
}
