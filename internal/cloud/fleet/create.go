// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// making is one launch of machines.
type making[N, R any] struct {
	*Fleet[N, R]
	cfg    cloud.RunConfig
	res    R
	record *cloud.RunRecord
}

// create launches the nodes of a plan, all in one zone where there are several
// places.
func (f *Fleet[N, R]) create(ctx context.Context, plan nodePlan[Machine[N]], cfg cloud.RunConfig, res R, record *cloud.RunRecord) error {
	if len(plan.Create) == 0 {
		return nil
	}
	m := making[N, R]{f, cfg, res, record}
	if f.Hooks.Places == nil {
		return errors.Join(m.all(ctx, plan.Create, Place{})...)
	}
	places := f.Hooks.Places(res)
	if len(plan.Adopt) > 0 {
		places = slices.DeleteFunc(slices.Clone(places), func(p Place) bool { return p.Zone != plan.Adopt[0].Zone })
	}
	switch len(places) {
	case 0:
		return ConfigErrorf(cloud.ScopeZone, "there is no place to launch in")
	case 1:
		return errors.Join(m.all(ctx, plan.Create, places[0])...)
	}
	return m.somewhere(ctx, plan.Create, places)
}

// somewhere launches all nodes in one of the places. The first node finds one
// that has room, and the others join it there. Where they find none, what was
// made is taken back, and the next place is tried.
func (m making[N, R]) somewhere(ctx context.Context, nodes []cloud.NodeSpec, places []Place) error {
	var refusals []error
	for len(places) > 0 {
		n, err := m.first(ctx, nodes[0], places)
		if err != nil {
			return errors.Join(append(refusals, err)...)
		}
		errs := m.all(ctx, nodes[1:], places[n])
		if len(errs) == 0 {
			return nil
		}
		refusals = append(refusals, errs...)
		if places = places[n+1:]; len(places) == 0 || slices.ContainsFunc(errs, func(err error) bool { return !m.noRoom(err) }) {
			break
		}
		made := m.cfg.Spec.Ref
		made.Region, made.Zone, made.Instances = m.cfg.Placement.Offer.Region, "", m.record.Created
		if err := m.Terminate(ctx, made); err != nil {
			refusals = append(refusals, err)
			break
		}
		m.record.Created = nil
	}
	return errors.Join(refusals...)
}

// first tries place after place until one has capacity for the node, and
// returns which.
func (m making[N, R]) first(ctx context.Context, n cloud.NodeSpec, places []Place) (int, error) {
	var refusals []error
	for i, place := range places {
		id, err := m.one(ctx, n, place)
		if id != "" {
			m.record.Created = append(m.record.Created, id)
		}
		if err == nil {
			return i, nil
		}
		refusals = append(refusals, err)
		if id != "" || !m.noRoom(err) {
			break
		}
	}
	return 0, errors.Join(refusals...)
}

// all launches the nodes in rank order in one place.
func (m making[N, R]) all(ctx context.Context, nodes []cloud.NodeSpec, place Place) []error {
	made, errs := launchEach(m.Parallel, nodes, func(n cloud.NodeSpec) (string, error) { return m.one(ctx, n, place) })
	m.record.Created = append(m.record.Created, made...)
	return errs
}

// noRoom reports that a launch made nothing, for a reason that holds in its
// zone only.
func (f *Fleet[N, R]) noRoom(err error) bool {
	return f.Refused(err) && f.Calls.Classify(err) == cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}
}

// Refused reports that a launch definitely made nothing.
func (f *Fleet[N, R]) Refused(err error) bool {
	if f.Hooks.Refused != nil {
		return f.Hooks.Refused(err)
	}
	kind := f.Calls.Classify(err).Kind
	return kind != cloud.KindTransient && kind != cloud.KindUnknown
}

