// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"cmp"
	"hash/crc32"
	"math"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// build lays rows out as a snapshot.
func build(in *rows, content [32]byte, at stamp) []byte {
	b := &builder{in: in, texts: make(map[string]str)}
	b.h.content, b.h.stamp = content, at
	b.out = make([]byte, headerSize, headerSize+64*len(in.lines)+4096)
	b.types()
	b.placeRanks()
	byPlace := b.byPlaceAndName()
	for m := range markets {
		b.market(m, byPlace)
	}
	b.section(secPairs, bytesOf(b.pairs))
	b.section(secStrings, b.strings)
	return b.finish()
}

// builder holds what the sections share while they are made.
type builder struct {
	in      *rows
	h       header
	out     []byte
	strings []byte
	texts   map[string]str
	// typeID renumbers the types of in by size; nameRank and placeRank order them
	// as offers of one price are ordered.
	typeID, nameRank, placeRank []uint32
	pairs                       []pairRec
	// pairOf is the pair of each renumbered type, -1 for none.
	pairOf []int32
}

func (b *builder) section(id int, data []byte) {
	for len(b.out)%8 != 0 {
		b.out = append(b.out, 0)
	}
	b.h.sections[id] = extent{uint64(len(b.out)), uint64(len(data))}
	b.out = append(b.out, data...)
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

func (b *builder) types() {
	in := b.in.types
	bySize := order(len(in), func(i, j uint32) int {
		return cmp.Or(cmp.Compare(in[i].VCPUs, in[j].VCPUs), cmp.Compare(in[i].MemoryGiB, in[j].MemoryGiB), compareNames(&in[i], &in[j]))
	})
	b.typeID = inverse(bySize)
	b.nameRank = inverse(order(len(in), func(i, j uint32) int { return compareNames(&in[i], &in[j]) }))
	recs := make([]typeRec, len(in))
	folds := make([]string, len(in))
	for at, id := range bySize {
		t := &in[id]
		folds[at] = fold(t.Name)
		recs[at] = typeRec{
			name: b.str(t.Name), fold: b.str(folds[at]), acc: b.str(t.Accelerator.Name), arch: b.str(t.Arch),
			vcpus: t.VCPUs, memory: t.MemoryGiB, accCount: t.Accelerator.Count, accMemory: t.AcceleratorMemoryGiB,
		}
	}
	b.section(secTypes, bytesOf(recs))
	b.section(secNames, bytesOf(order(len(recs), func(i, j uint32) int {
		return cmp.Or(strings.Compare(folds[i], folds[j]), cmp.Compare(i, j))
	})))
	b.makePairs(bySize)
}

func compareNames(a, b *cloud.InstanceType) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Accelerator.Name, b.Accelerator.Name),
		cmp.Compare(a.Accelerator.Count, b.Accelerator.Count))
}

// fold is the form in which names are compared.
func fold(s string) string { return strings.ToLower(s) }

func (b *builder) makePairs(bySize []uint32) {
	type pair struct {
		fold  string
		count float64
	}
	var all []pair
	of := func(id uint32) pair {
		a := b.in.types[id].Accelerator
		return pair{fold(a.Name), a.Count}
	}
	for _, id := range bySize {
		if !b.in.types[id].Accelerator.IsZero() {
			all = append(all, of(id))
		}
	}
	compare := func(x, y pair) int { return cmp.Or(strings.Compare(x.fold, y.fold), cmp.Compare(x.count, y.count)) }
	slices.SortFunc(all, compare)
	all = slices.Compact(all)
	for _, p := range all {
		b.pairs = append(b.pairs, pairRec{fold: b.str(p.fold), count: p.count})
	}
	b.pairOf = make([]int32, len(bySize))
	for at, id := range bySize {
		b.pairOf[at] = -1
		if !b.in.types[id].Accelerator.IsZero() {
			i, _ := slices.BinarySearchFunc(all, of(id), compare)
			b.pairOf[at] = int32(i)
		}
	}
}

func (b *builder) placeRanks() {
	in := b.in.places
	recs := make([]placeRec, len(in))
	for i, p := range in {
		recs[i] = placeRec{b.str(p.region), b.str(p.zone)}
	}
	b.section(secPlaces, bytesOf(recs))
	b.placeRank = inverse(order(len(in), func(i, j uint32) int {
		return cmp.Or(strings.Compare(in[i].region, in[j].region), strings.Compare(in[i].zone, in[j].zone))
	}))
}

