// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/core"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// Protocols, by number, and how many rules Oracle takes in one call.
const (
	protocolTCP  = "6"
	protocolAll  = "all"
	rulesPerCall = 25
)

// group is a network security group of a cluster: its firewall.
type group struct {
	region string
	core.NetworkSecurityGroup
	rules []core.SecurityRule
}

// groups are those of ref's clusters, the eldest first.
func (d *driver) groups(ctx context.Context, ref cloud.ClusterRef) ([]group, error) {
	all, err := everywhere(ctx, d.c, ref.Region, func(at place) ([]group, error) {
		found, err := pages(ctx, d.c, "network security groups", at.region, func(ctx context.Context, r *regional, page *string) ([]core.NetworkSecurityGroup, *string, error) {
			out, err := r.network.ListNetworkSecurityGroups(ctx, core.ListNetworkSecurityGroupsRequest{CompartmentId: &at.compartment, Page: page})
			return out.Items, out.OpcNextPage, err //nolint:wrapcheck // pages does
		})
		out := make([]group, 0, len(found))
		for _, g := range found {
			out = append(out, group{region: at.region, NetworkSecurityGroup: g})
		}
		return out, err
	})
	all = slices.DeleteFunc(all, func(g group) bool {
		_, ok := g.thing(ref)
		return !ok || g.LifecycleState == core.NetworkSecurityGroupLifecycleStateTerminating || g.LifecycleState == core.NetworkSecurityGroupLifecycleStateTerminated
	})
	slices.SortFunc(all, func(a, b group) int {
		return cmp.Or(value(a.TimeCreated).Compare(value(b.TimeCreated).Time), strings.Compare(value(a.Id), value(b.Id)))
	})
	return all, err
}

func (g group) thing(ref cloud.ClusterRef) (cloud.Thing, bool) {
	t, ok := ref.ThingOf(cloud.ThingFirewall, value(g.Id), value(g.DisplayName), decodeTags(g.FreeformTags), g.region)
	t.CreatedAt = value(g.TimeCreated).Time
	return t, ok
}

// Firewalls implements fleet.Firewalls.
func (d *driver) Firewalls(ctx context.Context, ref cloud.ClusterRef) ([]fleet.Firewall, error) {
	all, err := d.groups(ctx, ref)
	if err != nil {
		return nil, err
	}
	return fleet.Across(parallel, all, func(g group) ([]fleet.Firewall, error) { //nolint:wrapcheck // it names the list
		var err error
		g.rules, err = pages(ctx, d.c, "rules of group "+value(g.Id), g.region, func(ctx context.Context, r *regional, page *string) ([]core.SecurityRule, *string, error) {
			out, err := r.network.ListNetworkSecurityGroupSecurityRules(ctx, core.ListNetworkSecurityGroupSecurityRulesRequest{NetworkSecurityGroupId: g.Id, Page: page})
			return out.Items, out.OpcNextPage, err //nolint:wrapcheck // pages does
		})
		if isNotFound(err) {
			return nil, nil // it ends meanwhile
		}
		return []fleet.Firewall{{ID: value(g.Id), Name: value(g.DisplayName), Region: g.region, Open: g.openings(), Native: g}}, err
	})
}

// inside reports that a rule is one of those that every group has: machines reach
// one another, and the outside.
func (g group) inside(rule core.SecurityRule) bool {
	return rule.Direction == core.SecurityRuleDirectionEgress || value(rule.Protocol) == protocolAll && value(rule.Source) == value(g.Id)
}

// openings are what a group lets in from outside.
func (g group) openings() []fleet.Opening {
	var out []fleet.Opening
	for _, rule := range g.rules {
		if !g.inside(rule) {
			out = append(out, opening(rule))
		}
	}
	return out
}

