// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package session

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// canWatchParent says that an orphan is given another parent here.
const canWatchParent = true

// orphanWatch returns a function that says whether the process that started this
// one is gone. An orphan is given another parent; but one whose parent died
// before the first look has that other parent from the beginning, and is told by
// its output: Terraform reads both pipes as long as it lives.
func orphanWatch() func() bool {
	// As they are now: serving puts others in their place.
	parent, stdout, stderr := os.Getppid(), os.Stdout, os.Stderr
	return func() bool {
		return os.Getppid() != parent || (unread(stdout) && unread(stderr))
	}
}

// unread says whether f is a pipe that nobody can read any more.
func unread(f *os.File) bool {
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	broken := false
	err = conn.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd)}} //nolint:gosec // descriptors are small
		n, err := unix.Poll(fds, 0)
		broken = err == nil && n > 0 && fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
	})
	return err == nil && broken
}

var errTerminated = errors.New("the provider was told to terminate")

// outlive keeps the process alive for its clean-up when Terraform dies or a
// whole process group is ended. Writing to the dead parent's pipes must not
// kill, and SIGTERM and SIGHUP cancel what runs instead of ending it half done.
func outlive(ctx context.Context) context.Context {
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		select {
		case <-ctx.Done():
		case <-signals:
			cancel(errTerminated)
		}
	}()
	return ctx
}
