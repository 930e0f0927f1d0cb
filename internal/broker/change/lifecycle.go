// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"fmt"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// CanStop reports why machines of this cloud, market and type cannot be stopped;
// empty is that they can. It needs no account.
func (b *Broker) CanStop(o cloud.Offer) string {
	caps, ok := b.clouds.Capabilities(o.Cloud)
	if !ok {
		return fmt.Sprintf("this build of the provider has no driver for cloud %q", o.Cloud)
	}
	return caps.CannotStop(o)
}

// Stop stops the cluster's machines and keeps their disks. It returns once all
// were observed stopped.
func (b *Broker) Stop(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error) {
	if why := b.CanStop(c.Placement().Offer); why != "" {
		return c, fmt.Errorf("cluster %q: %s", c.Name, why)
	}
	return b.change(ctx, c, "stopping", func(session cloud.Session) (cluster.Cluster, error) {
		ref := c.Ref()
		ref.Instances = c.InstanceIDs()
		if err := session.Stop(ctx, ref); err != nil {
			return c, fmt.Errorf("stop cluster %q: %w", c.Name, err)
		}
		return b.look(ctx, session, c)
	})
}

// Start resumes the cluster's stopped machines in place; their addresses may
// be new. It never makes a machine: without capacity or quota it is an error
// and the cluster stays as it was. Autostop is armed as the spec says.
func (b *Broker) Start(ctx context.Context, c cluster.Cluster, spec Spec) (cluster.Cluster, error) {
	return b.change(ctx, c, "starting", func(session cloud.Session) (cluster.Cluster, error) {
		return b.resume(ctx, session, c, spec)
	})
}

// resume starts what is stopped of a cluster that has all its machines.
func (b *Broker) resume(ctx context.Context, session cloud.Session, c cluster.Cluster, spec Spec) (cluster.Cluster, error) {
	fresh, err := b.wake(ctx, session, c, c.Size, spec.Autostop)
	if err != nil {
		return c, err
	}
	clients, err := b.reach().DialAll(ctx, fresh)
	if err != nil {
		return fresh, fmt.Errorf("cluster %q runs again but cannot be reached: %w", c.Name, err)
	}
	defer nodes.CloseAll(clients)
	fresh.Autostop = spec.Autostop
	if err := b.reach().Arm(ctx, b.log, clients, fresh); err != nil {
		return fresh, fmt.Errorf("cluster %q runs again: %w", c.Name, err)
	}
	if err := b.reach().RayAgain(ctx, clients, fresh); err != nil {
		return fresh, fmt.Errorf("cluster %q runs again, but its Ray does not: %w", c.Name, err)
	}
	return fresh, nil
}

// wake starts the stopped machines of a cluster that has so many.
func (b *Broker) wake(ctx context.Context, session cloud.Session, c cluster.Cluster, machines int, stop *autostop.Config) (cluster.Cluster, error) {
	present, err := b.presentNodes(ctx, session, c, machines)
	if err != nil {
		return c, err
	}
	present.OnShutdown = b.onShutdown(c.Placement().Offer, stop)
	cfg, err := session.Bootstrap(ctx, present, c.Placement())
	if err != nil {
		return c, fmt.Errorf("start cluster %q: %w", c.Name, err)
	}
	if _, err := session.Run(ctx, present.Ref, cfg); err != nil {
		err = fmt.Errorf("start cluster %q (%s); it stays as it was: %w", c.Name, session.Classify(err), err)
		return c, b.restAgain(ctx, session, c, err)
	}
	bounded, cancel := context.WithTimeoutCause(ctx, b.cfg.Timeouts.Boot,
		fmt.Errorf("the machines were not running after %s", b.cfg.Timeouts.Boot))
	defer cancel()
	if err := session.Wait(bounded, present.Ref, cloud.StateRunning); err != nil {
		return c, b.restAgain(ctx, session, c, fmt.Errorf("start cluster %q: %w", c.Name, err))
	}
	return b.look(ctx, session, c)
}

