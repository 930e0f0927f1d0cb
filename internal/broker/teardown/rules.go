// SPDX-License-Identifier: MPL-2.0

package teardown

import (
	"context"
	"errors"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
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
		if err := cleanUp(ctx, session, c.Ref()); err != nil {
			return fmt.Errorf("cluster %q: %w", c.Name, err)
		}
		if g := j.Find(c.Generation); lost && (g == nil || !g.LivesBeside(c)) {
			t.Forget(ctx, f, j, c.Generation) // no destroy will follow: its state goes
		}
		return nil
	})
}

// RulesLeftError says that the machines are gone, and that rules, keys or groups,
// which cost nothing, are left. No launch waits for them.
type RulesLeftError struct{ Err error }

// Error implements error.
func (e *RulesLeftError) Error() string { return e.Err.Error() }

// Unwrap implements the error chain.
func (e *RulesLeftError) Unwrap() error { return e.Err }

func cleanUp(ctx context.Context, session cloud.Session, ref cloud.ClusterRef) error {
	if err := session.CleanupPorts(ctx, ref); err != nil {
		return fmt.Errorf("clean up firewall rules, keys and groups: %w", err)
	}
	return nil
}

// CleanUpSoon removes rules, keys and groups, which cost nothing, within sweepLimit.
func CleanUpSoon(ctx context.Context, session cloud.Session, ref cloud.ClusterRef) error {
	ctx, cancel := context.WithTimeoutCause(ctx, sweepLimit, fmt.Errorf("it took longer than %s", sweepLimit))
	defer cancel()
	return cleanUp(ctx, session, ref)
}

// RulesMayStay tells a RulesLeftError to the log and drops it: the record of what is
// left stays, and the next launch, removal or gc tries again.
func (t Teardown) RulesMayStay(ctx context.Context, name string, err error) error {
	if !errors.As(err, new(*RulesLeftError)) {
		return err
	}
	t.Log.WarnContext(ctx, "rules, keys or groups of an earlier launch are left; they cost nothing, and the next launch or removal tries again", "cluster", name, "error", err)
	return nil
}
