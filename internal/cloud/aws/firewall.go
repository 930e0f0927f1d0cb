// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// group is a security group of a cluster.
type group struct {
	id, name, region, vpcID string
	tags                    map[string]string
	rules                   []types.IpPermission
}

// groupName is the name of a cluster's security group and placement group.
func groupName(ref cloud.ClusterRef) string { return ref.Name(120) }

// groupTags mark them.
func groupTags(ref cloud.ClusterRef) []types.Tag {
	tags := ref.Tags()
	tags[tagName], tags[tagCreated] = groupName(ref), time.Now().UTC().Format(time.RFC3339)
	return ec2Tags(tags)
}

// groupCreatedAt is when a group was made, zero where its tags do not say.
func groupCreatedAt(tags map[string]string) time.Time {
	t, err := time.Parse(time.RFC3339, tags[tagCreated])
	if err != nil {
		return time.Time{}
	}
	return t
}

// groups lists the security groups that match, in one region.
func (d *driver) groups(ctx context.Context, region string, filters ...types.Filter) ([]group, error) {
	client := d.c.in(region)
	return pages("security groups in "+region, func(token *string) ([]group, *string, error) {
		out, err := client.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: filters, NextToken: token})
		if err != nil {
			return nil, nil, err
		}
		var all []group
		for _, g := range out.SecurityGroups {
			all = append(all, group{id: aws.ToString(g.GroupId), name: aws.ToString(g.GroupName), region: region, vpcID: aws.ToString(g.VpcId), tags: tagsOf(g.Tags), rules: g.IpPermissions})
		}
		return all, out.NextToken, nil
	})
}

// ensureGroup finds or makes the cluster's group, which lets its machines reach
// one another, and opens what the spec wants.
func (d *driver) ensureGroup(ctx context.Context, spec cloud.ClusterSpec, region, vpcID string, efa bool) (string, error) {
	name := groupName(spec.Ref)
	have, err := fleet.FindOrMake(ctx, d.Poll, "security group "+name, func(ctx context.Context) (group, bool, error) {
		all, err := d.groups(ctx, region, filter("group-name", name), filter("vpc-id", vpcID))
		if err != nil || len(all) == 0 {
			return group{}, false, err
		}
		if !spec.Ref.Owns(all[0].tags) {
			return group{}, false, fleet.ConfigErrorf(cloud.ScopeRegion, "a security group named %s exists in %s and is not this cluster's", name, vpcID)
		}
		return all[0], true, nil
	}, func(ctx context.Context) error {
		_, err := d.c.in(region).CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
			GroupName: aws.String(name), VpcId: aws.String(vpcID), Description: aws.String("Terraform sky cluster"),
			TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroup, Tags: groupTags(spec.Ref)}},
		})
		if hasCode(err, codeGroupDuplicate) { // made by another call, or by one whose answer was lost
			return nil
		}
		return err
	})
	if err == nil {
		err = d.OpenFirewall(ctx, spec, have.firewall())
	}
	if err == nil {
		err = d.openInside(ctx, have, efa)
	}
	return have.id, err
}

// openInside lets the cluster's machines reach one another. EFA wants the same
// rule for what leaves a machine.
func (d *driver) openInside(ctx context.Context, g group, efa bool) error {
	inside := []types.IpPermission{{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: aws.String(g.id)}}}}
	client := d.c.in(g.region)
	open := slices.ContainsFunc(g.rules, func(p types.IpPermission) bool {
		return aws.ToString(p.IpProtocol) == "-1" && slices.ContainsFunc(p.UserIdGroupPairs, func(u types.UserIdGroupPair) bool { return aws.ToString(u.GroupId) == g.id })
	})
	if !open {
		_, err := client.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: aws.String(g.id), IpPermissions: inside})
		if err != nil && !hasCode(err, codeRuleDuplicate) {
			return fmt.Errorf("open security group %s to itself: %w", g.name, err)
		}
	}
	if !efa {
		return nil
	}
	_, err := client.AuthorizeSecurityGroupEgress(ctx, &ec2.AuthorizeSecurityGroupEgressInput{GroupId: aws.String(g.id), IpPermissions: inside})
	if err != nil && !hasCode(err, codeRuleDuplicate) {
		return fmt.Errorf("open security group %s to itself for EFA: %w", g.name, err)
	}
	return nil
}

