// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"context"
	"errors"
)

// LinkError says that the way to a node failed, and nothing of what was asked of
// the node: its connection was lost, or its server ran no command. On another
// connection the same may work.
type LinkError struct {
	Err error
	// Begun says that the command may have run.
	Begun bool
}

func (e *LinkError) Error() string { return e.Err.Error() }
func (e *LinkError) Unwrap() error { return e.Err }

// outputError is a failure of the caller's writer, which is no failure of the way.
type outputError struct{ err error }

func (e *outputError) Error() string { return "writing a command's output: " + e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// link marks an error of the way there or back; the end of ctx is none.
func link(ctx context.Context, err error, begun bool) error {
	if err == nil || ctx.Err() != nil || errors.As(err, new(*outputError)) {
		return err
	}
	return &LinkError{Err: err, Begun: begun}
}
