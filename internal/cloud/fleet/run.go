// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Check refuses what cannot be launched, before anything is asked of the cloud.
func (f *Fleet[N, R]) Check(spec cloud.ClusterSpec, at cloud.Placement) error {
	err := checkSpec(f.Name, spec, at)
	if err == nil {
		err = f.checkLimits(spec)
	}
	if err == nil && f.Hooks.CheckSpec != nil {
		err = f.Hooks.CheckSpec(spec, at)
	}
	return err
}

// checkLimits refuses what is more than the cloud takes.
func (f *Fleet[N, R]) checkLimits(spec cloud.ClusterSpec) error {
	c := f.Capabilities
	if c.MaxLabels > 0 && len(spec.Labels) > c.MaxLabels {
		return ConfigErrorf(cloud.ScopeCloud, "there are %d labels; %s has room for %d", len(spec.Labels), f.Name, c.MaxLabels)
	}
	for _, n := range spec.Nodes {
		if c.MaxUserData > 0 && len(n.UserData) > c.MaxUserData {
			return ConfigErrorf(cloud.ScopeCloud, "the user data has %d bytes; %s takes %d: move work from the cluster template's user_data to setup, which has no limit",
				len(n.UserData), f.Name, c.MaxUserData)
		}
	}
	return nil
}

// labelsChange reports whether the tags of a machine can change after its launch.
func (f *Fleet[N, R]) labelsChange() bool {
	return f.Capabilities.Labels && !f.Capabilities.LabelsFixed
}

// Run implements cloud.Provisioner.
func (f *Fleet[N, R]) Run(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig) (cloud.RunRecord, error) {
	var record cloud.RunRecord
	res, err := f.Resources(cfg)
	if err == nil {
		err = f.Check(cfg.Spec, cfg.Placement)
	}
	if err != nil {
		return record, err
	}
	ref.Instances = nil
	found, err := f.whenListed(ctx, ref)
	if err != nil {
		return record, err
	}
	plan, err := sortNodes(ref, cfg.Spec.Nodes, found.Staying(), func(m Machine[N]) cloud.Instance { return m.Instance },
		func(m Machine[N]) error { return m.stuck(cloud.StateRunning) })
	if err != nil {
		return record, err
	}
	if err := f.adoptAll(ctx, plan.Adopt, cfg, &record); err != nil {
		return record, err
	}
	if err := f.create(ctx, plan, cfg, res, &record); err != nil {
		return record, err
	}
	err = f.giveWay(ctx, ref, &record)
	if err == nil {
		err = f.checkCreated(ctx, ref, cfg.Spec.Nodes, record)
	}
	return record, err
}

// whenListed looks until what this process launched before is shown, or it is too
// long ago to be on its way, and sessions that launched one identity at once agree
// on which machine stays.
func (f *Fleet[N, R]) whenListed(ctx context.Context, ref cloud.ClusterRef) (Inventory[N], error) {
	var found Inventory[N]
	patience := time.Now().Add(f.tieTime())
	err := f.watch(ctx, ref, func(_ context.Context, c Inventory[N]) (bool, error) {
		found = c
		tied := f.tied(c) && time.Now().Before(patience)
		return len(c.Unlisted) == 0 && (f.Idempotent || !c.Doubtful) && !tied, nil
	})
	return found, err
}

// adoptAll adopts machines a few at a time and records those that it could, in
// their order.
func (f *Fleet[N, R]) adoptAll(ctx context.Context, machines []Machine[N], cfg cloud.RunConfig, record *cloud.RunRecord) error {
	resumed, adopted := make([]bool, len(machines)), make([]bool, len(machines))
	err := eachOf(f.Parallel, len(machines), func(i int) error {
		var err error
		resumed[i], err = f.adopt(ctx, machines[i], cfg)
		adopted[i] = err == nil && !resumed[i]
		return err
	})
	for i, m := range machines {
		switch {
		case adopted[i]:
			record.Adopted = append(record.Adopted, m.ID)
		case resumed[i]:
			record.Resumed = append(record.Resumed, m.ID)
		}
	}
	return err
}

