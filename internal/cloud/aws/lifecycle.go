// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// defaultSSHUser is that of Ubuntu's images.
const defaultSSHUser = "ubuntu"

// Wait implements cloud.Provisioner.
func (d *driver) Wait(ctx context.Context, ref cloud.ClusterRef, want cloud.State) error {
	if want == cloud.StateTerminated {
		quiet := 0
		return d.watch(ctx, ref, func(_ context.Context, c census) (bool, error) {
			return d.gone(c, &quiet), nil
		})
	}
	w := d.newWaiter(ref, want)
	return d.watch(ctx, ref, func(_ context.Context, c census) (bool, error) {
		return w.Look(ref, c.view())
	})
}

func (d *driver) newWaiter(ref cloud.ClusterRef, want cloud.State) *fleet.Waiter[machine] {
	return &fleet.Waiter[machine]{
		Want: want, Looks: min(2, d.quietLooks), MissingLooks: d.missingLooks,
		As:    func(m machine) cloud.Instance { return m.portable(ref.Zone) },
		Stuck: func(m machine) error { return m.stuck(want) },
	}
}

// gone reports whether nothing of c is left, seen often enough in a row. What
// is listed as terminated is proof; what is merely not listed may be late.
func (d *driver) gone(c census, quiet *int) bool {
	if len(c.live())+len(c.late) > 0 || c.doubtful {
		*quiet = 0
		return false
	}
	*quiet++
	switch {
	case len(c.missing) > 0:
		return *quiet >= d.missingLooks
	case len(c.machines) > 0:
		return *quiet >= min(2, d.quietLooks)
	default:
		return *quiet >= d.quietLooks
	}
}

// Describe implements cloud.Provisioner.
func (d *driver) Describe(ctx context.Context, ref cloud.ClusterRef) (cloud.ClusterInfo, error) {
	found, err := d.look(ctx, ref)
	if err != nil {
		return cloud.ClusterInfo{}, err
	}
	info := cloud.ClusterInfo{SSHUser: defaultSSHUser}
	shown := make([]cloud.Instance, 0, len(found.machines))
	for _, m := range found.machines {
		shown = append(shown, m.portable(ref.Zone))
		if user := m.tags[tagSSHUser]; user != "" && m.state == cloud.StateRunning {
			info.SSHUser = user
		}
	}
	info.Instances, err = fleet.Running(ref.Cluster, shown)
	return info, err //nolint:wrapcheck // it names the cluster
}

// Query implements cloud.Provisioner. What this process launched a moment ago
// counts before any listing shows it.
func (d *driver) Query(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	found, err := d.look(ctx, ref)
	if err != nil {
		return nil, err
	}
	live := append(found.live(), found.late...)
	out := make([]cloud.Instance, 0, len(live))
	for _, m := range live {
		out = append(out, m.portable(ref.Zone))
	}
	return out, nil
}

// Commit implements cloud.Provisioner. The machine's own timer asks the
// metadata service whether the mark is there, so the mark alone disarms it.
// Two more things make sure: a shutdown does what the cluster's spec says, which
// is mostly a stop, and the machine's tags are hidden from it, which the timer
// takes for no proof at all.
func (d *driver) Commit(ctx context.Context, ref cloud.ClusterRef) error {
	return d.watch(ctx, ref, func(ctx context.Context, c census) (bool, error) {
		if len(c.late) > 0 {
			return false, nil
		}
		live := c.staying()
		if err := fleet.CheckPresent(ref, ids(live)); err != nil {
			return false, fmt.Errorf("commit %w", err)
		}
		return true, d.commit(ctx, live)
	})
}

func (d *driver) commit(ctx context.Context, live []machine) error {
	unmarked := slices.DeleteFunc(slices.Clone(live), machine.committed)
	for region, ids := range byRegion(unmarked) {
		for _, some := range chunks(ids, filterValues) {
			_, err := d.c.in(region).CreateTags(ctx, &ec2.CreateTagsInput{
				Resources: some, Tags: ec2Tags(map[string]string{cloud.TagCommitted: committed}),
			})
			if err != nil {
				return fmt.Errorf("commit machines %v: %w", some, err)
			}
		}
	}
	armed := slices.DeleteFunc(slices.Clone(live), func(m machine) bool { return m.committed() && !m.metadataTags })
	return each(armed, func(m machine) error {
		if err := d.disarm(ctx, m); err != nil {
			return fmt.Errorf("disarm the dead-man timer of machine %s: %w", m.id, err)
		}
		return nil
	})
}

