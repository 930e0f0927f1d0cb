// SPDX-License-Identifier: MPL-2.0

package teardown

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

// NoteFailedGrowth records that a growth whose commit was begun has failed, before its
// machines are removed: some of them may look like the cluster's by now.
func (t Teardown) NoteFailedGrowth(ctx context.Context, c cluster.Cluster, ids []string) {
	err := t.FolderOf(c).WithJournal(func(j *journal.Journal) error {
		return j.Append(journal.Entry{Event: journal.EventGrowthFailed, Generation: c.Generation, Instances: append(j.FailedGrowth(c), ids...), Cluster: &c})
	})
	if err != nil {
		t.Log.ErrorContext(ctx, "the journal cannot be written; removing all the same", "error", err)
	}
}

// noteGone records which of the machines of failed growths were observed gone. Where it
// cannot, their absence is observed once more, by the next refresh.
func (t Teardown) noteGone(ctx context.Context, c cluster.Cluster, gone []string) {
	err := t.FolderOf(c).WithJournal(func(j *journal.Journal) error {
		failed := j.FailedGrowth(c)
		left := journal.Without(failed, gone)
		if len(left) == len(failed) {
			return nil
		}
		return j.Append(journal.Entry{Event: journal.EventGrowthFailed, Generation: c.Generation, Instances: left})
	})
	if err != nil {
		t.Log.ErrorContext(ctx, "the journal cannot be written", "error", err)
	}
}

// FailedGrowth is the journal's, read anew.
func (t Teardown) FailedGrowth(c cluster.Cluster) ([]string, error) {
	j, err := t.FolderOf(c).ReadJournal()
	if err != nil {
		return nil, err
	}
	return j.FailedGrowth(c), nil
}

// WithoutFailedGrowth leaves machines of failed growths out, as far as they are known.
func (t Teardown) WithoutFailedGrowth(c cluster.Cluster, alive []cloud.Instance) []cloud.Instance {
	failed := t.FolderOf(c).Known().FailedGrowth(c)
	return slices.DeleteFunc(alive, func(i cloud.Instance) bool { return slices.Contains(failed, i.ID) })
}

// RemoveFailedGrowth removes what a growth that failed could not remove itself, at the
// refresh of a cluster that does not have it. It may fail: the machines stay on
// record, and the next refresh, change or gc tries again.
func (t Teardown) RemoveFailedGrowth(ctx context.Context, c cluster.Cluster) {
	failed, err := t.FailedGrowth(c)
	if err != nil || len(failed) == 0 {
		return
	}
	if err := t.tryRemoveFailedGrowth(ctx, c); err != nil {
		t.Log.WarnContext(ctx, "machines of a growth that failed are not removed yet and may be billed", "cluster", c.Name, "instances", failed, "error", err)
	}
}

func (t Teardown) tryRemoveFailedGrowth(ctx context.Context, c cluster.Cluster) error {
	release, err := t.FolderOf(c).Lock(ctx, "refreshing")
	if busy := (*statedir.BusyError)(nil); errors.As(err, &busy) {
		return nil // its holder removes them, or the next refresh
	}
	if err != nil {
		return err
	}
	defer release()
	failed, err := t.FailedGrowth(c) // as of now, under the lock
	if err != nil || len(failed) == 0 {
		return err
	}
	session, err := t.OpenFor(ctx, c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, failedGrowthLimit, fmt.Errorf("the removal took longer than %s", failedGrowthLimit))
	defer cancel()
	return t.RemoveNodes(ctx, session, c, failed)
}

// RemoveNodes removes machines of a cluster that goes on living.
func (t Teardown) RemoveNodes(ctx context.Context, session cloud.Session, c cluster.Cluster, doomed []string) error {
	if len(doomed) == 0 {
		return nil
	}
	ref := c.Ref()
	ref.Instances = doomed
	err := t.FolderOf(c).WithJournal(func(j *journal.Journal) error {
		return j.Append(journal.Entry{Event: journal.EventRemoving, Generation: c.Generation, Ref: &ref, Instances: doomed})
	})
	if err != nil {
		t.Log.ErrorContext(ctx, "the journal cannot be written; removing all the same", "error", err)
	}
	r := t.Removal(session, ref, doomed)
	r.KeepRules = true
	if survivors, err := r.Do(ctx); err != nil {
		return StillAlive(survivors, err)
	}
	t.noteGone(ctx, c, doomed)
	return nil
}
