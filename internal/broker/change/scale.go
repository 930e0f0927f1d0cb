// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Resize brings a running cluster to the given number of nodes in place. New
// nodes are of the cluster's own offer and are set up before they count; the
// highest ranks go first. Ranks of the others stay. When new nodes cannot be
// had they are removed again and the cluster stays as it was.
func (b *Broker) Resize(ctx context.Context, c cluster.Cluster, spec Spec, nodes int) (cluster.Cluster, error) {
	if nodes < 1 {
		return c, fmt.Errorf("cluster %q cannot have %d nodes; remove it instead", c.Name, nodes)
	}
	return b.change(ctx, c, "resizing", func(session cloud.Session) (cluster.Cluster, error) {
		if c.Status != cluster.StatusUp && (c.Status != cluster.StatusDegraded || nodes >= c.Size) {
			return c, fmt.Errorf("cluster %q is %s (%s) and can only be resized when it is UP", c.Name, c.Status, c.StatusReason)
		}
		release, err := b.steady(ctx, session, c)
		if err != nil {
			return c, err
		}
		defer release()
		switch {
		case nodes > c.Size:
			return b.addRanks(ctx, session, c, spec, ranksFrom(c.Size, nodes), nodes)
		case nodes < c.Size:
			return b.shrink(ctx, session, c, nodes)
		}
		return c, nil
	})
}

// steady keeps the cluster from ending by itself while its machines are counted
// and changed, and removes what a growth that was cut off left among them.
func (b *Broker) steady(ctx context.Context, session cloud.Session, c cluster.Cluster) (release func(), err error) {
	if release, err = b.reach().Hold(ctx, c); err != nil {
		return nil, err
	}
	if err := b.dropUncommitted(ctx, session, c); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func (b *Broker) shrink(ctx context.Context, session cloud.Session, c cluster.Cluster, nodes int) (cluster.Cluster, error) {
	var doomed []string
	kept := slices.DeleteFunc(slices.Clone(c.Nodes), func(n cluster.Node) bool {
		if n.Rank < nodes {
			return false
		}
		doomed = append(doomed, n.InstanceID)
		return true
	})
	if err := b.reach().Drain(ctx, c, nodes); err != nil {
		return c, fmt.Errorf("take nodes from cluster %q: %w", c.Name, err)
	}
	b.reach().RayLeaves(ctx, c, nodes)
	if err := b.removeNodes(ctx, session, c, doomed); err != nil {
		return c, fmt.Errorf("take nodes from cluster %q: %w", c.Name, err)
	}
	c.HourlyUSD = c.PerNode() * float64(nodes)
	c.Size, c.Nodes = nodes, kept
	c.Judge()
	if c.Autostop != nil && c.Status == cluster.StatusUp {
		if err := b.reach().Rearm(ctx, c); err != nil {
			// It only tells nodes to end that are gone already.
			b.log.WarnContext(ctx, "autostop does not know yet that nodes are gone", "cluster", c.Name, "error", err)
		}
	}
	return c, nil
}

// removeNodes removes machines of a cluster that goes on living.
func (b *Broker) removeNodes(ctx context.Context, session cloud.Session, c cluster.Cluster, doomed []string) error {
	if len(doomed) == 0 {
		return nil
	}
	ref := c.Ref()
	ref.Instances = doomed
	err := b.folderOf(c).WithJournal(func(j *journal.Journal) error {
		return j.Append(journal.Entry{Event: journal.EventRemoving, Generation: c.Generation, Ref: &ref, Instances: doomed})
	})
	if err != nil {
		b.log.ErrorContext(ctx, "the journal cannot be written; removing all the same", "error", err)
	}
	r := b.down().Removal(session, ref, doomed)
	r.KeepRules = true
	if survivors, err := r.Do(ctx); err != nil {
		return teardown.StillAlive(survivors, err)
	}
	b.noteGone(ctx, c, doomed)
	return nil
}

// dropUncommitted removes what a growth that was cut off left behind, once all
// of it would be listed.
func (b *Broker) dropUncommitted(ctx context.Context, session cloud.Session, c cluster.Cluster) error {
	j, err := b.folderOf(c).ReadJournal()
	if err != nil {
		return err
	}
	if g := j.Find(c.Generation); g != nil {
		now := b.cfg.Now()
		if err := retry.Pause(ctx, g.VisibleBy(c.Cloud, c.Region, now, b.cfg.Timeouts.ListDelay).Sub(now)); err != nil {
			return err
		}
	}
	alive, err := session.Query(ctx, c.Ref())
	if err != nil {
		return err
	}
	failed, err := b.failedGrowth(c)
	if err != nil {
		return err
	}
	return b.removeNodes(ctx, session, c, union(c.Uncommitted(alive), failed))
}

// union is x with what y has besides.
func union(x, y []string) []string {
	for _, s := range y {
		if !slices.Contains(x, s) {
			x = append(x, s)
		}
	}
	return x
}

// ranksFrom are the ranks from first to end-1.
func ranksFrom(first, end int) []int {
	var ranks []int
	for r := first; r < end; r++ {
		ranks = append(ranks, r)
	}
	return ranks
}
