// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"cmp"
	"math"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// ranking is the order of offers of one price: by region, zone and type.
type ranking struct {
	// names and places are the ranks of the types and of the places.
	names, places []uint32
	// lines are the lines in the order of their ranks.
	lines []uint32
}

func rank(in *rows) *ranking {
	r := &ranking{}
	r.names = inverse(order(len(in.types), func(i, j uint32) int { return compareNames(&in.types[i], &in.types[j]) }))
	r.places = inverse(order(len(in.places), func(i, j uint32) int {
		return cmp.Or(strings.Compare(in.places[i].region, in.places[j].region), strings.Compare(in.places[i].zone, in.places[j].zone))
	}))
	byName := make([]uint32, len(in.lines))
	starts := make([]uint32, len(in.types)+1)
	for i := range in.lines {
		starts[r.names[in.lines[i].typ]+1]++
	}
	sum(starts)
	for i := range in.lines {
		at := &starts[r.names[in.lines[i].typ]]
		byName[*at] = uint32(i)
		*at++
	}
	r.lines = make([]uint32, len(in.lines))
	starts = make([]uint32, len(in.places)+1)
	for i := range in.lines {
		starts[r.places[in.lines[i].place]+1]++
	}
	sum(starts)
	for _, i := range byName {
		at := &starts[r.places[in.lines[i].place]]
		r.lines[*at] = i
		*at++
	}
	return r
}

// sum turns counts into where each begins.
func sum(counts []uint32) {
	for i := 1; i < len(counts); i++ {
		counts[i] += counts[i-1]
	}
}

// machineIDs numbers what makes types one machine: name and accelerator.
func (in *rows) machineIDs() []uint32 {
	type machine struct {
		name string
		acc  cloud.Accelerator
	}
	seen := make(map[machine]uint32, len(in.types))
	ids := make([]uint32, len(in.types))
	for i, t := range in.types {
		m := machine{t.Name, t.Accelerator}
		id, ok := seen[m]
		if !ok {
			id = uint32(len(seen))
			seen[m] = id
		}
		ids[i] = id
	}
	return ids
}

// repeats reports whether two lines are about one machine in one place: in the
// order of the ranking such lines stand side by side.
func (in *rows) repeats() bool {
	ids := in.machineIDs()
	var lastType, lastPlace uint32 = math.MaxUint32, math.MaxUint32
	for _, i := range in.ranks.lines {
		w := &in.lines[i]
		id := ids[w.typ]
		if id == lastType && w.place == lastPlace {
			return true
		}
		lastType, lastPlace = id, w.place
	}
	return false
}

// unique drops repeated rows; two rows that give one machine in one place
// different prices reject the file, since one of them is wrong.
func (r *reader) unique() error {
	ids := r.out.machineIDs()
	first := make(map[uint64]int, len(r.out.lines))
	kept := make([]line, 0, len(r.out.lines))
	for i := range r.out.lines {
		w := r.out.lines[i]
		key := uint64(ids[w.typ])<<32 | uint64(w.place)
		at, again := first[key]
		if !again {
			first[key] = i
			kept = append(kept, w)
			continue
		}
		if err := r.contradiction(at, i); err != nil {
			return err
		}
	}
	r.out.lines = kept
	return nil
}

// contradiction compares two lines about one machine in one place.
func (r *reader) contradiction(first, second int) error {
	a, b := &r.out.lines[first], &r.out.lines[second]
	switch {
	case !samePrice(a.price, b.price):
		return r.fail(r.rowOf(second), "Price", "it is %v, while row %d gives the same machine in the same place %v", b.price, r.rowOf(first), a.price)
	case !samePrice(a.spot, b.spot):
		return r.fail(r.rowOf(second), "SpotPrice", "it is %v, while row %d gives the same machine in the same place %v", b.spot, r.rowOf(first), a.spot)
	case a.typ != b.typ:
		return r.fail(r.rowOf(second), "InstanceType", "row %d describes %s differently", r.rowOf(first), r.out.types[b.typ].Name)
	}
	return nil
}

// rowOf scans the file again for the row of a line.
func (r *reader) rowOf(index int) int {
	s := newScanner(r.scan.text)
	for n := -1; s.scan(); n++ { // the header comes first
		if n == index {
			return s.row
		}
	}
	return 0
}

func samePrice(a, b float64) bool { return a == b || (math.IsNaN(a) && math.IsNaN(b)) }
