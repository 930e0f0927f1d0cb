// SPDX-License-Identifier: MPL-2.0

package cloudtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

func selfCases() []Case {
	can := func(market cloud.Market, ways ...cloud.Shutdown) func(cloud.Capabilities) bool {
		return func(c cloud.Capabilities) bool {
			for _, how := range ways {
				if c.CannotEndItself(cloud.Offer{Cloud: "this cloud", Market: market}, how) != "" {
					return false
				}
			}
			return market != cloud.Spot || c.Spot
		}
	}
	const stop, terminate = cloud.ShutdownStop, cloud.ShutdownTerminate
	return []Case{
		{Name: "self/stop", applies: can(cloud.OnDemand, stop), run: endsItself(cloud.OnDemand, stop)},
		{Name: "self/stop spot", applies: can(cloud.Spot, stop), run: endsItself(cloud.Spot, stop)},
		{Name: "self/terminate", applies: can(cloud.OnDemand, terminate), run: endsItself(cloud.OnDemand, terminate)},
		{Name: "self/terminate spot", applies: can(cloud.Spot, terminate), run: endsItself(cloud.Spot, terminate)},
		{Name: "self/from stop to terminate", applies: can(cloud.OnDemand, stop, terminate), run: endsOtherwise(stop, terminate)},
		{Name: "self/from terminate to stop", applies: can(cloud.OnDemand, stop, terminate), run: endsOtherwise(terminate, stop)},
		{
			Name: "self/uncommitted leaves nothing",
			applies: func(c cloud.Capabilities) bool {
				return c.DeadMan && can(cloud.OnDemand, stop)(c)
			},
			run: uncommittedLeavesNothing,
		},
	}
}

// endsItself: a committed machine ends itself as its spec says, and one that
// stopped runs again.
func endsItself(bought cloud.Market, how cloud.Shutdown) func(context.Context, *world) error {
	return func(ctx context.Context, w *world) error {
		c := w.cluster(1, market(bought), onShutdown(how))
		machines, err := c.committed(ctx)
		if err != nil {
			return err
		}
		return c.endItself(ctx, machines[0].ID, how)
	}
}

// endsOtherwise: Run with another OnShutdown changes a committed machine, and
// one without says nothing about it.
func endsOtherwise(before, after cloud.Shutdown) func(context.Context, *world) error {
	return func(ctx context.Context, w *world) error {
		c := w.cluster(1, onShutdown(before))
		machines, err := c.committed(ctx)
		if err != nil {
			return err
		}
		for _, how := range []cloud.Shutdown{after, ""} {
			c.spec.OnShutdown = how
			if _, err := c.up(ctx); err != nil {
				return fmt.Errorf("with OnShutdown %q: %w", how, err)
			}
		}
		return c.endItself(ctx, machines[0].ID, after)
	}
}

// uncommittedLeavesNothing: what a machine is to do once it is committed does
// not weaken the dead-man timer before.
func uncommittedLeavesNothing(ctx context.Context, w *world) error {
	keeper, err := hook[Timekeeper](w)
	if err != nil {
		return err
	}
	c, _, err := onDeadline(ctx, w, onShutdown(cloud.ShutdownStop))
	if err != nil {
		return err
	}
	if err := keeper.PassTime(ctx, c.spec.Deadline); err != nil {
		return fmt.Errorf("pass the deadline: %w", err)
	}
	return eventually(ctx, func() error { return c.gone(ctx) })
}

// committed launches the cluster and commits it.
func (c *cluster) committed(ctx context.Context) ([]cloud.Instance, error) {
	machines, err := c.up(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.w.Commit(ctx, c.ref); err != nil {
		return nil, fmt.Errorf("Commit: %w", err)
	}
	return machines, nil
}

// endItself ends the cluster's one machine from within and sees what became of
// it. It asks the driver for nothing before that: a Run would converge.
func (c *cluster) endItself(ctx context.Context, id string, how cloud.Shutdown) error {
	inside, err := hook[Inside](c.w)
	if err != nil {
		return err
	}
	if err := inside.EndItself(ctx, id, how); err != nil {
		return fmt.Errorf("end machine %s from within: %w", id, err)
	}
	if how == cloud.ShutdownTerminate {
		return eventually(ctx, func() error { return c.gone(ctx) })
	}
	err = eventually(ctx, func() error { return c.w.lists(ctx, c.ref, cloud.StateStopped, id) })
	if err != nil {
		return err
	}
	again, err := c.up(ctx)
	if err != nil {
		return fmt.Errorf("resume after it stopped by itself: %w", err)
	}
	if again[0].ID != id || !again[0].Committed {
		return errors.New("what runs again is not the machine that stopped by itself")
	}
	return nil
}
