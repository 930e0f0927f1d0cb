// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
)

// What the suite sees of the fake, beside the driver.

// rulesFor are the rules in force for a machine.
func (a account) rulesFor(id string) ([]compute.Firewall, error) {
	in, ok := a.one(id)
	if !ok || in.Tags == nil {
		return nil, fmt.Errorf("no machine %s", id)
	}
	return slices.DeleteFunc(a.Firewalls(), func(rule compute.Firewall) bool {
		hits := slices.ContainsFunc(rule.TargetTags, func(tag string) bool { return slices.Contains(in.Tags.Items, tag) })
		return !hits || rule.Disabled || !strings.HasSuffix(rule.Network, in.NetworkInterfaces[0].Network)
	}), nil
}

func (a account) OpenPorts(_ context.Context, id string) (cloudtest.Gate, error) {
	var gate cloudtest.Gate
	rules, err := a.rulesFor(id)
	if err != nil {
		return gate, err
	}
	for _, rule := range rules {
		for _, source := range rule.SourceRanges {
			from, err := netip.ParsePrefix(source)
			if err != nil {
				return gate, err
			}
			for _, allowed := range rule.Allowed {
				for _, text := range allowed.Ports {
					p, err := cloud.ParsePorts(text)
					if err != nil {
						return gate, err
					}
					gate.Openings = append(gate.Openings, cloudtest.Opening{Ports: p[0], From: from})
				}
			}
		}
	}
	return gate, nil
}

func (a account) Reaches(_ context.Context, from, to string) (bool, error) {
	source, ok := a.one(from)
	rules, err := a.rulesFor(to)
	return ok && slices.ContainsFunc(rules, func(rule compute.Firewall) bool {
		all := slices.ContainsFunc(rule.Allowed, func(allowed *compute.FirewallAllowed) bool { return allowed.IPProtocol == "all" })
		return all && slices.ContainsFunc(rule.SourceTags, func(tag string) bool { return slices.Contains(source.Tags.Items, tag) })
	}), err
}

// ReachesOut: who has an address outside gets out; nothing here closes that way.
func (a account) ReachesOut(_ context.Context, id string) (bool, error) {
	in, ok := a.one(id)
	return ok && slices.ContainsFunc(in.NetworkInterfaces, func(nic *compute.NetworkInterface) bool {
		return slices.ContainsFunc(nic.AccessConfigs, func(access *compute.AccessConfig) bool { return access.NatIP != "" })
	}), nil
}

func (a account) Sent(_ context.Context, id string) (cloudtest.Sent, error) {
	var sent cloudtest.Sent
	in, ok := a.one(id)
	if !ok {
		return sent, fmt.Errorf("no machine %s", id)
	}
	for _, item := range in.Metadata.Items {
		switch item.Key {
		case "user-data":
			sent.UserData = []byte(*item.Value)
		case "ssh-keys":
			sent.AuthorizedKeys = strings.Split(*item.Value, "\n")
		}
	}
	for _, disk := range a.Disks() {
		if disk.SelfLink == in.Disks[0].Source {
			sent.Image, sent.DiskGiB = disk.SourceImage, int(disk.SizeGb)
		}
	}
	return sent, nil
}

func (account) Images() (other, missing string) {
	return "projects/acme-weather/global/images/my-image", "projects/acme-weather/global/images/no-image"
}

func (a account) Lag(context.Context) (func(context.Context) error, error) {
	a.Cloud.Lag(30 * time.Millisecond)
	return func(context.Context) error { a.Cloud.Lag(0); return nil }, nil
}
