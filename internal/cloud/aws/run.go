// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// Run implements cloud.Provisioner.
func (d *driver) Run(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig) (cloud.RunRecord, error) {
	var record cloud.RunRecord
	if err := checkSpec(cfg.Spec, cfg.Placement); err != nil {
		return record, err
	}
	ref.Instances = nil
	found, err := d.settled(ctx, ref)
	if err != nil {
		return record, err
	}
	plan, err := fleet.Sort(ref, cfg.Spec.Nodes, found.staying(), func(m machine) cloud.Instance { return m.portable(ref.Zone) },
		func(m machine) error { return m.stuck(cloud.StateRunning) })
	if err != nil {
		return record, err
	}
	if err := d.adoptAll(ctx, plan.Adopt, cfg, &record); err != nil {
		return record, err
	}
	if err := d.create(ctx, plan, cfg, &record); err != nil {
		return record, err
	}
	return record, d.checkCreated(ctx, ref, cfg.Spec.Nodes, record)
}

// settled looks until what this process launched before is shown, or it is too
// long ago to be on its way.
func (d *driver) settled(ctx context.Context, ref cloud.ClusterRef) (census, error) {
	var found census
	err := d.watch(ctx, ref, func(_ context.Context, c census) (bool, error) {
		found = c
		return len(c.late) == 0, nil
	})
	return found, err
}

// adoptAll adopts machines a few at a time and records those that it could, in
// their order.
func (d *driver) adoptAll(ctx context.Context, machines []machine, cfg cloud.RunConfig, record *cloud.RunRecord) error {
	resumed, adopted := make([]bool, len(machines)), make([]bool, len(machines))
	err := each(indexes(machines), func(i int) error {
		var err error
		resumed[i], err = d.adopt(ctx, machines[i], cfg)
		adopted[i] = err == nil && !resumed[i]
		return err
	})
	for i, m := range machines {
		switch {
		case adopted[i]:
			record.Adopted = append(record.Adopted, m.id)
		case resumed[i]:
			record.Resumed = append(record.Resumed, m.id)
		}
	}
	return err
}

// adopt takes a machine that is there: it brings its labels up to date and
// resumes it where it is stopped, which it reports.
func (d *driver) adopt(ctx context.Context, m machine, cfg cloud.RunConfig) (resumed bool, err error) {
	if err := d.checkPlace(ctx, m, cfg.Placement); err != nil {
		return false, err
	}
	if err := d.setLabels(ctx, m, cfg.Spec); err != nil {
		return false, fmt.Errorf("label machine %s: %w", m.id, err)
	}
	if err := d.setOnShutdown(ctx, m, cfg.Spec.OnShutdown); err != nil {
		return false, fmt.Errorf("set what a power-off of machine %s does: %w", m.id, err)
	}
	left := cfg.Spec.LeaveStopped && (m.state == cloud.StateStopped || m.state == cloud.StateStopping)
	if left || m.state == cloud.StatePending || m.state == cloud.StateRunning {
		return false, nil
	}
	if err := d.resume(ctx, m); err != nil {
		return false, fmt.Errorf("start machine %s (rank %d): %w", m.id, m.identity.Rank, err)
	}
	return true, nil
}

// setLabels brings the user's tags of a machine and its disks up to date, and
// the marks of the machine itself.
func (d *driver) setLabels(ctx context.Context, m machine, spec cloud.ClusterSpec) error {
	want := map[string]string{tagName: m.identity.Name(maxNameLength)}
	maps.Copy(want, spec.Labels)
	if err := d.setMarks(ctx, m, spec.Marks(m.identity)); err != nil {
		return err
	}
	set, remove := map[string]string{}, map[string]string{}
	for k, v := range want {
		if have, ok := m.tags[k]; !ok || have != v {
			set[k] = v
		}
	}
	for k, v := range m.labels() {
		if _, ok := want[k]; !ok {
			remove[k] = v
		}
	}
	client, on := d.c.in(m.region), append([]string{m.id}, m.volumes...)
	if len(set) > 0 {
		if _, err := client.CreateTags(ctx, &ec2.CreateTagsInput{Resources: on, Tags: ec2Tags(set)}); err != nil {
			return err //nolint:wrapcheck // the SDK names operation and code; adopt says the rest
		}
	}
	if len(remove) > 0 {
		if _, err := client.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: on, Tags: ec2Tags(remove)}); err != nil {
			return err //nolint:wrapcheck // as above
		}
	}
	return nil
}

