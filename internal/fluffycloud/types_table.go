// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"math"
	"slices"
)

// placeSpec is a region with its zones and what it costs beside the cheapest one.
type placeSpec struct {
	name   string
	factor float64
	// spot is the part of the on-demand price a spot machine costs, by zone.
	zones []zoneSpec
}

type zoneSpec struct {
	name string
	spot float64
}

// typeSpec is an instance type: what one machine consists of, its price in
// US dollars an hour in the cheapest region, and where it is sold.
type typeSpec struct {
	name      string
	vcpus     float64
	memoryGiB float64
	arch      string
	gpu       string
	gpuCount  float64
	gpuMiB    int
	usd       float64
	// spotFactor shifts the zone's spot part for this type; 0 means 1.
	spotFactor float64
	// stock is how many machines a zone has; 0 is no bound.
	stock int
	// zones lists where the type is sold; nil is everywhere.
	zones []string
}

const (
	archX86 = "x86_64"
	archARM = "arm64"
)

// places returns the regions, cheapest first.
func places() []placeSpec {
	return []placeSpec{
		{"meadow-1", 1.00, []zoneSpec{{"meadow-1a", 0.31}, {"meadow-1b", 0.28}, {"meadow-1c", 0.35}}},
		{"hilltop-1", 1.08, []zoneSpec{{"hilltop-1a", 0.33}, {"hilltop-1b", 0.30}, {"hilltop-1c", 0.29}}},
		{"lagoon-1", 1.17, []zoneSpec{{"lagoon-1a", 0.36}, {"lagoon-1b", 0.27}}},
	}
}

