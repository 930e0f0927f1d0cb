// SPDX-License-Identifier: MPL-2.0

package optimizer

import (
	"fmt"
	"math"
	"strings"
)

// gbPerHour is how fast data moves between clouds: 10 Gbit/s.
const gbPerHour = 10.0 / 8 * 3600

// egress returns what it costs, in dollars and hours, to bring the inputs to a
// cloud. Data that lies there already is free, and what leaves a cloud whose
// price is not known is left out; see Plan.Table. Node counts do not matter.
func egress(inputs []Input, to string) (usd, hours float64) {
	for _, in := range inputs {
		if in.Cloud == to {
			continue
		}
		hours += in.SizeGB / gbPerHour
		from := 0.0
		for _, step := range in.Egress {
			upTo := step.UpToGB
			if upTo == 0 {
				upTo = math.Inf(1)
			}
			if in.SizeGB <= from {
				break
			}
			usd += (min(in.SizeGB, upTo) - from) * step.USDPerGB
			from = upTo
		}
	}
	return usd, hours
}

// unpriced says which inputs have a price that is not known, on their way to a
// cloud; empty is none.
func unpriced(inputs []Input, to string) string {
	var from []string
	for _, in := range inputs {
		if in.Cloud != to && in.Egress == nil && in.SizeGB > 0 {
			from = append(from, fmt.Sprintf("%v GB out of %s", in.SizeGB, in.Cloud))
		}
	}
	return strings.Join(from, ", ")
}