func opening(rule core.SecurityRule) fleet.Opening {
	o := fleet.Opening{From: value(rule.Source)}
	if p, err := netip.ParsePrefix(o.From); err == nil {
		o.From = p.Masked().String()
	}
	tcp := value(rule.TcpOptions)
	if value(rule.Protocol) != protocolTCP || tcp.DestinationPortRange == nil || tcp.SourcePortRange != nil || value(rule.IsStateless) {
		o.Proto = cmp.Or(map[string]string{protocolTCP: "tcp", "17": "udp", "1": "icmp"}[value(rule.Protocol)], value(rule.Protocol))
		o.What = o.Proto + " by a rule made by hand"
		return o
	}
	ports := *tcp.DestinationPortRange
	o.Ports = cloud.PortRange{First: uint16(value(ports.Min)), Last: uint16(value(ports.Max))} //nolint:gosec // ports
	return o
}

// ensureGroup finds or makes the cluster's group in the network, and sees to it that
// machines in it reach one another and the outside.
func (d *driver) ensureGroup(ctx context.Context, ref cloud.ClusterRef, region string, net network) (fleet.Firewall, error) {
	ref.Region = region
	held, err := encodeTags(ref.Tags())
	if err != nil {
		return fleet.Firewall{}, err
	}
	name := ref.Name(maxName)
	have, err := fleet.FindOrMake(ctx, d.Poll, "network security group "+name, func(ctx context.Context) (fleet.Firewall, bool, error) {
		all, err := d.Firewalls(ctx, ref)
		i := slices.IndexFunc(all, func(f fleet.Firewall) bool {
			g, _ := f.Native.(group)
			return value(g.VcnId) == net.vcn && g.LifecycleState == core.NetworkSecurityGroupLifecycleStateAvailable
		})
		if err != nil || i < 0 {
			return fleet.Firewall{}, false, err
		}
		return all[i], true, nil
	}, func(ctx context.Context) error {
		var err error
		for n := range spentTokens { // the name of a cluster comes back, and its group with it
			_, err = call(ctx, d.c, "create network security group "+name, region, func(ctx context.Context, r *regional) (core.CreateNetworkSecurityGroupResponse, error) {
				return r.network.CreateNetworkSecurityGroup(ctx, core.CreateNetworkSecurityGroupRequest{
					OpcRetryToken: token(n, name, net.vcn),
					CreateNetworkSecurityGroupDetails: core.CreateNetworkSecurityGroupDetails{
						CompartmentId: &d.c.compartment, VcnId: &net.vcn, DisplayName: &name, FreeformTags: held,
					},
				})
			})
			if !table().HasCode(err, codeSpent) {
				break
			}
		}
		return err
	})
	if err != nil {
		return have, err //nolint:wrapcheck // it names the group
	}
	return have, d.openInside(ctx, have)
}

// openInside adds the rules that every group has.
func (d *driver) openInside(ctx context.Context, f fleet.Firewall) error {
	g, _ := f.Native.(group)
	has := func(direction core.SecurityRuleDirectionEnum) bool {
		return slices.ContainsFunc(g.rules, func(rule core.SecurityRule) bool { return g.inside(rule) && rule.Direction == direction })
	}
	var add []core.AddSecurityRuleDetails
	if !has(core.SecurityRuleDirectionIngress) {
		add = append(add, core.AddSecurityRuleDetails{
			Direction: core.AddSecurityRuleDetailsDirectionIngress, Protocol: common.String(protocolAll), Source: g.Id,
			SourceType: core.AddSecurityRuleDetailsSourceTypeNetworkSecurityGroup, Description: common.String("the cluster's machines"),
		})
	}
	if !has(core.SecurityRuleDirectionEgress) {
		add = append(add, core.AddSecurityRuleDetails{
			Direction: core.AddSecurityRuleDetailsDirectionEgress, Protocol: common.String(protocolAll), Destination: common.String(anywhere),
			DestinationType: core.AddSecurityRuleDetailsDestinationTypeCidrBlock,
		})
	}
	return d.addRules(ctx, g, add)
}