// disarm ends with what commit reads as done.
func (d *driver) disarm(ctx context.Context, m machine) error {
	if err := d.powerOff(ctx, m, m.onShutdown()); err != nil {
		return err
	}
	_, err := d.c.in(m.region).ModifyInstanceMetadataOptions(ctx, &ec2.ModifyInstanceMetadataOptionsInput{
		InstanceId: aws.String(m.id), InstanceMetadataTags: types.InstanceMetadataTagsStateDisabled,
		// All of them are sent: what is left out must not fall back to a default.
		HttpTokens: types.HttpTokensStateRequired, HttpEndpoint: types.InstanceMetadataEndpointStateEnabled,
		HttpPutResponseHopLimit: aws.Int32(1),
	})
	return err //nolint:wrapcheck // the SDK names operation and code; commit says the rest
}

// Stop implements cloud.Provisioner.
func (d *driver) Stop(ctx context.Context, ref cloud.ClusterRef) error {
	found, err := d.look(ctx, ref)
	if err != nil {
		return err
	}
	for _, m := range found.staying() {
		if m.market == cloud.Spot {
			return fleet.ConfigErrorf(cloud.ScopeCloud, "machine %s is a spot machine and cannot be stopped, only terminated", m.id)
		}
	}
	w := d.newWaiter(ref, cloud.StateStopped)
	return d.watch(ctx, ref, func(ctx context.Context, c census) (bool, error) {
		busy := slices.DeleteFunc(c.live(), func(m machine) bool { return m.state != cloud.StateRunning && m.state != cloud.StatePending })
		for region, ids := range byRegion(busy) {
			_, err := d.c.in(region).StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: ids})
			if err != nil && !hasCode(err, codeWrongState, codeWrongStateShort) && !isNotFound(err) { // the next look tells
				return false, fmt.Errorf("stop machines %v: %w", ids, err)
			}
		}
		return w.Look(ref, c.view())
	})
}

// Terminate implements cloud.Provisioner. It asks again at every look, since a
// request may be lost, and believes only what it sees.
func (d *driver) Terminate(ctx context.Context, ref cloud.ClusterRef) error {
	quiet, owned := 0, map[cloud.Identity]bool{}
	err := d.watch(ctx, ref, func(ctx context.Context, c census) (bool, error) {
		for _, m := range c.machines {
			owned[m.identity] = true
		}
		regions := byRegion(c.staying())
		for _, m := range c.late { // it may be there; the next look tells
			regions[m.region] = append(regions[m.region], m.id)
		}
		for region, ids := range regions {
			if err := d.terminate(ctx, region, ids); err != nil {
				return false, err
			}
		}
		return d.gone(c, &quiet), nil
	})
	if err == nil {
		err = d.removeVolumes(ctx, ref, owned)
	}
	if err != nil {
		return fmt.Errorf("terminate cluster %q: %w", ref.Cluster, err)
	}
	d.recent.machines.Forget(func(m machine) bool { return selects(ref, m) })
	return nil
}

// terminate asks for all at once. AWS refuses all for one that it does not
// know, and then they are asked for one by one.
func (d *driver) terminate(ctx context.Context, region string, ids []string) error {
	for _, some := range chunks(ids, filterValues) {
		_, err := d.c.in(region).TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: some})
		switch {
		case err == nil || hasCode(err, codeWrongState, codeWrongStateShort):
		case isNotFound(err) && len(some) > 1:
			if err := each(some, func(id string) error { return d.terminate(ctx, region, []string{id}) }); err != nil {
				return err
			}
		case isNotFound(err): // the next look tells
		default:
			return fmt.Errorf("terminate machines %v: %w", some, err)
		}
	}
	return nil
}