// setMarks adds the reserved tags that a machine lacks.
func (d *driver) setMarks(ctx context.Context, m machine, marks map[string]string) error {
	maps.DeleteFunc(marks, func(k, v string) bool { return m.tags[k] == v })
	if len(marks) == 0 {
		return nil
	}
	_, err := d.c.in(m.region).CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{m.id}, Tags: ec2Tags(marks)})
	return err //nolint:wrapcheck // the SDK names operation and code; adopt says the rest
}

// resume starts a stopped machine, once it is stopped, and sees it leave that state.
func (d *driver) resume(ctx context.Context, m machine) error {
	return d.watch(ctx, m.ref(), func(ctx context.Context, c census) (bool, error) {
		if len(c.machines) == 0 {
			return false, nil
		}
		switch now := c.machines[0]; now.state {
		case cloud.StatePending, cloud.StateRunning:
			return true, nil
		case cloud.StateStopped:
			_, err := d.c.in(m.region).StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{m.id}}, launching)
			if err != nil && !hasCode(err, codeWrongState, codeWrongStateShort) {
				return false, err
			}
			return false, nil
		case cloud.StateTerminating, cloud.StateTerminated:
			return false, now.stuck(cloud.StateRunning)
		case cloud.StateStopping, cloud.StateUnknown:
		}
		return false, nil
	})
}

// create launches the nodes, all in one zone.
func (d *driver) create(ctx context.Context, plan fleet.Plan[machine], cfg cloud.RunConfig, record *cloud.RunRecord) error {
	nodes, places := plan.Create, splitList(found(cfg)[resourceSubnets])
	if len(nodes) == 0 {
		return nil
	}
	if len(plan.Adopt) > 0 {
		zone := plan.Adopt[0].zone
		places = slices.DeleteFunc(places, func(p string) bool { return !strings.HasSuffix(p, "@"+zone) })
	}
	if len(places) == 0 {
		return fleet.ConfigErrorf(cloud.ScopeZone, "there is no subnet to launch in")
	}
	if len(places) == 1 {
		return errors.Join(d.createAll(ctx, nodes, cfg, places[0], record)...)
	}
	return d.createSomewhere(ctx, nodes, cfg, places, record)
}

// createSomewhere launches all nodes in one of the places. The first node finds
// one that has room, and the others join it there. Where they find none, what
// was made is taken back, and the next place is tried.
func (d *driver) createSomewhere(ctx context.Context, nodes []cloud.NodeSpec, cfg cloud.RunConfig, places []string, record *cloud.RunRecord) error {
	var refusals []error
	for len(places) > 0 {
		n, err := d.createFirst(ctx, nodes[0], cfg, places, record)
		if err != nil {
			return errors.Join(append(refusals, err)...)
		}
		errs := d.createAll(ctx, nodes[1:], cfg, places[n], record)
		if len(errs) == 0 {
			return nil
		}
		refusals = append(refusals, errs...)
		if places = places[n+1:]; len(places) == 0 || slices.ContainsFunc(errs, func(err error) bool { return !noRoom(err) }) {
			break
		}
		made := cfg.Spec.Ref
		made.Region, made.Zone, made.Instances = cfg.Placement.Offer.Region, "", record.Created
		if err := d.Terminate(ctx, made); err != nil {
			refusals = append(refusals, err)
			break
		}
		record.Created = nil
	}
	return errors.Join(refusals...)
}

// noRoom reports that a launch made nothing, for a reason that holds in its
// zone only.
func noRoom(err error) bool {
	return isRefused(err) && classify(err) == cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}
}

// createFirst tries place after place until one has capacity for the node, and
// returns which.
func (d *driver) createFirst(ctx context.Context, n cloud.NodeSpec, cfg cloud.RunConfig, places []string, record *cloud.RunRecord) (int, error) {
	var refusals []error
	for i, place := range places {
		id, err := d.createOne(ctx, n, cfg, place)
		if id != "" {
			record.Created = append(record.Created, id)
		}
		if err == nil {
			return i, nil
		}
		refusals = append(refusals, err)
		if id != "" || !noRoom(err) {
			break
		}
	}
	return 0, errors.Join(refusals...)
}

