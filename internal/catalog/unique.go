// SPDX-License-Identifier: MPL-2.0

package catalog

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
