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

// terminateCancelled: a Terminate that nobody waits for any more returns, and
// says that it did not see the end.
func terminateCancelled(ctx context.Context, w *world) error {
	c := w.cluster(1)
	if _, err := c.up(ctx); err != nil {
		return err
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	err, late := guard.Promptly("a cancelled Terminate", func() error { return w.Terminate(cancelled, c.ref) })
	if late != nil {
		return late
	}
	if !errors.Is(err, context.Canceled) {
		return fmt.Errorf("a cancelled Terminate returned %v, want the context's error", err)
	}
	return nil
}

// stopSome: an id narrows Stop, and Describe shows the others.
func stopSome(ctx context.Context, w *world) error {
	c, all, err := w.up(ctx, 3)
	if err != nil {
		return err
	}
	if err := w.Stop(ctx, c.narrowed(all[1].ID)); err != nil {
		return fmt.Errorf("Stop of rank 1: %w", err)
	}
	if err := w.lists(ctx, c.narrowed(all[1].ID), cloud.StateStopped, all[1].ID); err != nil {
		return err
	}
	if err := w.lists(ctx, c.narrowed(all[0].ID, all[2].ID), cloud.StateRunning, all[0].ID, all[2].ID); err != nil {
		return fmt.Errorf("after Stop of rank 1: %w", err)
	}
	info, err := w.Describe(ctx, c.ref)
	if err != nil {
		return fmt.Errorf("Describe: %w", err)
	}
	if want := []string{all[0].ID, all[2].ID}; !slices.Equal(ids(info.Instances), want) {
		return fmt.Errorf("with rank 1 stopped Describe shows %v, want %v", ids(info.Instances), want)
	}
	// Run takes no notice of ids: it asks for all ranks.
	if err := c.bootstrap(ctx); err != nil {
		return err
	}
	record, err := w.Run(ctx, c.narrowed(), c.cfg)
	if err != nil {
		return fmt.Errorf("Run with a reference of no instances: %w", err)
	}
	if !sameSet(record.Resumed, []string{all[1].ID}) || len(record.Created) > 0 || len(record.Adopted) != 2 {
		return fmt.Errorf("Run with rank 1 stopped reports %+v, want %s resumed and the others adopted", record, all[1].ID)
	}
	return nil
}

// waitGone: Wait for the end of a machine that lives ends when it is gone.
func waitGone(ctx context.Context, w *world) error {
	c, machines, err := w.up(ctx, 1)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	named := c.narrowed(ids(machines)...)
	go func() {
		err := w.Wait(ctx, named, cloud.StateTerminated)
		if early := w.machinesAre(ctx, 0); err == nil && early != nil {
			err = fmt.Errorf("Wait for the end returned before it: %w", early)
		}
		done <- err
	}()
	if err := w.Terminate(ctx, c.ref); err != nil {
		return fmt.Errorf("Terminate: %w", err)
	}
	err, late := guard.Promptly("a Wait for the end of a machine that ended", func() error { return <-done })
	return errors.Join(err, late, c.gone(ctx))
}

// ended: a cloud that remembers its dead shows them as dead, and no living one.
func ended(ctx context.Context, w *world) error {
	chronicler, ok := guard.Unwrap(w.Provisioner).(cloud.Chronicler)
	if !ok {
		return nil // it forgets them, which it may
	}
	c := w.cluster(1)
	other := w.cluster(1)
	machines, err := c.up(ctx)
	if err != nil {
		return err
	}
	if _, err := other.up(ctx); err != nil {
		return err
	}
	look := func(when string, dead bool) error {
		got, err := guard.Answer(ctx, "Ended", func() ([]cloud.Instance, error) { return chronicler.Ended(ctx, c.ref) })
		if err != nil {
			return fmt.Errorf("Ended %s: %w", when, err)
		}
		for _, in := range got {
			if in.ID != machines[0].ID || in.State != cloud.StateTerminated || !dead {
				return fmt.Errorf("%s Ended shows %s as %s", when, in.ID, in.State)
			}
		}
		return nil
	}
	if err := look("while the machine lives", false); err != nil {
		return err
	}
	for _, dead := range []*cluster{c, other} {
		if err := w.Terminate(ctx, dead.ref); err != nil {
			return fmt.Errorf("Terminate: %w", err)
		}
	}
	return look("after Terminate", true)
}
