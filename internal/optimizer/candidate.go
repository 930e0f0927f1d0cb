// SPDX-License-Identifier: MPL-2.0

package optimizer

import (
	"cmp"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// candidate is an offer on its way to becoming a Choice.
type candidate struct {
	Choice
	offer *cloud.Offer
	// Ranks that come before the objective where the user ordered them.
	market, accelerator int
	// near is how far it is from what is preferred.
	near int
}

func newCandidate(req Request, index int, alt cloud.Requirement, o *cloud.Offer) candidate {
	c := candidate{offer: o}
	if len(req.Preferred) > 0 {
		c.near = req.near(o)
	}
	c.Alternative = index
	if alt.MarketsOrdered {
		c.market = slices.Index(alt.Markets, o.Market)
	}
	if alt.AcceleratorsOrdered {
		c.accelerator = slices.IndexFunc(alt.Accelerators, func(a cloud.Accelerator) bool {
			return sameAccelerator(a, o.InstanceType.Accelerator)
		})
	}
	c.HourlyUSD, c.Reserved = hourly(req, o)
	hours := cmp.Or(alt.EstimatedHours, 1)
	usd, transfer := egress(req.Inputs, o.Cloud)
	c.Hours = hours + transfer
	c.EgressUSD, c.EgressUnknown = usd, unpriced(req.Inputs, o.Cloud)
	c.TotalUSD = c.HourlyUSD*hours + usd
	return c
}

// choice writes a candidate out.
func (c *candidate) choice(req Request) Choice {
	out := c.Choice
	out.Placement = cloud.Placement{Offer: *c.offer, Nodes: req.nodes()}
	return out
}

// hourly is what the cluster costs an hour, and how many machines are reserved.
func hourly(req Request, o *cloud.Offer) (usd float64, reserved int) {
	for _, r := range req.Reserved {
		if o.Market == cloud.OnDemand && r.Cloud == o.Cloud && strings.EqualFold(r.InstanceType, o.InstanceType.Name) &&
			(r.Region == "" || strings.EqualFold(r.Region, o.Region)) && (r.Zone == "" || strings.EqualFold(r.Zone, o.Zone)) {
			reserved += max(r.Count, 0)
		}
	}
	reserved = min(reserved, req.nodes())
	return o.HourlyUSD * float64(req.nodes()-reserved), reserved
}

// HourlyUSD is what the request's machines would cost an hour if all were of the
// offer, reserved ones free.
func HourlyUSD(req Request, o cloud.Offer) float64 {
	usd, _ := hourly(req, &o)
	return usd
}

// Within reports whether a cluster at this price is within the requirement's
// bound. The slack is for sums such as three times 0.1, which is above 0.3.
func Within(alt cloud.Requirement, usd float64) bool {
	return alt.MaxHourlyUSD <= 0 || usd <= alt.MaxHourlyUSD+1e-9
}

// compare orders candidates, the better one first. It is a total order over
// distinct offers.
func (r *Request) compare(a, b *candidate) int {
	if r.Ordered && a.Alternative != b.Alternative {
		return cmp.Compare(a.Alternative, b.Alternative)
	}
	first, second := cmp.Compare(a.TotalUSD, b.TotalUSD), cmp.Compare(a.Hours, b.Hours)
	if r.Objective == Time {
		first, second = second, first
	}
	return cmp.Or(
		cmp.Compare(a.market, b.market),
		cmp.Compare(a.accelerator, b.accelerator),
		first, second,
		cmp.Compare(a.near, b.near),
		cloud.CompareOffers(a.offer, b.offer),
		cmp.Compare(a.Alternative, b.Alternative),
	)
}
