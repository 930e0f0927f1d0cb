// SPDX-License-Identifier: MPL-2.0

package change

import (
	"context"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Destroy removes the cluster's machines, rules and keys, and returns only
// after their absence was observed. A cluster that is gone already is success.
// What an unfinished launch of the same name left goes with it. It asks no node
// for anything, and needs nothing of the state folder: state says what to remove.
func (ch Changer) Destroy(ctx context.Context, c cluster.Cluster) error {
	f := ch.Down.FolderOf(c)
	release, err := f.LockOrGoOn(ctx, "destroying")
	if err != nil {
		return err
	}
	defer release()
	session, err := ch.Down.OpenFor(ctx, c)
	if err != nil {
		return fmt.Errorf("nothing was removed: %w", err)
	}
	return ch.Make.Reach.Logged(ctx, f, "removing the cluster, until nothing of it is seen", ch.Down.Cleanup, func() error {
		return f.WithKnown(ctx, func(j *journal.Journal) error {
			if err := ch.Down.RemoveCluster(ctx, session, f, j, c); err != nil {
				return err
			}
			return ch.Down.RemoveStrays(ctx, f, j, c)
		})
	})
}
