// SPDX-License-Identifier: MPL-2.0

package bringup

import (
	"context"
	"errors"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// Whose fault a failure is. Before the nodes answer over SSH, it is the place's,
// and the next place is tried. From then on it is the machine's, where the cloud
// has ended it or it is silent for long; anything else would fail elsewhere, too,
// and ends the launch.

// unreachable gives a failure after SSH its meaning. For a node that was lost the
// cloud is asked, and its answer decides. Any other failure is returned as it is, and
// ends the launch.
func (u *BringUp) unreachable(ctx context.Context, err error) error {
	refused := u.Reached && errors.As(err, new(*remote.AuthError)) // since set-up took our key away
	if ctx.Err() != nil || refused || (u.Reached && !nodes.LostNode(err)) {
		return err
	}
	fault := cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
	instances, qerr := u.Session.Query(ctx, u.machines())
	running := 0
	for _, inst := range instances {
		if inst.State == cloud.StateRunning {
			running++
		}
	}
	if qerr == nil && running < u.Size {
		fault.Kind = cloud.KindCapacity
		err = fmt.Errorf("only %d of %d machines still run (preempted or failed): %w", running, u.Size, err)
	}
	return &cloud.Error{Fault: fault, Op: u.Step, Placement: u.Placement, Err: err}
}

// Made is how many machines the attempt made, or may have made.
func (u *BringUp) Made() int {
	switch {
	case !u.Asked, u.Definite:
		return 0
	case !u.lostAnswer.IsZero():
		return len(u.Ranks)
	}
	return len(u.Created)
}

// Unexplained is the reason of a failure that says little about the place, so that
// another place would not help either; empty is none. A node that is lost after
// it had answered may be lost by what was done to it.
func (u *BringUp) Unexplained(fault cloud.Fault) string {
	switch {
	case u.Reached && u.Step != "commit":
		return "its machines were lost during set-up, by what setup does perhaps"
	case fault.Kind == cloud.KindUnknown, fault.Kind == cloud.KindTransient:
	case fault.Kind == cloud.KindConfig && u.Made() > 0:
	default:
		return ""
	}
	return fmt.Sprintf("%s at the step %q", fault.Kind, u.Step)
}

// localError is a failure on this computer that is the same in every place of its
// scope, and blocks that.
type localError struct {
	scope cloud.Scope
	err   error
}

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// Fault is what a failure of this attempt means for the next.
func (u *BringUp) Fault(err error) cloud.Fault {
	if ce := (*cloud.Error)(nil); errors.As(err, &ce) {
		return ce.Fault
	}
	if local := (*localError)(nil); errors.As(err, &local) {
		return cloud.Fault{Kind: cloud.KindConfig, Scope: local.scope}
	}
	return cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
}

// RootCause returns the driver's own words.
func RootCause(err error) error {
	if ce := (*cloud.Error)(nil); errors.As(err, &ce) {
		return ce.Err
	}
	return err
}
