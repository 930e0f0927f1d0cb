// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// connectAndSetUp dials every new node and sets it up, over one connection a node.
func (u *bringUp) connectAndSetUp(ctx context.Context) error {
	added := u.cluster
	added.Nodes = u.added
	dialled, end := nodes.Begin(ctx, u.log, u.now, nodes.Phase{From: 55, To: 65, Waiting: "every node to answer over SSH", Bound: u.timeouts.SSH}, len(u.added))
	clients, err := u.reach.DialNodes(ctx, added, dialled)
	if end(); err != nil {
		return u.unreachable(ctx, err)
	}
	defer nodes.CloseAll(clients)
	u.reached, u.step = true, "setup"
	err = u.reach.SetUpNodes(ctx, u.log, clients, u.addedFirst(), u.spec.work(u.config.Setup))
	var setup *nodes.SetupError
	if errors.As(err, &setup) {
		setup.Running = u.grows()
	}
	keep := setup != nil && u.keepsDespite()
	if u.cluster.Autostop != nil && (err == nil || keep) { // before they count: it must end them, too
		u.step = "autostop"
		if aerr := nodes.OverLinks(ctx, func() error { return u.arm(ctx, clients) }); aerr != nil {
			return u.unreachable(ctx, errors.Join(aerr, err))
		}
	}
	if setup == nil && err != nil {
		return u.unreachable(ctx, err)
	}
	if !keep || ctx.Err() != nil {
		return err
	}
	return u.keepDespite(ctx, setup)
}

// addedFirst is the cluster with its new nodes before the others.
func (u *bringUp) addedFirst() cluster.Cluster {
	c := u.cluster
	isAdded := func(n cluster.Node) bool {
		return slices.ContainsFunc(u.added, func(a cluster.Node) bool { return a.Rank == n.Rank })
	}
	c.Nodes = slices.Concat(u.added, slices.DeleteFunc(slices.Clone(c.Nodes), isAdded))
	return c
}

// arm tells the whole cluster of its own end; the clients are those of the new
// nodes.
func (u *bringUp) arm(ctx context.Context, clients []nodes.Node) error {
	if u.grows() {
		return u.reach.Rearm(ctx, u.cluster)
	}
	return u.reach.Arm(ctx, u.log, clients, u.cluster)
}

// keepsDespite reports whether machines stay where their setup failed: those of a
// growth do not, since the cluster goes on without them.
func (u *bringUp) keepsDespite() bool {
	return u.spec.OnSetupFailure == SetupFailureKeep && !u.grows()
}

// keepDespite commits a cluster whose setup failed and returns the failure.
func (u *bringUp) keepDespite(ctx context.Context, setup *nodes.SetupError) error {
	u.cluster.StatusReason = nodes.SetupReason(setup)
	if err := u.commit(ctx); err != nil {
		return err
	}
	setup.Kept = true
	return setup
}
