// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

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
	if err != nil {
		return "", err
	}
	for _, n := range own {
		if n == name {
			return name, nil
		}
	}
	return "", fleet.ConfigErrorf(cloud.ScopeRegion, "a placement group named %s exists and is not this cluster's", name)
}

// placementGroups are the names of the cluster's own.
func (d *driver) placementGroups(ctx context.Context, region string, ref cloud.ClusterRef) ([]string, error) {
	out, err := d.c.in(region).DescribePlacementGroups(ctx, &ec2.DescribePlacementGroupsInput{Filters: tagFilters(ref)})
	if err != nil {
		return nil, fmt.Errorf("list placement groups in %s: %w", region, err)
	}
	var names []string
	for _, g := range out.PlacementGroups {
		if ref.Owns(tagsOf(g.Tags)) && g.State != types.PlacementGroupStateDeleted && g.State != types.PlacementGroupStateDeleting {
			names = append(names, aws.ToString(g.GroupName))
		}
	}
	return names, nil
}

// cleanupPlacementGroups deletes the cluster's own, once no machine is in them.
func (d *driver) cleanupPlacementGroups(ctx context.Context, region string, ref cloud.ClusterRef) error {
	names, err := d.placementGroups(ctx, region, ref)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		err := retry.Do(ctx, d.poll, func(ctx context.Context) error {
			_, err := d.c.in(region).DeletePlacementGroup(ctx, &ec2.DeletePlacementGroupInput{GroupName: aws.String(name)})
			if err == nil || isNotFound(err) {
				return nil
			}
			if hasCode(err, codePlacementInUse) {
				return err
			}
			return retry.Stop(err)
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("delete placement group %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