// adopt takes a machine that is there: it brings its labels up to date and
// resumes it where it is stopped, which it reports.
func (f *Fleet[N, R]) adopt(ctx context.Context, m Machine[N], cfg cloud.RunConfig) (resumed bool, err error) {
	if err := f.checkPlace(ctx, m, cfg.Placement); err != nil {
		return false, err
	}
	if m.untagged {
		if err := f.reclaim(ctx, m); err != nil {
			return false, err
		}
	}
	if err := f.relabel(ctx, m, cfg.Spec); err != nil {
		return false, fmt.Errorf("label machine %s: %w", m, err)
	}
	if f.Hooks.Adopt != nil {
		if err := f.Hooks.Adopt(ctx, m, cfg.Spec); err != nil {
			return false, fmt.Errorf("bring machine %s up to date: %w", m, err)
		}
	}
	left := cfg.Spec.LeaveStopped && (m.State == cloud.StateStopped || m.State == cloud.StateStopping)
	if left || m.State == cloud.StatePending || m.State == cloud.StateRunning {
		return false, nil
	}
	if err := f.resume(ctx, m); err != nil {
		return false, fmt.Errorf("start machine %s (rank %d): %w", m, m.Identity.Rank, err)
	}
	return true, nil
}

// relabel brings labels and marks of a machine up to date. Where a lost answer or
// somebody quicker stands in the way, it looks again once.
func (f *Fleet[N, R]) relabel(ctx context.Context, m Machine[N], spec cloud.ClusterSpec) error {
	change := relabeling(m.Instance, spec)
	if len(change.Set)+len(change.Remove)+len(change.Marks) == 0 || !f.labelsChange() {
		return nil
	}
	err := f.Calls.Relabel(ctx, m, change)
	if err == nil || !f.transient(err) {
		return err
	}
	now, err := f.Calls.Get(ctx, m.ref(f.Name), []string{m.ID})
	if err != nil || len(now) == 0 {
		return cmp.Or(err, cloud.ErrNotFound)
	}
	change = relabeling(now[0].Instance, spec)
	if len(change.Set)+len(change.Remove)+len(change.Marks) == 0 {
		return nil
	}
	return f.Calls.Relabel(ctx, now[0], change)
}

// relabeling leads from a machine's labels and marks to those of the spec.
func relabeling(m cloud.Instance, spec cloud.ClusterSpec) Relabeling {
	change := Relabeling{Labels: spec.Labels, Set: map[string]string{}, Marks: map[string]string{}}
	for k, v := range spec.Labels {
		if have, ok := m.Labels[k]; !ok || have != v {
			change.Set[k] = v
		}
	}
	for k := range m.Labels {
		if _, ok := spec.Labels[k]; !ok {
			change.Remove = append(change.Remove, k)
		}
	}
	slices.Sort(change.Remove)
	for k, v := range spec.Marks(m.Identity) {
		if have := m.Notes[k]; k == cloud.TagHostKey && v != m.HostKey || k != cloud.TagHostKey && v != have {
			change.Marks[k] = v
		}
	}
	return change
}

// resume starts a stopped machine, once it is stopped, and sees it leave that
// state. A lack of capacity is the error of Start; the machine stays stopped.
func (f *Fleet[N, R]) resume(ctx context.Context, m Machine[N]) error {
	missed := 0
	return f.watch(ctx, m.ref(f.Name), func(ctx context.Context, c Inventory[N]) (bool, error) {
		if len(c.Machines) == 0 {
			if missed++; missed >= f.MissingLooks {
				return false, fmt.Errorf("it is not there any more: %w", cloud.ErrNotFound)
			}
			return false, nil
		}
		missed = 0
		switch now := c.Machines[0]; now.State {
		case cloud.StatePending, cloud.StateRunning:
			return true, nil
		case cloud.StateStopped:
			return false, f.Calls.StartMachine(ctx, now)
		case cloud.StateTerminating, cloud.StateTerminated:
			return false, now.stuck(cloud.StateRunning)
		case cloud.StateStopping, cloud.StateUnknown:
		}
		return false, nil
	})
}

// checkPlace refuses a machine that is not what the placement says.
func (f *Fleet[N, R]) checkPlace(ctx context.Context, m Machine[N], at cloud.Placement) error {
	o := at.Offer
	zone, err := f.zone(ctx, o.Region, o.Zone)
	if err != nil {
		return err
	}
	if m.Region == o.Region && (zone == "" || m.Zone == "" || m.Zone == zone) && m.Type == o.InstanceType.Name && (o.Market == "" || m.Market == o.Market) {
		return nil
	}
	return ConfigErrorf(cloud.ScopeZone, "machine %s (rank %d) is a %s %s in %s, not %s",
		m, m.Identity.Rank, m.Market, m.Type, cloud.ShortPlace(f.Name, m.Region, m.Zone), at)
}