// typeTable returns the instance types. It is the one source of FluffyCloud's
// prices; catalogs/fluffycloud/vms.csv says the same.
func typeTable() []typeSpec {
	noLagoon := []string{"meadow-1a", "meadow-1b", "meadow-1c", "hilltop-1a", "hilltop-1b"}
	return []typeSpec{
		{name: "puff-2", vcpus: 2, memoryGiB: 8, arch: archX86, usd: 0.084},
		{name: "puff-4", vcpus: 4, memoryGiB: 16, arch: archX86, usd: 0.168},
		{name: "puff-8", vcpus: 8, memoryGiB: 32, arch: archX86, usd: 0.336},
		{name: "puff-16", vcpus: 16, memoryGiB: 64, arch: archX86, usd: 0.672},
		{name: "puff-32", vcpus: 32, memoryGiB: 128, arch: archX86, usd: 1.344},
		{name: "mist-4", vcpus: 4, memoryGiB: 16, arch: archARM, usd: 0.134, zones: noLagoon},
		{name: "mist-8", vcpus: 8, memoryGiB: 32, arch: archARM, usd: 0.268, zones: noLagoon},
		{name: "mist-16", vcpus: 16, memoryGiB: 64, arch: archARM, usd: 0.536, zones: noLagoon},
		{name: "fog-8", vcpus: 8, memoryGiB: 64, arch: archX86, usd: 0.452},
		{name: "fog-16", vcpus: 16, memoryGiB: 128, arch: archX86, usd: 0.904},
		{name: "fog-64", vcpus: 64, memoryGiB: 512, arch: archX86, usd: 3.616,
			zones: []string{"meadow-1a", "meadow-1b", "hilltop-1a", "lagoon-1a"}},
		{name: "drizzle-t4-1", vcpus: 4, memoryGiB: 16, arch: archX86, gpu: "T4", gpuCount: 1, gpuMiB: 16384, usd: 0.438},
		{name: "drizzle-t4-4", vcpus: 48, memoryGiB: 192, arch: archX86, gpu: "T4", gpuCount: 4, gpuMiB: 16384, usd: 3.258,
			zones: []string{"meadow-1a", "meadow-1c", "hilltop-1b", "lagoon-1b"}},
		{name: "breeze-l4-1", vcpus: 8, memoryGiB: 32, arch: archX86, gpu: "L4", gpuCount: 1, gpuMiB: 24576, usd: 0.742, stock: 64},
		{name: "breeze-l4-4", vcpus: 48, memoryGiB: 192, arch: archX86, gpu: "L4", gpuCount: 4, gpuMiB: 24576, usd: 3.394, stock: 16,
			zones: []string{"meadow-1a", "meadow-1b", "hilltop-1a", "hilltop-1c", "lagoon-1a"}},
		{name: "squall-a10g-1", vcpus: 8, memoryGiB: 32, arch: archX86, gpu: "A10G", gpuCount: 1, gpuMiB: 24576, usd: 1.062, stock: 32},
		{name: "gust-v100-1", vcpus: 8, memoryGiB: 61, arch: archX86, gpu: "V100", gpuCount: 1, gpuMiB: 16384, usd: 2.380, spotFactor: 1.05, stock: 16,
			zones: []string{"meadow-1c", "hilltop-1b", "lagoon-1a", "lagoon-1b"}},
		{name: "gust-v100-8", vcpus: 64, memoryGiB: 488, arch: archX86, gpu: "V100", gpuCount: 8, gpuMiB: 16384, usd: 18.900, spotFactor: 1.05, stock: 4,
			zones: []string{"meadow-1c", "lagoon-1b"}},
		{name: "storm-a100-1", vcpus: 12, memoryGiB: 85, arch: archX86, gpu: "A100", gpuCount: 1, gpuMiB: 40960, usd: 2.950, spotFactor: 1.12, stock: 16},
		{name: "storm-a100-8", vcpus: 96, memoryGiB: 680, arch: archX86, gpu: "A100", gpuCount: 8, gpuMiB: 40960, usd: 22.880, spotFactor: 1.12, stock: 4,
			zones: []string{"meadow-1a", "meadow-1b", "hilltop-1a", "lagoon-1b"}},
		{name: "tempest-a100-80gb-1", vcpus: 12, memoryGiB: 170, arch: archX86, gpu: "A100-80GB", gpuCount: 1, gpuMiB: 81920, usd: 4.120, spotFactor: 1.18, stock: 8,
			zones: []string{"meadow-1b", "meadow-1c", "hilltop-1b"}},
		{name: "tempest-a100-80gb-8", vcpus: 96, memoryGiB: 1360, arch: archX86, gpu: "A100-80GB", gpuCount: 8, gpuMiB: 81920, usd: 32.340, spotFactor: 1.18, stock: 2,
			zones: []string{"meadow-1c", "hilltop-1b", "hilltop-1c"}},
		{name: "thunder-h100-1", vcpus: 26, memoryGiB: 234, arch: archX86, gpu: "H100", gpuCount: 1, gpuMiB: 81920, usd: 6.980, spotFactor: 1.25, stock: 4,
			zones: []string{"meadow-1a", "meadow-1b", "hilltop-1a"}},
		{name: "thunder-h100-8", vcpus: 208, memoryGiB: 1872, arch: archX86, gpu: "H100", gpuCount: 8, gpuMiB: 81920, usd: 54.320, spotFactor: 1.25, stock: 2,
			zones: []string{"meadow-1b", "hilltop-1a"}},
	}
}

// soldIn reports whether the type is sold in the zone.
func (t typeSpec) soldIn(zone string) bool {
	return t.zones == nil || slices.Contains(t.zones, zone)
}

// prices returns the on-demand and spot price in US dollars an hour.
func (t typeSpec) prices(p placeSpec, z zoneSpec) (onDemand, spot float64) {
	shift := t.spotFactor
	if shift == 0 {
		shift = 1
	}
	onDemand = round4(t.usd * p.factor)
	return onDemand, round4(onDemand * z.spot * shift)
}

func round4(usd float64) float64 { return math.Round(usd*1e4) / 1e4 }

// findType returns the type of that name.
func findType(name string) (typeSpec, bool) {
	for _, t := range typeTable() {
		if t.name == name {
			return t, true
		}
	}
	return typeSpec{}, false
}

// findZone returns the region and zone of those names.
func findZone(region, zone string) (placeSpec, zoneSpec, bool) {
	for _, p := range places() {
		for _, z := range p.zones {
			if p.name == region && z.name == zone {
				return p, z, true
			}
		}
	}
	return placeSpec{}, zoneSpec{}, false
}

func findRegion(region string) bool {
	return slices.ContainsFunc(places(), func(p placeSpec) bool { return p.name == region })
}
