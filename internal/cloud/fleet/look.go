// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Inventory is one look at the machines of a ref.
type Inventory[N any] struct {
	// Machines are sorted by rank, attempt and id, in every state.
	Machines []Machine[N]
	// Missing are ids that should be there and are not shown.
	Missing []string
	// Unlisted are machines that were launched a moment ago and are not shown yet.
	// One without an id may also never come.
	Unlisted []Machine[N]
	// Doubtful says that a launch whose outcome is unknown may still turn up.
	Doubtful bool
}

// Live are the machines that are not terminated.
func (c Inventory[N]) Live() []Machine[N] {
	return slices.DeleteFunc(slices.Clone(c.Machines), func(m Machine[N]) bool { return m.State == cloud.StateTerminated })
}

// Staying are the machines that nobody is removing.
func (c Inventory[N]) Staying() []Machine[N] {
	return slices.DeleteFunc(c.Live(), func(m Machine[N]) bool { return m.State == cloud.StateTerminating })
}

// String lists the machines that are not terminated, for errors.
func (c Inventory[N]) String() string {
	var parts []string
	for _, m := range c.Live() {
		parts = append(parts, fmt.Sprintf("%s (rank %d, %s)", m, m.Identity.Rank, m.State))
	}
	for _, id := range c.Missing {
		parts = append(parts, id+" (not shown)")
	}
	for _, m := range c.Unlisted {
		parts = append(parts, m.String()+" (not shown yet)")
	}
	if len(parts) == 0 {
		return "no machines"
	}
	return strings.Join(parts, ", ")
}

func (c Inventory[N]) result() lookResult[Machine[N]] {
	v := lookResult[Machine[N]]{Machines: c.Machines, Missing: c.Missing, Doubtful: c.Doubtful}
	for _, m := range c.Unlisted {
		v.Unlisted = append(v.Unlisted, m.Identity)
	}
	return v
}

// String is the machine's id and the name that people see.
func (m Machine[N]) String() string {
	switch {
	case m.Name == "":
		return m.ID
	case m.ID == "":
		return m.Name
	}
	return m.ID + " (" + m.Name + ")"
}

// ref refers to this machine alone.
func (m Machine[N]) ref(cloudName string) cloud.ClusterRef {
	return cloud.ClusterRef{
		Owner: m.Identity.Owner, Cluster: m.Identity.Cluster, Generation: m.Identity.Generation,
		Cloud: cloudName, Region: m.Region, Zone: m.Zone, Instances: []string{m.ID},
	}
}

// stuck is the error for a machine that cannot get to state want.
func (m Machine[N]) stuck(want cloud.State) error {
	reason := m.Reason
	if m.State == cloud.StateUnknown && m.Status != "" {
		reason = strings.TrimSuffix(fmt.Sprintf("the cloud says %q: %s", m.Status, reason), ": ")
	}
	return &MachineError{ID: m.String(), Rank: m.Identity.Rank, State: m.State, Reason: reason, Want: want}
}

func ids[N any](machines []Machine[N]) []string {
	out := make([]string, len(machines))
	for i, m := range machines {
		out[i] = m.ID
	}
	return out
}

// selects reports whether m belongs to ref, Instances included.
func selects[N any](ref cloud.ClusterRef, m Machine[N]) bool {
	return m.Identity.Owner != "" && ref.Matches(m.Identity, m.Region, m.Zone) &&
		(ref.Instances == nil || slices.Contains(ref.Instances, m.ID))
}

// zone is the account's own name for a zone.
func (f *Fleet[N, R]) zone(ctx context.Context, region, zone string) (string, error) {
	if f.Hooks.Zone == nil || zone == "" || region == "" {
		return zone, nil
	}
	return f.Hooks.Zone(ctx, region, zone)
}

// checkRef refuses what no look can answer.
func (f *Fleet[N, R]) checkRef(ref cloud.ClusterRef) error {
	if ref.Owner == "" {
		return ConfigErrorf(cloud.ScopeCloud, "the cluster reference names no owner")
	}
	for _, id := range ref.Instances {
		if f.Hooks.Valid != nil && !f.Hooks.Valid(id) {
			return ConfigErrorf(cloud.ScopeCloud, "%q is not the id of a machine of %s", id, f.Name)
		}
	}
	return nil
}

