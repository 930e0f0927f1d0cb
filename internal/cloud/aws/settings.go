// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"maps"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// settings are AWS's own part of a cluster: defaults from the provider block,
// overridden by the cluster template's node_config.
type settings struct {
	vpcID         string
	vpcTags       map[string]string
	subnetIDs     []string
	subnetTags    map[string]string
	groupIDs      []string
	internalIPs   bool
	profile       string
	diskTier      string
	placement     bool
	placementName string // a group of the user's own, never deleted
	efa           bool
	credits       string // of burstable machines
}

func settingsFromOptions(values map[string]string) (settings, error) {
	s := settings{
		vpcID:     values[optionVPC],
		subnetIDs: fleet.SplitList(values[optionSubnets]),
		groupIDs:  fleet.SplitList(values[optionGroups]),
		profile:   values[optionInstanceRole],
	}
	var err error
	if s.internalIPs, err = fleet.BoolOption(values, optionInternal); err != nil {
		return s, err //nolint:wrapcheck // it names the option
	}
	return s, s.check()
}

// of returns s as a cluster's spec overrides it.
func (s settings) of(spec cloud.ClusterSpec) (settings, error) {
	s, err := s.with(spec.NodeConfig)
	if err == nil && spec.DiskTier != "" {
		s.diskTier = spec.DiskTier
		err = s.check()
	}
	return s, err
}

// with returns s overridden by a cluster's node_config.
func (s settings) with(node map[string]any) (settings, error) {
	err := fleet.NodeConfig{
		optionVPC: fleet.Into(&s.vpcID), optionVPCTags: fleet.IntoMap(&s.vpcTags),
		optionSubnets: fleet.IntoList(&s.subnetIDs), optionSubnetTags: fleet.IntoMap(&s.subnetTags),
		optionGroups: fleet.IntoList(&s.groupIDs), optionInternal: fleet.Into(&s.internalIPs),
		optionInstanceRole: fleet.Into(&s.profile), optionDiskTier: fleet.Into(&s.diskTier), optionEFA: fleet.Into(&s.efa), optionCredits: fleet.Into(&s.credits),
		optionPlacement: func(v any) bool { // true, or the name of one
			if fleet.Into(&s.placementName)(v) {
				s.placement = s.placementName != ""
				return true
			}
			return fleet.Into(&s.placement)(v)
		},
	}.Decode("AWS", node)
	if err != nil {
		return s, err //nolint:wrapcheck // it names the key
	}
	return s, s.check()
}

var awsID = regexp.MustCompile(`^[a-z]+-[0-9a-f]+$`)

func (s settings) check() error {
	ids := append(slices.Clone(s.subnetIDs), s.groupIDs...)
	if s.vpcID != "" {
		ids = append(ids, s.vpcID)
	}
	for _, id := range ids {
		if !awsID.MatchString(id) {
			return fleet.ConfigErrorf(cloud.ScopeCloud, "%q is not an AWS id such as vpc-0123456789abcdef0", id)
		}
	}
	if s.credits != "" && s.credits != creditsStandard && s.credits != creditsUnlimited {
		return fleet.ConfigErrorf(cloud.ScopeCloud, "cpu_credits %q is unknown; there are %s and %s", s.credits, creditsStandard, creditsUnlimited)
	}
	if _, ok := diskTiers()[s.diskTier]; s.diskTier != "" && !ok {
		return fleet.ConfigErrorf(cloud.ScopeCloud, "disk_tier %q is unknown; there are %s", s.diskTier, strings.Join(diskTierNames(), ", "))
	}
	return nil
}

// The credits of burstable machines. Unlimited ones are billed beyond the price of the
// machine, which max_hourly_cost knows nothing of.
const (
	creditsStandard  = "standard"
	creditsUnlimited = "unlimited"
)

// diskTier is what a tier means on EBS. Zero fields take AWS's own.
type diskTier struct {
	volume           string
	iops, throughput int32
}

// diskTiers are SkyPilot's words with roughly SkyPilot's rates. The default is
// gp3 as it comes, 3,000 IOPS and 125 MiB/s.
func diskTiers() map[string]diskTier {
	return map[string]diskTier{
		"":       {volume: "gp3"},
		"low":    {volume: "gp3"},
		"medium": {volume: "gp3", iops: 4000, throughput: 250},
		"high":   {volume: "gp3", iops: 7000, throughput: 500},
		"ultra":  {volume: "io2", iops: 20000},
		"best":   {volume: "io2", iops: 20000},
	}
}

func diskTierNames() []string {
	names := slices.Collect(maps.Keys(diskTiers()))
	names = slices.DeleteFunc(names, func(n string) bool { return n == "" })
	sort.Strings(names)
	return names
}

// checkSpec refuses what cannot work before anything is asked of AWS.
func checkSpec(spec cloud.ClusterSpec, _ cloud.Placement) error {
	if len(spec.Ref.Owner) > maxTagValue || len(spec.Ref.Cluster) > maxTagValue {
		return fleet.ConfigErrorf(cloud.ScopeCloud, "the cluster's name has more than %d characters", maxTagValue)
	}
	for _, n := range spec.Nodes {
		if _, err := userData(n.UserData, spec.Deadline); err != nil {
			return err
		}
	}
	return checkLabels(spec.Labels)
}

// labelKey is what AWS allows where the machine can read its tags, as the
// dead-man timer does: no spaces and no slashes.
var labelKey = regexp.MustCompile(`^[a-zA-Z0-9+=.,_:@-]+$`)

func checkLabels(labels map[string]string) error {
	for k, v := range labels {
		switch {
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return fleet.ConfigErrorf(cloud.ScopeCloud, "label %q: labels that begin with \"aws:\" belong to AWS", k)
		case !labelKey.MatchString(k) || strings.Trim(k, ".") == "" || k == "_index" || len(k) > maxTagKey:
			return fleet.ConfigErrorf(cloud.ScopeCloud, "label %q: on AWS a key has up to %d letters, digits and the characters + - = . , _ : @", k, maxTagKey)
		case len(v) > maxTagValue:
			return fleet.ConfigErrorf(cloud.ScopeCloud, "label %q: on AWS a value has at most %d characters", k, maxTagValue)
		}
	}
	return nil
}
