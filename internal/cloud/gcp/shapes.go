// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"maps"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// shape is what the insert of a machine type needs beside its name.
type shape struct {
	// accelerator is attached to the machine; empty where the type has its
	// devices built in, or has none.
	accelerator string
	count       int64
	gpu         bool
	// migrates says that the machine can move to another host while it runs.
	migrates bool
	// hyperdisk says that the type takes no Persistent Disk.
	hyperdisk bool
	// noStandard says that the type takes no standard Persistent Disk.
	noStandard bool
}

// attachable are the devices that attach to N1 machines, by the catalog's
// name in lower case.
func attachable() map[string]string {
	return map[string]string{
		"t4": "nvidia-tesla-t4", "p4": "nvidia-tesla-p4", "v100": "nvidia-tesla-v100", "p100": "nvidia-tesla-p100", "k80": "nvidia-tesla-k80",
	}
}

// builtIn are the families whose types come with devices.
func builtIn() []string { return []string{"a2-", "a3-", "a4-", "a4x-", "g2-", "g4-"} }

// hyperdiskOnly are the families, and types, that boot from Hyperdisk alone.
func hyperdiskOnly() []string {
	return []string{"a3-ultragpu-", "a4-", "a4x-", "c4-", "c4a-", "c4d-", "g4-", "h4d-", "m4-", "n4-", "n4a-", "n4d-", "x4-"}
}

// noStandardDisk are the families whose Persistent Disks are balanced at least.
func noStandardDisk() []string {
	return []string{"a3-", "c3-", "c3d-", "g2-", "h3-", "m3-", "z3-"}
}

// tpuTypes are the types that are hosts of TPUs, which another API makes.
func tpuTypes() []string {
	return []string{"tpu-vm", "tpu7x-", "ct3-", "ct3p-", "ct4l-", "ct4p-", "ct5l-", "ct5lp-", "ct5p-", "ct6e-"}
}

func hasAnyPrefix(s string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

// shapeOf says how to ask for a type. A type that this driver cannot launch is
// an error that says why.
func shapeOf(t cloud.InstanceType) (shape, error) {
	name, device := strings.ToLower(t.Name), strings.ToLower(t.Accelerator.Name)
	s := shape{
		migrates: !strings.HasSuffix(name, "-metal"), hyperdisk: hasAnyPrefix(name, hyperdiskOnly()), noStandard: hasAnyPrefix(name, noStandardDisk()),
	}
	switch {
	case strings.HasPrefix(device, "tpu-"), hasAnyPrefix(name, tpuTypes()):
		return s, fleet.ConfigErrorf(cloud.ScopeRegion, "%s has TPUs, which Compute Engine does not launch and this driver does not support: choose a GPU or a CPU type", t.Name)
	case hasAnyPrefix(name, builtIn()):
		s.gpu, s.migrates = true, false
	case device != "" && strings.HasPrefix(name, "n1-") && attachable()[device] != "":
		s.accelerator, s.count = attachable()[device], int64(t.Accelerator.Count)
		s.gpu, s.migrates = true, false
		if s.count < 1 || float64(s.count) != t.Accelerator.Count {
			return s, fleet.ConfigErrorf(cloud.ScopeRegion, "%s: Compute Engine attaches whole devices only", t.Accelerator)
		}
	case device != "":
		return s, fleet.ConfigErrorf(cloud.ScopeRegion, "%s does not attach to %s on Compute Engine", t.Accelerator, t.Name)
	}
	return s, nil
}

const (
	standardDisk = "pd-standard"
	balancedDisk = "pd-balanced"
)

// diskTier says how fast a boot disk is.
type diskTier struct {
	persistent string // the type of Persistent Disk
	// iops and throughput are what a Hyperdisk Balanced is given; 0 is its default.
	iops, throughput int64
}

func diskTiers() map[string]diskTier {
	return map[string]diskTier{
		"":       {persistent: balancedDisk},
		"low":    {persistent: standardDisk},
		"medium": {persistent: balancedDisk},
		"high":   {persistent: "pd-ssd", iops: 7000, throughput: 400},
		"best":   {persistent: "pd-ssd", iops: 15000, throughput: 600},
	}
}

func diskTierNames() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(diskTiers())), func(n string) bool { return n == "" })
}

// hyperdiskType serves every tier on the types that take nothing else.
const hyperdiskType = "hyperdisk-balanced"
