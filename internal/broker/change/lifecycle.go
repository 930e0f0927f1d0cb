// SPDX-License-Identifier: MPL-2.0

package change

import (
	"context"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Stop stops the cluster's machines and keeps their disks. It returns once all
// were observed stopped.
func (ch Changer) Stop(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error) {
	if why := ch.Down.Clouds.CannotStop(c.Placement().Offer); why != "" {
		return c, fmt.Errorf("cluster %q: %s", c.Name, why)
	}
	return ch.change(ctx, c, "stopping", func(session cloud.Session) (cluster.Cluster, error) {
		ref := c.Ref()
		ref.Instances = c.InstanceIDs()
		if err := session.Stop(ctx, ref); err != nil {
			return c, fmt.Errorf("stop cluster %q: %w", c.Name, err)
		}
		return ch.Observer.Look(ctx, session, c)
	})
}

// Start resumes the cluster's stopped machines in place; their addresses may
// be new. It never makes a machine: without capacity or quota it is an error
// and the cluster stays as it was. Autostop is armed as the spec says.
func (ch Changer) Start(ctx context.Context, c cluster.Cluster, spec spec.Spec) (cluster.Cluster, error) {
	return ch.change(ctx, c, "starting", func(session cloud.Session) (cluster.Cluster, error) {
		return ch.resume(ctx, session, c, spec)
	})
}

// resume starts what is stopped of a cluster that has all its machines.
func (ch Changer) resume(ctx context.Context, session cloud.Session, c cluster.Cluster, spec spec.Spec) (cluster.Cluster, error) {
	fresh, err := ch.wake(ctx, session, c, c.Size, spec.Autostop)
	if err != nil {
		return c, err
	}
	clients, err := ch.Make.Reach.DialAll(ctx, fresh)
	if err != nil {
		return fresh, fmt.Errorf("cluster %q runs again but cannot be reached: %w", c.Name, err)
	}
	defer nodes.CloseAll(clients)
	fresh.Autostop = spec.Autostop
	if err := ch.Make.Reach.Arm(ctx, ch.Down.Log, clients, fresh); err != nil {
		return fresh, fmt.Errorf("cluster %q runs again: %w", c.Name, err)
	}
	if err := ch.Make.Reach.RayAgain(ctx, clients, fresh); err != nil {
		return fresh, fmt.Errorf("cluster %q runs again, but its Ray does not: %w", c.Name, err)
	}
	return fresh, nil
}

// wake starts the stopped machines of a cluster that has so many.
func (ch Changer) wake(ctx context.Context, session cloud.Session, c cluster.Cluster, machines int, stop *autostop.Config) (cluster.Cluster, error) {
	present, err := ch.Observer.PresentNodes(ctx, session, c, machines)
	if err != nil {
		return c, err
	}
	present.OnShutdown = ch.Down.Clouds.OnShutdown(c.Placement().Offer, stop)
	cfg, err := session.Bootstrap(ctx, present, c.Placement())
	if err != nil {
		return c, fmt.Errorf("start cluster %q: %w", c.Name, err)
	}
	if _, err := session.Run(ctx, present.Ref, cfg); err != nil {
		err = fmt.Errorf("start cluster %q (%s); it stays as it was: %w", c.Name, session.Classify(err), err)
		return c, ch.restAgain(ctx, session, c, err)
	}
	bounded, cancel := context.WithTimeoutCause(ctx, ch.Make.Timeouts.Boot,
		fmt.Errorf("the machines were not running after %s", ch.Make.Timeouts.Boot))
	defer cancel()
	if err := session.Wait(bounded, present.Ref, cloud.StateRunning); err != nil {
		return c, ch.restAgain(ctx, session, c, fmt.Errorf("start cluster %q: %w", c.Name, err))
	}
	return ch.Observer.Look(ctx, session, c)
}

// restAgain stops what a failed start had started: nobody would know of it, and
// it would be billed.
func (ch Changer) restAgain(ctx context.Context, session cloud.Session, c cluster.Cluster, failed error) error {
	ref := c.Ref()
	for _, n := range c.Nodes {
		if n.State == cloud.StateStopped {
			ref.Instances = append(ref.Instances, n.InstanceID)
		}
	}
	if len(ref.Instances) == 0 {
		return failed
	}
	ctx, cancel := teardown.Detached(ctx, ch.Make.Timeouts.Cleanup)
	defer cancel()
	if err := session.Stop(ctx, ref); err != nil {
		return fmt.Errorf("%w; those of its machines %v that had started could not be stopped again, run and are billed: %w", failed, ref.Instances, err)
	}
	return failed
}

// change runs an operation on a living cluster under its lock and records what
// came of it, also after an error that left a different cluster behind.
func (ch Changer) change(ctx context.Context, c cluster.Cluster, doing string, op func(cloud.Session) (cluster.Cluster, error)) (cluster.Cluster, error) {
	f := ch.Down.FolderOf(c)
	release, err := f.Lock(ctx, doing)
	if err != nil {
		return c, err
	}
	defer release()
	session, err := ch.Down.OpenFor(ctx, c)
	if err != nil {
		return c, err
	}
	fresh := c
	err = ch.Make.Reach.Logged(ctx, f, doing+" the cluster", ch.Make.Timeouts.Boot, func() error {
		var err error
		fresh, err = op(session)
		if rerr := ch.Observer.Held.Record(fresh); rerr != nil && err == nil {
			return rerr
		}
		return err
	})
	return fresh, err
}
