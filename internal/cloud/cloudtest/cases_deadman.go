// SPDX-License-Identifier: MPL-2.0

package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

func deadManCases() []Case {
	deadMan := func(c cloud.Capabilities) bool { return c.DeadMan }
	stops := func(c cloud.Capabilities) bool { return c.DeadManStops && !c.DeadMan }
	either := func(c cloud.Capabilities) bool { return c.DeadManStops || c.DeadMan }
	return []Case{
		{Name: "commit/marks", run: commitMarks},
		{Name: "commit/some", applies: func(c cloud.Capabilities) bool { return c.MultiNode }, run: commitSome},
		{Name: "commit/is verified", run: commitVerified},
		{Name: "commit/outlives a rename", applies: func(c cloud.Capabilities) bool { return c.LabelsFixed }, run: commitOutlivesRename},
		{Name: "dead-man/uncommitted is removed", applies: deadMan, run: uncommittedGoes},
		{Name: "dead-man/uncommitted stops", applies: stops, run: uncommittedStops},
		{Name: "dead-man/commit disarms", applies: either, run: commitDisarms},
		{Name: "dead-man/disarming is verified", applies: either, run: disarmVerified},
	}
}

func commitMarks(ctx context.Context, w *world) error {
	c, all, err := w.up(ctx, w.most())
	if err != nil {
		return err
	}
	if err := w.Commit(ctx, c.narrowed(all[0].ID, "i-never-was")); !errors.Is(err, cloud.ErrNotFound) {
		return fmt.Errorf("Commit of a missing machine returned %v, want ErrNotFound", err)
	}
	for _, when := range []string{"Commit", "Commit again"} {
		if err := w.Commit(ctx, c.ref); err != nil {
			return fmt.Errorf("%s: %w", when, err)
		}
		got, err := w.Query(ctx, c.ref)
		if err != nil {
			return fmt.Errorf("Query: %w", err)
		}
		for _, in := range got {
			if !in.Committed || !in.Deadline.IsZero() {
				return fmt.Errorf("after %s machine %s is committed: %t, with deadline %s", when, in.ID, in.Committed, in.Deadline)
			}
			if _, ok := in.Labels[cloud.TagCommitted]; ok {
				return fmt.Errorf("the mark shows among the labels %v", in.Labels)
			}
		}
	}
	// What was recorded stays so when the cluster is run again.
	again, err := c.up(ctx)
	if err != nil {
		return err
	}
	if !again[0].Committed {
		return errors.New("Run took the mark away")
	}
	return nil
}

// onDeadline launches one machine with the earliest deadline.
func onDeadline(ctx context.Context, w *world, opts ...option) (*cluster, Timekeeper, error) {
	keeper, err := hook[Timekeeper](w)
	if err != nil {
		return nil, nil, err
	}
	c := w.cluster(1, append(opts, deadline(time.Now().Add(keeper.ShortestDeadline())))...)
	if _, err := c.run(ctx); err != nil {
		return nil, nil, fmt.Errorf("Run: %w", err)
	}
	return c, keeper, nil
}

// uncommitted lets the deadline of a machine pass that nobody committed, and
// returns its cluster and its id.
func uncommitted(ctx context.Context, w *world) (*cluster, string, error) {
	c, keeper, err := onDeadline(ctx, w)
	if err != nil {
		return nil, "", err
	}
	got, err := w.Query(ctx, c.ref)
	if err != nil {
		return nil, "", fmt.Errorf("Query: %w", err)
	}
	if len(got) != 1 || got[0].Deadline.Sub(c.spec.Deadline).Abs() > time.Minute {
		return nil, "", fmt.Errorf("Query shows %+v, want one machine with deadline %s", got, c.spec.Deadline)
	}
	if err := keeper.PassTime(ctx, c.spec.Deadline); err != nil {
		return nil, "", fmt.Errorf("pass the deadline: %w", err)
	}
	return c, got[0].ID, nil
}

func uncommittedGoes(ctx context.Context, w *world) error {
	c, _, err := uncommitted(ctx, w)
	if err != nil {
		return err
	}
	return eventually(ctx, func() error { return c.gone(ctx) })
}

// uncommittedStops: what is left then is found, and goes without a trace.
func uncommittedStops(ctx context.Context, w *world) error {
	c, id, err := uncommitted(ctx, w)
	if err != nil {
		return err
	}
	if err := eventually(ctx, func() error { return w.lists(ctx, c.ref, cloud.StateStopped, id) }); err != nil {
		return err
	}
	if err := w.Terminate(ctx, c.ref); err != nil {
		return fmt.Errorf("Terminate: %w", err)
	}
	return c.gone(ctx)
}

