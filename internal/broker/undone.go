// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// undoneLimit bounds what a refresh waits for the removal of undone machines.
const undoneLimit = 2 * time.Minute

// noteUndone records that a growth whose commit was begun has failed, before its
// machines are removed: some of them may look like the cluster's by now.
func (b *Broker) noteUndone(ctx context.Context, c cluster.Cluster, ids []string) {
	err := b.folderOf(c).WithJournal(func(j *journal.Journal) error {
		return j.Append(journal.Entry{Event: journal.EventGrowthFailed, Generation: c.Generation, Instances: append(j.FailedGrowth(c), ids...), Cluster: &c})
	})
	if err != nil {
		b.log.ErrorContext(ctx, "the journal cannot be written; removing all the same", "error", err)
	}
}

// noteGone records which of the undone machines were observed gone. Where it
// cannot, their absence is observed once more, by the next refresh.
func (b *Broker) noteGone(ctx context.Context, c cluster.Cluster, gone []string) {
	err := b.folderOf(c).WithJournal(func(j *journal.Journal) error {
		undone := j.FailedGrowth(c)
		left := journal.Without(undone, gone)
		if len(left) == len(undone) {
			return nil
		}
		return j.Append(journal.Entry{Event: journal.EventGrowthFailed, Generation: c.Generation, Instances: left})
	})
	if err != nil {
		b.log.ErrorContext(ctx, "the journal cannot be written", "error", err)
	}
}

// undone is the journal's, read anew.
func (b *Broker) undone(c cluster.Cluster) ([]string, error) {
	j, err := b.folderOf(c).ReadJournal()
	if err != nil {
		return nil, err
	}
	return j.FailedGrowth(c), nil
}

// withoutUndone leaves machines of failed growths out, as far as they are known.
func (b *Broker) withoutUndone(c cluster.Cluster, alive []cloud.Instance) []cloud.Instance {
	undone := b.folderOf(c).Known().FailedGrowth(c)
	return slices.DeleteFunc(alive, func(i cloud.Instance) bool { return slices.Contains(undone, i.ID) })
}

// dropUndone removes what a growth that failed could not remove itself, at the
// refresh of a cluster that does not have it. It may fail: the machines stay on
// record, and the next refresh, change or gc tries again.
func (b *Broker) dropUndone(ctx context.Context, c cluster.Cluster) {
	undone, err := b.undone(c)
	if err != nil || len(undone) == 0 {
		return
	}
	if err := b.tryDropUndone(ctx, c); err != nil {
		b.log.WarnContext(ctx, "machines of a growth that failed are not removed yet and may be billed", "cluster", c.Name, "instances", undone, "error", err)
	}
}

func (b *Broker) tryDropUndone(ctx context.Context, c cluster.Cluster) error {
	release, err := b.folderOf(c).Lock(ctx, "refreshing")
	if busy := (*statedir.BusyError)(nil); errors.As(err, &busy) {
		return nil // its holder removes them, or the next refresh
	}
	if err != nil {
		return err
	}
	defer release()
	undone, err := b.undone(c) // as of now, under the lock
	if err != nil || len(undone) == 0 {
		return err
	}
	session, err := b.down().OpenFor(ctx, c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, undoneLimit, fmt.Errorf("the removal took longer than %s", undoneLimit))
	defer cancel()
	return b.removeNodes(ctx, session, c, undone)
}
