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
)

var _ cloud.Surveyor = (*driver)(nil)

// Survey implements cloud.Surveyor. AWS keeps no keys of ours, and addresses go
// with their machines.
func (d *driver) Survey(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	regions, err := d.regionsOf(ctx, ref)
	if err != nil {
		return nil, err
	}
	found := make([][]cloud.Thing, len(regions))
	err = each(indexes(regions), func(i int) error {
		for _, list := range []func(context.Context, string, cloud.ClusterRef) ([]cloud.Thing, error){d.surveyMachines, d.surveyDisks, d.surveyGroups, d.surveyPlacement} {
			things, err := list(ctx, regions[i], ref)
			if err != nil {
				return err
			}
			found[i] = append(found[i], things...)
		}
		return nil
	})
	var out []cloud.Thing
	for _, t := range slices.Concat(found...) {
		if !slices.ContainsFunc(out, func(o cloud.Thing) bool { return o.Kind == t.Kind && o.ID == t.ID && t.ID != t.Name }) {
			out = append(out, t) // names, those of placement groups, are of a region
		}
	}
	return out, err
}

func (d *driver) surveyMachines(ctx context.Context, region string, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	machines, err := d.describe(ctx, region, tagFilters(ref))
	var out []cloud.Thing
	for _, m := range machines {
		t, ok := ref.ThingOf(cloud.ThingMachine, m.id, "", m.tags, region)
		if !ok || m.state == cloud.StateTerminated {
			continue
		}
		in := m.portable("")
		t.Ref.Zone, t.CreatedAt, t.Committed, t.Deadline = m.zone, m.createdAt, in.Committed, in.Deadline
		out = append(out, t)
	}
	return out, err
}

// surveyDisks shows those that outlived their machines.
func (d *driver) surveyDisks(ctx context.Context, region string, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	client := d.c.in(region)
	return pages("volumes in "+region, func(token *string) ([]cloud.Thing, *string, error) {
		out, err := client.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{Filters: tagFilters(ref), NextToken: token})
		if err != nil {
			return nil, nil, err
		}
		var things []cloud.Thing
		for _, v := range out.Volumes {
			if t, ok := ref.ThingOf(cloud.ThingDisk, aws.ToString(v.VolumeId), "", tagsOf(v.Tags), region); ok && v.State != types.VolumeStateInUse {
				t.Ref.Zone, t.CreatedAt = aws.ToString(v.AvailabilityZone), aws.ToTime(v.CreateTime)
				things = append(things, t)
			}
		}
		return things, out.NextToken, nil
	})
}

func (d *driver) surveyGroups(ctx context.Context, region string, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	groups, err := d.groups(ctx, region, tagFilters(ref)...)
	var out []cloud.Thing
	for _, g := range groups {
		if t, ok := ref.ThingOf(cloud.ThingFirewall, g.id, g.name, g.tags, region); ok {
			t.CreatedAt = groupCreatedAt(g.tags)
			out = append(out, t)
		}
	}
	return out, err
}

func (d *driver) surveyPlacement(ctx context.Context, region string, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	listed, err := d.c.in(region).DescribePlacementGroups(ctx, &ec2.DescribePlacementGroupsInput{Filters: tagFilters(ref)})
	if err != nil {
		return nil, fmt.Errorf("list placement groups in %s: %w", region, err)
	}
	var out []cloud.Thing
	for _, g := range listed.PlacementGroups {
		name := aws.ToString(g.GroupName)
		if t, ok := ref.ThingOf(cloud.ThingGroup, name, name, tagsOf(g.Tags), region); ok && g.State != types.PlacementGroupStateDeleted {
			t.CreatedAt = groupCreatedAt(tagsOf(g.Tags))
			out = append(out, t)
		}
	}
	return out, nil
}