// Firewalls implements fleet.Firewalls.
func (d *driver) Firewalls(ctx context.Context, ref cloud.ClusterRef) ([]fleet.Firewall, error) {
	regions, err := d.regionsOf(ctx, ref)
	if err != nil {
		return nil, err
	}
	return fleet.Across(parallel, regions, func(region string) ([]fleet.Firewall, error) {
		groups, err := d.groups(ctx, region, tagFilters(ref)...)
		var own []fleet.Firewall
		for _, g := range groups {
			if ref.Owns(g.tags) {
				own = append(own, g.firewall())
			}
		}
		return own, err
	})
}

// firewallIn is a firewall that is to be, in a VPC.
func firewallIn(region, vpcID string) fleet.Firewall {
	return group{region: region, vpcID: vpcID}.firewall()
}

func (g group) firewall() fleet.Firewall {
	f := fleet.Firewall{ID: g.id, Name: g.name, Region: g.region, Native: g}
	for o := range g.openings() {
		f.Open = append(f.Open, o)
	}
	slices.SortFunc(f.Open, func(a, b fleet.Opening) int { return int(a.Ports.First) - int(b.Ports.First) })
	return f
}

// openings are the group's rules for addresses, with each as EC2 has it. Those
// between groups, as between the machines, are none of OpenPorts' business.
func (g group) openings() map[fleet.Opening]types.IpPermission {
	out := map[fleet.Opening]types.IpPermission{}
	for _, p := range g.rules {
		first, last, proto := aws.ToInt32(p.FromPort), aws.ToInt32(p.ToPort), aws.ToString(p.IpProtocol)
		var o fleet.Opening
		switch {
		case proto == "tcp" && first >= 0 && last <= 65535 && first <= last:
			o.Ports = cloud.PortRange{First: uint16(first), Last: uint16(last)} //nolint:gosec // checked above
		case proto == "-1":
			o.Proto, o.What = proto, "all"
		default:
			o.Proto, o.What = proto, fmt.Sprintf("%s %d-%d", proto, first, last)
		}
		add := func(from *string, r types.IpPermission) {
			o.From = aws.ToString(from)
			r.IpProtocol, r.FromPort, r.ToPort = p.IpProtocol, p.FromPort, p.ToPort
			out[o] = r
		}
		for _, r := range p.IpRanges {
			add(r.CidrIp, types.IpPermission{IpRanges: []types.IpRange{r}})
		}
		for _, r := range p.Ipv6Ranges {
			add(r.CidrIpv6, types.IpPermission{Ipv6Ranges: []types.Ipv6Range{r}})
		}
	}
	return out
}

// SetOpenings implements fleet.Firewalls.
func (d *driver) SetOpenings(ctx context.Context, f fleet.Firewall, want []fleet.Opening) error {
	g, _ := f.Native.(group) // as firewall makes it
	have := g.openings()
	var add []types.IpPermission
	for _, o := range want {
		if _, ok := have[o]; !ok {
			add = append(add, permission(o))
		}
	}
	if err := d.authorize(ctx, g, add); err != nil {
		return err
	}
	for o, p := range have {
		if slices.Contains(want, o) {
			continue
		}
		_, err := d.c.in(g.region).RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{
			GroupId: aws.String(g.id), IpPermissions: []types.IpPermission{p},
		})
		if err != nil && !hasCode(err, codeRuleNotFound) {
			return fmt.Errorf("close %s: %w", o.Ports, err)
		}
	}
	return nil
}

// authorize opens all in one call, and one by one where some were open already.
func (d *driver) authorize(ctx context.Context, g group, add []types.IpPermission) error {
	if len(add) == 0 {
		return nil
	}
	_, err := d.c.in(g.region).AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: aws.String(g.id), IpPermissions: add,
	})
	switch {
	case err == nil || (hasCode(err, codeRuleDuplicate) && len(add) == 1):
		return nil
	case !hasCode(err, codeRuleDuplicate):
		return err //nolint:wrapcheck // the SDK names operation and code; fleet says the rest
	}
	for _, p := range add {
		if err := d.authorize(ctx, g, []types.IpPermission{p}); err != nil {
			return err
		}
	}
	return nil
}

func permission(o fleet.Opening) types.IpPermission {
	p := types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(int32(o.Ports.First)), ToPort: aws.Int32(int32(o.Ports.Last))}
	note := aws.String("sky port " + strconv.Itoa(int(o.Ports.First)))
	if prefix, err := netip.ParsePrefix(o.From); err == nil && prefix.Addr().Is6() {
		p.Ipv6Ranges = []types.Ipv6Range{{CidrIpv6: aws.String(o.From), Description: note}}
	} else {
		p.IpRanges = []types.IpRange{{CidrIp: aws.String(o.From), Description: note}}
	}
	return p
}
