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
	for m := range markets {
		b.market(m)
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

// offerKey is an offer reduced to numbers that order it.
type offerKey struct {
	price      uint64 // bits; prices are not negative, so they order as numbers do
	tie        uint64
	typ, place uint32
}

func (k *offerKey) compare(o *offerKey) int {
	if k.price != o.price {
		return cmp.Compare(k.price, o.price)
	}
	return cmp.Compare(k.tie, o.tie)
}

// sortKeys sorts by price and tie. It sorts plain integers first, which hold the
// upper bits of the price and the position, and then what those could not tell
// apart; that is several times faster than comparing whole keys.
func sortKeys(keys []offerKey) []offerKey {
	const position = 24
	if len(keys) >= 1<<position {
		slices.SortFunc(keys, func(x, y offerKey) int { return x.compare(&y) })
		return keys
	}
	short := make([]uint64, len(keys))
	for i := range keys {
		short[i] = keys[i].price<<1>>position<<position | uint64(i)
	}
	slices.Sort(short)
	out := make([]offerKey, len(keys))
	begin := 0
	for i, s := range short {
		out[i] = keys[s&(1<<position-1)]
		if i+1 == len(short) || short[i+1]>>position != s>>position {
			if i > begin {
				slices.SortFunc(out[begin:i+1], func(x, y offerKey) int { return x.compare(&y) })
			}
			begin = i + 1
		}
	}
	return out
}

func (b *builder) market(m int) {
	keys := make([]offerKey, 0, len(b.in.lines))
	for i := range b.in.lines {
		w := &b.in.lines[i]
		usd := w.price
		if markets[m] == cloud.Spot {
			usd = w.spot
		}
		if math.IsNaN(usd) {
			continue
		}
		keys = append(keys, offerKey{
			price: math.Float64bits(usd),
			tie:   uint64(b.placeRank[w.place])<<32 | uint64(b.nameRank[w.typ]),
			typ:   b.typeID[w.typ], place: w.place,
		})
	}
	keys = sortKeys(keys)
	types, places, prices := make([]uint32, len(keys)), make([]uint32, len(keys)), make([]float64, len(keys))
	for i := range keys {
		types[i], places[i], prices[i] = keys[i].typ, keys[i].place, math.Float64frombits(keys[i].price)
	}
	base := secMarket + m*perMarket
	b.section(base+secType, bytesOf(types))
	b.section(base+secPlace, bytesOf(places))
	b.section(base+secPrice, bytesOf(prices))
	byType, starts := group(types, len(b.typeID), func(t uint32) int { return int(t) })
	b.section(base+secByType, bytesOf(byType))
	b.section(base+secTypeStart, bytesOf(starts))
	byPair, starts := group(types, len(b.pairs), func(t uint32) int { return int(b.pairOf[t]) })
	b.section(base+secByPair, bytesOf(byPair))
	for i := range b.pairs {
		b.pairs[i].start[m], b.pairs[i].n[m] = starts[i], starts[i+1]-starts[i]
	}
}

// group lists the positions of types by group, in ascending order within each,
// and where each group begins. Groups below zero are left out.
func group(types []uint32, groups int, of func(t uint32) int) (list, starts []uint32) {
	starts = make([]uint32, groups+1)
	for _, t := range types {
		if g := of(t); g >= 0 {
			starts[g+1]++
		}
	}
	for g := range groups {
		starts[g+1] += starts[g]
	}
	next := slices.Clone(starts)
	list = make([]uint32, starts[groups])
	for i, t := range types {
		if g := of(t); g >= 0 {
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
