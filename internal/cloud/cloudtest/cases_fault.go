// SPDX-License-Identifier: MPL-2.0

package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/guard"
)

func faultCases() []Case {
	multi := func(c cloud.Capabilities) bool { return c.MultiNode }
	return []Case{
		{Name: "fault/no capacity", run: noCapacity},
		{Name: "fault/partial launch", applies: multi, run: partialLaunch},
		{Name: "fault/partial launch completed", applies: multi, run: partialCompleted},
		{Name: "fault/answer lost", run: lostAnswer},
		{Name: "fault/one launch at a time", applies: multi, run: oneAtATime},
		{Name: "fault/late capacity", run: lateCapacity},
		{Name: "fault/late address", run: lateAddress},
		{Name: "fault/node lost", applies: multi, run: lostNode},
		{Name: "fault/spent identity", run: spentIdentity},
	}
}

// sabotage arms a launch fault and takes it back at the end of the case.
func (w *world) sabotage(ctx context.Context, kind LaunchFault, skip int) (remove func() error, err error) {
	s, err := hook[Saboteur](w)
	if err != nil {
		return nil, err
	}
	undo, err := s.InjectLaunchFault(ctx, kind, skip)
	if err != nil {
		return nil, fmt.Errorf("inject %s: %w", kind, err)
	}
	done := false
	once := func(ctx context.Context) error {
		if done {
			return nil
		}
		done = true
		return undo(ctx)
	}
	w.undo = append(w.undo, once)
	return func() error { return once(ctx) }, nil
}

func noCapacity(ctx context.Context, w *world) error {
	if _, err := w.sabotage(ctx, NoCapacity, 0); err != nil {
		return err
	}
	c := w.cluster(1)
	record, err := c.run(ctx)
	if err == nil || len(record.Created) > 0 {
		return fmt.Errorf("Run without capacity returned %+v and %v", record, err)
	}
	if got := w.Classify(err).Kind; got != cloud.KindCapacity {
		return fmt.Errorf("the refusal is classified as %q, want %q: %w", got, cloud.KindCapacity, err)
	}
	return w.machinesAre(ctx, 0)
}

// partial launches 3 machines; the last one is refused.
func partial(ctx context.Context, w *world) (*cluster, []string, func() error, error) {
	remove, err := w.sabotage(ctx, NoCapacity, 2)
	if err != nil {
		return nil, nil, nil, err
	}
	c := w.cluster(3)
	record, err := c.run(ctx)
	if err == nil {
		return nil, nil, nil, errors.New("Run reports success with a machine short")
	}
	if got := w.Classify(err).Kind; got != cloud.KindCapacity {
		return nil, nil, nil, fmt.Errorf("the refusal is classified as %q, want %q: %w", got, cloud.KindCapacity, err)
	}
	if len(record.Created) != 2 {
		return nil, nil, nil, fmt.Errorf("with 2 of 3 launched the record is %+v: %w", record, err)
	}
	return c, record.Created, remove, w.machinesAre(ctx, 2)
}

func partialLaunch(ctx context.Context, w *world) error {
	c, created, _, err := partial(ctx, w)
	if err != nil {
		return err
	}
	if err := w.lists(ctx, c.ref, "", created...); err != nil {
		return err
	}
	if err := w.Terminate(ctx, c.ref); err != nil {
		return fmt.Errorf("Terminate: %w", err)
	}
	return c.gone(ctx)
}

func partialCompleted(ctx context.Context, w *world) error {
	c, created, remove, err := partial(ctx, w)
	if err != nil {
		return err
	}
	if err := remove(); err != nil {
		return fmt.Errorf("take the fault back: %w", err)
	}
	record, err := c.run(ctx)
	if err != nil {
		return fmt.Errorf("Run again: %w", err)
	}
	if !sameSet(record.Adopted, created) || len(record.Created) != 1 {
		return fmt.Errorf("completing a partial launch reports %+v, want %v adopted and 1 created", record, created)
	}
	return w.machinesAre(ctx, 3)
}

// lostAnswer: whether Run repeats the call itself or reports an error and is
// called again, there is one machine in the end.
func lostAnswer(ctx context.Context, w *world) error {
	if _, err := w.sabotage(ctx, LostAnswer, 0); err != nil {
		return err
	}
	c := w.cluster(1)
	_, first := c.run(ctx)
	if first != nil {
		if got := w.Classify(first).Kind; got != cloud.KindTransient {
			return fmt.Errorf("a lost answer is classified as %q, want %q: %w", got, cloud.KindTransient, first)
		}
	}
	machines, err := c.up(ctx)
	if err != nil {
		return fmt.Errorf("after a lost answer: %w", err)
	}
	if err := w.lists(ctx, c.ref, cloud.StateRunning, ids(machines)...); err != nil {
		return err
	}
	return w.machinesAre(ctx, 1)
}

