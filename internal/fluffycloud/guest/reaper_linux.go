// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/procs"
)

// children are the processes the machine started itself and waits for. All
// others that become its children are orphans, which it reaps as init would.
type children struct {
	mu   sync.Mutex
	pids map[int]struct{}
}

// adoptOrphans makes the process the parent of whatever its descendants leave
// behind, so that nothing escapes the machine.
func adoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the parent of orphans: %w", err)
	}
	return nil
}

func newChildren() *children { return &children{pids: make(map[int]struct{})} }

func (c *children) start(cmd *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	c.pids[cmd.Process.Pid] = struct{}{}
	return nil
}

func (c *children) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pids, cmd.Process.Pid)
	return err
}

// reap collects ended orphans until ctx ends.
func (c *children) reap(ctx context.Context) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended:
		}
		// Many may end at once; one look serves them all.
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.collect()
	}
}

func (c *children) collect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	zombies, err := procs.Orphans(os.Getpid())
	if err != nil {
		return
	}
	for _, pid := range zombies {
		if _, own := c.pids[pid]; !own {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
	}
}
