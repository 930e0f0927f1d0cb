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
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// security is a security group of a cluster; without an id there is none.
type security struct {
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
func (d *driver) groups(ctx context.Context, region string, filters ...types.Filter) ([]security, error) {
	client := d.c.in(region)
	return pages("security groups in "+region, func(token *string) ([]security, *string, error) {
		out, err := client.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: filters, NextToken: token})
		if err != nil {
			return nil, nil, err
		}
		var all []security
		for _, g := range out.SecurityGroups {
			all = append(all, security{id: aws.ToString(g.GroupId), name: aws.ToString(g.GroupName), region: region, vpcID: aws.ToString(g.VpcId), tags: tagsOf(g.Tags), rules: g.IpPermissions})
		}
		return all, out.NextToken, nil
	})
}

// findGroup is the cluster's group in a VPC.
func (d *driver) findGroup(ctx context.Context, ref cloud.ClusterRef, region, vpcID string) (security, error) {
	name := groupName(ref)
	all, err := d.groups(ctx, region, filter("group-name", name), filter("vpc-id", vpcID))
	if err != nil || len(all) == 0 {
		return security{}, err
	}
	if !ref.Owns(all[0].tags) {
		return security{}, fleet.ConfigErrorf(cloud.ScopeRegion, "a security group named %s exists in %s and is not this cluster's", name, vpcID)
	}
	return all[0], nil
}

// ensureGroup makes the cluster's group where there is none. It lets the machines
// reach one another, and opens what the spec wants.
func (d *driver) ensureGroup(ctx context.Context, spec cloud.ClusterSpec, region, vpcID string, have security, efa bool) (string, error) {
	if have.id != "" {
		return have.id, d.open(ctx, spec, have, efa)
	}
	name := groupName(spec.Ref)
	out, err := d.c.in(region).CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		GroupName: aws.String(name), VpcId: aws.String(vpcID), Description: aws.String("Terraform sky cluster"),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroup, Tags: groupTags(spec.Ref)}},
	})
	shown := func(ctx context.Context) (err error) {
		have, err = fleet.FindOrMake(ctx, d.Poll, "security group "+name, func(ctx context.Context) (security, bool, error) {
			found, err := d.findGroup(ctx, spec.Ref, region, vpcID)
			return found, found.id != "", err
		}, func(context.Context) error { return nil })
		return err //nolint:wrapcheck // it names the group, or is find's
	}
	switch {
	case hasCode(err, codeGroupDuplicate): // made by another call, or by one whose answer was lost
		if err := shown(ctx); err != nil {
			return "", err
		}
		return have.id, d.open(ctx, spec, have, efa)
	case err != nil:
		return "", fmt.Errorf("create security group %s: %w", name, err)
	}
	made := security{id: aws.ToString(out.GroupId), name: name, region: region, vpcID: vpcID}
	// A launch needs it to be shown everywhere; the rules know it by its id.
	return made.id, fleet.Together(ctx, shown, func(ctx context.Context) error { //nolint:wrapcheck // they say what they do
		looks := d.Poll
		looks.Attempts = d.MissingLooks
		return retry.Do(ctx, looks, func(ctx context.Context) error {
			err := d.open(ctx, spec, made, efa)
			if !hasCode(err, codeGroupUnknown) {
				return retry.Stop(err)
			}
			return err
		})
	})
}

// open lets the machines reach one another, and the spec's sources the machines. EFA
// wants what leaves a machine allowed, too.
func (d *driver) open(ctx context.Context, spec cloud.ClusterSpec, g security, efa bool) error {
	if err := d.OpenFirewall(ctx, spec, g.firewall()); err != nil || !efa {
		return err //nolint:wrapcheck // it names the group
	}
	_, err := d.c.in(g.region).AuthorizeSecurityGroupEgress(ctx, &ec2.AuthorizeSecurityGroupEgressInput{GroupId: aws.String(g.id), IpPermissions: g.inside()})
	if err != nil && !hasCode(err, codeRuleDuplicate) {
		return fmt.Errorf("open security group %s to itself for EFA: %w", g.name, err)
	}
	return nil
}

// inside lets the machines of a group reach one another.
func (g security) inside() []types.IpPermission {
	return []types.IpPermission{{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: aws.String(g.id)}}}}
}

func (g security) opensInside() bool {
	return slices.ContainsFunc(g.rules, func(p types.IpPermission) bool {
		return aws.ToString(p.IpProtocol) == "-1" && slices.ContainsFunc(p.UserIdGroupPairs, func(u types.UserIdGroupPair) bool { return aws.ToString(u.GroupId) == g.id })
	})
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
	return security{region: region, vpcID: vpcID}.firewall()
}

func (g security) firewall() fleet.Firewall {
	f := fleet.Firewall{ID: g.id, Name: g.name, Region: g.region, Native: g}
	for o := range g.openings() {
		f.Open = append(f.Open, o)
	}
	slices.SortFunc(f.Open, func(a, b fleet.Opening) int { return int(a.Ports.First) - int(b.Ports.First) })
	return f
}

// openings are the group's rules for addresses, with each as EC2 has it. Those
// between groups, as between the machines, are none of OpenPorts' business.
func (g security) openings() map[fleet.Opening]types.IpPermission {
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
	g, _ := f.Native.(security) // as firewall makes it
	have := g.openings()
	var add []types.IpPermission
	for _, o := range want {
		if _, ok := have[o]; !ok {
			add = append(add, permission(o))
		}
	}
	if !g.opensInside() {
		add = append(add, g.inside()...)
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
func (d *driver) authorize(ctx context.Context, g security, add []types.IpPermission) error {
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
