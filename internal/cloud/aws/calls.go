// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// call is one operation of EC2, as the SDK's client has it.
type call[In, Out any] func(context.Context, *In, ...func(*ec2.Options)) (*Out, error)

// calls are the operations of EC2 that the driver uses, in one region. They are
// held one by one instead of with their client: the driver becomes an interface,
// and every type that can be reached from it by reflection keeps all of its
// methods in the binary. The client has 800 of them, 37 MB.
type calls struct {
	AuthorizeSecurityGroupEgress  call[ec2.AuthorizeSecurityGroupEgressInput, ec2.AuthorizeSecurityGroupEgressOutput]
	AuthorizeSecurityGroupIngress call[ec2.AuthorizeSecurityGroupIngressInput, ec2.AuthorizeSecurityGroupIngressOutput]
	CreatePlacementGroup          call[ec2.CreatePlacementGroupInput, ec2.CreatePlacementGroupOutput]
	CreateSecurityGroup           call[ec2.CreateSecurityGroupInput, ec2.CreateSecurityGroupOutput]
	CreateTags                    call[ec2.CreateTagsInput, ec2.CreateTagsOutput]
	DeletePlacementGroup          call[ec2.DeletePlacementGroupInput, ec2.DeletePlacementGroupOutput]
	DeleteSecurityGroup           call[ec2.DeleteSecurityGroupInput, ec2.DeleteSecurityGroupOutput]
	DeleteTags                    call[ec2.DeleteTagsInput, ec2.DeleteTagsOutput]
	DeleteVolume                  call[ec2.DeleteVolumeInput, ec2.DeleteVolumeOutput]
	DescribeAvailabilityZones     call[ec2.DescribeAvailabilityZonesInput, ec2.DescribeAvailabilityZonesOutput]
	DescribeImages                call[ec2.DescribeImagesInput, ec2.DescribeImagesOutput]
	DescribeInstances             call[ec2.DescribeInstancesInput, ec2.DescribeInstancesOutput]
	DescribeInstanceTypeOfferings call[ec2.DescribeInstanceTypeOfferingsInput, ec2.DescribeInstanceTypeOfferingsOutput]
	DescribeInstanceTypes         call[ec2.DescribeInstanceTypesInput, ec2.DescribeInstanceTypesOutput]
	DescribePlacementGroups       call[ec2.DescribePlacementGroupsInput, ec2.DescribePlacementGroupsOutput]
	DescribeRegions               call[ec2.DescribeRegionsInput, ec2.DescribeRegionsOutput]
	DescribeRouteTables           call[ec2.DescribeRouteTablesInput, ec2.DescribeRouteTablesOutput]
	DescribeSecurityGroups        call[ec2.DescribeSecurityGroupsInput, ec2.DescribeSecurityGroupsOutput]
	DescribeSubnets               call[ec2.DescribeSubnetsInput, ec2.DescribeSubnetsOutput]
	DescribeVolumes               call[ec2.DescribeVolumesInput, ec2.DescribeVolumesOutput]
	DescribeVpcs                  call[ec2.DescribeVpcsInput, ec2.DescribeVpcsOutput]
	ModifyInstanceAttribute       call[ec2.ModifyInstanceAttributeInput, ec2.ModifyInstanceAttributeOutput]
	ModifyInstanceMetadataOptions call[ec2.ModifyInstanceMetadataOptionsInput, ec2.ModifyInstanceMetadataOptionsOutput]
	RevokeSecurityGroupIngress    call[ec2.RevokeSecurityGroupIngressInput, ec2.RevokeSecurityGroupIngressOutput]
	RunInstances                  call[ec2.RunInstancesInput, ec2.RunInstancesOutput]
	StartInstances                call[ec2.StartInstancesInput, ec2.StartInstancesOutput]
	StopInstances                 call[ec2.StopInstancesInput, ec2.StopInstancesOutput]
	TerminateInstances            call[ec2.TerminateInstancesInput, ec2.TerminateInstancesOutput]
}

func newCalls(c *ec2.Client) *calls {
	return &calls{
		AuthorizeSecurityGroupEgress:  c.AuthorizeSecurityGroupEgress,
		AuthorizeSecurityGroupIngress: c.AuthorizeSecurityGroupIngress,
		CreatePlacementGroup:          c.CreatePlacementGroup,
		CreateSecurityGroup:           c.CreateSecurityGroup,
		CreateTags:                    c.CreateTags,
		DeletePlacementGroup:          c.DeletePlacementGroup,
		DeleteSecurityGroup:           c.DeleteSecurityGroup,
		DeleteTags:                    c.DeleteTags,
		DeleteVolume:                  c.DeleteVolume,
		DescribeAvailabilityZones:     c.DescribeAvailabilityZones,
		DescribeImages:                c.DescribeImages,
		DescribeInstances:             c.DescribeInstances,
		DescribeInstanceTypeOfferings: c.DescribeInstanceTypeOfferings,
		DescribeInstanceTypes:         c.DescribeInstanceTypes,
		DescribePlacementGroups:       c.DescribePlacementGroups,
		DescribeRegions:               c.DescribeRegions,
		DescribeRouteTables:           c.DescribeRouteTables,
		DescribeSecurityGroups:        c.DescribeSecurityGroups,
		DescribeSubnets:               c.DescribeSubnets,
		DescribeVolumes:               c.DescribeVolumes,
		DescribeVpcs:                  c.DescribeVpcs,
		ModifyInstanceAttribute:       c.ModifyInstanceAttribute,
		ModifyInstanceMetadataOptions: c.ModifyInstanceMetadataOptions,
		RevokeSecurityGroupIngress:    c.RevokeSecurityGroupIngress,
		RunInstances:                  c.RunInstances,
		StartInstances:                c.StartInstances,
		StopInstances:                 c.StopInstances,
		TerminateInstances:            c.TerminateInstances,
	}
}
