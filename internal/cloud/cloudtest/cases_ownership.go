// SPDX-License-Identifier: MPL-2.0

package cloudtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

func ownershipCases() []Case {
	return []Case{
		{Name: "ownership/identity round trip", run: identityRoundTrip},
		{Name: "ownership/foreign machines next door", run: foreignNextDoor},
		{Name: "ownership/foreign id refused", run: foreignID},
		{Name: "ownership/other generation untouched", run: otherGeneration},
		{Name: "ownership/other cluster untouched", run: otherCluster},
	}
}

func identityRoundTrip(ctx context.Context, w *world) error {
	c := w.cluster(w.most())
	for rank := range c.attempts {
		c.attempts[rank] = 10 + rank
	}
	if _, err := c.up(ctx); err != nil {
		return err
	}
	got, err := w.Query(ctx, c.ref)
	if err != nil {
		return fmt.Errorf("Query: %w", err)
	}
	seen := map[cloud.Identity]bool{}
	for _, in := range got {
		seen[in.Identity] = true
	}
	for rank := range c.attempts {
		if !seen[c.identity(rank)] {
			return fmt.Errorf("Query shows no machine of identity %+v", c.identity(rank))
		}
	}
	if len(got) != len(c.attempts) {
		return fmt.Errorf("Query shows %d machines, want %d", len(got), len(c.attempts))
	}
	return nil
}

// foreign launches one foreign machine of each kind beside the cluster's rank 0.
func (w *world) foreign(ctx context.Context, c *cluster, n Neighbour) ([]string, error) {
	var all []string
	for _, kind := range []Foreign{Unmarked, OtherOwner, Malformed} {
		id, err := n.LaunchForeign(ctx, c.at, kind, c.identity(0))
		if err != nil {
			return nil, fmt.Errorf("launch a foreign machine (%s): %w", kind, err)
		}
		w.undo = append(w.undo, func(ctx context.Context) error { return n.Remove(ctx, id) })
		all = append(all, id)
	}
	return all, nil
}

// unharmed says whether the machines, all foreign, run as before.
func unharmed(ctx context.Context, n Neighbour, ids ...string) error {
	for _, id := range ids {
		ok, err := n.Running(ctx, id)
		if err != nil {
			return fmt.Errorf("look at the foreign machine %s: %w", id, err)
		}
		if !ok {
			return fmt.Errorf("the foreign machine %s does not run any more", id)
		}
	}
	return nil
}

func foreignNextDoor(ctx context.Context, w *world) error {
	n, err := hook[Neighbour](w)
	if err != nil {
		return err
	}
	c := w.cluster(1)
	foreign, err := w.foreign(ctx, c, n)
	if err != nil {
		return err
	}
	survived := func(what string) error {
		if err := unharmed(ctx, n, foreign...); err != nil {
			return fmt.Errorf("after %s: %w", what, err)
		}
		return nil
	}
	machines, err := c.up(ctx)
	if err != nil {
		return err
	}
	census := cloud.ClusterRef{Owner: w.owner, Cloud: c.ref.Cloud}
	if err := w.lists(ctx, census, cloud.StateRunning, ids(machines)...); err != nil {
		return fmt.Errorf("beside foreign machines: %w", err)
	}
	if w.caps.Stop {
		if err := w.Stop(ctx, c.ref); err != nil {
			return fmt.Errorf("Stop: %w", err)
		}
		if err := survived("Stop"); err != nil {
			return err
		}
	}
	if err := w.Terminate(ctx, c.ref); err != nil {
		return fmt.Errorf("Terminate: %w", err)
	}
	if err := w.Terminate(ctx, census); err != nil {
		return fmt.Errorf("Terminate everything of the owner: %w", err)
	}
	if err := w.CleanupPorts(ctx, c.ref); err != nil {
		return fmt.Errorf("CleanupPorts: %w", err)
	}
	return errors.Join(survived("Terminate"), w.machinesAre(ctx, len(foreign)))
}

func foreignID(ctx context.Context, w *world) error {
	n, err := hook[Neighbour](w)
	if err != nil {
		return err
	}
	c := w.cluster(1)
	machines, err := c.up(ctx)
	if err != nil {
		return err
	}
	foreign, err := w.foreign(ctx, c, n)
	if err != nil {
		return err
	}
	for _, id := range foreign {
		if err := w.Terminate(ctx, c.narrowed(machines[0].ID, id)); err == nil {
			return fmt.Errorf("Terminate takes the foreign id %s for its own", id)
		}
		if err := unharmed(ctx, n, foreign...); err != nil {
			return err
		}
	}
	return w.lists(ctx, c.ref, cloud.StateRunning, ids(machines)...)
}

// otherGeneration is what create_before_destroy does: one name, two clusters.
func otherGeneration(ctx context.Context, w *world) error {
	before, after := w.cluster(1, named("same")), w.cluster(1, named("same"))
	return w.apart(ctx, before, after)
}

func otherCluster(ctx context.Context, w *world) error {
	g := "g" + random()
	a, b := w.cluster(1, named("same"), generation(g)), w.cluster(1, named("same-2"), generation(g))
	return w.apart(ctx, a, b)
}

// apart removes one of two clusters and looks after the other.
func (w *world) apart(ctx context.Context, a, b *cluster) error {
	for _, c := range []*cluster{a, b} {
		if _, err := c.up(ctx); err != nil {
			return err
		}
	}
	first, err := w.Describe(ctx, a.ref)
	if err != nil {
		return fmt.Errorf("Describe: %w", err)
	}
	second, err := w.Describe(ctx, b.ref)
	if err != nil {
		return fmt.Errorf("Describe: %w", err)
	}
	both := append(ids(first.Instances), ids(second.Instances)...)
	census := cloud.ClusterRef{Owner: w.owner, Cloud: a.ref.Cloud}
	if err := w.lists(ctx, census, cloud.StateRunning, both...); err != nil {
		return err
	}
	whole, err := w.count(ctx)
	if err != nil {
		return err
	}
	if err := a.remove(ctx); err != nil {
		return err
	}
	if err := w.lists(ctx, census, cloud.StateRunning, ids(second.Instances)...); err != nil {
		return fmt.Errorf("after the other was removed: %w", err)
	}
	left, err := w.count(ctx)
	if err != nil {
		return err
	}
	own := Counts{
		Firewalls: (whole.Firewalls - w.before.Firewalls) / 2,
		Keys:      (whole.Keys - w.before.Keys) / 2,
	}
	if left.Firewalls-w.before.Firewalls != own.Firewalls || left.Keys-w.before.Keys != own.Keys {
		return fmt.Errorf("one of two clusters was removed, and of %+v is left %+v", whole, left)
	}
	if _, err := b.up(ctx); err != nil {
		return fmt.Errorf("the cluster that stays: %w", err)
	}
	return w.machinesAre(ctx, 1)
}
