// SPDX-License-Identifier: MPL-2.0

package broker

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
// and ends the launch. And whatever is believed of failures, what one launch may
// make and repeat is bounded.

const (
	// mostMachines is how many machines one launch makes at most, for each node
	// of the cluster. What is refused before a machine is made does not count.
	mostMachines = 10
	// mostUnexplained is how many attempts of one launch may fail for one reason
	// that says little about their place.
	mostUnexplained = 3
)

// unreachable gives a failure after SSH its meaning: of a node that was lost
// that of the cloud's word on it. Any other is returned as it is, and ends the
// launch.
func (u *bringUp) unreachable(ctx context.Context, err error) error {
	refused := u.reached && errors.As(err, new(*remote.AuthError)) // since set-up took our key away
	if ctx.Err() != nil || refused || (u.reached && !nodes.LostNode(err)) {
		return err
	}
	fault := cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
	instances, qerr := u.session.Query(ctx, u.machines())
	running := 0
	for _, inst := range instances {
		if inst.State == cloud.StateRunning {
			running++
		}
	}
	if qerr == nil && running < u.size {
		fault.Kind = cloud.KindCapacity
		err = fmt.Errorf("only %d of %d machines still run (preempted or failed): %w", running, u.size, err)
	}
	return &cloud.Error{Fault: fault, Op: u.step, Placement: u.placement, Err: err}
}

// made is how many machines the attempt made, or may have made.
func (u *bringUp) made() int {
	switch {
	case !u.asked, u.definite:
		return 0
	case !u.lostAnswer.IsZero():
		return len(u.ranks)
	}
	return len(u.created)
}

// unexplained is the reason of a failure that says little about the place, so
// that another place helps as little; empty is none. A node that is lost after
// it had answered may be lost by what was done to it.
func (u *bringUp) unexplained(fault cloud.Fault) string {
	switch {
	case u.reached && u.step != "commit":
		return "its machines were lost during set-up, by what setup does perhaps"
	case fault.Kind == cloud.KindUnknown, fault.Kind == cloud.KindTransient:
	case fault.Kind == cloud.KindConfig && u.made() > 0:
	default:
		return ""
	}
	return fmt.Sprintf("%s at the step %q", fault.Kind, u.step)
}

// strike counts an attempt that failed, and returns an error once too many did
// so for the same unexplained reason.
func (l *launch) strike(u *bringUp, fault cloud.Fault) error {
	why := u.unexplained(fault)
	if why == "" {
		return nil
	}
	if l.strikes == nil {
		l.strikes = map[string]int{}
	}
	if l.strikes[why]++; l.strikes[why] < mostUnexplained {
		return nil
	}
	return fmt.Errorf("%d attempts have failed for the same reason (%s), which nothing says is the places' fault, so no more were made", mostUnexplained, why)
}

// affords returns an error where so many machines more would be too many for one
// launch.
func (l *launch) affords(nodes int) error {
	most := mostMachines * max(l.spec.Request.Nodes, 1)
	if l.made+nodes <= most {
		return nil
	}
	return fmt.Errorf("this launch has made %d machines in vain, and with %d more would pass the bound of %d, which is %d for each node of the cluster",
		l.made, nodes, most, mostMachines)
}

// localError is a failure on this computer that is the same in every place of its
// scope, and blocks that.
type localError struct {
	scope cloud.Scope
	err   error
}

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// fault is what a failure of this attempt means for the next.
func (u *bringUp) fault(err error) cloud.Fault {
	if ce := (*cloud.Error)(nil); errors.As(err, &ce) {
		return ce.Fault
	}
	if local := (*localError)(nil); errors.As(err, &local) {
		return cloud.Fault{Kind: cloud.KindConfig, Scope: local.scope}
	}
	return cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
}
