// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// parallel bounds the calls under way at once.
const parallel = 8

// driver implements cloud.Provisioner.
type driver struct {
	c        *client
	defaults settings
	// poll is the pause between two looks at machines.
	poll retry.Policy
	// quietLooks is how many looks in a row must show nothing before nothing is
	// believed; missingLooks is the same for a machine known by its id.
	quietLooks, missingLooks int
	// settle is how long a machine that was asked for may stay invisible.
	settle time.Duration
	recent recent
	// sshPort is where machines listen for SSH; tests have others.
	sshPort int
	// callerSource tells the caller's public address.
	callerSource string
}

var (
	_ cloud.Provisioner = (*driver)(nil)
	_ cloud.Chronicler  = (*driver)(nil)
)

func newDriver(c *client, defaults settings) *driver {
	return &driver{
		c:            c,
		defaults:     defaults,
		poll:         retry.Policy{Initial: 500 * time.Millisecond, Max: 5 * time.Second, Factor: 1.5, Jitter: 0.2},
		quietLooks:   2,
		missingLooks: 4,
		settle:       time.Minute,
		sshPort:      sshPort,
		callerSource: fleet.CallerAddressSource,
	}
}

// look lists the machines of ref. Foreign machines are never part of it; an id
// of ref.Instances that turns out foreign is an error.
func (d *driver) look(ctx context.Context, ref cloud.ClusterRef) (census, error) {
	if ref.Owner == "" {
		return census{}, fleet.ConfigErrorf(cloud.ScopeCloud, "the cluster reference names no owner")
	}
	for _, id := range ref.Instances {
		if !isID(id) {
			return census{}, fleet.ConfigErrorf(cloud.ScopeCloud, "%q is not the id of a Compute Engine instance", id)
		}
	}
	listed, err := d.list(ctx, ref.Zone, labelFilter(ref))
	if err != nil {
		return census{}, err
	}
	var found census
	known := map[string]bool{}
	for _, m := range listed {
		if !known[m.id] && selects(ref, m) {
			known[m.id] = true
			found.machines = append(found.machines, m)
			d.recent.saw(m)
		}
	}
	if err := d.lookUp(ctx, ref, known, &found); err != nil {
		return census{}, err
	}
	if err := d.lookForLate(ctx, ref, known, &found); err != nil {
		return census{}, err
	}
	slices.SortFunc(found.machines, func(a, b machine) int {
		return cmp.Or(cmp.Compare(a.identity.Rank, b.identity.Rank),
			cmp.Compare(a.identity.Attempt, b.identity.Attempt), cmp.Compare(a.id, b.id))
	})
	return found, nil
}

// isID keeps an id of another cloud, or a path, out of a URL.
func isID(id string) bool {
	n, err := strconv.ParseUint(id, 10, 64)
	return err == nil && n > 0
}

// list shows the machines of a zone, or of all, that match the filter. Where a
// zone does not answer, the whole is an error: it must not look empty.
func (d *driver) list(ctx context.Context, zone, filter string) ([]machine, error) {
	what := "list machines"
	if zone != "" {
		what += " in " + zone
	}
	return call(ctx, d.c, what, func(ctx context.Context) ([]machine, error) {
		var all []machine
		if zone != "" {
			err := d.c.api.listInstances(ctx, zone, filter, func(page *compute.InstanceList) error {
				for _, in := range page.Items {
					all = append(all, newMachine(in))
				}
				return nil
			})
			return all, err
		}
		err := d.c.api.listEverywhere(ctx, filter, func(page *compute.InstanceAggregatedList) error {
			for scope, list := range page.Items {
				if w := list.Warning; w != nil && w.Code == "UNREACHABLE" {
					return &unreachableError{scope: scope, message: w.Message}
				}
				for _, in := range list.Instances {
					all = append(all, newMachine(in))
				}
			}
			return nil
		})
		return all, err
	})
}

// unreachableError says that a listing is not whole.
type unreachableError struct{ scope, message string }