// priced is a line of the file with its price in one market. Prices are not
// negative, so their bits order as they do.
type priced struct {
	bits uint64
	line uint32
}

// byPlaceAndName lists the lines in the order of region, zone and type.
func (b *builder) byPlaceAndName() []uint32 {
	lines := b.in.lines
	names, _ := group(len(lines), len(b.nameRank), func(i int) int { return int(b.nameRank[lines[i].typ]) })
	places, _ := group(len(lines), len(b.placeRank), func(i int) int { return int(b.placeRank[lines[names[i]].place]) })
	for i, at := range places {
		places[i] = names[at]
	}
	return places
}

// sortPriced sorts by price and keeps the order of equals. Comparing would take
// several times as long.
func sortPriced(all []priced) []priced {
	const digit = 11
	spare := make([]priced, len(all))
	for shift := 0; shift < 64; shift += digit {
		var at [1 << digit]int
		for i := range all {
			at[all[i].bits>>shift&(1<<digit-1)]++
		}
		if len(all) > 0 && at[all[0].bits>>shift&(1<<digit-1)] == len(all) {
			continue
		}
		sum := 0
		for d, n := range at {
			at[d], sum = sum, sum+n
		}
		for _, p := range all {
			d := p.bits >> shift & (1<<digit - 1)
			spare[at[d]] = p
			at[d]++
		}
		all, spare = spare, all
	}
	return all
}

func (b *builder) market(m int, byPlace []uint32) {
	all := make([]priced, 0, len(byPlace))
	for _, i := range byPlace {
		usd := b.in.lines[i].price
		if markets[m] == cloud.Spot {
			usd = b.in.lines[i].spot
		}
		if !math.IsNaN(usd) {
			all = append(all, priced{math.Float64bits(usd), i})
		}
	}
	all = sortPriced(all)
	types, places, prices := make([]uint32, len(all)), make([]uint32, len(all)), make([]float64, len(all))
	for i, p := range all {
		w := &b.in.lines[p.line]
		types[i], places[i], prices[i] = b.typeID[w.typ], w.place, math.Float64frombits(p.bits)
	}
	base := secMarket + m*perMarket
	b.section(base+secType, bytesOf(types))
	b.section(base+secPlace, bytesOf(places))
	b.section(base+secPrice, bytesOf(prices))
	byType, starts := group(len(types), len(b.typeID), func(i int) int { return int(types[i]) })
	b.section(base+secByType, bytesOf(byType))
	b.section(base+secTypeStart, bytesOf(starts))
	byPair, starts := group(len(types), len(b.pairs), func(i int) int { return int(b.pairOf[types[i]]) })
	b.section(base+secByPair, bytesOf(byPair))
	for i := range b.pairs {
		b.pairs[i].start[m], b.pairs[i].n[m] = starts[i], starts[i+1]-starts[i]
	}
}

// group lists the numbers below n by group, in ascending order within each, and
// where each group begins. Groups below zero are left out.
func group(n, groups int, of func(i int) int) (list, starts []uint32) {
	starts = make([]uint32, groups+1)
	for i := range n {
		if g := of(i); g >= 0 {
			starts[g+1]++
		}
	}
	for g := range groups {
		starts[g+1] += starts[g]
	}
	next := slices.Clone(starts)
	list = make([]uint32, starts[groups])
	for i := range n {
		if g := of(i); g >= 0 {
			list[next[g]] = uint32(i)
			next[g]++
		}
	}
	return list, starts
}

func (b *builder) finish() []byte {
	for len(b.out)%8 != 0 {
		b.out = append(b.out, 0)
	}
	var checks []uint32
	for body := b.out[headerSize:]; len(body) > 0; {
		n := min(len(body), blockSize)
		checks = append(checks, crc32.Checksum(body[:n], castagnoli))
		body = body[n:]
	}
	b.h.checks = extent{uint64(len(b.out)), uint64(4 * len(checks))}
	b.h.checkSum = crc32.Checksum(bytesOf(checks), castagnoli)
	b.out = append(b.out, bytesOf(checks)...)
	b.h.fileSize = uint64(len(b.out))
	copy(b.out, b.h.encode())
	return b.out
}
