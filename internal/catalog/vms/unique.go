// SPDX-License-Identifier: MPL-2.0

package vms

// unique drops repeated rows; two rows that give one machine in one place
// different prices reject the file, since one of them is wrong. The lines are
// sorted: those about one machine in one place stand side by side.
func (r *reader) unique() error {
	lines := r.out.Lines
	about := func(at int) uint64 { return uint64(lines[at].Place)<<32 | uint64(r.out.machine[lines[at].Type]) }
	kept := 0
	var original, wrong Line // the first row that contradicts, and whom
	for from, next := 0, about(0); from < len(lines); {
		this, to := next, from+1
		for ; to < len(lines); to++ {
			if next = about(to); next != this {
				break
			}
		}
		if to > from+1 {
			first, bad := agree(lines[from:to])
			if bad.Row > 0 && (wrong.Row == 0 || bad.Row < wrong.Row) {
				original, wrong = first, bad
			}
			lines[from] = first
		}
		if kept != from {
			lines[kept] = lines[from]
		}
		kept, from = kept+1, to
	}
	if wrong.Row > 0 {
		return r.contradiction(original, wrong)
	}
	r.out.Lines = lines[:kept]
	return nil
}

// agree returns the first of some lines about one machine in one place, and the
// first that contradicts it; its row is 0 where none does.
func agree(lines []Line) (first, wrong Line) {
	first = lines[0]
	for _, w := range lines {
		if w.Row < first.Row {
			first = w
		}
	}
	for _, w := range lines {
		if w.contradicts(first) && (wrong.Row == 0 || w.Row < wrong.Row) {
			wrong = w
		}
	}
	return first, wrong
}

// contradicts reports whether two lines about one machine in one place differ.
func (w Line) contradicts(other Line) bool {
	return w.Price != other.Price || w.Spot != other.Spot || w.Type != other.Type
}

// contradiction says in what two such lines differ.
func (r *reader) contradiction(first, second Line) error {
	row, usd := int(second.Row), r.out.Prices.USD
	switch {
	case first.Price != second.Price:
		return r.fail(row, "Price", "it is %v, while row %d gives the same machine in the same place %v", usd[second.Price], first.Row, usd[first.Price])
	case first.Spot != second.Spot:
		return r.fail(row, "SpotPrice", "it is %v, while row %d gives the same machine in the same place %v", usd[second.Spot], first.Row, usd[first.Spot])
	}
	return r.fail(row, "InstanceType", "row %d describes %s differently", first.Row, r.out.Types[second.Type].Name)
}
