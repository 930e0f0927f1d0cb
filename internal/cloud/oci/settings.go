// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// settings are Oracle's own part of a cluster: defaults from the provider block,
// overridden by the cluster template's node_config.
type settings struct {
	subnets     []string
	internalIPs bool
	diskTier    string
}

func settingsFromOptions(values map[string]string) (settings, error) {
	s := settings{subnets: fleet.SplitList(values[optionSubnets])}
	var err error
	if s.internalIPs, err = fleet.BoolOption(values, optionInternal); err != nil {
		return s, err //nolint:wrapcheck // it names the option
	}
	return s, s.check()
}

// of returns s as a cluster's spec overrides it.
func (s settings) of(spec cloud.ClusterSpec) (settings, error) {
	err := fleet.NodeConfig{
		optionSubnets: fleet.IntoList(&s.subnets), optionInternal: fleet.Into(&s.internalIPs), "disk_tier": fleet.Into(&s.diskTier),
	}.Decode("OCI", spec.NodeConfig)
	if err != nil {
		return s, err //nolint:wrapcheck // it names the key
	}
	if spec.DiskTier != "" {
		s.diskTier = spec.DiskTier
	}
	return s, s.check()
}

func (s settings) check() error {
	for _, id := range s.subnets {
		if !strings.HasPrefix(id, "ocid1.subnet.") || regionOf(id) == "" {
			return fleet.ConfigErrorf(cloud.ScopeCloud, "subnet_ids: %q is not the OCID of a subnet, such as ocid1.subnet.oc1.iad.aaaa...", id)
		}
	}
	if _, known := diskTiers()[s.diskTier]; !known {
		return fleet.ConfigErrorf(cloud.ScopeCloud, "disk_tier %q is not known on OCI; there are %s", s.diskTier, joined(diskTierNames()))
	}
	return nil
}

// regionOf is the region that an OCID names, empty for one that names none.
func regionOf(ocid string) string {
	parts := strings.Split(ocid, ".")
	if len(parts) < 5 || parts[3] == "" {
		return ""
	}
	return string(common.StringToRegion(parts[3]))
}

// subnetIn is the subnet of a region, empty where none was set.
func (s settings) subnetIn(region string) string {
	for _, id := range s.subnets {
		if regionOf(id) == region {
			return id
		}
	}
	return ""
}

// diskTiers are SkyPilot's words in units of performance a GiB.
func diskTiers() map[string]int64 {
	return map[string]int64{"": 10, "low": 10, "medium": 30, "high": 100, "best": 120}
}

func diskTierNames() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(diskTiers())), func(name string) bool { return name == "" })
}

// bareMetalBoot is how long bare metal may take until it runs.
func bareMetalBoot() map[string]time.Duration {
	return map[string]time.Duration{"BM.*": 45 * time.Minute}
}

// metadata is what a machine reads of its start: keys for images without
// cloud-init, and the user data.
func metadata(spec cloud.ClusterSpec, userData []byte) map[string]string {
	out := map[string]string{}
	if len(spec.AuthorizedKeys) > 0 {
		out["ssh_authorized_keys"] = strings.Join(spec.AuthorizedKeys, "\n")
	}
	if len(userData) > 0 {
		out["user_data"] = base64.StdEncoding.EncodeToString(userData)
	}
	return out
}

// checkSpec refuses what cannot work before anything is asked of Oracle.
func checkSpec(spec cloud.ClusterSpec, at cloud.Placement) error {
	if _, err := shapeOf(at.Offer.InstanceType.Name); err != nil {
		return err
	}
	if at.Offer.Market == cloud.Spot && strings.HasPrefix(at.Offer.InstanceType.Name, "BM.") {
		return fleet.ConfigErrorf(cloud.ScopeRegion, "%s is bare metal, which Oracle does not sell as preemptible", at.Offer.InstanceType.Name)
	}
	if spec.DiskGiB != 0 && (spec.DiskGiB < minDiskGiB || spec.DiskGiB > maxDiskGiB) {
		return fleet.ConfigErrorf(cloud.ScopeCloud, "disk_size is %d GiB; OCI has boot volumes of %d to %d", spec.DiskGiB, minDiskGiB, maxDiskGiB)
	}
	for _, n := range spec.Nodes {
		size := 0
		for key, value := range metadata(spec, n.UserData) {
			size += len(key) + len(value)
		}
		if size > maxMetadata {
			return fleet.ConfigErrorf(cloud.ScopeCloud, "the user data and keys have %d bytes as they are sent; OCI takes %d: move work from the cluster template's user_data to setup, which has no limit",
				size, maxMetadata)
		}
		if _, err := encodeTags(ownTags(spec, n.Identity)); err != nil {
			return err
		}
	}
	for _, p := range spec.AllowedCIDRs {
		if !p.Addr().Is4() {
			return fleet.ConfigErrorf(cloud.ScopeCloud, "allowed_cidrs: %s is not IPv4, which is all that the machines' network has", p)
		}
	}
	return nil
}