// createAll launches the nodes in rank order in one place.
func (d *driver) createAll(ctx context.Context, nodes []cloud.NodeSpec, cfg cloud.RunConfig, place string, record *cloud.RunRecord) []error {
	made, errs := fleet.Launch(parallel, nodes, func(n cloud.NodeSpec) (string, error) { return d.createOne(ctx, n, cfg, place) })
	record.Created = append(record.Created, made...)
	return errs
}

// createOne launches one machine. The id may come together with an error: the
// machine is there, but not as asked for.
func (d *driver) createOne(ctx context.Context, n cloud.NodeSpec, cfg cloud.RunConfig, place string) (string, error) {
	rank, region := n.Identity.Rank, cfg.Placement.Offer.Region
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("launch rank %d: %w", rank, context.Cause(ctx))
	}
	in, err := d.launchInput(n, cfg, place)
	if err != nil {
		return "", err
	}
	out, err := d.c.in(region).RunInstances(ctx, in, launching)
	if err != nil {
		if !isRefused(err) {
			d.recent.doubt(n.Identity, region, aws.ToString(in.Placement.AvailabilityZone))
		}
		return "", fmt.Errorf("launch rank %d in %s: %w", rank, aws.ToString(in.Placement.AvailabilityZone), err)
	}
	if len(out.Instances) != 1 || aws.ToString(out.Instances[0].InstanceId) == "" {
		d.recent.doubt(n.Identity, region, aws.ToString(in.Placement.AvailabilityZone))
		return "", fmt.Errorf("launch rank %d: AWS answered with %d machines instead of one", rank, len(out.Instances))
	}
	m := newMachine(region, out.Instances[0])
	answered, whole := m.identity, m.owned
	m.identity, m.owned = n.Identity, true
	if m.state == cloud.StateTerminating || m.state == cloud.StateTerminated {
		return "", fmt.Errorf("launch rank %d: %w: %w", rank, m.stuck(cloud.StateRunning), cloud.ErrSpent)
	}
	d.recent.add(m)
	if !whole || answered != n.Identity {
		if err := d.ensureTags(ctx, m); err != nil {
			return m.id, err
		}
	}
	return m.id, d.checkPlace(ctx, m, cfg.Placement)
}

// ensureTags sees to it that the machine can be found again. One that cannot
// is removed at once, since nobody else ever would.
func (d *driver) ensureTags(ctx context.Context, m machine) error {
	client := d.c.in(m.region)
	_, err := client.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{m.id}, Tags: ec2Tags(m.identity.Tags())})
	if err == nil {
		return nil
	}
	_, end := client.TerminateInstances(context.WithoutCancel(ctx), &ec2.TerminateInstancesInput{InstanceIds: []string{m.id}})
	return errors.Join(fmt.Errorf("machine %s does not keep its ownership tags and was removed: %w", m.id, err), end)
}

// checkPlace refuses a machine that is not what the placement says.
func (d *driver) checkPlace(ctx context.Context, m machine, at cloud.Placement) error {
	o := at.Offer
	zone, err := d.zoneName(ctx, o.Region, o.Zone)
	if err != nil {
		return err
	}
	if m.region == o.Region && (zone == "" || m.zone == "" || m.zone == zone) && m.typ == o.InstanceType.Name && (o.Market == "" || m.market == o.Market) {
		return nil
	}
	return fleet.ConfigErrorf(cloud.ScopeZone, "machine %s (rank %d) is a %s %s in %s, not %s",
		m.id, m.identity.Rank, m.market, m.typ, m.zone, at)
}

// checkCreated looks once more after launches. A machine that is dead already
// was so before: AWS answers a repeated token with the machine it once made. A
// machine nobody knows of was made by somebody else with this identity.
func (d *driver) checkCreated(ctx context.Context, ref cloud.ClusterRef, nodes []cloud.NodeSpec, record cloud.RunRecord) error {
	if len(record.Created) == 0 {
		return nil
	}
	found, err := d.look(ctx, ref)
	if err != nil {
		return fmt.Errorf("look again after launching: %w", err)
	}
	for _, m := range found.machines {
		dead := m.state == cloud.StateTerminated || m.state == cloud.StateTerminating
		if dead && slices.Contains(record.Created, m.id) {
			return fmt.Errorf("launch rank %d: %w: %w", m.identity.Rank, m.stuck(cloud.StateRunning), cloud.ErrSpent)
		}
	}
	return fleet.CheckSingle(ref, nodes, record, ids(found.staying())) //nolint:wrapcheck // it names the cluster
}
