// SPDX-License-Identifier: MPL-2.0

package job

import (
	"context"
	"errors"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Ask asks a node until it answers or ctx ends. A refusal is an answer, too: the
// job is not there, the node is another one, or it accepts no key of this computer.
func Ask(ctx context.Context, question func(context.Context) error) error {
	return retry.Do(ctx, retry.Policy{Initial: time.Second, Max: 5 * time.Second, Factor: 2}, func(ctx context.Context) error {
		err := question(ctx)
		if KeyRefused(err) || errors.Is(err, ErrNotFound) || Refused(err) {
			return retry.Stop(err)
		}
		return err
	})
}

// Refused reports whether something answered at a node's address, and would not or
// could not: another machine, or a command that failed.
func Refused(err error) bool {
	return errors.As(err, new(*remote.HostKeyError)) || errors.As(err, new(*remote.ExitError))
}

// KeyRefused reports whether a node accepts none of this computer's keys.
func KeyRefused(err error) bool { return errors.As(err, new(*remote.AuthError)) }
