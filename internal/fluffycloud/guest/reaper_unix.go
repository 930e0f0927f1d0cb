// SPDX-License-Identifier: MPL-2.0

//go:build unix && !linux

package guest

import (
	"context"
	"os/exec"
)

// children are the processes the machine started itself.
type children struct{}

// adoptOrphans does nothing: without a subreaper, marks and process groups
// tell what belongs to the machine.
func adoptOrphans() error { return nil }

func newChildren() *children { return &children{} }

func (*children) start(cmd *exec.Cmd) error { return cmd.Start() }

func (*children) wait(cmd *exec.Cmd) error { return cmd.Wait() }

func (*children) reap(ctx context.Context) { <-ctx.Done() }