// SetOpenings implements fleet.Firewalls.
func (d *driver) SetOpenings(ctx context.Context, f fleet.Firewall, want []fleet.Opening) error {
	g, _ := f.Native.(group)
	lacking := slices.Clone(want)
	var stale []string
	for _, rule := range g.rules {
		if g.inside(rule) {
			continue
		}
		if i := slices.Index(lacking, opening(rule)); i >= 0 {
			lacking = slices.Delete(lacking, i, i+1)
		} else {
			stale = append(stale, value(rule.Id)) // also what is there twice
		}
	}
	var add []core.AddSecurityRuleDetails
	for _, o := range lacking {
		first, last := int(o.Ports.First), int(o.Ports.Last)
		add = append(add, core.AddSecurityRuleDetails{
			Direction: core.AddSecurityRuleDetailsDirectionIngress, Protocol: common.String(protocolTCP), Source: common.String(o.From),
			SourceType: core.AddSecurityRuleDetailsSourceTypeCidrBlock, IsStateless: common.Bool(false),
			TcpOptions: &core.TcpOptions{DestinationPortRange: &core.PortRange{Min: &first, Max: &last}},
		})
	}
	if err := d.addRules(ctx, g, add); err != nil {
		return err
	}
	for some := range slices.Chunk(stale, rulesPerCall) {
		_, err := call(ctx, d.c, "remove rules of group "+value(g.Id), g.region, func(ctx context.Context, r *regional) (struct{}, error) {
			_, err := r.network.RemoveNetworkSecurityGroupSecurityRules(ctx, core.RemoveNetworkSecurityGroupSecurityRulesRequest{
				NetworkSecurityGroupId:                         g.Id,
				RemoveNetworkSecurityGroupSecurityRulesDetails: core.RemoveNetworkSecurityGroupSecurityRulesDetails{SecurityRuleIds: some},
			})
			return struct{}{}, err //nolint:wrapcheck // call does
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *driver) addRules(ctx context.Context, g group, rules []core.AddSecurityRuleDetails) error {
	for some := range slices.Chunk(rules, rulesPerCall) {
		_, err := call(ctx, d.c, "add rules to group "+value(g.Id), g.region, func(ctx context.Context, r *regional) (struct{}, error) {
			_, err := r.network.AddNetworkSecurityGroupSecurityRules(ctx, core.AddNetworkSecurityGroupSecurityRulesRequest{
				NetworkSecurityGroupId:                      g.Id,
				AddNetworkSecurityGroupSecurityRulesDetails: core.AddNetworkSecurityGroupSecurityRulesDetails{SecurityRules: some},
			})
			return struct{}{}, err //nolint:wrapcheck // call does
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Kinds implements fleet.Things.
func (*driver) Kinds() []cloud.ThingKind { return []cloud.ThingKind{cloud.ThingFirewall} }

// Things implements fleet.Things. The network is nobody's: all clusters of the
// compartment share it.
func (d *driver) Things(ctx context.Context, ref cloud.ClusterRef, _ cloud.ThingKind) (own []cloud.Thing, err error) {
	all, err := d.groups(ctx, ref)
	for _, g := range all {
		if t, ok := g.thing(ref); ok {
			own = append(own, t)
		}
	}
	return own, err
}

// RemoveThing implements fleet.Things.
func (d *driver) RemoveThing(ctx context.Context, t cloud.Thing) error {
	_, err := call(ctx, d.c, "delete network security group "+t.ID, t.Ref.Region, func(ctx context.Context, r *regional) (core.DeleteNetworkSecurityGroupResponse, error) {
		return r.network.DeleteNetworkSecurityGroup(ctx, core.DeleteNetworkSecurityGroupRequest{NetworkSecurityGroupId: &t.ID})
	})
	if !isNotFound(err) {
		return err
	}
	now, looked := call(ctx, d.c, "look up network security group "+t.ID, t.Ref.Region, func(ctx context.Context, r *regional) (core.GetNetworkSecurityGroupResponse, error) {
		return r.network.GetNetworkSecurityGroup(ctx, core.GetNetworkSecurityGroupRequest{NetworkSecurityGroupId: &t.ID})
	})
	switch {
	case isNotFound(looked), now.LifecycleState == core.NetworkSecurityGroupLifecycleStateTerminating, now.LifecycleState == core.NetworkSecurityGroupLifecycleStateTerminated:
		return nil
	case looked != nil:
		return looked
	}
	return &notAllowedError{err, "network security group " + t.ID}
}
