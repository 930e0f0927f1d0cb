// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/core"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// network is where machines of a cluster are put.
type network struct {
	vcn, subnet string
	// compartment is the network's own, domain the only one that the subnet is in.
	compartment, domain string
}

// What the network of a compartment is, which all its clusters share: a tenancy has
// fifty a region. Its tag says that it is ours; it belongs to no owner.
const (
	tagNetwork  = cloud.TagPrefix + "network"
	networkName = "sky-network"
	networkCIDR = "10.200.0.0/16"
	anywhere    = "0.0.0.0/0"
)

// network finds the subnet that was set, or finds or makes the compartment's own.
func (d *driver) network(ctx context.Context, region string, s settings) (network, error) {
	id := s.subnetIn(region)
	if id == "" {
		if s.internalIPs {
			return network{}, fleet.ConfigErrorf(cloud.ScopeRegion, "use_internal_ips needs a subnet of your own in %s, from where this computer is reached: set subnet_ids", region)
		}
		return d.ownNetwork(ctx, region)
	}
	out, err := call(ctx, d.c, "look up subnet "+id, region, func(ctx context.Context, r *regional) (core.GetSubnetResponse, error) {
		return r.network.GetSubnet(ctx, core.GetSubnetRequest{SubnetId: &id})
	})
	switch {
	case isNotFound(err):
		return network{}, fleet.ConfigErrorf(cloud.ScopeRegion, "there is no subnet %s in %s that the user may see: check subnet_ids, and the permission to use virtual-network-family", id, region)
	case err != nil:
		return network{}, err
	case value(out.ProhibitPublicIpOnVnic) && !s.internalIPs:
		return network{}, fleet.ConfigErrorf(cloud.ScopeRegion, "subnet %s allows no public addresses: set use_internal_ips, or another subnet", id)
	}
	return network{vcn: value(out.VcnId), subnet: id, compartment: d.c.compartment, domain: value(out.AvailabilityDomain)}, nil
}

// ownNetwork finds or makes the compartment's network in a region, part by part, so
// that one that was cut off is completed. Retry tokens see to it that sessions which
// do this at once make one.
func (d *driver) ownNetwork(ctx context.Context, region string) (network, error) {
	vcn, err := d.ownVCN(ctx, region)
	if err != nil {
		return network{}, err
	}
	id := value(vcn.Id)
	gateway, err := d.ownGateway(ctx, region, id)
	if err != nil {
		return network{}, err
	}
	if err := d.routeOut(ctx, region, value(vcn.DefaultRouteTableId), value(gateway.Id)); err != nil {
		return network{}, err
	}
	list, err := d.ownSecurityList(ctx, region, id)
	if err != nil {
		return network{}, err
	}
	subnet, err := d.ownSubnet(ctx, region, id, value(list.Id))
	if err != nil {
		return network{}, err
	}
	return network{vcn: id, subnet: value(subnet.Id), compartment: d.c.compartment}, nil
}

// part is one part of the network, found by its tag.
type part[T any] struct {
	what, region string
	list         func(ctx context.Context, r *regional, page *string) ([]T, *string, error)
	// as reads the part: whether it is there, its tags, and since when.
	as   func(T) (state string, held map[string]string, made *common.SDKTime)
	make func(ctx context.Context, r *regional, token *string) error
}

// spentTokens is how often a network may be removed by hand and made anew in the day
// for which Oracle remembers a token.
const spentTokens = 20

// find returns the part that is there, the eldest of several.
func (p part[T]) find(ctx context.Context, c *client) (T, bool, error) {
	var none T
	all, err := pages(ctx, c, p.what+"s", p.region, p.list)
	if err != nil {
		return none, false, err
	}
	own := slices.DeleteFunc(all, func(one T) bool {
		state, held, _ := p.as(one)
		return state != "AVAILABLE" || held[tagNetwork] == ""
	})
	if len(own) == 0 {
		return none, false, nil
	}
	made := func(one T) time.Time {
		_, _, at := p.as(one)
		return value(at).Time
	}
	return slices.MinFunc(own, func(a, b T) int { return made(a).Compare(made(b)) }), true, nil
}

