// SPDX-License-Identifier: MPL-2.0

// Package runpod says how catalogs call what RunPod calls otherwise. The fetcher
// writes catalogs by it, and the driver finds machines again.
package runpod

import (
	"slices"
	"strings"
)

// Country is that of a data center, which is what catalogs call a region:
// "US-TX-3" and "CA-MTL-1" begin with it, in "EU-RO-1", "EUR-IS-1" and "AP-JP-1" it
// comes behind the continent.
func Country(dataCenter string) string {
	parts := strings.Split(dataCenter, "-")
	if len(parts) > 2 && slices.Contains([]string{"EU", "EUR", "AP", "OC", "SEA", "ME", "AF", "LATAM"}, parts[0]) {
		return parts[1]
	}
	return parts[0]
}

// Device is the name that catalogs have for a device, by RunPod's words for it and
// its memory in GiB.
func Device(words string, gib float64) string {
	switch words {
	case "A100 PCIe":
		return "A100-80GB"
	case "A100 SXM":
		return "A100-80GB-SXM"
	case "H100 PCIe":
		return "H100"
	}
	name := strings.NewReplacer("RTX PRO ", "RTXPRO", "RTX ", "RTX", " ", "-").Replace(words)
	if name == "A100-SXM-40GB" || (name == "A100" && gib < 80) {
		return "A100"
	}
	return name
}
