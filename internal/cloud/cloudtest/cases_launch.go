// SPDX-License-Identifier: MPL-2.0

package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

func launchCases() []Case {
	multi := func(c cloud.Capabilities) bool { return c.MultiNode }
	return []Case{
		{Name: "bootstrap/twice", run: bootstrapTwice},
		{Name: "run/to n and again", applies: multi, run: runAgain},
		{Name: "run/at once from two sides", run: runConcurrently},
		{Name: "run/one machine", run: runOne},
		{Name: "run/more nodes later", applies: multi, run: runMore},
		{Name: "run/more nodes than asked", applies: multi, run: runExtra},
		{Name: "run/long and awkward name", run: runAwkwardName},
		{Name: "run/spot", applies: func(c cloud.Capabilities) bool { return c.Spot }, run: runSpot},
		{Name: "run/cancelled before it began", run: runCancelled},
		{Name: "run/labels converge", applies: func(c cloud.Capabilities) bool { return c.Labels && !c.LabelsFixed }, run: labelsConverge},
		{Name: "run/refuses reserved labels", applies: func(c cloud.Capabilities) bool { return c.Labels }, run: reservedLabels},
	}
}

func bootstrapTwice(ctx context.Context, w *world) error {
	c := w.cluster(1)
	if err := c.bootstrap(ctx); err != nil {
		return err
	}
	first := c.cfg
	after, err := w.count(ctx)
	if err != nil {
		return err
	}
	if after.paid() != w.before.paid() {
		return fmt.Errorf("Bootstrap made something that costs money: %+v, before %+v", after, w.before)
	}
	if err := c.bootstrap(ctx); err != nil {
		return fmt.Errorf("again: %w", err)
	}
	if !reflect.DeepEqual(first.Resources, c.cfg.Resources) {
		return fmt.Errorf("the second Bootstrap found %v, the first %v", c.cfg.Resources, first.Resources)
	}
	return w.countsAre(ctx, after, "after the second Bootstrap")
}

func runAgain(ctx context.Context, w *world) error {
	const n = 3
	c := w.cluster(n)
	record, err := c.run(ctx)
	if err != nil {
		return fmt.Errorf("Run: %w", err)
	}
	if len(record.Created) != n || len(record.Adopted)+len(record.Resumed) > 0 {
		return fmt.Errorf("the first Run reports %+v, want %d created", record, n)
	}
	if err := w.Wait(ctx, c.ref, cloud.StateRunning); err != nil {
		return fmt.Errorf("Wait: %w", err)
	}
	again, err := c.run(ctx)
	if err != nil {
		return fmt.Errorf("Run again: %w", err)
	}
	if !sameSet(again.Adopted, record.Created) || len(again.Created)+len(again.Resumed) > 0 {
		return fmt.Errorf("the second Run reports %+v, want %v adopted", again, record.Created)
	}
	if err := w.lists(ctx, c.ref, cloud.StateRunning, record.Created...); err != nil {
		return err
	}
	return w.machinesAre(ctx, n)
}

// machinesAre counts the machines beyond those that were there before the case.
func (w *world) machinesAre(ctx context.Context, want int) error {
	got, err := w.count(ctx)
	if err != nil {
		return err
	}
	if made := got.Machines - w.before.Machines; made != want {
		return fmt.Errorf("there are %d machines, want %d", made, want)
	}
	return nil
}

