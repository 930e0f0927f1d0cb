// SPDX-License-Identifier: MPL-2.0

package bringup

import (
	"context"
	"errors"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// connectAndSetUp dials every new node and sets it up, over one connection a node.
func (u *BringUp) connectAndSetUp(ctx context.Context) error {
	added := u.Cluster
	added.Nodes = u.Added
	dialled, end := nodes.Begin(ctx, u.Log, u.now, nodes.Phase{From: 55, To: 65, Waiting: "every node to answer over SSH", Bound: u.timeouts.SSH}, len(u.Added))
	clients, err := u.reach.DialNodes(ctx, added, dialled)
	if end(); err != nil {
		return u.unreachable(ctx, err)
	}
	defer func() { nodes.CloseAll(clients) }()
	if u.birthShown {
		if clients, err = u.renewHostKeys(ctx, added, clients); err != nil {
			return u.unreachable(ctx, err)
		}
	}
	u.Reached, u.Step = true, "setup"
	err = u.reach.SetUpNodes(ctx, u.Log, clients, u.addedFirst(), u.spec.Work(u.config.Setup))
	var setup *nodes.SetupError
	if errors.As(err, &setup) {
		setup.Running = u.grows()
	}
	keep := setup != nil && u.keepsDespite()
	if u.Cluster.Autostop != nil && (err == nil || keep) { // before they count: it must end them, too
		u.Step = "autostop"
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

// renewHostKeys has the new nodes make host keys that nobody else knows, which the
// cluster pins from then on, and returns connections that were made under those.
func (u *BringUp) renewHostKeys(ctx context.Context, added cluster.Cluster, clients []nodes.Node) ([]nodes.Node, error) {
	renewed, err := u.reach.RenewHostKeys(ctx, added, clients, u.config.RenewHostKey)
	if err != nil {
		return clients, err
	}
	u.Added = renewed
	u.Cluster.Nodes = slices.Clone(u.Cluster.Nodes)
	for i, n := range u.Cluster.Nodes {
		if at := slices.IndexFunc(renewed, func(r cluster.Node) bool { return r.InstanceID == n.InstanceID }); at >= 0 {
			u.Cluster.Nodes[i].HostKey = renewed[at].HostKey
		}
	}
	nodes.CloseAll(clients)
	added.Nodes = renewed
	return u.reach.DialNodes(ctx, added, nil)
}

// addedFirst is the cluster with its new nodes before the others.
func (u *BringUp) addedFirst() cluster.Cluster {
	c := u.Cluster
	isAdded := func(n cluster.Node) bool {
		return slices.ContainsFunc(u.Added, func(a cluster.Node) bool { return a.Rank == n.Rank })
	}
	c.Nodes = slices.Concat(u.Added, slices.DeleteFunc(slices.Clone(c.Nodes), isAdded))
	return c
}

// arm tells the whole cluster of its own end; the clients are those of the new
// nodes.
func (u *BringUp) arm(ctx context.Context, clients []nodes.Node) error {
	if u.grows() {
		return u.reach.Rearm(ctx, u.Cluster)
	}
	return u.reach.Arm(ctx, u.Log, clients, u.Cluster)
}

// keepsDespite reports whether machines stay where their setup failed: those of a
// growth do not, since the cluster goes on without them.
func (u *BringUp) keepsDespite() bool {
	return u.spec.OnSetupFailure == spec.SetupFailureKeep && !u.grows()
}

// keepDespite commits a cluster whose setup failed and returns the failure.
func (u *BringUp) keepDespite(ctx context.Context, setup *nodes.SetupError) error {
	u.Cluster.StatusReason = nodes.SetupReason(setup)
	if err := u.commit(ctx); err != nil {
		return err
	}
	setup.Kept = true
	return setup
}
