// SPDX-License-Identifier: MPL-2.0

package teardown

import (
	"context"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// RemoveCluster removes a cluster that state holds. A journal that cannot be
// written is no reason to leave its machines running: state has their record.
func (t Teardown) RemoveCluster(ctx context.Context, session cloud.Session, f statedir.Folder, j *journal.Journal, c cluster.Cluster) error {
	ref := c.Ref()
	known := c.InstanceIDs()
	r := t.Removal(session, ref, nil)
	g := j.Find(c.Generation)
	if g != nil {
		r.ListedBy = g.VisibleBy(c.Cloud, c.Region, t.Now(), t.ListDelay) // a growth may have been cut off
		for _, id := range g.IDs(c.Cloud) {
			if !slices.Contains(known, id) && g.InRegion(id, c.Region) {
				known = append(known, id)
			}
		}
	}
	if err := j.Append(journal.Entry{Event: journal.EventRemoving, Generation: c.Generation, Ref: &ref, Account: session.Account, Instances: known}); err != nil {
		t.Log.ErrorContext(ctx, "the journal cannot be written; removing all the same", "error", err)
	}
	t.Log.InfoContext(ctx, "removing the cluster", "cluster", c.Name, "generation", c.Generation, "instances", known)
	r.Known = known
	if survivors, err := r.Do(ctx); err != nil {
		return fmt.Errorf("cluster %q is not removed; %w", c.Name, StillAlive(survivors, err))
	}
	if g == nil {
		t.Forget(ctx, f, j, c.Generation)
		return nil
	}
	// Attempts that failed before the one that became the cluster may have left
	// machines that came late, in other places.
	return t.RemoveGeneration(ctx, f, j, g, c.Cloud+"/"+c.Region)
}

// RemoveStrays removes what the journal knows of unfinished launches, and what
// came late of those that were observed gone.
func (t Teardown) RemoveStrays(ctx context.Context, f statedir.Folder, j *journal.Journal, c cluster.Cluster) error {
	where := []string{c.Cloud}
	for _, g := range j.Generations() {
		for _, p := range g.AllPlaces() {
			if _, err := t.OpenPlace(ctx, c.Name, p); err == nil && !slices.Contains(where, p.Ref.Cloud) {
				where = append(where, p.Ref.Cloud)
			}
		}
	}
	inventory, err := t.Clouds.Inventory(ctx, t.Owner, c.Name, where)
	if err != nil {
		return fmt.Errorf("cluster %q is removed; looking for what earlier launches left: %w", c.Name, err)
	}
	for _, g := range j.Generations() {
		if g.Removed || g.ID == c.Generation || CommittedUnknown(g, inventory) {
			continue
		}
		if g.Complete && !g.Removing {
			t.forgetReplaced(ctx, f, j, c, g, inventory)
			continue
		}
		if err := t.RemoveGeneration(ctx, f, j, g, ""); err != nil {
			return err
		}
	}
	for _, found := range inventory {
		if err := t.removeStragglers(ctx, f, j, c, found); err != nil {
			return err
		}
	}
	if c.Owner == t.Owner {
		t.ClearUnused(ctx, j, c.Name, where...)
	}
	if err := f.PruneKeys(j); err != nil {
		t.Log.WarnContext(ctx, "keys of clusters that are gone are left", "cluster", c.Name, "error", err)
	}
	return nil
}

// forgetReplaced forgets a complete generation that is gone: the cluster was
// replaced from another computer. In doubt, and where it cannot be asked, it stays
// for the next launch and for gc.
func (t Teardown) forgetReplaced(ctx context.Context, f statedir.Folder, j *journal.Journal, c cluster.Cluster, g *journal.Generation, inventory []clouds.Machines) {
	if g.Cluster == nil || slices.ContainsFunc(inventory, func(f clouds.Machines) bool { return f.Generation == g.ID }) {
		return
	}
	session, err := t.OpenFor(ctx, *g.Cluster)
	if err != nil {
		return
	}
	alive, err := t.LookTwice(ctx, session, *g.Cluster)
	if err != nil || len(alive) > 0 {
		return
	}
	if err := t.ForgetGone(ctx, f, j, g); err != nil {
		t.Log.WarnContext(ctx, "the record of a cluster that is gone stays", "cluster", c.Name, "generation", g.ID, "error", err)
	}
}

// removeStragglers removes machines that are no living cluster's: those of a
// generation observed gone, and unfinished ones past their deadline.
func (t Teardown) removeStragglers(ctx context.Context, folder statedir.Folder, j *journal.Journal, c cluster.Cluster, f clouds.Machines) error {
	g := j.Find(f.Generation)
	if !g.Straggles(f.Committed()) && (g != nil || f.Committed() || !clouds.Overdue(f.Alive, t.Now())) {
		return nil
	}
	session, err := t.Clouds.Open(ctx, f.Cloud)
	if err != nil {
		return err
	}
	ref := cloud.ClusterRef{Owner: t.Owner, Cluster: c.Name, Generation: f.Generation, Cloud: f.Cloud}
	if survivors, err := t.Removal(session, ref, clouds.IDs(f.Alive)).Do(ctx); err != nil {
		return fmt.Errorf("an earlier launch of cluster %q left %v: %w", c.Name, survivors, err)
	}
	if err := folder.RemoveKeys(f.Generation); err != nil {
		t.Log.WarnContext(ctx, "keys of machines that are gone are left", "cluster", c.Name, "error", err)
	}
	return nil
}

// CommittedUnknown reports whether the cloud says of a generation that it is a
// whole cluster and the journal, restored from elsewhere perhaps, does not.
func CommittedUnknown(g *journal.Generation, listed []clouds.Machines) bool {
	return g.CommitAttempt == 0 && slices.ContainsFunc(listed, func(f clouds.Machines) bool {
		return f.Generation == g.ID && f.Committed()
	})
}
