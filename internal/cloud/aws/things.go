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

// Kinds implements fleet.Things. AWS keeps no keys of ours, and addresses go with
// their machines.
func (*driver) Kinds() []cloud.ThingKind {
	return []cloud.ThingKind{cloud.ThingDisk, cloud.ThingFirewall, cloud.ThingGroup}
}

// Things implements fleet.Things.
func (d *driver) Things(ctx context.Context, ref cloud.ClusterRef, kind cloud.ThingKind) ([]cloud.Thing, error) {
	regions, err := d.regionsOf(ctx, ref)
	if err != nil {
		return nil, err
	}
	list := map[cloud.ThingKind]func(context.Context, string, cloud.ClusterRef) ([]cloud.Thing, error){
		cloud.ThingDisk: d.disks, cloud.ThingFirewall: d.groupThings, cloud.ThingGroup: d.placementGroups,
	}[kind]
	return fleet.Across(parallel, regions, func(region string) ([]cloud.Thing, error) { return list(ctx, region, ref) })
}

// RemoveThing implements fleet.Things. A group is in use until the interfaces of
// the last machine behind it are gone, a disk until its machine is.
func (d *driver) RemoveThing(ctx context.Context, t cloud.Thing) error {
	client := d.c.in(t.Ref.Region)
	var err error
	switch t.Kind {
	case cloud.ThingDisk:
		_, err = client.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: aws.String(t.ID)})
	case cloud.ThingFirewall:
		_, err = client.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(t.ID)})
	case cloud.ThingGroup:
		_, err = client.DeletePlacementGroup(ctx, &ec2.DeletePlacementGroupInput{GroupName: aws.String(t.ID)})
	case cloud.ThingMachine, cloud.ThingKey, cloud.ThingAddress:
	}
	if isNotFound(err) {
		return nil
	}
	return err //nolint:wrapcheck // the SDK names operation and code; fleet says the rest
}

// disks lists those that are not on their way out. AWS deletes them with their
// machines, a little later.
func (d *driver) disks(ctx context.Context, region string, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	client := d.c.in(region)
	return pages("volumes in "+region, func(token *string) ([]cloud.Thing, *string, error) {
		out, err := client.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{Filters: tagFilters(ref), NextToken: token})
		if err != nil {
			return nil, nil, err
		}
		var things []cloud.Thing
		for _, v := range out.Volumes {
			t, ok := ref.ThingOf(cloud.ThingDisk, aws.ToString(v.VolumeId), "", tagsOf(v.Tags), region)
			if !ok || v.State == types.VolumeStateDeleted || v.State == types.VolumeStateDeleting {
				continue
			}
			t.Ref.Zone, t.CreatedAt = aws.ToString(v.AvailabilityZone), aws.ToTime(v.CreateTime)
			t.InUse = v.State == types.VolumeStateInUse || v.State == types.VolumeStateCreating
			things = append(things, t)
		}
		return things, out.NextToken, nil
	})
}

func (d *driver) groupThings(ctx context.Context, region string, ref cloud.ClusterRef) ([]cloud.Thing, error) {
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

// ensurePlacementGroup finds or makes the group that keeps a cluster's machines
// close together; its name is empty where none was asked for or one machine
// makes the cluster.
func (d *driver) ensurePlacementGroup(ctx context.Context, ref cloud.ClusterRef, at cloud.Placement, s settings) (string, error) {
	switch {
	case s.placementName != "":
		return s.placementName, nil
	case !s.placement || at.Nodes < 2:
		return "", nil
	}
	name := groupName(ref)
	_, err := d.c.in(at.Offer.Region).CreatePlacementGroup(ctx, &ec2.CreatePlacementGroupInput{
		GroupName: aws.String(name), Strategy: types.PlacementStrategyCluster,
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypePlacementGroup, Tags: groupTags(ref)}},
	})
	if err == nil {
		return name, nil
	}
	if !hasCode(err, codePlacementExists) {
		return "", fmt.Errorf("create placement group %s: %w", name, err)
	}
	own, err := d.placementGroups(ctx, at.Offer.Region, ref)
	if err != nil || slices.ContainsFunc(own, func(t cloud.Thing) bool { return t.ID == name }) {
		return name, err
	}
	return "", fleet.ConfigErrorf(cloud.ScopeRegion, "a placement group named %s exists and is not this cluster's", name)
}

func (d *driver) placementGroups(ctx context.Context, region string, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	listed, err := d.c.in(region).DescribePlacementGroups(ctx, &ec2.DescribePlacementGroupsInput{Filters: tagFilters(ref)})
	if err != nil {
		return nil, fmt.Errorf("list placement groups in %s: %w", region, err)
	}
	var out []cloud.Thing
	for _, g := range listed.PlacementGroups {
		name := aws.ToString(g.GroupName)
		t, ok := ref.ThingOf(cloud.ThingGroup, name, name, tagsOf(g.Tags), region)
		if ok && g.State != types.PlacementGroupStateDeleted && g.State != types.PlacementGroupStateDeleting {
			t.CreatedAt = groupCreatedAt(tagsOf(g.Tags))
			out = append(out, t)
		}
	}
	return out, nil
}
