// SPDX-License-Identifier: MPL-2.0

package optimizer

import "math"

// tier is what a cloud asks for a GB that leaves it, up to a monthly total.
type tier struct {
	uptoGB, usdPerGB float64
}

// egressTiers returns the public list price of traffic to the internet from a
// cloud's main regions (2025). Clouds that charge nothing, and clouds unknown
// here, have none.
func egressTiers(cloudName string) []tier {
	unlimited := math.Inf(1)
	switch cloudName {
	case "aws":
		return []tier{{100, 0}, {10 * 1024, 0.09}, {50 * 1024, 0.085}, {150 * 1024, 0.07}, {unlimited, 0.05}}
	case "azure":
		return []tier{{100, 0}, {10 * 1024, 0.087}, {50 * 1024, 0.083}, {150 * 1024, 0.07}, {unlimited, 0.05}}
	case "gcp":
		return []tier{{1024, 0.12}, {10 * 1024, 0.11}, {unlimited, 0.08}}
	case "oci":
		return []tier{{10 * 1024, 0}, {unlimited, 0.0085}}
	case "ibm":
		return []tier{{50 * 1024, 0.09}, {unlimited, 0.07}}
	}
	return nil
}

// gbPerHour is how fast data moves between clouds: 10 Gbit/s.
const gbPerHour = 10.0 / 8 * 3600

// egress returns what it costs, in dollars and hours, to bring the inputs to a
// cloud. Data that lies there already is free. Node counts do not matter.
func egress(inputs []Input, to string) (usd, hours float64) {
	for _, in := range inputs {
		if in.Cloud == to {
			continue
		}
		hours += in.SizeGB / gbPerHour
		if in.USDPerGB != nil {
			usd += in.SizeGB * *in.USDPerGB
			continue
		}
		from := 0.0
		for _, t := range egressTiers(in.Cloud) {
			if in.SizeGB <= from {
				break
			}
			usd += (min(in.SizeGB, t.uptoGB) - from) * t.usdPerGB
			from = t.uptoGB
		}
	}
	return usd, hours
}
