// SPDX-License-Identifier: MPL-2.0

package snapshot

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/vms"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Build lays rows out as a snapshot.
func Build(in *vms.Rows, content [32]byte, at Stamp) []byte {
	in.Sort()
	b := &builder{in: in, texts: make(map[string]str)}
	b.h.content, b.h.stamp = content, at
	b.types()
	b.places()
	b.reserve()
	var wg sync.WaitGroup
	for m := range markets {
		wg.Go(func() { b.market(m) })
	}
	wg.Wait()
	copy(b.view(secPairs), bytesOf(b.pairs))
	return b.finish()
}

// builder holds what the sections share while they are made.
type builder struct {
	in      *vms.Rows
	h       header
	out     []byte
	strings []byte
	texts   map[string]str
	// typeID renumbers the types of in by size.
	typeID    []uint32
	typeRecs  []typeRec
	names     []uint32
	placeRecs []placeRec
	pairs     []pairRec
	// pairOf is the pair of each renumbered type, -1 for none.
	pairOf []int32
	// priced is how many offers each market has, paired how many of them have
	// accelerators; starts is where those of each price begin.
	priced, paired [2]int
	starts         [2][]uint32
}

// reserve lays the sections out, and fills in those that are known.
func (b *builder) reserve() {
	b.count()
	end := uint64(headerSize)
	room := func(id, size int) {
		b.h.sections[id] = extent{end, uint64(size)}
		end = (end + uint64(size) + 7) &^ 7
	}
	types, names, places := bytesOf(b.typeRecs), bytesOf(b.names), bytesOf(b.placeRecs)
	room(secPairs, len(bytesOf(b.pairs)))
	room(secStrings, len(b.strings)) // those of the pairs first
	room(secTypes, len(types))
	room(secNames, len(names))
	room(secPlaces, len(places))
	for m := range markets {
		base := secMarket + m*perMarket
		for _, id := range []int{secType, secPlace, secByType} {
			room(base+id, 4*b.priced[m])
		}
		room(base+secPrice, 8*b.priced[m])
		room(base+secByPair, 4*b.paired[m])
		room(base+secTypeStart, 4*(len(b.typeID)+1))
	}
	blocks := (end - headerSize + blockSize - 1) >> blockShift
	b.h.checks = extent{end, 4 * blocks}
	b.h.fileSize = end + 4*blocks
	b.out = make([]byte, b.h.fileSize)
	copy(b.view(secTypes), types)
	copy(b.view(secNames), names)
	copy(b.view(secPlaces), places)
	copy(b.view(secStrings), b.strings)
}

// count finds out how many offers each market has, and where those of each
// price begin.
func (b *builder) count() {
	for m := range markets {
		b.starts[m] = make([]uint32, len(b.in.Prices.USD))
	}
	for i := range b.in.Lines {
		w := &b.in.Lines[i]
		paired := 0
		if b.pairOf[b.typeID[w.Type]] >= 0 {
			paired = 1
		}
		for m := range markets {
			if price := w.In(markets[m]); vms.Offered(price) {
				b.starts[m][price]++
				b.priced[m]++
				b.paired[m] += paired
			}
		}
	}
	ascending := b.in.Prices.Ascending()
	for m := range markets {
		next := uint32(0)
		for _, price := range ascending {
			b.starts[m][price], next = next, next+b.starts[m][price]
		}
	}
}

// view is the memory of a section.
func (b *builder) view(id int) []byte {
	e := b.h.sections[id]
	return b.out[e.off:][:e.len]
}

func (b *builder) str(s string) str {
	if at, ok := b.texts[s]; ok {
		return at
	}
	at := str{uint32(len(b.strings)), uint32(len(s))}
	b.strings = append(b.strings, s...)
	b.texts[s] = at
	return at
}

func (b *builder) types() {
	in := b.in.Types
	bySize := b.bySize()
	b.typeID = inverse(bySize)
	// What every query reads lies together, so that it touches few pages.
	for i := range in {
		b.str(fold(in[i].Accelerator.Name))
	}
	recs := make([]typeRec, len(in))
	folds := make([]string, len(in))
	for at, id := range bySize {
		t := &in[id]
		folds[at] = fold(t.Name)
		recs[at] = typeRec{
			name: b.str(t.Name), fold: b.str(folds[at]), acc: b.str(t.Accelerator.Name), arch: b.str(t.Arch),
			vcpus: t.VCPUs, memory: t.MemoryGiB, accCount: t.Accelerator.Count, accMemory: t.AcceleratorMemoryGiB,
			flags: flagsOf(t),
		}
	}
	b.typeRecs = recs
	// Names and their folded forms have much the same order, in which sorting is quick.
	b.names = make([]uint32, len(recs))
	for at, id := range bySize {
		b.names[b.in.ByName[id]] = uint32(at)
	}
	slices.SortFunc(b.names, func(i, j uint32) int {
		return cmp.Or(strings.Compare(folds[i], folds[j]), cmp.Compare(i, j))
	})
	b.makePairs(bySize)
}

func flagsOf(t *cloud.InstanceType) uint64 {
	flags := uint64(t.Traits)
	if t.NotX86() {
		flags |= flagNotX86
	}
	if !t.Accelerator.IsZero() {
		flags |= flagDevices
	}
	return flags
}