func commitDisarms(ctx context.Context, w *world) error {
	c, keeper, err := onDeadline(ctx, w)
	if err != nil {
		return err
	}
	if err := w.Commit(ctx, c.ref); err != nil {
		return fmt.Errorf("Commit: %w", err)
	}
	return c.outlives(ctx, keeper)
}

// outlives says that the machine of the cluster is there past the deadline.
func (c *cluster) outlives(ctx context.Context, keeper Timekeeper) error {
	if err := keeper.PassTime(ctx, c.spec.Deadline); err != nil {
		return fmt.Errorf("pass the deadline: %w", err)
	}
	if _, err := c.up(ctx); err != nil {
		return fmt.Errorf("past the deadline: %w", err)
	}
	return c.w.machinesAre(ctx, 1)
}

// disarmVerified: a disarming that the cloud dropped is made again or told; a
// machine that is taken for recorded would be gone at the deadline.
func disarmVerified(ctx context.Context, w *world) error {
	c, keeper, err := onDeadline(ctx, w)
	if err != nil {
		return err
	}
	if _, err := w.sabotage(ctx, LostDisarm, 0); err != nil {
		return err
	}
	if err := w.Commit(ctx, c.ref); err != nil {
		return nil //nolint:nilerr // it was told
	}
	got, err := w.Query(ctx, c.ref)
	if err != nil {
		return fmt.Errorf("Query: %w", err)
	}
	if len(got) != 1 || !got[0].Committed || !got[0].Deadline.IsZero() {
		return fmt.Errorf("Commit reports success, and the machine is still to end: %+v", got)
	}
	return c.outlives(ctx, keeper)
}

// commitSome: ids narrow Commit.
func commitSome(ctx context.Context, w *world) error {
	c, all, err := w.up(ctx, 3)
	if err != nil {
		return err
	}
	if err := w.Commit(ctx, c.narrowed(all[0].ID, all[2].ID)); err != nil {
		return fmt.Errorf("Commit of ranks 0 and 2: %w", err)
	}
	got, err := w.Query(ctx, c.ref)
	if err != nil {
		return fmt.Errorf("Query: %w", err)
	}
	for _, in := range got {
		if want := in.Identity.Rank != 1; in.Committed != want {
			return fmt.Errorf("after Commit of ranks 0 and 2 rank %d is committed: %t", in.Identity.Rank, in.Committed)
		}
	}
	return nil
}

// commitOutlivesRename: who renames a machine that was recorded does not make it one
// that nobody recorded, which would be removed.
func commitOutlivesRename(ctx context.Context, w *world) error {
	renamer, err := hook[Renamer](w)
	if err != nil {
		return err
	}
	c, all, err := w.up(ctx, 1)
	if err != nil {
		return err
	}
	if err := w.Commit(ctx, c.ref); err != nil {
		return fmt.Errorf("Commit: %w", err)
	}
	if err := renamer.Rename(ctx, all[0].ID, "somebodys-name"); err != nil {
		return fmt.Errorf("rename: %w", err)
	}
	got, err := w.Query(ctx, c.ref)
	if err != nil {
		return fmt.Errorf("Query: %w", err)
	}
	if len(got) != 1 || !got[0].Committed {
		return fmt.Errorf("a recorded machine that was renamed by hand is not recorded any more: %+v", got)
	}
	return nil
}

// commitVerified: a mark that the cloud dropped is made again or told; a machine
// that its cluster takes for recorded would be removed as one that is not.
func commitVerified(ctx context.Context, w *world) error {
	c := w.cluster(1)
	if _, err := c.up(ctx); err != nil {
		return err
	}
	if _, err := w.sabotage(ctx, LostMark, 0); err != nil {
		return err
	}
	if err := w.Commit(ctx, c.ref); err != nil {
		return nil //nolint:nilerr // it was told
	}
	other, err := w.another(ctx)
	if err != nil {
		return err
	}
	got, err := other.Query(ctx, c.ref)
	if err != nil {
		return fmt.Errorf("Query: %w", err)
	}
	if len(got) != 1 || !got[0].Committed {
		return fmt.Errorf("Commit reports success, and the mark is not there: %+v", got)
	}
	return nil
}
