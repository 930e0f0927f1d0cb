// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Where a Create is not idempotent, two sessions that launch one identity at once
// make two machines. The elder one stays. Whoever made the younger one removes it
// and adopts the elder; nobody removes what another session made.

// giveWay removes machines of this launch that have an elder of their identity,
// and records those instead. It looks again after it removed some: pages shift
// while machines are removed, so that the list which showed one elder may have
// left out another.
func (f *Fleet[N, R]) giveWay(ctx context.Context, ref cloud.ClusterRef, record *cloud.RunRecord) error {
	if f.Idempotent {
		return nil
	}
	born, given := time.Now(), map[cloud.Identity]bool{}
	for len(record.Created) > 0 {
		elder, err := f.lookForElders(ctx, ref, record.Created, born)
		if err != nil {
			return fmt.Errorf("see whether another session launched the same machines: %w", err)
		}
		if len(elder) == 0 {
			break
		}
		own := ref
		own.Instances = slices.Sorted(maps.Keys(elder))
		record.Created = slices.DeleteFunc(record.Created, func(id string) bool { return slices.Contains(own.Instances, id) })
		if err := f.Terminate(ctx, own); err != nil {
			return fmt.Errorf("remove machines %v, which another session launched first: %w", own.Instances, err)
		}
		for _, m := range elder {
			given[m.Identity] = true
		}
	}
	return f.takeElders(ctx, ref, given, record)
}

// lookForElders are the machines that those created since born give way to. A list
// that shows a machine shows those that are older, as soon as what is as old as its
// clock can tell had the time that this one took. So it waits for that.
func (f *Fleet[N, R]) lookForElders(ctx context.Context, ref cloud.ClusterRef, created []string, born time.Time) (elder map[string]Machine[N], err error) {
	enough, quiet := time.Duration(0), 0
	err = retry.Poll(ctx, f.Poll, func(ctx context.Context) (bool, error) {
		listed, err := f.list(ctx, ref)
		if err != nil {
			return false, f.unlessTransient(err)
		}
		age := time.Since(born)
		if enough == 0 && (age >= f.Settle || all(created, ids(listed))) {
			enough = age + f.Granularity
		}
		elder = elders(created, slices.DeleteFunc(listed, func(m Machine[N]) bool {
			return !selects(ref, m) || m.State == cloud.StateTerminating || m.State == cloud.StateTerminated
		}))
		if enough == 0 || age < enough {
			return false, nil
		}
		// Pages shift while others are removed, so that one list may leave out a machine.
		quiet++
		return len(elder) > 0 || quiet >= f.QuietLooks, nil
	})
	return elder, err
}

// takeElders records the machines that others of this launch gave way to. One may
// have given way itself, to one that is older still.
func (f *Fleet[N, R]) takeElders(ctx context.Context, ref cloud.ClusterRef, given map[cloud.Identity]bool, record *cloud.RunRecord) error {
	if len(given) == 0 {
		return nil
	}
	found, err := f.whenTwoLooksAgree(ctx, ref)
	if err != nil {
		return fmt.Errorf("look for the machines that another session launched first: %w", err)
	}
	for _, m := range found.Staying() {
		if given[m.Identity] && !slices.Contains(record.Adopted, m.ID) {
			record.Adopted = append(record.Adopted, m.ID)
		}
	}
	return nil
}

// whenTwoLooksAgree is whenListed until two looks in a row show the same machines. Pages
// shift while others are removed, so that one list may leave out a machine; two
// that left out one each differ by what was removed.
func (f *Fleet[N, R]) whenTwoLooksAgree(ctx context.Context, ref cloud.ClusterRef) (Inventory[N], error) {
	var found Inventory[N]
	var before []string
	err := retry.Poll(ctx, f.Poll, func(ctx context.Context) (bool, error) {
		var err error
		if found, err = f.whenListed(ctx, ref); err != nil {
			return false, retry.Stop(err)
		}
		now := ids(found.Machines)
		same := before != nil && slices.Equal(before, now)
		before = now
		return same, nil
	})
	return found, err
}

// elders are the eldest of each identity, by the ids that give way to them.
func elders[N any](own []string, machines []Machine[N]) map[string]Machine[N] {
	first := map[cloud.Identity]Machine[N]{}
	for _, m := range machines {
		if have, ok := first[m.Identity]; !ok || cmp.Or(m.CreatedAt.Compare(have.CreatedAt), cmp.Compare(m.ID, have.ID)) < 0 {
			first[m.Identity] = m
		}
	}
	out := map[string]Machine[N]{}
	for _, m := range machines {
		if have := first[m.Identity]; have.ID != m.ID && slices.Contains(own, m.ID) {
			out[m.ID] = have
		}
	}
	return out
}

// tied reports whether one identity has several machines, of which all but one
// are about to give way.
func (f *Fleet[N, R]) tied(c Inventory[N]) bool {
	seen := map[cloud.Identity]bool{}
	for _, m := range c.Staying() {
		if seen[m.Identity] {
			return !f.Idempotent
		}
		seen[m.Identity] = true
	}
	return false
}

// tieTime is how long a tie may last that somebody is breaking: until the launch
// is certain to be seen, and the younger machine is gone.
func (f *Fleet[N, R]) tieTime() time.Duration { return f.Settle + f.Granularity + f.TieTime }

func all(wanted, there []string) bool {
	return !slices.ContainsFunc(wanted, func(id string) bool { return !slices.Contains(there, id) })
}
