// SPDX-License-Identifier: MPL-2.0

package vms

import "bytes"

// record checks the record just scanned and adds it, less what describes the
// machine. It reports whether that was not seen before.
func (r *reader) record() (isNew bool, err error) {
	if n := len(r.scan.fields); n != r.width {
		return false, r.fail(r.scan.row, "", "it has %d fields where the header has %d; the row is cut off, or a field with commas (GpuInfo?) is not quoted", n, r.width)
	}
	w := Line{Row: uint32(r.scan.row)}
	w.Type, isNew = r.machine()
	if w.Place, err = r.place(); err != nil {
		return false, err
	}
	if w.Price, err = r.price(colPrice); err != nil {
		return false, err
	}
	if w.Spot, err = r.price(colSpot); err != nil {
		return false, err
	}
	if len(r.out.Lines) == cap(r.out.Lines) {
		r.room()
	}
	r.out.Lines = append(r.out.Lines, w)
	return isNew, nil
}

// room makes room for the lines to come, if they are as long as those so far.
// Memory that none of them needs is never touched, and so costs nothing.
func (r *reader) room() {
	s := r.scan
	seen, lines := s.before+int64(s.pos), len(r.out.Lines)
	if lines == 0 {
		seen, lines = int64(len(s.all)), bytes.Count(s.all, []byte("\n"))
	}
	all := int64(lines) * s.feed.size / max(seen, 1)
	grown := make([]Line, len(r.out.Lines), max(int(all+all/4), len(r.out.Lines)+16))
	copy(grown, r.out.Lines)
	r.out.Lines = grown
}

// price numbers a price of the record just scanned.
func (r *reader) price(col int) (uint32, error) {
	f := r.field(col)
	if len(f) == 0 {
		return priceBlank, nil
	}
	text := shortText(f)
	known := &r.priceTexts[text*spread>>(64-priceTextBits)]
	if text != 0 && known.text == text {
		return known.number, nil
	}
	usd, problem := price(f)
	if problem != "" {
		return 0, r.fail(r.scan.row, columnNames[col], "%s", problem)
	}
	*known = priceText{text, r.out.Prices.number(usd)}
	return known.number, nil
}

// machine returns the number of the text that describes the machine. Most rows
// repeat that of the row above.
func (r *reader) machine() (id uint32, isNew bool) {
	if r.scan.same && len(r.beside) == 0 {
		return r.last, false
	}
	key := r.scan.head
	if len(r.beside) > 0 {
		r.key = append(r.key[:0], key...)
		for _, at := range r.beside {
			r.key = append(append(r.key, 0), r.scan.fields[at]...)
		}
		key = r.key
	}
	id, ok := r.machines[string(key)]
	if !ok {
		id = uint32(len(r.where))
		r.fresh = string(key)
		r.machines[r.fresh] = id
		r.where = append(r.where, r.scan.row)
	}
	r.last = id
	return id, !ok
}

// place numbers where the record just scanned is. Files list the places of one
// machine in the order of those of the machine before.
func (r *reader) place() (uint32, error) {
	if r.scan.guessed {
		r.lastPlace = r.next[r.lastPlace]
	} else if err := r.lookUpPlace(); err != nil {
		return 0, err
	}
	r.scan.guess = r.endings[r.next[r.lastPlace]]
	return r.lastPlace, nil
}

func (r *reader) lookUpPlace() error {
	region, zone := r.field(colRegion), r.field(colZone)
	id, ok := uint32(0), false
	if len(r.next) > 0 {
		id = r.next[r.lastPlace]
		p := &r.out.Places[id]
		ok = p.Region == string(region) && p.Zone == string(zone)
	}
	if !ok {
		id, ok = r.placeIDs[Place{string(region), string(zone)}]
	}
	if !ok {
		var err error
		if id, err = r.newPlace(region, zone); err != nil {
			return err
		}
	}
	r.next[r.lastPlace] = id
	r.lastPlace = id
	return nil
}

func (r *reader) newPlace(regionText, zoneText []byte) (uint32, error) {
	p := Place{string(regionText), string(zoneText)}
	problem := badName(p.Region)
	if p.Region == "" {
		problem = "it is blank"
	}
	if problem != "" {
		return 0, r.fail(r.scan.row, "Region", "%s", problem)
	}
	if problem := badName(p.Zone); problem != "" {
		return 0, r.fail(r.scan.row, "AvailabilityZone", "%s", problem)
	}
	var end *ending
	if r.scan.guessAfter >= 0 {
		end = r.scan.ending()
	}
	r.next, r.endings = append(r.next, 0), append(r.endings, end)
	return intern(r.placeIDs, &r.out.Places, p), nil
}

func intern[T comparable](ids map[T]uint32, all *[]T, v T) uint32 {
	id, ok := ids[v]
	if !ok {
		id = uint32(len(*all))
		ids[v] = id
		*all = append(*all, v)
	}
	return id
}
