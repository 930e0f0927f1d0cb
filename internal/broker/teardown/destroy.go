// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Destroy removes the cluster's machines, rules and keys, and returns only
// after their absence was observed. A cluster that is gone already is success.
// What an unfinished launch of the same name left goes with it. It asks no node
// for anything, and needs nothing of the state folder: state says what to remove.
func (b *Broker) Destroy(ctx context.Context, c cluster.Cluster) error {
	f := b.folderOf(c)
	release, err := f.LockOrGoOn(ctx, "destroying")
	if err != nil {
		return err
	}
	defer release()
	session, err := b.down().OpenFor(ctx, c)
	if err != nil {
		return fmt.Errorf("nothing was removed: %w", err)
	}
	return b.logged(ctx, f, "removing the cluster, until nothing of it is seen", b.cfg.Timeouts.Cleanup, func() error {
		return f.WithKnown(ctx, func(j *journal.Journal) error {
			if err := b.removeCluster(ctx, session, f, j, c); err != nil {
				return err
			}
			return b.removeStrays(ctx, f, j, c)
		})
	})
}

// removeCluster removes a cluster that state holds. A journal that cannot be
// written is no reason to leave its machines running: state has their record.
func (b *Broker) removeCluster(ctx context.Context, session cloud.Session, f statedir.Folder, j *journal.Journal, c cluster.Cluster) error {
	ref := c.Ref()
	known := c.InstanceIDs()
	r := b.down().Removal(session, ref, nil)
	g := j.Find(c.Generation)
	if g != nil {
		r.ListedBy = g.VisibleBy(c.Cloud, c.Region, b.cfg.Now(), b.cfg.Timeouts.ListDelay) // a growth may have been cut off
		for _, id := range g.IDs(c.Cloud) {
			if !slices.Contains(known, id) && g.InRegion(id, c.Region) {
				known = append(known, id)
			}
		}
	}
	if err := j.Append(journal.Entry{Event: journal.EventRemoving, Generation: c.Generation, Ref: &ref, Account: session.Account, Instances: known}); err != nil {
		b.log.ErrorContext(ctx, "the journal cannot be written; removing all the same", "error", err)
	}
	b.log.InfoContext(ctx, "removing the cluster", "cluster", c.Name, "generation", c.Generation, "instances", known)
	r.Known = known
	if survivors, err := r.Do(ctx); err != nil {
		return fmt.Errorf("cluster %q is not removed; %w", c.Name, teardown.StillAlive(survivors, err))
	}
	if g == nil {
		b.down().Forget(ctx, f, j, c.Generation)
		return nil
	}
	// Attempts that failed before the one that became the cluster may have left
	// machines that came late, in other places.
	return b.down().RemoveGeneration(ctx, f, j, g, c.Cloud+"/"+c.Region)
}

// removeStrays removes what the journal knows of unfinished launches, and what
// came late of those that were observed gone.
func (b *Broker) removeStrays(ctx context.Context, f statedir.Folder, j *journal.Journal, c cluster.Cluster) error {
	where := []string{c.Cloud}
	for _, g := range j.Generations() {
		for _, p := range g.AllPlaces() {
			if _, err := b.down().OpenPlace(ctx, c.Name, p); err == nil && !slices.Contains(where, p.Ref.Cloud) {
				where = append(where, p.Ref.Cloud)
			}
		}
	}
	inventory, err := b.clouds.Inventory(ctx, b.owner, c.Name, where)
	if err != nil {
		return fmt.Errorf("cluster %q is removed; looking for what earlier launches left: %w", c.Name, err)
	}
	for _, g := range j.Generations() {
		if g.Removed || g.ID == c.Generation || committedUnknown(g, inventory) {
			continue
		}
		if g.Complete && !g.Removing {
			b.forgetReplaced(ctx, f, j, c, g, inventory)
			continue
		}
		if err := b.down().RemoveGeneration(ctx, f, j, g, ""); err != nil {
			return err
		}
	}
	for _, found := range inventory {
		if err := b.removeLate(ctx, f, j, c, found); err != nil {
			return err
		}
	}
	if c.Owner == b.owner {
		b.down().ClearUnused(ctx, j, c.Name, where...)
	}
	if err := f.PruneKeys(j); err != nil {
		b.log.WarnContext(ctx, "keys of clusters that are gone are left", "cluster", c.Name, "error", err)
	}
	return nil
}

// forgetReplaced forgets a complete generation that is gone: the cluster was
// replaced from another computer. In doubt, and where it cannot be asked, it stays
// for the next launch and for gc.
func (b *Broker) forgetReplaced(ctx context.Context, f statedir.Folder, j *journal.Journal, c cluster.Cluster, g *journal.Generation, inventory []clouds.Machines) {
	if g.Cluster == nil || slices.ContainsFunc(inventory, func(f clouds.Machines) bool { return f.Generation == g.ID }) {
		return
	}
	session, err := b.down().OpenFor(ctx, *g.Cluster)
	if err != nil {
		return
	}
	alive, err := b.down().LookTwice(ctx, session, *g.Cluster)
	if err != nil || len(alive) > 0 {
		return
	}
	if err := b.down().ForgetGone(ctx, f, j, g); err != nil {
		b.log.WarnContext(ctx, "the record of a cluster that is gone stays", "cluster", c.Name, "generation", g.ID, "error", err)
	}
}

// removeLate removes machines that are no living cluster's: those of a
// generation observed gone, and unfinished ones past their deadline.
func (b *Broker) removeLate(ctx context.Context, folder statedir.Folder, j *journal.Journal, c cluster.Cluster, f clouds.Machines) error {
	g := j.Find(f.Generation)
	if !g.Straggles(f.Committed()) && (g != nil || f.Committed() || !clouds.Overdue(f.Alive, b.cfg.Now())) {
		return nil
	}
	session, err := b.clouds.Open(ctx, f.Cloud)
	if err != nil {
		return err
	}
	ref := cloud.ClusterRef{Owner: b.owner, Cluster: c.Name, Generation: f.Generation, Cloud: f.Cloud}
	if survivors, err := b.down().Removal(session, ref, clouds.IDs(f.Alive)).Do(ctx); err != nil {
		return fmt.Errorf("an earlier launch of cluster %q left %v: %w", c.Name, survivors, err)
	}
	if err := folder.RemoveKeys(f.Generation); err != nil {
		b.log.WarnContext(ctx, "keys of machines that are gone are left", "cluster", c.Name, "error", err)
	}
	return nil
}