// restAgain stops what a failed start had started: nobody would know of it, and
// it would be billed.
func (b *Broker) restAgain(ctx context.Context, session cloud.Session, c cluster.Cluster, failed error) error {
	ref := c.Ref()
	for _, n := range c.Nodes {
		if n.State == cloud.StateStopped {
			ref.Instances = append(ref.Instances, n.InstanceID)
		}
	}
	if len(ref.Instances) == 0 {
		return failed
	}
	ctx, cancel := teardown.Detached(ctx, b.cfg.Timeouts.Cleanup)
	defer cancel()
	if err := session.Stop(ctx, ref); err != nil {
		return fmt.Errorf("%w; those of its machines %v that had started could not be stopped again, run and are billed: %w", failed, ref.Instances, err)
	}
	return failed
}

// change runs an operation on a living cluster under its lock and records what
// came of it, also after an error that left a different cluster behind.
func (b *Broker) change(ctx context.Context, c cluster.Cluster, doing string, op func(cloud.Session) (cluster.Cluster, error)) (cluster.Cluster, error) {
	f := b.folderOf(c)
	release, err := f.Lock(ctx, doing)
	if err != nil {
		return c, err
	}
	defer release()
	session, err := b.down().OpenFor(ctx, c)
	if err != nil {
		return c, err
	}
	fresh := c
	err = b.logged(ctx, f, doing+" the cluster", b.cfg.Timeouts.Boot, func() error {
		var err error
		fresh, err = op(session)
		if rerr := b.record(fresh); rerr != nil && err == nil {
			return rerr
		}
		return err
	})
	return fresh, err
}

// look returns the cluster as its cloud sees it now.
func (b *Broker) look(ctx context.Context, session cloud.Session, c cluster.Cluster) (cluster.Cluster, error) {
	return b.lookTimes(ctx, session, c, 2)
}

// lookTimes is look that takes so many looks before it finds the cluster gone.
func (b *Broker) lookTimes(ctx context.Context, session cloud.Session, c cluster.Cluster, looks int) (cluster.Cluster, error) {
	alive, err := clouds.List(ctx, session, c, looks, b.cfg.Timeouts.Gone)
	if err != nil {
		return c, err
	}
	if len(alive) == 0 {
		return c, fmt.Errorf("cluster %q: %w", c.Name, cluster.ErrGone)
	}
	return c.Observed(b.withoutFailedGrowth(c, alive))
}

// present is the spec of the machines that are there, by the identities they
// carry; a cluster that has lost some is an error.
func (b *Broker) present(ctx context.Context, session cloud.Session, c cluster.Cluster) (cloud.ClusterSpec, error) {
	return b.presentNodes(ctx, session, c, c.Size)
}

// presentNodes is present for a cluster of which so many machines must be there.
func (b *Broker) presentNodes(ctx context.Context, session cloud.Session, c cluster.Cluster, want int) (cloud.ClusterSpec, error) {
	alive, err := b.down().LookTwice(ctx, session, c)
	if err != nil {
		return cloud.ClusterSpec{}, err
	}
	spec := cloud.ClusterSpec{Ref: c.Ref(), SSHUser: c.SSHUser, AllowedCIDRs: c.Prefixes(), Notes: c.Notes()}
	spec.Ref.Zone = c.Zone
	var have []string
	for _, inst := range alive {
		spec.Nodes = append(spec.Nodes, cloud.NodeSpec{Identity: inst.Identity, HostKey: c.HostKeyOf(inst)})
		spec.Attempt = max(spec.Attempt, inst.Identity.Attempt)
		spec.Labels = inst.Labels
		have = append(have, inst.ID)
	}
	if len(have) != want {
		return spec, fmt.Errorf("cluster %q has %d machines (%s) where %d were expected; refresh it, so that the next plan restores it",
			c.Name, len(have), strings.Join(have, ", "), want)
	}
	return spec, nil
}