// Look lists the machines of ref. Foreign machines are never part of it; an id
// of ref.Instances that turns out foreign is an error.
func (f *Fleet[N, R]) Look(ctx context.Context, ref cloud.ClusterRef) (Inventory[N], error) {
	var found Inventory[N]
	err := f.checkRef(ref)
	if err == nil {
		ref.Zone, err = f.zone(ctx, ref.Region, ref.Zone)
	}
	if err != nil {
		return found, err
	}
	listed, err := f.list(ctx, ref)
	if err != nil {
		return found, err
	}
	known := map[string]bool{}
	add := func(m Machine[N]) {
		known[m.ID] = true
		found.Machines = append(found.Machines, m)
		f.recent.saw(m)
	}
	for _, m := range listed {
		if !known[m.ID] && selects(ref, m) {
			add(m)
		}
	}
	if err := f.lookForUnlisted(ctx, ref, known, add, &found); err != nil {
		return Inventory[N]{}, err
	}
	if err := f.lookUp(ctx, ref, known, add, &found); err != nil {
		return Inventory[N]{}, err
	}
	slices.SortFunc(found.Machines, func(a, b Machine[N]) int {
		return cmp.Or(cmp.Compare(a.Identity.Rank, b.Identity.Rank),
			cmp.Compare(a.Identity.Attempt, b.Identity.Attempt), cmp.Compare(a.ID, b.ID))
	})
	return found, nil
}

// list is the cloud's list. That it cannot be had says nothing of the machines.
func (f *Fleet[N, R]) list(ctx context.Context, ref cloud.ClusterRef) ([]Machine[N], error) {
	listed, err := f.Calls.List(ctx, ref)
	if err != nil {
		return nil, &listError{err}
	}
	return listed, nil
}

// listError is the error of a list. It is never cloud.ErrNotFound, whatever a proxy
// or an API in trouble answers: that would tell callers that all is gone.
type listError struct{ err error }

func (e *listError) Error() string { return "list machines: " + e.err.Error() }

// Is and As stand for Unwrap, which would show cloud.ErrNotFound.
func (e *listError) Is(target error) bool {
	return target != cloud.ErrNotFound && errors.Is(e.err, target)
}

// As implements what errors.As asks for.
func (e *listError) As(target any) bool { return errors.As(e.err, target) }

// lookForUnlisted looks for what this process launched and the listing did not show.
// What Find has answered for is known afterwards.
func (f *Fleet[N, R]) lookForUnlisted(ctx context.Context, ref cloud.ClusterRef, known map[string]bool, add func(Machine[N]), found *Inventory[N]) error {
	for _, e := range f.recent.matching(func(m Machine[N]) bool { return selects(ref, m) }) {
		switch {
		case e.m.ID != "": // it is listed, or lookUp asks for it
			continue
		case f.Hooks.Find != nil:
		case e.mayAppear(f.Settle):
			found.Doubtful = true
			continue
		default:
			f.recent.forget(e.is)
			continue
		}
		m, sight, err := f.Hooks.Find(ctx, e.m)
		if err != nil {
			return fmt.Errorf("look for machine %s: %w", e.m, err)
		}
		switch {
		case sight == SightHere && !known[m.ID] && selects(ref, m):
			add(m)
		case sight == SightHere: // listed already, or it is another's
		case sight == SightComing, sight == SightUnsure && e.mayAppear(f.Settle):
			found.Unlisted = append(found.Unlisted, e.m)
		default:
			f.recent.forget(e.is)
		}
	}
	return nil
}

// lookUp asks for the machines that should be there but were not listed: by id,
// since a listing lags further behind.
func (f *Fleet[N, R]) lookUp(ctx context.Context, ref cloud.ClusterRef, known map[string]bool, add func(Machine[N]), found *Inventory[N]) error {
	launched := map[string]entry[N]{}
	places := map[Place][]string{}
	for _, e := range f.recent.matching(func(m Machine[N]) bool { return m.ID != "" && selects(ref, m) }) {
		if !known[e.m.ID] {
			launched[e.m.ID] = e
			at := Place{ID: e.m.Region, Zone: e.m.Zone}
			places[at] = append(places[at], e.m.ID)
		}
	}
	for _, id := range ref.Instances {
		at := Place{ID: ref.Region, Zone: ref.Zone}
		if _, ours := launched[id]; !ours && !known[id] && !slices.Contains(places[at], id) {
			places[at] = append(places[at], id)
		}
	}
	for at, ids := range places {
		where := ref
		where.Region, where.Zone = at.ID, at.Zone
		got, err := f.Calls.Get(ctx, where, ids)
		if err != nil {
			return fmt.Errorf("look up machines %v: %w", ids, err)
		}
		for _, id := range ids {
			if err := f.sort(ref, id, got, launched, add, found); err != nil {
				return err
			}
		}
	}
	slices.Sort(found.Missing)
	return nil
}

