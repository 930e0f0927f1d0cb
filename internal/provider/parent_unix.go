// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// canWatchParent says that an orphan is given another parent here.
const canWatchParent = true

func getppid() int { return os.Getppid() }

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
