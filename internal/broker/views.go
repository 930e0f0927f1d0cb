// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// views are the cluster as the local journal has it, where its machines differ,
// and as state has it. Either may be behind: the journal knows of a resize or a
// restore whose result was cut off from state, and state of one that was made
// from another computer. ended says that both have it ended already.
func (b *Broker) views(c Cluster) (views []Cluster, ended bool) {
	g := b.known(c.Name).find(c.Generation)
	ended = c.Status == StatusTerminated && (g == nil || g.Cluster == nil || g.Cluster.Status == StatusTerminated)
	if g == nil || g.Removed || !g.Complete || g.Cluster == nil || g.undoneIn(c) ||
		(g.Cluster.Size == c.Size && slices.Equal(g.Cluster.instanceIDs(), c.instanceIDs())) {
		return []Cluster{c}, ended
	}
	journaled := c
	journaled.Size, journaled.Nodes, journaled.HourlyUSD = g.Cluster.Size, g.Cluster.Nodes, g.Cluster.HourlyUSD
	return []Cluster{journaled, c}, ended
}

// lookAs is look under several views of the cluster: the first that its cloud
// bears out to the last machine, else the first that it does not contradict.
func (b *Broker) lookAs(ctx context.Context, session cloud.Session, views []Cluster, looks int) (view, fresh Cluster, err error) {
	for i, v := range views {
		seen, serr := b.lookTimes(ctx, session, v, looks)
		if serr != nil && !errors.Is(serr, ErrGone) && !errors.As(serr, new(*cloud.ExtraNodesError)) {
			return v, v, serr // nothing is known
		}
		whole := serr == nil && len(seen.Lost()) == 0
		if i == 0 || whole || (err != nil && serr == nil) || errors.Is(err, ErrGone) {
			view, fresh, err = v, seen, serr
		}
		if whole {
			break
		}
	}
	return view, fresh, err
}