// sort puts a machine that was asked for by its id where it belongs in an inventory.
func (f *Fleet[N, R]) sort(ref cloud.ClusterRef, id string, got []Machine[N], launched map[string]entry[N], add func(Machine[N]), found *Inventory[N]) error {
	i := slices.IndexFunc(got, func(m Machine[N]) bool { return m.ID == id })
	// A cloud may drop the tags of a terminated machine before the machine itself.
	gone := i >= 0 && got[i].State == cloud.StateTerminated && got[i].Identity.Owner == ""
	e, ours := launched[id]
	if ours && !gone && i >= 0 && got[i].anonymous(e.m.Identity) {
		got[i].Identity, got[i].untagged = e.m.Identity, true
	}
	switch {
	case i < 0 && ours && e.mayAppear(f.Settle):
		found.Unlisted = append(found.Unlisted, e.m)
	case i < 0 || gone:
		forgotten := ours && f.recent.missed(e, f.MissingLooks)
		if !forgotten || slices.Contains(ref.Instances, id) {
			found.Missing = append(found.Missing, id)
		}
	case !selects(ref, got[i]):
		return ConfigErrorf(cloud.ScopeCloud, "machine %s does not belong to cluster %q of this owner: left alone", got[i], ref.Cluster)
	default:
		add(got[i])
	}
	return nil
}

// anonymous reports that a machine shows no identity, and nothing that speaks
// against this one. Where this process launched it, it is ours even so.
func (m Machine[N]) anonymous(id cloud.Identity) bool {
	for k, want := range id.Tags() {
		if have, ok := m.Tags[k]; ok && have != want {
			return false
		}
	}
	return m.Identity == cloud.Identity{}
}

// GetEach makes a Calls.Get of a call that shows one machine; its
// cloud.ErrNotFound is a machine that is not there. Beside another error it says
// nothing.
func GetEach[N any](ids []string, get func(id string) (Machine[N], error)) ([]Machine[N], error) {
	var out []Machine[N]
	for _, id := range ids {
		m, err := get(id)
		switch {
		case isAbsence(err):
		case err != nil:
			return nil, err
		default:
			out = append(out, m)
		}
	}
	return out, nil
}

// isAbsence reports that all that err says is cloud.ErrNotFound. An error that
// holds another one beside it may come of a look that failed.
func isAbsence(err error) bool {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(all.Unwrap(), func(e error) bool { return !isAbsence(e) })
	}
	if inner := errors.Unwrap(err); inner != nil {
		return isAbsence(inner)
	}
	return errors.Is(err, cloud.ErrNotFound)
}

// watch looks at the machines of ref until do reports done or an error, or ctx
// ends. It goes on after a few transient failures in a row.
func (f *Fleet[N, R]) watch(ctx context.Context, ref cloud.ClusterRef, do func(context.Context, Inventory[N]) (bool, error)) error {
	w := watcher{Poll: f.Poll, Patience: f.Patience, Transient: f.transient}
	return watch(ctx, w, func(ctx context.Context) (Inventory[N], error) { return f.Look(ctx, ref) }, do)
}

// transient reports whether a later call may succeed.
func (f *Fleet[N, R]) transient(err error) bool {
	return f.Calls.Classify(err).Kind == cloud.KindTransient
}

// MaxPages bounds a listing that never ends.
const MaxPages = 1000

// Pages reads all pages of a listing. Fetch returns the token of the next one,
// empty at the end.
func Pages[T any](what string, fetch func(token string) ([]T, string, error)) ([]T, error) {
	var all []T
	token, seen := "", map[string]bool{}
	for range MaxPages {
		items, next, err := fetch(token)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", what, err)
		}
		all = append(all, items...)
		if next == "" {
			return all, nil
		}
		if seen[next] {
			return nil, fmt.Errorf("list %s: the page token %q came twice", what, next)
		}
		seen[next] = true
		token = next
	}
	return nil, fmt.Errorf("list %s: more than %d pages", what, MaxPages)
}

// Across runs list for every item, a few at a time, and joins what they found.
func Across[T, R any](limit int, items []T, list func(T) ([]R, error)) ([]R, error) {
	found := make([][]R, len(items))
	err := eachOf(limit, len(items), func(i int) error {
		var err error
		found[i], err = list(items[i])
		return err
	})
	return slices.Concat(found...), err
}
