// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Observe returns the cluster as its cloud sees it now. ErrGone means that all
// its machines are positively gone; after any other error nothing is known.
func (o Observer) Observe(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error) {
	session, err := o.Down.OpenFor(ctx, c)
	if err != nil {
		return c, err
	}
	records, ended := o.candidates(c)
	looks := 2
	if ended {
		looks = 1
	}
	latest, fresh, err := o.lookByRecord(ctx, session, records, looks)
	if errors.Is(err, cluster.ErrGone) && latest.Status == cluster.StatusTerminated {
		return latest, nil // as it is known to be
	}
	if errors.Is(err, cluster.ErrGone) {
		fresh, err = o.autodown(ctx, latest, err)
	}
	if err != nil {
		return c, err
	}
	o.explain(latest, &fresh)
	o.Reach.TellHook(ctx, latest.StatusReason, &fresh)
	return fresh, nil
}

// Refresh is Observe for a cluster that Terraform's state holds, which it
// records. After any error but ErrGone the state must stay as it is.
func (o Observer) Refresh(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error) {
	fresh, err := o.Observe(ctx, c)
	if err != nil {
		return c, err
	}
	if err := o.writeRecord(ctx, fresh); err != nil {
		return c, err
	}
	o.Down.RemoveFailedGrowth(ctx, fresh)
	o.Held.Memory.NoteSeen(c.Generation, fresh)
	return fresh, nil
}

// writeRecord notes in the local journal that Terraform holds the cluster and
// what it looks like now, and renews the known_hosts file. A cluster launched
// from another machine has no journal here, and one being worked on is left
// to its holder. What cannot be noted is noted by a later refresh: the state has
// it.
func (o Observer) writeRecord(ctx context.Context, c cluster.Cluster) error {
	f := o.Down.FolderOf(c)
	g := f.Known().Find(c.Generation)
	if g == nil {
		o.Down.FolderOf(c).RenewSSHFilesOf(ctx, c) // launched elsewhere
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
		if err := o.finishCommit(ctx, c); err != nil {
			return err
		}
	}
	if err := o.Held.Record(c); err != nil {
		o.Down.Log.WarnContext(ctx, "the cluster's record and SSH files are not renewed", "cluster", c.Name, "error", err)
	}
	return nil
}

// finishCommit disarms the timers of nodes that a growth added and was cut off
// before it could: state has them now, and they would end themselves.
func (o Observer) finishCommit(ctx context.Context, c cluster.Cluster) error {
	session, err := o.Down.OpenFor(ctx, c)
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