func lostNode(ctx context.Context, w *world) error {
	c, all, err := withLostNode(ctx, w)
	if err != nil {
		return err
	}
	c.renew(1)
	record, err := c.run(ctx)
	if err != nil {
		return fmt.Errorf("Run with a new attempt for rank 1: %w", err)
	}
	if !sameSet(record.Adopted, []string{all[0].ID, all[2].ID}) || len(record.Created) != 1 {
		return fmt.Errorf("replacing rank 1 reports %+v, want %s and %s adopted and 1 created", record, all[0].ID, all[2].ID)
	}
	back, err := c.up(ctx)
	if err != nil {
		return err
	}
	if back[1].ID != record.Created[0] || back[1].Identity != c.identity(1) {
		return fmt.Errorf("rank 1 is %s %+v, want %s %+v", back[1].ID, back[1].Identity, record.Created[0], c.identity(1))
	}
	return w.machinesAre(ctx, 3)
}

func withLostNode(ctx context.Context, w *world) (*cluster, []cloud.Instance, error) {
	killer, err := hook[Killer](w)
	if err != nil {
		return nil, nil, err
	}
	c, all, err := w.up(ctx, 3)
	if err != nil {
		return nil, nil, err
	}
	if err := killer.KillMachine(ctx, all[1].ID); err != nil {
		return nil, nil, fmt.Errorf("kill %s: %w", all[1].ID, err)
	}
	return c, all, w.lists(ctx, c.ref, cloud.StateRunning, all[0].ID, all[2].ID)
}

// spentIdentity: a cloud may answer a repeated create with the dead machine.
// Run must make a live one or say ErrSpent, never report the dead one.
func spentIdentity(ctx context.Context, w *world) error {
	killer, err := hook[Killer](w)
	if err != nil {
		return err
	}
	c, machines, err := w.up(ctx, 1)
	if err != nil {
		return err
	}
	if err := killer.KillMachine(ctx, machines[0].ID); err != nil {
		return fmt.Errorf("kill %s: %w", machines[0].ID, err)
	}
	record, err := c.run(ctx)
	if err != nil {
		if !errors.Is(err, cloud.ErrSpent) {
			return fmt.Errorf("Run with a spent identity returned %w, want ErrSpent or success", err)
		}
		return w.machinesAre(ctx, 0)
	}
	if len(record.Created) != 1 || record.Created[0] == machines[0].ID {
		return fmt.Errorf("Run with a spent identity reports %+v, where %s is dead", record, machines[0].ID)
	}
	return w.machinesAre(ctx, 1)
}

// lateCapacity: what fails only after Run is told by Wait, as what it is, and
// leaves nothing.
func lateCapacity(ctx context.Context, w *world) error {
	if _, err := w.sabotage(ctx, LateCapacity, 0); err != nil {
		return err
	}
	c := w.cluster(1)
	record, err := c.run(ctx)
	if err == nil {
		named := c.narrowed(slices.Concat(record.Created, record.Adopted)...)
		var late error
		err, late = guard.Promptly("a Wait for a machine that got no capacity", func() error { return w.Wait(ctx, named, cloud.StateRunning) })
		if late != nil {
			return late
		}
	}
	if err == nil {
		return errors.New("a machine that ended for lack of capacity before it ran is reported as running")
	}
	if got := w.Classify(err).Kind; got != cloud.KindCapacity {
		return fmt.Errorf("want of capacity after the launch is classified as %q, want %q: %w", got, cloud.KindCapacity, err)
	}
	if err := w.Terminate(ctx, c.ref); err != nil {
		return fmt.Errorf("Terminate: %w", err)
	}
	return c.gone(ctx)
}

// lateAddress: nobody can work with a machine that has no address yet.
func lateAddress(ctx context.Context, w *world) error {
	if _, err := w.sabotage(ctx, LateAddress, 0); err != nil {
		return err
	}
	_, machines, err := w.up(ctx, 1)
	if err != nil {
		return err
	}
	if machines[0].ExternalIP == "" {
		return errors.New("Wait says that the machine runs, and it has no address yet")
	}
	return nil
}

// oneAtATime: a cloud that takes one launch at a time refuses others for a
// moment, which is no reason to give up the place.
func oneAtATime(ctx context.Context, w *world) error {
	if _, err := w.sabotage(ctx, OneAtATime, 0); err != nil {
		return err
	}
	c := w.cluster(3)
	record, err := c.run(ctx)
	if err != nil {
		return fmt.Errorf("Run where one launch at a time is taken: %w", err)
	}
	if len(record.Created) != 3 {
		return fmt.Errorf("Run where one launch at a time is taken reports %+v, want 3 created", record)
	}
	return w.machinesAre(ctx, 3)
}
