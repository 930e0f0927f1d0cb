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
func (o Observer) candidates(c cluster.Cluster) (records []cluster.Cluster, ended bool) {
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

// lookByRecord looks at the cluster by each of its records: it returns the first of
// which the cloud shows every machine, else the first that the cloud does not
// contradict, and the cluster as it is now.
func (o Observer) lookByRecord(ctx context.Context, session cloud.Session, records []cluster.Cluster, looks int) (record, fresh cluster.Cluster, err error) {
	for i, r := range records {
		seen, serr := o.lookTimes(ctx, session, r, looks)
		if serr != nil && !errors.Is(serr, cluster.ErrGone) && !errors.As(serr, new(*cloud.ExtraNodesError)) {
			return r, r, serr // nothing is known
		}
		whole := serr == nil && len(seen.Lost()) == 0
		if i == 0 || whole || (err != nil && serr == nil) || errors.Is(err, cluster.ErrGone) {
			record, fresh, err = r, seen, serr
		}
		if whole {
			break
		}
	}
	return record, fresh, err
}
