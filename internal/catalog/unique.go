// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"cmp"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// sort puts the lines into the order of offers of one price: by region, zone
// and type, and those of one type in one place as they came. What is done with
// the lines afterwards reads them one after the other.
func (in *rows) sort() {
	if in.sorted {
		return
	}
	names := inverse(order(len(in.types), func(i, j uint32) int { return compareNames(&in.types[i], &in.types[j]) }))
	places := inverse(order(len(in.places), func(i, j uint32) int {
		return cmp.Or(strings.Compare(in.places[i].region, in.places[j].region), strings.Compare(in.places[i].zone, in.places[j].zone))
	}))
	byName := make([]line, len(in.lines))
	distribute(byName, in.lines, len(names), func(w *line) uint32 { return names[w.typ] })
	distribute(in.lines, byName, len(places), func(w *line) uint32 { return places[w.place] })
	in.sorted = true
}

// distribute copies lines in the order of their keys, which are below n; lines
// of one key keep their order.
func distribute(to, from []line, n int, key func(w *line) uint32) {
	starts := make([]uint32, n+1)
	for i := range from {
		starts[key(&from[i])+1]++
	}
	sum(starts)
	for i := range from {
		at := &starts[key(&from[i])]
		to[*at] = from[i]
		*at++
	}
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

// unique drops repeated rows; two rows that give one machine in one place
// different prices reject the file, since one of them is wrong. The lines are
// sorted: those about one machine in one place stand side by side.
func (r *reader) unique() error {
	lines := r.out.lines
	ids := r.out.machineIDs()
	kept := lines[:0]
	var original, wrong line // the first row that contradicts, and whom
	for from, to := 0, 0; from < len(lines); from = to {
		first := lines[from]
		for to = from + 1; to < len(lines) && lines[to].place == first.place && ids[lines[to].typ] == ids[first.typ]; to++ {
			if lines[to].row < first.row {
				first = lines[to]
			}
		}
		for _, w := range lines[from:to] {
			if w.contradicts(first) && (wrong.row == 0 || w.row < wrong.row) {
				original, wrong = first, w
			}
		}
		kept = append(kept, first)
	}
	if wrong.row > 0 {
		return r.contradiction(original, wrong)
	}
	r.out.lines = kept
	return nil
}

// contradicts reports whether two lines about one machine in one place differ.
func (w line) contradicts(other line) bool {
	return w.price != other.price || w.spot != other.spot || w.typ != other.typ
}

// contradiction says in what two such lines differ.
func (r *reader) contradiction(first, second line) error {
	row, usd := int(second.row), r.out.prices.usd
	switch {
	case first.price != second.price:
		return r.fail(row, "Price", "it is %v, while row %d gives the same machine in the same place %v", usd[second.price], first.row, usd[first.price])
	case first.spot != second.spot:
		return r.fail(row, "SpotPrice", "it is %v, while row %d gives the same machine in the same place %v", usd[second.spot], first.row, usd[first.spot])
	}
	return r.fail(row, "InstanceType", "row %d describes %s differently", first.row, r.out.types[second.typ].Name)
}
