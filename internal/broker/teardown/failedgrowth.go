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

// failedGrowthLimit bounds what a refresh waits for the removal of machines of failed growths.
const failedGrowthLimit = 2 * time.Minute

// noteFailedGrowth records that a growth whose commit was begun has failed, before its
// machines are removed: some of them may look like the cluster's by now.
func (b *Broker) noteFailedGrowth(ctx context.Context, c cluster.Cluster, ids []string) {
	err := b.folderOf(c).WithJournal(func(j *journal.Journal) error {
		return j.Append(journal.Entry{Event: journal.EventGrowthFailed, Generation: c.Generation, Instances: append(j.FailedGrowth(c), ids...), Cluster: &c})
	})
	if err != nil {
		b.log.ErrorContext(ctx, "the journal cannot be written; removing all the same", "error", err)
	}
}

// noteGone records which of the machines of failed growths were observed gone. Where it
// cannot, their absence is observed once more, by the next refresh.
func (b *Broker) noteGone(ctx context.Context, c cluster.Cluster, gone []string) {
	err := b.folderOf(c).WithJournal(func(j *journal.Journal) error {
		failed := j.FailedGrowth(c)
		left := journal.Without(failed, gone)
		if len(left) == len(failed) {
			return nil
		}
		return j.Append(journal.Entry{Event: journal.EventGrowthFailed, Generation: c.Generation, Instances: left})
	})
	if err != nil {
		b.log.ErrorContext(ctx, "the journal cannot be written", "error", err)
	}
}

// failedGrowth is the journal's, read anew.
func (b *Broker) failedGrowth(c cluster.Cluster) ([]string, error) {
	j, err := b.folderOf(c).ReadJournal()
	if err != nil {
		return nil, err
	}
	return j.FailedGrowth(c), nil
}

// withoutFailedGrowth leaves machines of failed growths out, as far as they are known.
func (b *Broker) withoutFailedGrowth(c cluster.Cluster, alive []cloud.Instance) []cloud.Instance {
	failed := b.folderOf(c).Known().FailedGrowth(c)
	return slices.DeleteFunc(alive, func(i cloud.Instance) bool { return slices.Contains(failed, i.ID) })
}

// removeFailedGrowth removes what a growth that failed could not remove itself, at the
// refresh of a cluster that does not have it. It may fail: the machines stay on
// record, and the next refresh, change or gc tries again.
func (b *Broker) removeFailedGrowth(ctx context.Context, c cluster.Cluster) {
	failed, err := b.failedGrowth(c)
	if err != nil || len(failed) == 0 {
		return
	}
	if err := b.tryRemoveFailedGrowth(ctx, c); err != nil {
		b.log.WarnContext(ctx, "machines of a growth that failed are not removed yet and may be billed", "cluster", c.Name, "instances", failed, "error", err)
	}
}

func (b *Broker) tryRemoveFailedGrowth(ctx context.Context, c cluster.Cluster) error {
	release, err := b.folderOf(c).Lock(ctx, "refreshing")
	if busy := (*statedir.BusyError)(nil); errors.As(err, &busy) {
		return nil // its holder removes them, or the next refresh
	}
	if err != nil {
		return err
	}
	defer release()
	failed, err := b.failedGrowth(c) // as of now, under the lock
	if err != nil || len(failed) == 0 {
		return err
	}
	session, err := b.down().OpenFor(ctx, c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, failedGrowthLimit, fmt.Errorf("the removal took longer than %s", failedGrowthLimit))
	defer cancel()
	return b.removeNodes(ctx, session, c, failed)
}
