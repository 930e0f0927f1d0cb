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
	if in.byName != nil {
		return
	}
	in.byName = inverse(order(len(in.types), func(i, j uint32) int { return compareNames(&in.types[i], &in.types[j]) }))
	places := inverse(order(len(in.places), func(i, j uint32) int {
		return cmp.Or(strings.Compare(in.places[i].region, in.places[j].region), strings.Compare(in.places[i].zone, in.places[j].zone))
	}))
	// Files list the places of one machine after each other, so that there are far
	// fewer runs of lines of one type than lines.
	runs := in.runs()
	starts := startsOf(runs, len(in.byName), func(r *run) uint32 { return in.byName[r.typ] })
	byName := make([]run, len(runs))
	for _, r := range runs {
		at := &starts[in.byName[r.typ]]
		byName[*at] = r
		*at++
	}
	starts = startsOf(in.lines, len(places), func(w *line) uint32 { return places[w.place] })
	sorted := make([]line, len(in.lines))
	for _, r := range byName {
		for _, w := range in.lines[r.from:r.to] {
			at := &starts[places[w.place]]
			sorted[*at] = w
			*at++
		}
	}
	in.lines = sorted
}

// run is the lines [from, to), all of one type.
type run struct{ typ, from, to uint32 }

func (in *rows) runs() []run {
	n := 0
	for i := range in.lines {
		if i == 0 || in.lines[i].typ != in.lines[i-1].typ {
			n++
		}
	}
	all := make([]run, 0, n)
	for i := range in.lines {
		if typ := in.lines[i].typ; i == 0 || typ != in.lines[i-1].typ {
			all = append(all, run{typ: typ, from: uint32(i)})
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

// machine is what makes types one machine.
type machine struct {
	name string
	acc  cloud.Accelerator
}

// describer numbers types.
type describer struct {
	in *rows
	// first is the first type of each machine; other the next one, or 0.
	first map[machine]uint32
	other []uint32
}

func (d *describer) add(t cloud.InstanceType) uint32 {
	m := machine{t.Name, t.Accelerator}
	id := uint32(len(d.in.types))
	first, ok := d.first[m]
	if !ok {
		first = id
		d.first[m] = id
	} else {
		at := first
		for d.in.types[at] != t && d.other[at] != 0 {
			at = d.other[at]
		}
		if d.in.types[at] == t {
			return at
		}
		d.other[at] = id
	}
	d.in.types, d.in.machine, d.other = append(d.in.types, t), append(d.in.machine, first), append(d.other, 0)
	return id
}

// unique drops repeated rows; two rows that give one machine in one place
// different prices reject the file, since one of them is wrong. The lines are
// sorted: those about one machine in one place stand side by side.
func (r *reader) unique() error {
	lines := r.out.lines
	about := func(at int) uint64 { return uint64(lines[at].place)<<32 | uint64(r.out.machine[lines[at].typ]) }
	kept := 0
	var original, wrong line // the first row that contradicts, and whom
	for from, next := 0, about(0); from < len(lines); {
		this, to := next, from+1
		for ; to < len(lines); to++ {
			if next = about(to); next != this {
				break
			}
		}
		if to > from+1 {
			first, bad := agree(lines[from:to])
			if bad.row > 0 && (wrong.row == 0 || bad.row < wrong.row) {
				original, wrong = first, bad
			}
			lines[from] = first
		}
		if kept != from {
			lines[kept] = lines[from]
		}
		kept, from = kept+1, to
	}
	if wrong.row > 0 {
		return r.contradiction(original, wrong)
	}
	r.out.lines = lines[:kept]
	return nil
}

// agree returns the first of some lines about one machine in one place, and the
// first that contradicts it; its row is 0 where none does.
func agree(lines []line) (first, wrong line) {
	first = lines[0]
	for _, w := range lines {
		if w.row < first.row {
			first = w
		}
	}
	for _, w := range lines {
		if w.contradicts(first) && (wrong.row == 0 || w.row < wrong.row) {
			wrong = w
		}
	}
	return first, wrong
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