// one launches one machine. The id may come together with an error: the machine
// is there, but not as asked for.
func (m making[N, R]) one(ctx context.Context, n cloud.NodeSpec, place Place) (string, error) {
	rank, offer := n.Identity.Rank, m.cfg.Placement.Offer
	if ctx.Err() != nil {
		return "", fmt.Errorf("launch rank %d: %w", rank, context.Cause(ctx))
	}
	if err := m.Launches.Wait(ctx); err != nil {
		return "", fmt.Errorf("launch rank %d: %w", rank, err)
	}
	made, err := m.Calls.Create(ctx, Order[R]{Name: n.Identity.Name(m.Capabilities.MaxNameLength), Node: n, Spec: m.cfg.Spec, Placement: m.cfg.Placement, Resources: m.res, Place: place})
	answered := made.Identity
	made.Identity = n.Identity
	made.Region, made.Zone = cmp.Or(made.Region, offer.Region), cmp.Or(made.Zone, place.Zone, offer.Zone)
	where := cmp.Or(place.Zone, offer.Zone, offer.Region)
	if err == nil && made.ID == "" {
		err = errors.New("the cloud answered without a machine")
	}
	switch {
	case err != nil && made.ID == "":
		if !errors.Is(err, cloud.ErrSpent) && !m.Refused(err) {
			m.recent.add(made)
		}
		return "", fmt.Errorf("launch rank %d in %s: %w", rank, where, err)
	case made.State == cloud.StateTerminating || made.State == cloud.StateTerminated:
		return "", fmt.Errorf("launch rank %d: %w: %w", rank, made.stuck(cloud.StateRunning), cloud.ErrSpent)
	}
	m.recent.add(made)
	if answered != n.Identity { // whatever else is wrong with it, it must be found again
		err = errors.Join(err, m.reclaim(ctx, made))
	}
	if err != nil {
		return made.ID, fmt.Errorf("launch rank %d in %s: %w", rank, where, err)
	}
	return made.ID, m.checkPlace(ctx, made, m.cfg.Placement)
}

// reclaimTime bounds the removal of a machine that would else be forgotten.
const reclaimTime = 2 * time.Minute

// reclaim sees to it that a machine which came without its tags can be found
// again. One that cannot is removed at once, since nobody else ever would.
func (f *Fleet[N, R]) reclaim(ctx context.Context, m Machine[N]) error {
	err := f.retag(ctx, m)
	if err == nil {
		return nil
	}
	removing, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), reclaimTime, fmt.Errorf("its removal took longer than %s", reclaimTime))
	defer cancel()
	end := f.Calls.DeleteMachines(removing, []Machine[N]{m})
	if end != nil {
		return errors.Join(fmt.Errorf("machine %s does not keep its ownership tags and could not be removed", m), err, end)
	}
	return errors.Join(fmt.Errorf("machine %s does not keep its ownership tags and was removed", m), err)
}

// retag tags a machine with whose it is, and looks until it shows that. A cloud
// may know a new machine, and show its tags, a few looks late.
func (f *Fleet[N, R]) retag(ctx context.Context, m Machine[N]) error {
	looks, tagged := f.Poll, !f.labelsChange()
	looks.Attempts = f.MissingLooks
	return retry.Poll(ctx, looks, func(ctx context.Context) (bool, error) {
		if !tagged {
			if err := f.Calls.Relabel(ctx, m, Relabeling{Marks: m.Identity.Tags()}); err != nil {
				return false, err
			}
			tagged = true
		}
		now, err := f.Calls.Get(ctx, m.ref(f.Name), []string{m.ID})
		return err == nil && len(now) == 1 && now[0].Identity == m.Identity, err
	})
}

// checkCreated looks once more after launches. A machine that is dead already
// was so before: a cloud may answer a repeated token with the machine it once
// made. A machine nobody knows of was made by somebody else with this identity,
// or by a cloud that took one request twice.
func (f *Fleet[N, R]) checkCreated(ctx context.Context, ref cloud.ClusterRef, nodes []cloud.NodeSpec, record cloud.RunRecord) error {
	if len(record.Created) == 0 {
		return nil
	}
	found, err := f.whenListed(ctx, ref)
	if err != nil {
		return fmt.Errorf("look again after launching: %w", err)
	}
	for _, m := range found.Machines {
		dead := m.State == cloud.StateTerminated || m.State == cloud.StateTerminating
		if dead && slices.Contains(record.Created, m.ID) {
			return fmt.Errorf("launch rank %d: %w: %w", m.Identity.Rank, m.stuck(cloud.StateRunning), cloud.ErrSpent)
		}
	}
	return checkSingle(ref, nodes, record, ids(found.Staying()))
}
