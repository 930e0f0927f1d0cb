// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// things lists what the driver made of the kinds that are wanted.
func (f *Fleet[N, R]) things(ctx context.Context, ref cloud.ClusterRef, wanted func(cloud.ThingKind) bool) ([]cloud.Thing, Things, error) {
	owner, ok := any(f.Calls).(Things)
	if !ok {
		return nil, nil, nil
	}
	kinds := slices.DeleteFunc(slices.Clone(owner.Kinds()), func(k cloud.ThingKind) bool { return !wanted(k) })
	all, err := Across(f.Parallel, kinds, func(k cloud.ThingKind) ([]cloud.Thing, error) {
		some, err := owner.Things(ctx, ref, k)
		if err != nil {
			return nil, fmt.Errorf("list what is a %s: %w", k, err)
		}
		return some, nil
	})
	return all, owner, err
}

// Survey implements cloud.Surveyor.
func (f *Fleet[N, R]) Survey(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	machines, err := f.list(ctx, ref)
	if err != nil {
		return nil, err
	}
	var all []cloud.Thing
	for _, m := range machines {
		tags := m.Tags
		if tags == nil {
			tags = m.Identity.Tags()
		}
		t, ok := ref.ThingOf(cloud.ThingMachine, m.ID, m.Name, tags, m.Region)
		if !ok || m.State == cloud.StateTerminated {
			continue
		}
		t.Ref.Zone, t.CreatedAt, t.Committed, t.Deadline = m.Zone, m.CreatedAt, m.Committed, m.Deadline
		all = append(all, t)
	}
	others, _, err := f.things(ctx, ref, func(cloud.ThingKind) bool { return true })
	if err != nil {
		return nil, err
	}
	var out []cloud.Thing
	for _, t := range append(all, others...) {
		// Where regions are one in truth, each lists all; a name is of a region.
		twice := slices.ContainsFunc(out, func(o cloud.Thing) bool { return o.Kind == t.Kind && o.ID == t.ID && t.ID != t.Name })
		if !t.InUse && !twice {
			out = append(out, t)
		}
	}
	return out, nil
}

// removePaid sees what is paid for beside the machines go with them. Where ref
// names machines only theirs is meant: the others' is in use. What stays in use
// is of a machine that no look showed so far, which goes now; or it is of somebody
// else's, and stays, as one does who saves data from a disk. Survey shows it once
// it is free.
func (f *Fleet[N, R]) removePaid(ctx context.Context, ref cloud.ClusterRef, removed map[cloud.Identity]bool) error {
	if ref.Instances != nil && len(removed) == 0 {
		return nil
	}
	var err error
	things := ref
	if things.Zone, err = f.zone(ctx, ref.Region, ref.Zone); err != nil {
		return err
	}
	for {
		inUse, err := f.removeFree(ctx, things, removed)
		if err != nil || !inUse {
			return err
		}
		if some, err := f.removeMachines(ctx, ref, removed); err != nil || !some {
			return err
		}
	}
}

// removeFree removes what is paid for and free, and waits a while for the rest
// to become so: it does a little later than its machine is gone. It reports
// whether something is still in use.
func (f *Fleet[N, R]) removeFree(ctx context.Context, ref cloud.ClusterRef, removed map[cloud.Identity]bool) (inUse bool, err error) {
	var since time.Time
	looks := 0
	err = retry.Poll(ctx, f.Poll, func(ctx context.Context) (bool, error) {
		left, owner, err := f.things(ctx, ref, cloud.ThingKind.Paid)
		if err != nil {
			return false, f.unlessTransient(err)
		}
		left = slices.DeleteFunc(left, func(t cloud.Thing) bool {
			return (ref.Instances != nil && !removed[t.Identity]) || (ref.Zone != "" && t.Ref.Zone != "" && t.Ref.Zone != ref.Zone)
		})
		free := slices.DeleteFunc(slices.Clone(left), func(t cloud.Thing) bool { return t.InUse })
		inUse = len(left) > 0
		switch {
		case !inUse:
			return true, nil
		case len(free) > 0:
			looks = 0
			if err := Each(f.Parallel, free, func(t cloud.Thing) error { return f.removeThing(ctx, owner, t) }); err != nil {
				return false, f.unlessTransient(err)
			}
		case looks == 0:
			looks, since = 1, time.Now()
		default:
			looks++
		}
		return looks >= f.MissingLooks && time.Since(since) >= f.Settle, fmt.Errorf("%s %s is still there", left[0].Kind, left[0].ID)
	})
	return inUse, err
}

func (f *Fleet[N, R]) removeThing(ctx context.Context, owner Things, t cloud.Thing) error {
	if err := owner.RemoveThing(ctx, t); err != nil {
		return fmt.Errorf("delete %s %s: %w", t.Kind, t.ID, err)
	}
	return nil
}

// unlessTransient ends a loop for errors that another try cannot cure.
func (f *Fleet[N, R]) unlessTransient(err error) error {
	if f.transient(err) {
		return err
	}
	return retry.Stop(err)
}

// CleanupPorts implements cloud.Provisioner: it removes what was made for the
// cluster as a whole. It looks again after it deleted, until it sees nothing.
func (f *Fleet[N, R]) CleanupPorts(ctx context.Context, ref cloud.ClusterRef) error {
	if err := f.checkRef(cloud.ClusterRef{Owner: ref.Owner}); err != nil {
		return err
	}
	quiet, refused := 0, 0
	return retry.Poll(ctx, f.Poll, func(ctx context.Context) (bool, error) {
		left, owner, err := f.things(ctx, ref, func(k cloud.ThingKind) bool { return !k.Paid() })
		switch {
		case err != nil:
			return false, retry.Stop(err)
		case len(left) == 0:
			quiet++
			return quiet >= min(2, f.QuietLooks) || owner == nil, nil
		}
		quiet = 0
		inUse, err := f.removeAll(ctx, owner, left)
		if err != nil {
			return false, retry.Stop(err)
		}
		if inUse == nil {
			return false, nil
		}
		// A firewall is in use until the last machine behind it is gone. That will
		// come, unless the machine is alive and well; one look may lag.
		if user := f.user(ctx, ref); user == "" {
			refused = 0
		} else if refused++; refused >= f.MissingLooks {
			return false, retry.Stop(fmt.Errorf("machine %s still runs: %w", user, inUse))
		}
		return false, inUse
	})
}

// removeAll asks for the removal of things. Refusals that pass come apart from
// other errors.
func (f *Fleet[N, R]) removeAll(ctx context.Context, owner Things, things []cloud.Thing) (inUse, err error) {
	var mu sync.Mutex
	err = Each(f.Parallel, things, func(t cloud.Thing) error {
		err := f.removeThing(ctx, owner, t)
		if err != nil && f.transient(err) {
			mu.Lock()
			defer mu.Unlock()
			inUse = err
			return nil
		}
		return err
	})
	return inUse, err
}

// user is a machine of the cluster that nobody is removing, empty for none.
func (f *Fleet[N, R]) user(ctx context.Context, ref cloud.ClusterRef) string {
	ref.Instances, ref.Zone = nil, ""
	found, err := f.Look(ctx, ref)
	if staying := found.Staying(); err == nil && len(staying) > 0 {
		return staying[0].String()
	}
	return ""
}
