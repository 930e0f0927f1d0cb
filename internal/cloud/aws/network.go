// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// network is where machines of a cluster may be put.
type network struct {
	vpcID   string
	subnets []subnet
}

type subnet struct{ id, zone string }

// network finds the VPC and those of its subnets that suit, in order of zone
// and id. It makes nothing.
func (d *driver) network(ctx context.Context, region string, s settings) (network, error) {
	candidates, err := d.subnets(ctx, region, s)
	if err != nil {
		return network{}, err
	}
	vpcID := aws.ToString(candidates[0].VpcId)
	public, err := d.publicSubnets(ctx, region, vpcID)
	if err != nil {
		return network{}, err
	}
	net := network{vpcID: vpcID}
	for _, c := range candidates {
		id := aws.ToString(c.SubnetId)
		if aws.ToString(c.VpcId) != vpcID {
			return network{}, fleet.ConfigErrorf(cloud.ScopeRegion, "the subnets in %s belong to two VPCs, %s and %s", region, vpcID, aws.ToString(c.VpcId))
		}
		if public(id) != s.internalIPs {
			net.subnets = append(net.subnets, subnet{id: id, zone: aws.ToString(c.AvailabilityZone)})
		}
	}
	if len(net.subnets) == 0 {
		kind, advice := "public", "set use_internal_ips to launch in private ones"
		if s.internalIPs {
			kind, advice = "private", "unset use_internal_ips to launch in public ones"
		}
		return network{}, fleet.ConfigErrorf(cloud.ScopeRegion, "VPC %s in %s has no suitable %s subnet (%d others): %s", vpcID, region, kind, len(candidates), advice)
	}
	slices.SortFunc(net.subnets, func(a, b subnet) int { return cmp.Or(strings.Compare(a.zone, b.zone), strings.Compare(a.id, b.id)) })
	return net, nil
}

// subnets are those named by id, else those of the VPC; never none.
func (d *driver) subnets(ctx context.Context, region string, s settings) ([]types.Subnet, error) {
	filters := []types.Filter{filter("state", "available")}
	if len(s.subnetIDs) > 0 {
		filters = append(filters, filter("subnet-id", s.subnetIDs...))
	} else {
		vpcID, err := d.vpc(ctx, region, s)
		if err != nil {
			return nil, err
		}
		filters = append(filters, filter("vpc-id", vpcID))
	}
	for k, v := range s.subnetTags {
		filters = append(filters, filter("tag:"+k, v))
	}
	client := d.c.in(region)
	all, err := pages("subnets in "+region, func(token *string) ([]types.Subnet, *string, error) {
		out, err := client.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: filters, NextToken: token})
		if err != nil {
			return nil, nil, err
		}
		return out.Subnets, out.NextToken, nil
	})
	if err == nil && len(all) == 0 {
		err = fleet.ConfigErrorf(cloud.ScopeRegion, "region %s has no subnet that matches: %s", region, describeFilters(filters))
	}
	return all, err
}

func describeFilters(filters []types.Filter) string {
	var parts []string
	for _, f := range filters {
		parts = append(parts, aws.ToString(f.Name)+" = "+strings.Join(f.Values, " or "))
	}
	return strings.Join(parts, ", ")
}

// vpc finds the one VPC that matches: by id, by tags, or the default one.
func (d *driver) vpc(ctx context.Context, region string, s settings) (string, error) {
	var filters []types.Filter
	switch {
	case s.vpcID != "":
		filters = append(filters, filter("vpc-id", s.vpcID))
	case len(s.vpcTags) > 0:
		for k, v := range s.vpcTags {
			filters = append(filters, filter("tag:"+k, v))
		}
	default:
		filters = append(filters, filter("is-default", "true"))
	}
	client := d.c.in(region)
	all, err := pages("VPCs in "+region, func(token *string) ([]types.Vpc, *string, error) {
		out, err := client.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: filters, NextToken: token})
		if err != nil {
			return nil, nil, err
		}
		return out.Vpcs, out.NextToken, nil
	})
	switch {
	case err != nil:
		return "", err
	case len(all) == 1:
		return aws.ToString(all[0].VpcId), nil
	case len(all) > 1:
		return "", fleet.ConfigErrorf(cloud.ScopeRegion, "region %s has %d VPCs that match %s: name one with vpc_id", region, len(all), describeFilters(filters))
	case s.vpcID == "" && len(s.vpcTags) == 0:
		return "", fleet.ConfigErrorf(cloud.ScopeRegion, "region %s has no default VPC: make one with \"aws ec2 create-default-vpc --region %s\", or set vpc_id or subnet_ids", region, region)
	}
	return "", fleet.ConfigErrorf(cloud.ScopeRegion, "region %s has no VPC that matches: %s", region, describeFilters(filters))
}

// publicSubnets tells which subnets of a VPC have a route to the internet: by
// their own route table, else by the VPC's main one.
func (d *driver) publicSubnets(ctx context.Context, region, vpcID string) (func(id string) bool, error) {
	client := d.c.in(region)
	tables, err := pages("route tables of "+vpcID, func(token *string) ([]types.RouteTable, *string, error) {
		out, err := client.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: []types.Filter{filter("vpc-id", vpcID)}, NextToken: token})
		if err != nil {
			return nil, nil, err
		}
		return out.RouteTables, out.NextToken, nil
	})
	if err != nil {
		return nil, err
	}
	own, main := map[string]bool{}, false
	for _, t := range tables {
		open := slices.ContainsFunc(t.Routes, func(r types.Route) bool { return strings.HasPrefix(aws.ToString(r.GatewayId), "igw-") })
		for _, a := range t.Associations {
			if a.SubnetId != nil {
				own[*a.SubnetId] = open
			} else if aws.ToBool(a.Main) {
				main = open
			}
		}
	}
	return func(id string) bool {
		if open, ok := own[id]; ok {
			return open
		}
		return main
	}, nil
}

// vpcPrefix is who may reach machines with private addresses, where the spec does
// not say it: their VPC. Elsewhere it names none.
func (d *driver) vpcPrefix(ctx context.Context, spec cloud.ClusterSpec, behind fleet.Firewall) ([]netip.Prefix, error) {
	s, err := d.defaults.of(spec)
	if err != nil || !s.internalIPs {
		return nil, err
	}
	g, _ := behind.Native.(group) // as firewall makes it
	out, err := d.c.in(g.region).DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{g.vpcID}})
	if err != nil || len(out.Vpcs) == 0 {
		return nil, fmt.Errorf("look up VPC %s: %w", g.vpcID, cmp.Or(err, fleet.ConfigErrorf(cloud.ScopeCloud, "it is not there")))
	}
	prefix, err := netip.ParsePrefix(aws.ToString(out.Vpcs[0].CidrBlock))
	if err != nil {
		return nil, fmt.Errorf("address range of VPC %s: %w", g.vpcID, err)
	}
	return []netip.Prefix{prefix}, nil
}
