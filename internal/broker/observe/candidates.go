// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"context"
	"errors"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// candidates are the cluster as the local journal has it, where its machines differ,
// and as state has it. Either may be behind: the journal knows of a resize or a
// restore whose result was cut off from state, and state of one that was made
// from another computer. ended says that both have it ended already.
func (o Observer) candidates(c cluster.Cluster) (views []cluster.Cluster, ended bool) {
	g := o.Down.FolderOf(c).Known().Find(c.Generation)
	ended = c.Status == cluster.StatusTerminated && (g == nil || g.Cluster == nil || g.Cluster.Status == cluster.StatusTerminated)
	if g == nil || g.Removed || !g.Complete || g.Cluster == nil || g.HasFailedGrowth(c) ||
		(g.Cluster.Size == c.Size && slices.Equal(g.Cluster.InstanceIDs(), c.InstanceIDs())) {
		return []cluster.Cluster{c}, ended
	}
	journaled := c
	journaled.Size, journaled.Nodes, journaled.HourlyUSD = g.Cluster.Size, g.Cluster.Nodes, g.Cluster.HourlyUSD
	return []cluster.Cluster{journaled, c}, ended
}

// lookAs is look under several views of the cluster: the first that its cloud
// bears out to the last machine, else the first that it does not contradict.
func (o Observer) lookAs(ctx context.Context, session cloud.Session, views []cluster.Cluster, looks int) (view, fresh cluster.Cluster, err error) {
	for i, v := range views {
		seen, serr := o.lookTimes(ctx, session, v, looks)
		if serr != nil && !errors.Is(serr, cluster.ErrGone) && !errors.As(serr, new(*cloud.ExtraNodesError)) {
			return v, v, serr // nothing is known
		}
		whole := serr == nil && len(seen.Lost()) == 0
		if i == 0 || whole || (err != nil && serr == nil) || errors.Is(err, cluster.ErrGone) {
			view, fresh, err = v, seen, serr
		}
		if whole {
			break
		}
	}
	return view, fresh, err
}
