// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Observe returns the cluster as its cloud sees it now. ErrGone means that all
// its machines are positively gone; after any other error nothing is known.
func (b *Broker) Observe(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error) {
	session, err := b.down().OpenFor(ctx, c)
	if err != nil {
		return c, err
	}
	views, ended := b.candidates(c)
	looks := 2
	if ended {
		looks = 1
	}
	latest, fresh, err := b.lookAs(ctx, session, views, looks)
	if errors.Is(err, cluster.ErrGone) && latest.Status == cluster.StatusTerminated {
		return latest, nil // as it is known to be
	}
	if errors.Is(err, cluster.ErrGone) {
		fresh, err = b.autodown(ctx, latest, err)
	}
	if err != nil {
		return c, err
	}
	b.explain(latest, &fresh)
	b.reach().TellHook(ctx, latest.StatusReason, &fresh)
	return fresh, nil
}

// Refresh is Observe for a cluster that Terraform's state holds, which it
// records. After any error but ErrGone the state must stay as it is.
func (b *Broker) Refresh(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error) {
	fresh, err := b.Observe(ctx, c)
	if err != nil {
		return c, err
	}
	if err := b.writeRecord(ctx, fresh); err != nil {
		return c, err
	}
	b.removeFailedGrowth(ctx, fresh)
	b.mu.Lock()
	b.seen[c.Generation] = fresh
	b.mu.Unlock()
	return fresh, nil
}

// NoteReplacement is called when a cluster is planned to be created. Where this
// process has refreshed a cluster of the same name, the plan replaces it, and
// with create_before_destroy both will be alive for a while: that is noted, so
// that the launch does not take the old one for somebody else's.
//
// held are clusters of that name that the plan itself has seen in state, which it
// has without a refresh, too.
func (b *Broker) NoteReplacement(ctx context.Context, name string, held ...cluster.Cluster) error {
	b.mu.Lock()
	old := slices.DeleteFunc(slices.Collect(maps.Values(b.seen)), func(c cluster.Cluster) bool { return c.Name != name || cmp.Or(c.Owner, b.owner) != b.owner })
	b.mu.Unlock()
	for _, c := range held {
		if cmp.Or(c.Owner, b.owner) == b.owner && !slices.ContainsFunc(old, func(o cluster.Cluster) bool { return o.Generation == c.Generation }) {
			old = append(old, c)
		}
	}
	if len(old) == 0 {
		return nil
	}
	f := b.folder(name)
	release, err := f.LockOrGoOn(ctx, "planning")
	if err != nil {
		return err
	}
	defer release()
	return f.WithKnown(ctx, func(j *journal.Journal) error {
		for _, c := range old {
			if err := b.noteReplaced(j, c); err != nil { // the launch cannot write either, and says so
				b.log.WarnContext(ctx, "the replacement of a cluster is not recorded", "cluster", name, "error", err)
			}
		}
		return nil
	})
}

// noteReplaced records that a cluster of this home's state is to be replaced,
// one that was launched from elsewhere, too.
func (b *Broker) noteReplaced(j *journal.Journal, c cluster.Cluster) error {
	g := j.Find(c.Generation)
	if g != nil && (g.Removed || g.Replacing == b.cfg.Home) {
		return nil
	}
	if g == nil {
		if err := j.Append(journal.Entry{Event: journal.EventRecorded, Generation: c.Generation, Cluster: &c}); err != nil {
			return err
		}
	}
	return j.Append(journal.Entry{Event: journal.EventReplacing, Generation: c.Generation, Home: b.cfg.Home})
}

// writeRecord notes in the local journal that Terraform holds the cluster and
// what it looks like now, and renews the known_hosts file. A cluster launched
// from another machine has no journal here, and one being worked on is left
// to its holder. What cannot be noted is noted by a later refresh: the state has
// it.
func (b *Broker) writeRecord(ctx context.Context, c cluster.Cluster) error {
	f := b.folderOf(c)
	g := f.Known().Find(c.Generation)
	if g == nil {
		b.WriteSSHFiles(ctx, c) // launched elsewhere
		return nil
	}
	same := g.Cluster != nil && reflect.DeepEqual(*g.Cluster, c)
	if g.Removed || (g.Recorded && same && !g.Removing && !g.CommitPending && g.Replacing == "") {
		return nil
	}
	release, err := f.LockOrGoOn(ctx, "refreshing")
	if busy := (*statedir.BusyError)(nil); errors.As(err, &busy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer release()
	if g.CommitPending && g.Committed {
		if err := b.finishCommit(ctx, c); err != nil {
			return err
		}
	}
	if err := b.record(c); err != nil {
		b.log.WarnContext(ctx, "the cluster's record and SSH files are not renewed", "cluster", c.Name, "error", err)
	}
	return nil
}

// finishCommit disarms the timers of nodes that a growth added and was cut off
// before it could: state has them now, and they would end themselves.
func (b *Broker) finishCommit(ctx context.Context, c cluster.Cluster) error {
	session, err := b.down().OpenFor(ctx, c)
	if err != nil {
		return err
	}
	ref := c.Ref()
	for _, n := range c.Nodes {
		if n.State != cloud.StateTerminated {
			ref.Instances = append(ref.Instances, n.InstanceID)
		}
	}
	if err := session.Commit(ctx, ref); err != nil {
		return fmt.Errorf("finish the growth of cluster %q that was cut off: %w", c.Name, err)
	}
	return nil
}
