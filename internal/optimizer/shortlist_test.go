// SPDX-License-Identifier: MPL-2.0

package optimizer

import (
	"fmt"
	"iter"
	"runtime"
	"slices"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// madeUp makes up offers as a catalog hands them out: one at a time, in memory that
// the next one takes.
func madeUp(places, types int) iter.Seq[*cloud.Offer] {
	return func(yield func(*cloud.Offer) bool) {
		names, regions := make([]string, types), make([]string, places)
		for t := range names {
			names[t] = fmt.Sprint("m", t)
		}
		for p := range regions {
			regions[p] = fmt.Sprint("r", p)
		}
		var o cloud.Offer
		for t := range types {
			for p := range places {
				o = cloud.Offer{
					Cloud: "aws", Region: regions[p], Market: cloud.OnDemand, HourlyUSD: 1 + float64((t*7919+p*31)%types)/8,
					InstanceType: cloud.InstanceType{Name: names[t], VCPUs: 8, MemoryGiB: 32},
				}
				if p%97 == 5 { // a cloud that costs more
					o.Cloud, o.HourlyUSD = "gcp", o.HourlyUSD+1000
				}
				if !yield(&o) {
					return
				}
			}
		}
	}
}

// TestMemoryDoesNotGrowWithOffers ranks half a million offers that nobody holds,
// and asks why none of them would do: neither allocates a quarter of what holding
// them would take, and the answer is that of the whole market.
func TestMemoryDoesNotGrowWithOffers(t *testing.T) {
	const places, types = 250, 2000
	const each = 150 // bytes that an offer has, at least
	requests := map[string]cloud.Requirement{
		"met": {CPUs: cloud.Quantity{Value: 8, AtLeast: true}}, "infeasible": {Memory: cloud.Quantity{Value: 64, AtLeast: true}},
	}
	for name, r := range requests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		plan, err := RankEach(Request{Alternatives: []cloud.Requirement{r}}, madeUp(places, types), nil, nil)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > places*types*each/4 {
			t.Errorf("%s: %d bytes were allocated for %d offers", name, got, places*types)
		}
		if plan.Considered != places*types || (err == nil) != (name == "met") {
			t.Errorf("%s: %d considered, %v", name, plan.Considered, err)
		}
	}
}

// TestEachPlaceKeepsItsBest compares the shortlist with all offers, sorted: with
// room for all, for some of each place, and for fewer places than there are.
func TestEachPlaceKeepsItsBest(t *testing.T) {
	for _, size := range []struct{ places, types, most int }{{50, 40, 64}, {250, 100, 16}, {3000, 3, 1}, {6000, 2, 1}} {
		var all []cloud.Offer
		for o := range madeUp(size.places, size.types) {
			all = append(all, *o)
		}
		slices.SortFunc(all, func(a, b cloud.Offer) int { return cloud.CompareOffers(&a, &b) })
		var want []cloud.Offer
		of := map[string]int{}
		clouds := map[string]bool{}
		for _, o := range all {
			of[o.Place()]++
			if of[o.Place()] > size.most || size.places > kept && len(want) >= kept/2 && clouds[o.Cloud] {
				continue
			}
			clouds[o.Cloud] = true
			want = append(want, o)
		}
		// Whatever the order in which offers come.
		for range 2 {
			plan, err := Rank(Request{}, all, nil, nil)
			if err != nil || len(plan.Placements) > kept+1 || plan.Machines != size.types*2 {
				t.Fatalf("%+v: %d placements, %d machines, %v", size, len(plan.Placements), plan.Machines, err)
			}
			for i, p := range plan.Placements {
				if p.Offer != want[i] {
					t.Fatalf("%+v: place %d is %v, want %v", size, i, p.Offer, want[i])
				}
			}
			if len(plan.Placements) != len(want) {
				t.Fatalf("%+v: %d placements, want %d", size, len(plan.Placements), len(want))
			}
			slices.Reverse(all)
		}
	}
}
