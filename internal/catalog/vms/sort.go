// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"cmp"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Sort puts the lines into the order of offers of one price: by region, zone
// and type (see cloud.CompareOffers), and those of one type in one place as they came. What is done with
// the lines afterwards reads them one after the other.
func (in *Rows) Sort() {
	if in.ByName != nil {
		return
	}
	in.ByName = inverse(order(len(in.Types), func(i, j uint32) int { return compareNames(&in.Types[i], &in.Types[j]) }))
	places := inverse(order(len(in.Places), func(i, j uint32) int {
		a, b := &in.Places[i], &in.Places[j]
		return cmp.Or(cmp.Compare(a.Order, b.Order), strings.Compare(a.Region, b.Region), strings.Compare(a.Zone, b.Zone))
	}))
	// Files list the places of one machine after each other, so that there are far
	// fewer runs of lines of one type than lines.
	runs := in.runs()
	starts := startsOf(runs, len(in.ByName), func(r *run) uint32 { return in.ByName[r.typ] })
	byName := make([]run, len(runs))
	for _, r := range runs {
		at := &starts[in.ByName[r.typ]]
		byName[*at] = r
		*at++
	}
	starts = startsOf(in.Lines, len(places), func(w *Line) uint32 { return places[w.Place] })
	sorted := make([]Line, len(in.Lines))
	for _, r := range byName {
		for _, w := range in.Lines[r.from:r.to] {
			at := &starts[places[w.Place]]
			sorted[*at] = w
			*at++
		}
	}
	in.Lines = sorted
}

// run is the lines [from, to), all of one type.
type run struct{ typ, from, to uint32 }

func (in *Rows) runs() []run {
	begins := func(i int) bool { return i == 0 || in.Lines[i].Type != in.Lines[i-1].Type }
	n := 0
	for i := range in.Lines {
		if begins(i) {
			n++
		}
	}
	all := make([]run, 0, n)
	for i := range in.Lines {
		if begins(i) {
			all = append(all, run{typ: in.Lines[i].Type, from: uint32(i)})
		}
		all[len(all)-1].to = uint32(i) + 1
	}
	return all
}

// startsOf is where those of each key, which is below n, begin in the order of
// keys.
func startsOf[T any](all []T, n int, key func(v *T) uint32) []uint32 {
	starts := make([]uint32, n+1)
	for i := range all {
		starts[key(&all[i])+1]++
	}
	sum(starts)
	return starts
}

// sum turns counts into where each begins.
func sum(counts []uint32) {
	for i := 1; i < len(counts); i++ {
		counts[i] += counts[i-1]
	}
}

// order returns the positions of n things in the order of compare.
func order(n int, compare func(i, j uint32) int) []uint32 {
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = uint32(i)
	}
	slices.SortFunc(ids, compare)
	return ids
}

// inverse returns the position of each entry of a permutation.
func inverse(ids []uint32) []uint32 {
	out := make([]uint32, len(ids))
	for at, id := range ids {
		out[id] = uint32(at)
	}
	return out
}

// compareNames is the order of types by name.
func compareNames(a, b *cloud.InstanceType) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Accelerator.Name, b.Accelerator.Name),
		cmp.Compare(a.Accelerator.Count, b.Accelerator.Count))
}
