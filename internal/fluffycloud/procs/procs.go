// SPDX-License-Identifier: MPL-2.0

// Package procs finds and ends process trees. A tree is what descends from a
// root process, together with everything that carries a machine's marks, so
// that a daemon that left its session, or whose root died, is found as well.
package procs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"
)

// ID names one process for good: a process id may be used again, together
// with the time of its start it may not.
type ID struct {
	PID int `json:"pid"`
	// Start is the process' start as the system counts it; only equality matters.
	Start string `json:"start"`
}

// Marks tell a machine's processes from all others. Empty marks match nothing.
type Marks struct {
	// Env is a "KEY=VALUE" of the process' environment at its start.
	Env string
	// Dir holds the working directory of the process.
	Dir string
}

// Process is one line of the process table.
type Process struct {
	ID
	Parent int
	// Stopped says that the process cannot run until it is continued.
	Stopped bool
	// Zombie says that the process has ended and waits for its parent only.
	Zombie bool
}

// ErrGone says that there is no such process.
var ErrGone = errors.New("no such process")

// Identify returns the ID of a running process, or ErrGone.
func Identify(pid int) (ID, error) {
	p, err := lookup(pid)
	if err != nil {
		return ID{}, err
	}
	return p.ID, nil
}

// Alive reports whether the process still runs. A zombie does not.
func (id ID) Alive() bool {
	if id.PID <= 0 {
		return false
	}
	p, err := lookup(id.PID)
	return err == nil && p.ID == id && !p.Zombie
}

// Signal sends sig to the process if it is still the same one. That it is gone
// is no error.
func (id ID) Signal(sig syscall.Signal) error {
	if id.PID <= 1 || id.PID == os.Getpid() {
		return nil
	}
	// The handle is taken before the check: where the system has process
	// handles, a number used again in between is not signalled.
	p, err := os.FindProcess(id.PID)
	if err != nil {
		return nil
	}
	defer func() { _ = p.Release() }()
	if !id.Alive() {
		return nil
	}
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal process %d: %w", id.PID, err)
	}
	return nil
}

// Tree returns the living processes that descend from root or carry the marks,
// root included, the calling process excluded. A root with PID 0 has no
// descendants.
func Tree(root ID, marks Marks) ([]Process, error) {
	table, err := snapshot()
	if err != nil {
		return nil, err
	}
	in := make(map[int]bool)
	if p, ok := table[root.PID]; ok && p.ID == root {
		in[root.PID] = true
	}
	for pid := range marked(table, marks) {
		in[pid] = true
	}
	descend(table, in)
	delete(in, os.Getpid())
	var out []Process
	for pid := range in {
		if p := table[pid]; !p.Zombie {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Process) int { return a.PID - b.PID })
	return out, nil
}

// descend adds to in every process whose parent is in it. Zombies pass the
// membership on: their children were taken over by then, but cost nothing.
func descend(table map[int]Process, in map[int]bool) {
	for grown := true; grown; {
		grown = false
		for pid, p := range table {
			if !in[pid] && in[p.Parent] {
				in[pid], grown = true, true
			}
		}
	}
}

// Kill ends the tree for good and returns once the process table shows none of
// it. It first freezes the tree, so that nothing can fork away, then kills the
// root last, so that orphans stay its children until they are gone.
func Kill(ctx context.Context, root ID, marks Marks) error {
	for round := 0; ; round++ {
		victims, err := freeze(ctx, root, marks)
		if err != nil {
			return err
		}
		if len(victims) == 0 {
			return nil
		}
		killAll(victims, root)
		if err := pause(ctx, backoff(round)); err != nil {
			return fmt.Errorf("kill process tree of %d: %d processes left: %w", root.PID, len(victims), err)
		}
	}
}

// killAll kills all but the root, and the root once it is alone.
func killAll(victims []Process, root ID) {
	alone := len(victims) == 1
	for _, p := range victims {
		if p.ID != root || alone {
			_ = p.Signal(syscall.SIGKILL)
		}
	}
}

// Terminate asks every process of the tree but the root to end.
func Terminate(root ID, marks Marks, sig syscall.Signal) error {
	tree, err := Tree(root, marks)
	if err != nil {
		return err
	}
	for _, p := range tree {
		if p.ID != root {
			_ = p.Signal(sig)
		}
	}
	return nil
}

// freeze stops the tree and returns it once two looks in a row showed the same
// processes, all of them stopped. One in an uninterruptible wait cannot stop;
// after a while it is killed regardless.
func freeze(ctx context.Context, root ID, marks Marks) ([]Process, error) {
	const patience = 40
	var last map[ID]bool
	for round := 0; ; round++ {
		tree, err := Tree(root, marks)
		if err != nil || len(tree) == 0 {
			return nil, err
		}
		now, still := make(map[ID]bool, len(tree)), true
		for _, p := range tree {
			now[p.ID] = true
			if !p.Stopped {
				still = false
				_ = p.Signal(sigStop)
			}
		}
		if (still && maps.Equal(now, last)) || round >= patience {
			return tree, nil
		}
		last = now
		if err := pause(ctx, time.Millisecond); err != nil {
			return nil, fmt.Errorf("freeze process tree of %d: %w", root.PID, err)
		}
	}
}

func backoff(round int) time.Duration {
	return min(time.Duration(round+1)*time.Millisecond, 50*time.Millisecond)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
