// SPDX-License-Identifier: MPL-2.0

package change

import (
	"context"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/broker/bringup"
	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Resize brings a running cluster to the given number of nodes in place. New
// nodes are of the cluster's own offer and are set up before they count; the
// highest ranks go first. Ranks of the others stay. When new nodes cannot be
// had they are removed again and the cluster stays as it was.
func (ch Changer) Resize(ctx context.Context, c cluster.Cluster, spec spec.Spec, nodes int) (cluster.Cluster, error) {
	if nodes < 1 {
		return c, fmt.Errorf("cluster %q cannot have %d nodes; remove it instead", c.Name, nodes)
	}
	return ch.change(ctx, c, "resizing", func(session cloud.Session) (cluster.Cluster, error) {
		if c.Status != cluster.StatusUp && (c.Status != cluster.StatusDegraded || nodes >= c.Size) {
			return c, fmt.Errorf("cluster %q is %s (%s) and can only be resized when it is UP", c.Name, c.Status, c.StatusReason)
		}
		release, err := ch.holdAndClean(ctx, session, c)
		if err != nil {
			return c, err
		}
		defer release()
		switch {
		case nodes > c.Size:
			return ch.addRanks(ctx, session, c, spec, bringup.RanksFrom(c.Size, nodes), nodes)
		case nodes < c.Size:
			return ch.shrink(ctx, session, c, nodes)
		}
		return c, nil
	})
}

// holdAndClean keeps the cluster from ending by itself while its machines are counted
// and changed, and removes what a growth that was cut off left among them.
func (ch Changer) holdAndClean(ctx context.Context, session cloud.Session, c cluster.Cluster) (release func(), err error) {
	if release, err = ch.Make.Reach.Hold(ctx, c); err != nil {
		return nil, err
	}
	if err := ch.dropUncommitted(ctx, session, c); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func (ch Changer) shrink(ctx context.Context, session cloud.Session, c cluster.Cluster, nodes int) (cluster.Cluster, error) {
	var doomed []string
	kept := slices.DeleteFunc(slices.Clone(c.Nodes), func(n cluster.Node) bool {
		if n.Rank < nodes {
			return false
		}
		doomed = append(doomed, n.InstanceID)
		return true
	})
	if err := ch.Make.Reach.Drain(ctx, c, nodes); err != nil {
		return c, fmt.Errorf("take nodes from cluster %q: %w", c.Name, err)
	}
	ch.Make.Reach.RayLeaves(ctx, c, nodes)
	if err := ch.Down.RemoveNodes(ctx, session, c, doomed); err != nil {
		return c, fmt.Errorf("take nodes from cluster %q: %w", c.Name, err)
	}
	c.HourlyUSD = c.PerNode() * float64(nodes)
	c.Size, c.Nodes = nodes, kept
	c.Judge()
	if c.Autostop != nil && c.Status == cluster.StatusUp {
		if err := ch.Make.Reach.Rearm(ctx, c); err != nil {
			// It only tells nodes to end that are gone already.
			ch.Down.Log.WarnContext(ctx, "autostop does not know yet that nodes are gone", "cluster", c.Name, "error", err)
		}
	}
	return c, nil
}

// dropUncommitted removes what a growth that was cut off left behind, once all
// of it would be listed.
func (ch Changer) dropUncommitted(ctx context.Context, session cloud.Session, c cluster.Cluster) error {
	j, err := ch.Down.FolderOf(c).ReadJournal()
	if err != nil {
		return err
	}
	if g := j.Find(c.Generation); g != nil {
		now := ch.Down.Now()
		if err := retry.Pause(ctx, g.VisibleBy(c.Cloud, c.Region, now, ch.Make.Timeouts.ListDelay).Sub(now)); err != nil {
			return err
		}
	}
	alive, err := session.Query(ctx, c.Ref())
	if err != nil {
		return err
	}
	failed, err := ch.Down.FailedGrowth(c)
	if err != nil {
		return err
	}
	return ch.Down.RemoveNodes(ctx, session, c, union(c.Uncommitted(alive), failed))
}