func runConcurrently(ctx context.Context, w *world) error {
	c := w.cluster(1)
	if err := c.bootstrap(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			if _, err := w.Run(ctx, c.ref, c.cfg); err != nil {
				errs[i] = fmt.Errorf("Run: %w", err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), w.machinesAre(ctx, 1))
}

func runOne(ctx context.Context, w *world) error {
	c, machines, err := w.up(ctx, 1)
	if err != nil {
		return err
	}
	info, err := w.Describe(ctx, c.ref)
	if err != nil {
		return fmt.Errorf("Describe: %w", err)
	}
	if info.SSHUser == "" {
		return errors.New("Describe names no SSH user")
	}
	in, offer := machines[0], c.at.Offer
	switch {
	case in.ExternalIP == "" || in.SSHPort <= 0:
		return fmt.Errorf("a running machine without an address: %+v", in)
	case w.caps.MultiNode && in.InternalIP == "":
		return fmt.Errorf("a running machine without an address for the other nodes of a cluster: %+v", in)
	case in.Region != offer.Region || (offer.Zone != "" && in.Zone != offer.Zone):
		return fmt.Errorf("the machine is in %s/%s, want %s", in.Region, in.Zone, offer.Place())
	case in.Type != offer.InstanceType.Name || in.Market != offer.Market:
		return fmt.Errorf("the machine is a %s %s, want %s %s", in.Market, in.Type, offer.Market, offer.InstanceType.Name)
	case in.CreatedAt.IsZero():
		return errors.New("the machine has no time of creation")
	case in.Committed:
		return errors.New("the machine is committed before Commit")
	}
	return nil
}

func runMore(ctx context.Context, w *world) error {
	c, first, err := w.up(ctx, 1)
	if err != nil {
		return err
	}
	c.resize(3)
	record, err := c.run(ctx)
	if err != nil {
		return fmt.Errorf("Run to 3: %w", err)
	}
	if !sameSet(record.Adopted, ids(first)) || len(record.Created) != 2 {
		return fmt.Errorf("growing from 1 to 3 reports %+v, want %v adopted and 2 created", record, ids(first))
	}
	all, err := c.up(ctx)
	if err != nil {
		return err
	}
	for rank, in := range all {
		if in.Identity != c.identity(rank) {
			return fmt.Errorf("rank %d has identity %+v, want %+v", rank, in.Identity, c.identity(rank))
		}
	}
	return nil
}

func runExtra(ctx context.Context, w *world) error {
	c, all, err := w.up(ctx, 3)
	if err != nil {
		return err
	}
	c.resize(2)
	c.renew(1) // rank 1 is wanted anew as well: it must not be made beside extra machines
	record, err := c.run(ctx)
	var extra *cloud.ExtraNodesError
	if !errors.As(err, &extra) {
		return fmt.Errorf("Run to 2 with 3 there returned %v, want an ExtraNodesError", err)
	}
	if want := []string{all[1].ID, all[2].ID}; !sameSet(extra.Extra, want) {
		return fmt.Errorf("the error names %v, want %v", extra.Extra, want)
	}
	if len(record.Created) > 0 {
		return fmt.Errorf("Run created %v beside extra machines", record.Created)
	}
	return w.lists(ctx, c.ref, cloud.StateRunning, ids(all)...)
}

// renew gives a rank a new attempt.
func (c *cluster) renew(rank int) { c.attempts[rank]++ }

func runAwkwardName(ctx context.Context, w *world) error {
	g := "g" + random()
	var all []string
	long := strings.Repeat("Very.Long_", 6) + "Name"
	for _, name := range []string{"x_y", "x-y", "X-Y", long + "1", long + "2"} {
		c, machines, err := w.up(ctx, 1, named(name), generation(g))
		if err != nil {
			return fmt.Errorf("cluster %q: %w", name, err)
		}
		if machines[0].Identity != c.identity(0) {
			return fmt.Errorf("cluster %q comes back as %+v", name, machines[0].Identity)
		}
		all = append(all, machines[0].ID)
	}
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != 5 {
		return fmt.Errorf("5 names share %d machines", n)
	}
	// One of them goes; those whose names look alike stay.
	if err := w.clusters[0].remove(ctx); err != nil {
		return err
	}
	return w.machinesAre(ctx, 4)
}

func runSpot(ctx context.Context, w *world) error {
	_, machines, err := w.up(ctx, 1, market(cloud.Spot))
	if err != nil {
		return err
	}
	if machines[0].Market != cloud.Spot {
		return fmt.Errorf("the machine's market is %q, want %q", machines[0].Market, cloud.Spot)
	}
	return nil
}

func runCancelled(ctx context.Context, w *world) error {
	c := w.cluster(1)
	if err := c.bootstrap(ctx); err != nil {
		return err
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := w.Run(cancelled, c.ref, c.cfg); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("Run under a cancelled context returned %v", err)
	}
	return w.machinesAre(ctx, 0)
}

func labelsConverge(ctx context.Context, w *world) error {
	c := w.cluster(1)
	c.spec.Labels = map[string]string{"keep": "1", "change": "old", "drop": "x"}
	if _, err := c.up(ctx); err != nil {
		return err
	}
	for _, want := range []map[string]string{
		{"keep": "1", "change": "old", "drop": "x"},
		{"keep": "1", "change": "new", "add": "y"},
		{},
	} {
		c.spec.Labels = want
		machines, err := c.up(ctx)
		if err != nil {
			return err
		}
		if !maps.Equal(machines[0].Labels, want) {
			return fmt.Errorf("the labels are %v, want %v", machines[0].Labels, want)
		}
		if machines[0].Identity != c.identity(0) {
			return fmt.Errorf("with the labels the identity became %+v", machines[0].Identity)
		}
	}
	return w.machinesAre(ctx, 1)
}

func reservedLabels(ctx context.Context, w *world) error {
	c := w.cluster(1)
	c.spec.Labels = map[string]string{cloud.TagOwner: "mallory"}
	if _, err := c.run(ctx); err == nil {
		return fmt.Errorf("the label %s was accepted", cloud.TagOwner)
	}
	return w.machinesAre(ctx, 0)
}