// ensure finds or makes the part.
func (p part[T]) ensure(ctx context.Context, d *driver, of string) (T, error) {
	return fleet.FindOrMake(ctx, d.Poll, p.what, func(ctx context.Context) (T, bool, error) { //nolint:wrapcheck // it names the part
		return p.find(ctx, d.c)
	}, func(ctx context.Context) error {
		var err error
		for n := range spentTokens {
			_, err = call(ctx, d.c, "create "+p.what, p.region, func(ctx context.Context, r *regional) (struct{}, error) {
				return struct{}{}, p.make(ctx, r, token(n, networkName, p.what, p.region, d.c.compartment, of))
			})
			if !table().HasCode(err, codeSpent) {
				break
			}
		}
		return err
	})
}

func networkTags() map[string]string { return map[string]string{tagNetwork: "1"} }

func (d *driver) ownVCN(ctx context.Context, region string) (core.Vcn, error) {
	return part[core.Vcn]{
		what: "VCN", region: region,
		list: func(ctx context.Context, r *regional, page *string) ([]core.Vcn, *string, error) {
			out, err := r.network.ListVcns(ctx, core.ListVcnsRequest{CompartmentId: &d.c.compartment, Page: page})
			return out.Items, out.OpcNextPage, err //nolint:wrapcheck // pages does
		},
		as: func(v core.Vcn) (string, map[string]string, *common.SDKTime) {
			return string(v.LifecycleState), v.FreeformTags, v.TimeCreated
		},
		make: func(ctx context.Context, r *regional, token *string) error {
			_, err := r.network.CreateVcn(ctx, core.CreateVcnRequest{OpcRetryToken: token, CreateVcnDetails: core.CreateVcnDetails{
				CompartmentId: &d.c.compartment, CidrBlocks: []string{networkCIDR}, DisplayName: common.String(networkName), FreeformTags: networkTags(),
			}})
			return err //nolint:wrapcheck // ensure does
		},
	}.ensure(ctx, d, "")
}

func (d *driver) ownGateway(ctx context.Context, region, vcn string) (core.InternetGateway, error) {
	return part[core.InternetGateway]{
		what: "internet gateway", region: region,
		list: func(ctx context.Context, r *regional, page *string) ([]core.InternetGateway, *string, error) {
			out, err := r.network.ListInternetGateways(ctx, core.ListInternetGatewaysRequest{CompartmentId: &d.c.compartment, VcnId: &vcn, Page: page})
			return out.Items, out.OpcNextPage, err //nolint:wrapcheck // pages does
		},
		as: func(g core.InternetGateway) (string, map[string]string, *common.SDKTime) {
			return string(g.LifecycleState), g.FreeformTags, g.TimeCreated
		},
		make: func(ctx context.Context, r *regional, token *string) error {
			_, err := r.network.CreateInternetGateway(ctx, core.CreateInternetGatewayRequest{OpcRetryToken: token, CreateInternetGatewayDetails: core.CreateInternetGatewayDetails{
				CompartmentId: &d.c.compartment, VcnId: &vcn, IsEnabled: common.Bool(true), DisplayName: common.String(networkName), FreeformTags: networkTags(),
			}})
			return err //nolint:wrapcheck // ensure does
		},
	}.ensure(ctx, d, vcn)
}

