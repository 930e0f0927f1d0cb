// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
)

// What the suite sees of the emulator, beside the driver.

// launchLog remembers the call that made each machine.
type launchLog struct {
	mu   sync.Mutex
	call map[string]url.Values
}

func watchLaunches(p *ec2proxy.Proxy) *launchLog {
	l := &launchLog{call: map[string]url.Values{}}
	next := p.Launched
	p.Launched = func(id string, call url.Values) {
		l.mu.Lock()
		l.call[id] = call
		l.mu.Unlock()
		if next != nil {
			next(id, call)
		}
	}
	return l
}

func (l *launchLog) of(id string) (url.Values, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if call := l.call[id]; call != nil {
		return call, nil
	}
	return nil, fmt.Errorf("machine %s was not made through the proxy", id)
}

// groupsOf are the ids of the security groups that a machine is in.
func (h *harness) groupsOf(ctx context.Context, id string) ([]string, error) {
	shown, err := h.direct.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		return nil, err
	}
	var ids []string
	in := shown.Reservations[0].Instances[0]
	for _, g := range in.SecurityGroups {
		ids = append(ids, aws.ToString(g.GroupId))
	}
	for _, n := range in.NetworkInterfaces {
		for _, g := range n.Groups {
			ids = append(ids, aws.ToString(g.GroupId))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// rulesFor are the rules of a machine's security groups.
func (h *harness) rulesFor(ctx context.Context, id string) ([]types.IpPermission, error) {
	ids, err := h.groupsOf(ctx, id)
	if err != nil {
		return nil, err
	}
	out, err := h.direct.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: ids})
	if err != nil {
		return nil, err
	}
	var rules []types.IpPermission
	for _, g := range out.SecurityGroups {
		rules = append(rules, g.IpPermissions...)
	}
	return rules, nil
}

func (h *harness) OpenPorts(ctx context.Context, id string) (cloudtest.Gate, error) {
	var gate cloudtest.Gate
	rules, err := h.rulesFor(ctx, id)
	for _, p := range rules {
		ports := cloud.PortRange{First: uint16(aws.ToInt32(p.FromPort)), Last: uint16(aws.ToInt32(p.ToPort))} //nolint:gosec // ports
		for _, r := range p.IpRanges {
			from, err := netip.ParsePrefix(aws.ToString(r.CidrIp))
			if err != nil {
				return gate, err
			}
			gate.Openings = append(gate.Openings, cloudtest.Opening{Ports: ports, From: from})
		}
	}
	return gate, err
}

func (h *harness) Reaches(ctx context.Context, from, to string) (bool, error) {
	source, err := h.groupsOf(ctx, from)
	if err != nil {
		return false, err
	}
	rules, err := h.rulesFor(ctx, to)
	return slices.ContainsFunc(rules, func(p types.IpPermission) bool {
		return aws.ToString(p.IpProtocol) == "-1" && slices.ContainsFunc(p.UserIdGroupPairs, func(pair types.UserIdGroupPair) bool {
			return slices.Contains(source, aws.ToString(pair.GroupId))
		})
	}), err
}

// ReachesOut: who has an address outside gets out; a security group of EC2 lets
// everything out unless somebody changes that.
func (h *harness) ReachesOut(_ context.Context, id string) (bool, error) {
	call, err := h.calls.of(id)
	return call.Get("NetworkInterface.1.AssociatePublicIpAddress") == "true", err
}

func (h *harness) Sent(_ context.Context, id string) (cloudtest.Sent, error) {
	var sent cloudtest.Sent
	call, err := h.calls.of(id)
	if err != nil {
		return sent, err
	}
	if sent.UserData, err = base64.StdEncoding.DecodeString(call.Get("UserData")); err != nil {
		return sent, err
	}
	sent.Image = call.Get("ImageId")
	sent.DiskGiB, err = strconv.Atoi(call.Get("BlockDeviceMapping.1.Ebs.VolumeSize"))
	return sent, err
}

func (h *harness) Images() (other, missing string) { return h.other, "ami-0fffffffffffffff0" }

func (h *harness) Lag(context.Context) (func(context.Context) error, error) {
	before := h.proxy.HideFor
	h.proxy.Lag(400 * time.Millisecond)
	return func(context.Context) error { h.proxy.Lag(before); return nil }, nil
}
