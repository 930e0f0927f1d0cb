// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
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
	session, err := b.openFor(ctx, c)
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
	r := b.removal(session, ref, nil)
	g := j.Find(c.Generation)
	if g != nil {
		r.settled = g.VisibleBy(c.Cloud, c.Region, b.cfg.Now(), b.cfg.Timeouts.Settle) // a growth may have been cut off
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
	r.known = known
	if survivors, err := r.do(ctx); err != nil {
		return fmt.Errorf("cluster %q is not removed; %w", c.Name, stillAlive(survivors, err))
	}
	if g == nil {
		b.forget(ctx, f, j, c.Generation)
		return nil
	}
	// Attempts that failed before the one that became the cluster may have left
	// machines that came late, in other places.
	return b.removeGeneration(ctx, f, j, g, c.Cloud+"/"+c.Region)
}

// forget records that a generation is gone and deletes its keys. What of that
// cannot be done fails nothing: the absence will be observed once more, and the
// keys are found by gc.
func (b *Broker) forget(ctx context.Context, f statedir.Folder, j *journal.Journal, gen string) {
	if err := j.Append(journal.Entry{Event: journal.EventRemoved, Generation: gen}); err != nil {
		b.log.ErrorContext(ctx, "the journal cannot be written", "error", err)
	}
	err := errors.Join(f.RemoveKeys(gen), f.RenewSSHFiles(j, gen))
	if err != nil {
		b.log.WarnContext(ctx, "keys and SSH files of a cluster that is gone are left", "cluster", f.Name, "error", err)
	}
}

// removeStrays removes what the journal knows of unfinished launches, and what
// came late of those that were observed gone.
func (b *Broker) removeStrays(ctx context.Context, f statedir.Folder, j *journal.Journal, c cluster.Cluster) error {
	clouds := []string{c.Cloud}
	for _, g := range j.Generations() {
		for _, p := range g.AllPlaces() {
			if _, err := b.openPlace(ctx, c.Name, p); err == nil && !slices.Contains(clouds, p.Ref.Cloud) {
				clouds = append(clouds, p.Ref.Cloud)
			}
		}
	}
	census, err := b.takeCensus(ctx, c.Name, clouds)
	if err != nil {
		return fmt.Errorf("cluster %q is removed; looking for what earlier launches left: %w", c.Name, err)
	}
	for _, g := range j.Generations() {
		if g.Removed || g.ID == c.Generation || committedUnknown(g, census) {
			continue
		}
		if g.Complete && !g.Removing {
			b.forgetReplaced(ctx, f, j, c, g, census)
			continue
		}
		if err := b.removeGeneration(ctx, f, j, g, ""); err != nil {
			return err
		}
	}
	for _, found := range census {
		if err := b.removeLate(ctx, f, j, c, found); err != nil {
			return err
		}
	}
	if c.Owner == b.owner {
		b.clearThings(ctx, j, c.Name, clouds...)
	}
	if err := f.PruneKeys(j); err != nil {
		b.log.WarnContext(ctx, "keys of clusters that are gone are left", "cluster", c.Name, "error", err)
	}
	return nil
}

// forgetReplaced forgets a complete generation that is gone: the cluster was
// replaced from another computer. In doubt, and where it cannot be asked, it stays
// for the next launch and for gc.
func (b *Broker) forgetReplaced(ctx context.Context, f statedir.Folder, j *journal.Journal, c cluster.Cluster, g *journal.Generation, census []found) {
	if g.Cluster == nil || slices.ContainsFunc(census, func(f found) bool { return f.generation == g.ID }) {
		return
	}
	session, err := b.openFor(ctx, *g.Cluster)
	if err != nil {
		return
	}
	alive, err := b.lookTwice(ctx, session, *g.Cluster)
	if err != nil || len(alive) > 0 {
		return
	}
	if err := b.forgetGone(ctx, f, j, g); err != nil {
		b.log.WarnContext(ctx, "the record of a cluster that is gone stays", "cluster", c.Name, "generation", g.ID, "error", err)
	}
}

// removeLate removes machines that are no living cluster's: those of a
// generation observed gone, and unfinished ones past their deadline.
func (b *Broker) removeLate(ctx context.Context, folder statedir.Folder, j *journal.Journal, c cluster.Cluster, f found) error {
	g := j.Find(f.generation)
	if !g.Straggles(f.committed()) && (g != nil || f.committed() || !overdue(f.alive, b.cfg.Now())) {
		return nil
	}
	session, err := b.session(ctx, f.cloud)
	if err != nil {
		return err
	}
	ref := cloud.ClusterRef{Owner: b.owner, Cluster: c.Name, Generation: f.generation, Cloud: f.cloud}
	if survivors, err := b.removal(session, ref, idsOf(f.alive)).do(ctx); err != nil {
		return fmt.Errorf("an earlier launch of cluster %q left %v: %w", c.Name, survivors, err)
	}
	if err := folder.RemoveKeys(f.generation); err != nil {
		b.log.WarnContext(ctx, "keys of machines that are gone are left", "cluster", c.Name, "error", err)
	}
	return nil
}

// stillAlive is the error of a removal that did not come to its end. None are
// named where it was cut off before it could see any.
func stillAlive(survivors []string, err error) error {
	if len(survivors) == 0 {
		return fmt.Errorf("what is left is not known: %w", err)
	}
	return fmt.Errorf("still alive: %v: %w", survivors, err)
}