// bySize returns the types by vCPUs, memory and name.
func (b *builder) bySize() []uint32 {
	type sized struct {
		vcpus, memory float64
		name, id      uint32
	}
	all := make([]sized, len(b.in.Types))
	for i := range b.in.Types {
		t := &b.in.Types[i]
		all[i] = sized{t.VCPUs, t.MemoryGiB, b.in.ByName[i], uint32(i)}
	}
	slices.SortFunc(all, func(x, y sized) int {
		return cmp.Or(cmp.Compare(x.vcpus, y.vcpus), cmp.Compare(x.memory, y.memory), cmp.Compare(x.name, y.name))
	})
	ids := make([]uint32, len(all))
	for at, s := range all {
		ids[at] = s.id
	}
	return ids
}

// fold is the form in which names are compared.
func fold(s string) string { return strings.ToLower(s) }

func (b *builder) makePairs(bySize []uint32) {
	type pair struct {
		fold, name string
		count      float64
	}
	var all []pair
	of := func(id uint32) pair {
		a := b.in.Types[id].Accelerator
		return pair{fold(a.Name), a.Name, a.Count}
	}
	for _, id := range bySize {
		if !b.in.Types[id].Accelerator.IsZero() {
			all = append(all, of(id))
		}
	}
	compare := func(x, y pair) int { return cmp.Or(strings.Compare(x.fold, y.fold), cmp.Compare(x.count, y.count)) }
	slices.SortFunc(all, compare)
	all = slices.CompactFunc(all, func(x, y pair) bool { return compare(x, y) == 0 })
	for _, p := range all {
		b.pairs = append(b.pairs, pairRec{fold: b.str(p.fold), name: b.str(p.name), count: p.count})
	}
	b.pairOf = make([]int32, len(bySize))
	for at, id := range bySize {
		b.pairOf[at] = -1
		if !b.in.Types[id].Accelerator.IsZero() {
			i, _ := slices.BinarySearchFunc(all, of(id), compare)
			b.pairOf[at] = int32(i)
			b.pairs[i].add(&b.in.Types[id])
		}
	}
}

// add takes in a machine that has the accelerator.
func (p *pairRec) add(t *cloud.InstanceType) {
	if !t.NotX86() {
		p.x86 = 1
	}
	if m := t.AcceleratorMemoryGiB; m > 0 && (p.memory == 0 || m < p.memory) {
		p.memory = m
	}
}

func (b *builder) places() {
	b.placeRecs = make([]placeRec, len(b.in.Places))
	for i, p := range b.in.Places {
		b.placeRecs[i] = placeRec{b.str(p.Region), b.str(p.Zone), uint32(p.Order), uint32(p.Area)}
	}
}

// market ranks the offers of a market: by price, and those of one price in the
// order of the lines. There are far fewer prices than offers.
func (b *builder) market(m int) {
	base := secMarket + m*perMarket
	types, places := recordsOf[uint32](b.view(base+secType)), recordsOf[uint32](b.view(base+secPlace))
	prices := recordsOf[float64](b.view(base + secPrice))
	starts := b.starts[m]
	for i := range b.in.Lines {
		w := &b.in.Lines[i]
		price := w.In(markets[m])
		if !vms.Offered(price) {
			continue
		}
		at := &starts[price]
		types[*at], places[*at], prices[*at] = b.typeID[w.Type], w.Place, b.in.Prices.USD[price]
		*at++
	}
	b.byType(base, types)
	b.byPair(m, types)
}

// byType lists the offers of each type.
func (b *builder) byType(base int, types []uint32) {
	starts := recordsOf[uint32](b.view(base + secTypeStart))
	for _, t := range types {
		starts[t+1]++
	}
	sum(starts)
	next := slices.Clone(starts)
	list := recordsOf[uint32](b.view(base + secByType))
	for i, t := range types {
		list[next[t]] = uint32(i)
		next[t]++
	}
}

// byPair lists the offers of each accelerator in each number.
func (b *builder) byPair(m int, types []uint32) {
	starts := make([]uint32, len(b.pairs)+1)
	for _, t := range types {
		if p := b.pairOf[t]; p >= 0 {
			starts[p+1]++
		}
	}
	sum(starts)
	for i := range b.pairs {
		b.pairs[i].start[m], b.pairs[i].n[m] = starts[i], starts[i+1]-starts[i]
	}
	list := recordsOf[uint32](b.view(secMarket + m*perMarket + secByPair))
	for i, t := range types {
		if p := b.pairOf[t]; p >= 0 {
			list[starts[p]] = uint32(i)
			starts[p]++
		}
	}
}

func (b *builder) finish() []byte {
	checks := recordsOf[uint32](b.out[b.h.checks.off:][:b.h.checks.len])
	body := b.out[headerSize:b.h.checks.off]
	half := len(checks) / 2
	var wg sync.WaitGroup
	wg.Go(func() { fillChecks(checks[:half], body) })
	fillChecks(checks[half:], body[half*blockSize:])
	wg.Wait()
	b.h.checkSum = checksum(bytesOf(checks))
	copy(b.out, b.h.encode())
	return b.out
}

// fillChecks computes the checksums of the first blocks of a text.
func fillChecks(checks []uint32, body []byte) {
	for i := range checks {
		n := min(len(body), blockSize)
		checks[i] = checksum(body[:n])
		body = body[n:]
	}
}

// inverse returns the position of each entry of a permutation.
func inverse(ids []uint32) []uint32 {
	out := make([]uint32, len(ids))
	for at, id := range ids {
		out[id] = uint32(at)
	}
	return out
}

// sum turns counts into where each begins.
func sum(counts []uint32) {
	for i := 1; i < len(counts); i++ {
		counts[i] += counts[i-1]
	}
}
