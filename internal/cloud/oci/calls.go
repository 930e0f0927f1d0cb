// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"context"

	"github.com/oracle/oci-go-sdk/v65/core"
	"github.com/oracle/oci-go-sdk/v65/identity"
	"github.com/oracle/oci-go-sdk/v65/workrequests"
)

// operation is one call of an API, as the SDK's client has it.
type operation[In, Out any] func(context.Context, In) (Out, error)

// regional are the calls that the driver uses, in one region. They are held one by one
// instead of with their clients: the driver becomes an interface, and every type that
// can be reached from it by reflection keeps all of its methods in the binary. The
// clients have more than a thousand of them, some 8 MB.
type regional struct {
	compute computeCalls
	network networkCalls
	ident   identCalls
	work    workCalls
}

type computeCalls struct {
	CreateComputeCapacityReport operation[core.CreateComputeCapacityReportRequest, core.CreateComputeCapacityReportResponse]
	GetImage                    operation[core.GetImageRequest, core.GetImageResponse]
	GetInstance                 operation[core.GetInstanceRequest, core.GetInstanceResponse]
	InstanceAction              operation[core.InstanceActionRequest, core.InstanceActionResponse]
	LaunchInstance              operation[core.LaunchInstanceRequest, core.LaunchInstanceResponse]
	ListImages                  operation[core.ListImagesRequest, core.ListImagesResponse]
	ListInstances               operation[core.ListInstancesRequest, core.ListInstancesResponse]
	ListVnicAttachments         operation[core.ListVnicAttachmentsRequest, core.ListVnicAttachmentsResponse]
	TerminateInstance           operation[core.TerminateInstanceRequest, core.TerminateInstanceResponse]
	UpdateInstance              operation[core.UpdateInstanceRequest, core.UpdateInstanceResponse]
}

func newComputeCalls(c core.ComputeClient) computeCalls {
	return computeCalls{
		CreateComputeCapacityReport: c.CreateComputeCapacityReport,
		GetImage:                    c.GetImage,
		GetInstance:                 c.GetInstance,
		InstanceAction:              c.InstanceAction,
		LaunchInstance:              c.LaunchInstance,
		ListImages:                  c.ListImages,
		ListInstances:               c.ListInstances,
		ListVnicAttachments:         c.ListVnicAttachments,
		TerminateInstance:           c.TerminateInstance,
		UpdateInstance:              c.UpdateInstance,
	}
}

type networkCalls struct {
	AddNetworkSecurityGroupSecurityRules    operation[core.AddNetworkSecurityGroupSecurityRulesRequest, core.AddNetworkSecurityGroupSecurityRulesResponse]
	CreateInternetGateway                   operation[core.CreateInternetGatewayRequest, core.CreateInternetGatewayResponse]
	CreateNetworkSecurityGroup              operation[core.CreateNetworkSecurityGroupRequest, core.CreateNetworkSecurityGroupResponse]
	CreateSecurityList                      operation[core.CreateSecurityListRequest, core.CreateSecurityListResponse]
	CreateSubnet                            operation[core.CreateSubnetRequest, core.CreateSubnetResponse]
	CreateVcn                               operation[core.CreateVcnRequest, core.CreateVcnResponse]
	DeleteNetworkSecurityGroup              operation[core.DeleteNetworkSecurityGroupRequest, core.DeleteNetworkSecurityGroupResponse]
	GetNetworkSecurityGroup                 operation[core.GetNetworkSecurityGroupRequest, core.GetNetworkSecurityGroupResponse]
	GetRouteTable                           operation[core.GetRouteTableRequest, core.GetRouteTableResponse]
	GetSubnet                               operation[core.GetSubnetRequest, core.GetSubnetResponse]
	GetVnic                                 operation[core.GetVnicRequest, core.GetVnicResponse]
	ListInternetGateways                    operation[core.ListInternetGatewaysRequest, core.ListInternetGatewaysResponse]
	ListNetworkSecurityGroupSecurityRules   operation[core.ListNetworkSecurityGroupSecurityRulesRequest, core.ListNetworkSecurityGroupSecurityRulesResponse]
	ListNetworkSecurityGroups               operation[core.ListNetworkSecurityGroupsRequest, core.ListNetworkSecurityGroupsResponse]
	ListSecurityLists                       operation[core.ListSecurityListsRequest, core.ListSecurityListsResponse]
	ListSubnets                             operation[core.ListSubnetsRequest, core.ListSubnetsResponse]
	ListVcns                                operation[core.ListVcnsRequest, core.ListVcnsResponse]
	RemoveNetworkSecurityGroupSecurityRules operation[core.RemoveNetworkSecurityGroupSecurityRulesRequest, core.RemoveNetworkSecurityGroupSecurityRulesResponse]
	UpdateRouteTable                        operation[core.UpdateRouteTableRequest, core.UpdateRouteTableResponse]
}

func newNetworkCalls(c core.VirtualNetworkClient) networkCalls {
	return networkCalls{
		AddNetworkSecurityGroupSecurityRules:    c.AddNetworkSecurityGroupSecurityRules,
		CreateInternetGateway:                   c.CreateInternetGateway,
		CreateNetworkSecurityGroup:              c.CreateNetworkSecurityGroup,
		CreateSecurityList:                      c.CreateSecurityList,
		CreateSubnet:                            c.CreateSubnet,
		CreateVcn:                               c.CreateVcn,
		DeleteNetworkSecurityGroup:              c.DeleteNetworkSecurityGroup,
		GetNetworkSecurityGroup:                 c.GetNetworkSecurityGroup,
		GetRouteTable:                           c.GetRouteTable,
		GetSubnet:                               c.GetSubnet,
		GetVnic:                                 c.GetVnic,
		ListInternetGateways:                    c.ListInternetGateways,
		ListNetworkSecurityGroupSecurityRules:   c.ListNetworkSecurityGroupSecurityRules,
		ListNetworkSecurityGroups:               c.ListNetworkSecurityGroups,
		ListSecurityLists:                       c.ListSecurityLists,
		ListSubnets:                             c.ListSubnets,
		ListVcns:                                c.ListVcns,
		RemoveNetworkSecurityGroupSecurityRules: c.RemoveNetworkSecurityGroupSecurityRules,
		UpdateRouteTable:                        c.UpdateRouteTable,
	}
}

type identCalls struct {
	ListAvailabilityDomains operation[identity.ListAvailabilityDomainsRequest, identity.ListAvailabilityDomainsResponse]
	ListCompartments        operation[identity.ListCompartmentsRequest, identity.ListCompartmentsResponse]
	ListRegionSubscriptions operation[identity.ListRegionSubscriptionsRequest, identity.ListRegionSubscriptionsResponse]
}

func newIdentCalls(c identity.IdentityClient) identCalls {
	return identCalls{
		ListAvailabilityDomains: c.ListAvailabilityDomains,
		ListCompartments:        c.ListCompartments,
		ListRegionSubscriptions: c.ListRegionSubscriptions,
	}
}

type workCalls struct {
	ListWorkRequestErrors operation[workrequests.ListWorkRequestErrorsRequest, workrequests.ListWorkRequestErrorsResponse]
	ListWorkRequests      operation[workrequests.ListWorkRequestsRequest, workrequests.ListWorkRequestsResponse]
}

func newWorkCalls(c workrequests.WorkRequestClient) workCalls {
	return workCalls{
		ListWorkRequestErrors: c.ListWorkRequestErrors,
		ListWorkRequests:      c.ListWorkRequests,
	}
}