func (e *unreachableError) Error() string { return e.scope + " does not answer: " + e.message }

// Timeout and Temporary make it trouble that passes.
func (e *unreachableError) Timeout() bool   { return true }
func (e *unreachableError) Temporary() bool { return true }

// get shows one machine by id or name; nil is a machine that is not there.
func (d *driver) get(ctx context.Context, zone, which string) (*machine, error) {
	in, err := call(ctx, d.c, "look up machine "+zone+"/"+which, func(ctx context.Context) (*compute.Instance, error) {
		return d.c.api.getInstance(ctx, zone, which)
	})
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := newMachine(in)
	return &m, nil
}

// lookUp asks for the machines that ref names and that were not listed.
func (d *driver) lookUp(ctx context.Context, ref cloud.ClusterRef, known map[string]bool, found *census) error {
	for _, id := range ref.Instances {
		if known[id] {
			continue
		}
		known[id] = true
		m, err := d.byID(ctx, ref.Zone, id)
		switch {
		case err != nil:
			return err
		case m == nil:
			found.missing = append(found.missing, id)
		case m.id != id || !selects(ref, *m):
			return fleet.ConfigErrorf(cloud.ScopeCloud, "machine %s does not belong to cluster %q of this owner: left alone", m, ref.Cluster)
		default:
			found.machines = append(found.machines, *m)
			d.recent.saw(*m)
		}
	}
	return nil
}

func (d *driver) byID(ctx context.Context, zone, id string) (*machine, error) {
	if zone != "" {
		return d.get(ctx, zone, id)
	}
	all, err := d.list(ctx, "", "(id = "+id+")")
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.id == id {
			return &m, nil
		}
	}
	return nil, nil
}

// lookForLate asks for the machines that this process asked for and no listing
// shows.
func (d *driver) lookForLate(ctx context.Context, ref cloud.ClusterRef, known map[string]bool, found *census) error {
	for _, l := range d.recent.matching(ref) {
		if l.id != "" && known[l.id] {
			continue
		}
		m, err := d.get(ctx, l.zone, l.name)
		switch {
		case err != nil:
			return err
		case m != nil && !known[m.id] && selects(ref, *m):
			known[m.id] = true
			found.machines = append(found.machines, *m)
			d.recent.saw(*m)
		case m != nil:
		default:
			late, err := d.isLate(ctx, l)
			if err != nil {
				return err
			}
			if late {
				found.late = append(found.late, l)
			} else {
				d.recent.drop(l.zone, l.name)
			}
		}
	}
	return nil
}

// isLate reports whether a machine that is not there may still come, or was
// only denied by mistake. The insert tells, where it was accepted.
func (d *driver) isLate(ctx context.Context, l launched) (bool, error) {
	if l.id != "" {
		return d.recent.missed(l) < d.missingLooks, nil
	}
	if l.operation == "" {
		return time.Since(l.at) < d.settle, nil
	}
	op, err := call(ctx, d.c, "look at operation "+l.operation, func(ctx context.Context) (*compute.Operation, error) {
		return d.c.api.getZoneOperation(ctx, l.zone, l.operation)
	})
	if isNotFound(err) {
		return time.Since(l.at) < d.settle, nil
	}
	if err != nil {
		return false, err
	}
	if op.Status == "DONE" {
		return operationFailure(op) == nil && d.recent.missed(l) < d.missingLooks, nil
	}
	return true, nil
}

// watch looks at the machines of ref until f reports done or an error, or ctx
// ends. Trouble that passes is borne a few looks long.
func (d *driver) watch(ctx context.Context, ref cloud.ClusterRef, f func(context.Context, census) (bool, error)) error {
	w := fleet.Watcher{Poll: d.poll, Patience: 4, Transient: isTransient}
	return fleet.Watch(ctx, w, func(ctx context.Context) (census, error) { return d.look(ctx, ref) }, f)
}

// each runs f for every item, a few at a time, and joins the errors.
func each[T any](items []T, f func(T) error) error { return fleet.Each(parallel, items, f) }
