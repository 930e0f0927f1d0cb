// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// group is a security group of a cluster.
type group struct {
	id, name, region, vpcID string
	tags                    map[string]string
	rules                   []types.IpPermission
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

// ensureGroup finds or makes the cluster's group and brings its rules up to
// date. It closes no port: that is for OpenPorts.
func (d *driver) ensureGroup(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement, s settings, net network) (string, error) {
	region := at.Offer.Region
	prefixes, err := d.cidrs(ctx, region, s, net, spec.AllowedCIDRs)
	if err != nil {
		return "", err
	}
	have, err := d.findGroup(ctx, spec.Ref, region, net.vpcID)
	if err != nil {
		return "", err
	}
	if have.id == "" {
		if have, err = d.createGroup(ctx, spec.Ref, region, net.vpcID); err != nil {
			return "", err
		}
	}
	ports := slices.Clone(spec.Ports)
	for _, r := range rulesOf(have) {
		if r.proto == "" {
			ports = append(ports, r.ports())
		}
	}
	want := rules(prefixes, ports)
	for _, r := range rulesOf(have) { // not ours: for OpenPorts to close
		if r.proto != "" {
			want = append(want, r)
		}
	}
	if err := d.setRules(ctx, have, want); err != nil {
		return "", err
	}
	return have.id, d.openInside(ctx, have, s.efa)
}

// findGroup returns the cluster's group, with an empty id where there is none.
func (d *driver) findGroup(ctx context.Context, ref cloud.ClusterRef, region, vpcID string) (group, error) {
	name := groupName(ref)
	all, err := d.groups(ctx, region, filter("group-name", name), filter("vpc-id", vpcID))
	if err != nil || len(all) == 0 {
		return group{}, err
	}
	if !ref.Owns(all[0].tags) {
		return group{}, fleet.ConfigErrorf(cloud.ScopeRegion, "a security group named %s exists in %s and is not this cluster's", name, vpcID)
	}
	return all[0], nil
}

// createGroup makes the group and waits until it is listed. A duplicate is
// this cluster's own, made by another call or by one whose answer was lost.
func (d *driver) createGroup(ctx context.Context, ref cloud.ClusterRef, region, vpcID string) (group, error) {
	name := groupName(ref)
	_, err := d.c.in(region).CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		GroupName: aws.String(name), VpcId: aws.String(vpcID), Description: aws.String("Terraform sky cluster"),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroup, Tags: groupTags(ref)}},
	})
	if err != nil && !hasCode(err, codeGroupDuplicate) {
		return group{}, fmt.Errorf("create security group %s: %w", name, err)
	}
	var found group
	policy := d.poll
	policy.Attempts = 15
	err = retry.Poll(ctx, policy, func(ctx context.Context) (bool, error) {
		var err error
		if found, err = d.findGroup(ctx, ref, region, vpcID); err != nil {
			return false, retry.Stop(err)
		}
		return found.id != "", nil
	})
	if err != nil {
		return group{}, fmt.Errorf("look for the security group %s that was made: %w", name, err)
	}
	return found, nil
}

// rule opens a range of TCP ports to a prefix; with proto, which nobody here ever
// opens, the ports of another protocol, or what that has instead.
type rule struct {
	proto       string
	first, last int32
	cidr        string
	v6          bool
}

func (r rule) ports() cloud.PortRange {
	return cloud.PortRange{First: uint16(r.first), Last: uint16(r.last)} //nolint:gosec // rulesOf and rules hold ports only
}

// what is that which the rule opens, for people.
func (r rule) what() string {
	switch {
	case r.proto == "-1":
		return "all"
	case r.proto != "":
		return fmt.Sprintf("%s %d-%d", r.proto, r.first, r.last)
	}
	return r.ports().String()
}

// rulesOf are the group's rules for addresses. Those between groups, as between
// the machines, are none of OpenPorts' business.
func rulesOf(g group) []rule {
	var out []rule
	for _, p := range g.rules {
		first, last := aws.ToInt32(p.FromPort), aws.ToInt32(p.ToPort)
		proto := aws.ToString(p.IpProtocol)
		if proto == "tcp" && first >= 0 && last <= 65535 && first <= last {
			proto = ""
		}
		for _, r := range p.IpRanges {
			out = append(out, rule{proto: proto, first: first, last: last, cidr: aws.ToString(r.CidrIp)})
		}
		for _, r := range p.Ipv6Ranges {
			out = append(out, rule{proto: proto, first: first, last: last, cidr: aws.ToString(r.CidrIpv6), v6: true})
		}
	}
	return out
}

// rules opens SSH and the ports to the prefixes.
func rules(prefixes []netip.Prefix, ports []cloud.PortRange) []rule {
	var out []rule
	for _, p := range append([]cloud.PortRange{{First: sshPort, Last: sshPort}}, ports...) {
		for _, prefix := range prefixes {
			prefix = prefix.Masked() // EC2 does, and compares
			r := rule{first: int32(p.First), last: int32(p.Last), cidr: prefix.String(), v6: prefix.Addr().Is6()}
			if !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out
}

// setRules makes exactly these TCP rules; what is new opens before what is old
// closes.
func (d *driver) setRules(ctx context.Context, g group, want []rule) error {
	have := rulesOf(g)
	add := slices.DeleteFunc(slices.Clone(want), func(r rule) bool { return slices.Contains(have, r) })
	remove := slices.DeleteFunc(slices.Clone(have), func(r rule) bool { return slices.Contains(want, r) })
	client := d.c.in(g.region)
	if err := d.authorize(ctx, g, add); err != nil {
		return err
	}
	for _, r := range remove {
		_, err := client.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{
			GroupId: aws.String(g.id), IpPermissions: []types.IpPermission{r.permission()},
		})
		if err != nil && !hasCode(err, codeRuleNotFound) {
			return fmt.Errorf("close %s of security group %s: %w", r.what(), g.name, err)
		}
	}
	return nil
}

// authorize opens all in one call, and one by one where some were open already.
func (d *driver) authorize(ctx context.Context, g group, add []rule) error {
	if len(add) == 0 {
		return nil
	}
	permissions := make([]types.IpPermission, 0, len(add))
	for _, r := range add {
		permissions = append(permissions, r.permission())
	}
	_, err := d.c.in(g.region).AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: aws.String(g.id), IpPermissions: permissions,
	})
	switch {
	case err == nil || (hasCode(err, codeRuleDuplicate) && len(add) == 1):
		return nil
	case !hasCode(err, codeRuleDuplicate):
		return fmt.Errorf("open ports of security group %s: %w", g.name, err)
	}
	for _, r := range add {
		if err := d.authorize(ctx, g, []rule{r}); err != nil {
			return err
		}
	}
	return nil
}

func (r rule) permission() types.IpPermission {
	p := types.IpPermission{IpProtocol: aws.String(cmp.Or(r.proto, "tcp")), FromPort: aws.Int32(r.first), ToPort: aws.Int32(r.last)}
	if r.proto == "-1" { // which has no ports
		p.FromPort, p.ToPort = nil, nil
	}
	note := aws.String("sky port " + strconv.Itoa(int(r.first)))
	if r.v6 {
		p.Ipv6Ranges = []types.Ipv6Range{{CidrIpv6: aws.String(r.cidr), Description: note}}
	} else {
		p.IpRanges = []types.IpRange{{CidrIp: aws.String(r.cidr), Description: note}}
	}
	return p
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