// ownSecurityList makes a list that lets all out and only what a network needs in:
// the default one would open port 22 to everybody. What else comes in is up to each
// cluster's group.
func (d *driver) ownSecurityList(ctx context.Context, region, vcn string) (core.SecurityList, error) {
	return part[core.SecurityList]{
		what: "security list", region: region,
		list: func(ctx context.Context, r *regional, page *string) ([]core.SecurityList, *string, error) {
			out, err := r.network.ListSecurityLists(ctx, core.ListSecurityListsRequest{CompartmentId: &d.c.compartment, VcnId: &vcn, Page: page})
			return out.Items, out.OpcNextPage, err //nolint:wrapcheck // pages does
		},
		as: func(l core.SecurityList) (string, map[string]string, *common.SDKTime) {
			return string(l.LifecycleState), l.FreeformTags, l.TimeCreated
		},
		make: func(ctx context.Context, r *regional, token *string) error {
			_, err := r.network.CreateSecurityList(ctx, core.CreateSecurityListRequest{OpcRetryToken: token, CreateSecurityListDetails: core.CreateSecurityListDetails{
				CompartmentId: &d.c.compartment, VcnId: &vcn, DisplayName: common.String(networkName), FreeformTags: networkTags(),
				EgressSecurityRules: []core.EgressSecurityRule{{Destination: common.String(anywhere), Protocol: common.String("all")}},
				// A packet that is too large is answered so, and must be.
				IngressSecurityRules: []core.IngressSecurityRule{{
					Source: common.String(anywhere), Protocol: common.String("1"), IcmpOptions: &core.IcmpOptions{Type: common.Int(3), Code: common.Int(4)},
				}},
			}})
			return err //nolint:wrapcheck // ensure does
		},
	}.ensure(ctx, d, vcn)
}

func (d *driver) ownSubnet(ctx context.Context, region, vcn, list string) (core.Subnet, error) {
	return part[core.Subnet]{
		what: "subnet", region: region,
		list: func(ctx context.Context, r *regional, page *string) ([]core.Subnet, *string, error) {
			out, err := r.network.ListSubnets(ctx, core.ListSubnetsRequest{CompartmentId: &d.c.compartment, VcnId: &vcn, Page: page})
			return out.Items, out.OpcNextPage, err //nolint:wrapcheck // pages does
		},
		as: func(s core.Subnet) (string, map[string]string, *common.SDKTime) {
			return string(s.LifecycleState), s.FreeformTags, s.TimeCreated
		},
		make: func(ctx context.Context, r *regional, token *string) error {
			_, err := r.network.CreateSubnet(ctx, core.CreateSubnetRequest{OpcRetryToken: token, CreateSubnetDetails: core.CreateSubnetDetails{
				CompartmentId: &d.c.compartment, VcnId: &vcn, CidrBlock: common.String(networkCIDR), SecurityListIds: []string{list},
				DisplayName: common.String(networkName), FreeformTags: networkTags(),
			}})
			return err //nolint:wrapcheck // ensure does
		},
	}.ensure(ctx, d, vcn)
}

// routeOut sends what leaves the network through its gateway.
func (d *driver) routeOut(ctx context.Context, region, table, gateway string) error {
	what := "look up route table " + table
	now, err := call(ctx, d.c, what, region, func(ctx context.Context, r *regional) (core.GetRouteTableResponse, error) {
		return r.network.GetRouteTable(ctx, core.GetRouteTableRequest{RtId: &table})
	})
	if err != nil {
		return err
	}
	leads := func(rule core.RouteRule) bool {
		return strings.EqualFold(cmp.Or(value(rule.Destination), value(rule.CidrBlock)), anywhere)
	}
	if slices.ContainsFunc(now.RouteRules, leads) {
		return nil
	}
	rules := append(slices.Clone(now.RouteRules), core.RouteRule{
		NetworkEntityId: &gateway, Destination: common.String(anywhere), DestinationType: core.RouteRuleDestinationTypeCidrBlock,
	})
	_, err = call(ctx, d.c, "change route table "+table, region, func(ctx context.Context, r *regional) (core.UpdateRouteTableResponse, error) {
		return r.network.UpdateRouteTable(ctx, core.UpdateRouteTableRequest{RtId: &table, UpdateRouteTableDetails: core.UpdateRouteTableDetails{RouteRules: rules}})
	})
	if err != nil {
		return fmt.Errorf("let machines out: %w", err)
	}
	return nil
}
