// SPDX-License-Identifier: MPL-2.0

package teardown

import (
	"context"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// RemoveRules removes the rules and keys of a cluster whose machines are
// gone (ErrGone). It removes no machine, and no cloud removes rules that a
// machine still uses, so a mistake about the machines does no harm. lost says that
// nobody wanted the end.
func (t Teardown) RemoveRules(ctx context.Context, c cluster.Cluster, lost bool) error {
	f := t.FolderOf(c)
	release, err := f.LockOrGoOn(ctx, "removing rules and keys")
	if err != nil {
		return err
	}
	defer release()
	session, err := t.OpenFor(ctx, c)
	if err != nil {
		return err
	}
	return f.WithKnown(ctx, func(j *journal.Journal) error {
		if lost {
			if err := journal.NoteLost(j, c.Generation); err != nil {
				t.Log.WarnContext(ctx, "the loss of a cluster is not recorded", "cluster", c.Name, "error", err)
			}
		}
		if err := session.CleanupPorts(ctx, c.Ref()); err != nil {
			return fmt.Errorf("remove the rules and keys of cluster %q: %w", c.Name, err)
		}
		if g := j.Find(c.Generation); lost && (g == nil || !g.LivesBeside(c)) {
			t.Forget(ctx, f, j, c.Generation) // no destroy will follow: its state goes
		}
		return nil
	})
}
