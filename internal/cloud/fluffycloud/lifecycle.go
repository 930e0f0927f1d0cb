// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// committed is the value of cloud.TagCommitted on a recorded machine.
const committed = "true"

// Wait implements cloud.Provisioner.
func (d *driver) Wait(ctx context.Context, ref cloud.ClusterRef, want cloud.State) error {
	if want == cloud.StateTerminated {
		quiet := 0
		return d.watch(ctx, ref, func(_ context.Context, c census) (bool, error) {
			return d.gone(c, &quiet), nil
		})
	}
	w := d.newWaiter(want)
	return d.watch(ctx, ref, func(_ context.Context, c census) (bool, error) {
		return w.Look(ref, c.view())
	})
}

func (d *driver) newWaiter(want cloud.State) *fleet.Waiter[machine] {
	return &fleet.Waiter[machine]{
		Want: want, Looks: d.quietLooks, MissingLooks: d.missingLooks, As: machine.portable,
		Stuck: func(m machine) error { return m.stuck(want) },
	}
}

// gone reports whether nothing of c is left, seen often enough in a row. What
// is listed as terminated is proof; what is merely not listed may be late.
func (d *driver) gone(c census, quiet *int) bool {
	if len(c.live())+len(c.late) > 0 {
		*quiet = 0
		return false
	}
	*quiet++
	if len(c.missing) > 0 {
		return *quiet >= d.missingLooks
	}
	return *quiet >= d.quietLooks
}

// Describe implements cloud.Provisioner.
func (d *driver) Describe(ctx context.Context, ref cloud.ClusterRef) (cloud.ClusterInfo, error) {
	found, err := d.look(ctx, ref)
	if err != nil {
		return cloud.ClusterInfo{}, err
	}
	var info cloud.ClusterInfo
	imageID := ""
	shown := make([]cloud.Instance, 0, len(found.machines))
	for _, m := range found.machines {
		shown = append(shown, m.portable())
		if m.state() == cloud.StateRunning {
			imageID = m.Image
		}
	}
	if info.Instances, err = fleet.Running(ref.Cluster, shown); err != nil {
		return info, err //nolint:wrapcheck // it names the cluster
	}
	img, err := d.image(ctx, imageID, cloud.InstanceType{})
	if err != nil {
		return info, err
	}
	info.SSHUser = img.SSHUser
	return info, nil
}

// Query implements cloud.Provisioner.
func (d *driver) Query(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	found, err := d.look(ctx, ref)
	if err != nil {
		return nil, err
	}
	live := found.live()
	out := make([]cloud.Instance, 0, len(live))
	for _, m := range live {
		out = append(out, m.portable())
	}
	return out, nil
}

// Ended implements cloud.Chronicler.
func (d *driver) Ended(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	found, err := d.look(ctx, ref)
	if err != nil {
		return nil, err
	}
	var out []cloud.Instance
	for _, m := range found.machines {
		if m.state() != cloud.StateTerminated {
			continue
		}
		in := m.portable()
		in.Ending = ending(m.StateReason)
		out = append(out, in)
	}
	return out, nil
}

// ending reads the reasons of the cloud.
func ending(reason string) cloud.Ending {
	for prefix, e := range map[string]cloud.Ending{
		"self": cloud.EndedItself, "user": cloud.EndedByUser, "preempted": cloud.EndedPreempted, "host": cloud.EndedFailed,
	} {
		if strings.HasPrefix(reason, prefix) {
			return e
		}
	}
	return ""
}

// Commit implements cloud.Provisioner. The mark goes first: a machine that is
// marked and still dies is seen, one that neither dies nor is marked is a leak.
func (d *driver) Commit(ctx context.Context, ref cloud.ClusterRef) error {
	return d.watch(ctx, ref, func(ctx context.Context, c census) (bool, error) {
		if len(c.late) > 0 {
			return false, nil
		}
		live := c.staying()
		if err := fleet.CheckPresent(ref, ids(live)); err != nil {
			return false, fmt.Errorf("commit %w", err)
		}
		armed := slices.DeleteFunc(live, func(m machine) bool {
			return m.Tags[cloud.TagCommitted] == committed && m.ExpiresAt == nil
		})
		return len(armed) == 0, each(ctx, armed, d.commit) // the next look tells
	})
}

func (d *driver) commit(ctx context.Context, m machine) error {
	err := d.c.tag(ctx, m.ID, map[string]string{cloud.TagCommitted: committed}, nil)
	if err == nil {
		err = d.c.clearExpiry(ctx, m.ID)
	}
	if err != nil {
		return fmt.Errorf("commit machine %s: %w", m.ID, err)
	}
	return nil
}

// Stop implements cloud.Provisioner.
func (d *driver) Stop(ctx context.Context, ref cloud.ClusterRef) error {
	found, err := d.look(ctx, ref)
	if err != nil {
		return err
	}
	for _, m := range found.live() {
		if m.Market == string(cloud.Spot) {
			return fleet.ConfigErrorf(cloud.ScopeCloud, "machine %s is a spot machine and cannot be stopped, only terminated", m.ID)
		}
	}
	w := d.newWaiter(cloud.StateStopped)
	return d.watch(ctx, ref, func(ctx context.Context, c census) (bool, error) {
		err := each(ctx, c.live(), func(ctx context.Context, m machine) error {
			if m.state() != cloud.StateRunning && m.state() != cloud.StatePending {
				return nil
			}
			err := d.c.stop(ctx, m.ID)
			if err == nil || hasCode(err, codeConflict) || errors.Is(err, cloud.ErrNotFound) {
				return nil // the next look tells
			}
			return fmt.Errorf("stop machine %s: %w", m.ID, err)
		})
		if err != nil {
			return false, err
		}
		return w.Look(ref, c.view())
	})
}

// Terminate implements cloud.Provisioner. It asks again at every look, since a
// request may be lost, and believes only what it sees.
func (d *driver) Terminate(ctx context.Context, ref cloud.ClusterRef) error {
	quiet := 0
	err := d.watch(ctx, ref, func(ctx context.Context, c census) (bool, error) {
		err := each(ctx, c.live(), func(ctx context.Context, m machine) error {
			if m.state() == cloud.StateTerminating {
				return nil
			}
			err := d.c.terminate(ctx, m.ID)
			if err == nil || hasCode(err, codeConflict) || errors.Is(err, cloud.ErrNotFound) {
				return nil // the next look tells
			}
			return fmt.Errorf("terminate machine %s: %w", m.ID, err)
		})
		for _, m := range c.late {
			_ = d.c.terminate(ctx, m.ID) // it may be there; the next look tells
		}
		return err == nil && d.gone(c, &quiet), err
	})
	if err != nil {
		return fmt.Errorf("terminate cluster %q: %w", ref.Cluster, err)
	}
	d.recent.Forget(func(m machine) bool { return selects(ref, m) })
	return nil
}
