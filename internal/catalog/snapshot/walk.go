// SPDX-License-Identifier: MPL-2.0

package snapshot

import (
	"iter"
	"math"
	"slices"
	"unsafe"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Each hands out the offers that satisfy any of the requirements, whatever they
// cost, each once; without requirements every offer. They come by market and in
// rank order, and each is good until the next. However many there are, it takes
// no more memory than the snapshot's types do.
func (s *Snapshot) Each(reqs []cloud.Requirement) iter.Seq[*cloud.Offer] {
	return func(yield func(*cloud.Offer) bool) {
		for m := range markets {
			if !s.eachOf(m, reqs, yield) {
				return
			}
		}
	}
}

// eachOf is Each in a market. It reports false where no more is wanted.
func (s *Snapshot) eachOf(m int, reqs []cloud.Requirement, yield func(*cloud.Offer) bool) bool {
	queries := make([]query, 0, max(len(reqs), 1))
	narrow := len(reqs) > 0
	for i := range reqs {
		var q query
		q.set(&reqs[i])
		q.max = math.Inf(1)
		if q.market[m] {
			queries = append(queries, q)
			narrow = narrow && (q.nFew > 0 || q.name != "")
		}
	}
	switch {
	case len(reqs) == 0:
		queries = append(queries, query{cpus: anything(), memory: anything(), market: [2]bool{true, true}})
	case len(queries) == 0:
		return true
	case narrow:
		return s.eachFound(m, queries, yield)
	}
	return s.walk(m, queries, yield)
}

// eachFound answers queries that name accelerators or types from the lists of
// these.
func (s *Snapshot) eachFound(m int, queries []query, yield func(*cloud.Offer) bool) bool {
	var ids, found []uint32
	for i := range queries {
		found = s.find(&queries[i], m, math.MaxInt, found)
		ids = append(ids, found...)
	}
	if len(queries) > 1 {
		slices.Sort(ids)
		ids = slices.Compact(ids)
	}
	var o cloud.Offer
	for _, id := range ids {
		if s.fill(&o, m, id); !yield(&o) {
			return false
		}
	}
	return true
}

// wanted is a query worked out for every type and place; there are far fewer of
// them than offers.
type wanted struct{ types, places []bool }

func (s *Snapshot) wanted(m int, q *query) wanted {
	c := collector{s: s, q: q, m: m}
	w := wanted{types: make([]bool, len(s.types.all)), places: make([]bool, len(s.places.all))}
	if q.cloud != "" && fold(q.cloud) != fold(s.cloud) {
		return w
	}
	for i := range w.types {
		t := s.types.at(uint32(i))
		w.types[i] = c.fits(t) && c.accelerates(t)
	}
	for i := range w.places {
		w.places[i] = c.here(uint32(i))
	}
	return w
}

// accelerates reports whether a machine has an accelerator that is asked for.
func (c *collector) accelerates(t *typeRec) bool {
	if c.q.nFew == 0 {
		return true
	}
	name := fold(c.s.text(t.acc))
	has := func(a cloud.Accelerator) bool { return a.Name == name && math.Abs(a.Count-t.accCount) < 0.01 }
	return slices.ContainsFunc(c.q.few[:c.q.nFew], has) || slices.ContainsFunc(c.q.more, has)
}

// walk reads the offers of a market from the first to the last.
func (s *Snapshot) walk(m int, queries []query, yield func(*cloud.Offer) bool) bool {
	all := make([]wanted, len(queries))
	for i := range queries {
		all[i] = s.wanted(m, &queries[i])
	}
	ms := &s.market[m]
	types, places, prices := cursor[uint32]{v: &ms.typ}, cursor[uint32]{v: &ms.place}, cursor[float64]{v: &ms.price}
	var o cloud.Offer
	for id := range uint32(len(ms.typ.all)) {
		t := types.at(id)
		if int(t) >= len(s.types.all) || !slices.ContainsFunc(all, func(w wanted) bool { return w.types[t] }) {
			continue // what is out of range did not verify
		}
		p := places.at(id)
		if int(p) >= len(s.places.all) || !slices.ContainsFunc(all, func(w wanted) bool { return w.types[t] && w.places[p] }) {
			continue
		}
		if s.describe(&o, m, t, p, prices.at(id)); !yield(&o) {
			return false
		}
	}
	return true
}

// cursor reads a section by blocks, ascending, and keeps one of them: what nobody
// else read is verified and forgotten.
type cursor[T any] struct {
	v     *section[T]
	block []T
	from  uint32
	spare []uint64 // aligned memory for a block
}

// at returns record i. Where its block does not verify, the snapshot is bad.
func (c *cursor[T]) at(i uint32) T {
	if i-c.from >= uint32(len(c.block)) {
		c.load(i)
	}
	return c.block[i-c.from]
}

func (c *cursor[T]) load(i uint32) {
	var zero T
	size := uint64(unsafe.Sizeof(zero))
	at := c.v.off + uint64(i)*size
	b := at >> blockShift
	if c.spare == nil {
		c.spare = make([]uint64, blockSize/8)
	}
	block := c.v.s.peek(b, bytesOf(c.spare))
	// A record lies in one block: both are multiples of its size long.
	first := max(b<<blockShift, c.v.off)
	c.from = uint32((first - c.v.off) / size)
	records := recordsOf[T](block[first-b<<blockShift:])
	c.block = records[:min(len(records), len(c.v.all)-int(c.from))]
}

// peek returns a block that is verified, in spare unless it was read before.
func (s *Snapshot) peek(b uint64, spare []byte) []byte {
	from := headerSize + b<<blockShift
	to := min(from+blockSize, s.head.checks.off)
	if s.file == nil || s.seen[b>>5].Load()>>(b&31)&1 != 0 {
		s.verify(b<<blockShift, to-from)
		return s.data[from:to]
	}
	block := spare[:to-from]
	if _, err := s.file.ReadAt(block, int64(from)); err != nil || checksum(block) != s.sums[b] {
		s.bad.Store(true)
	}
	return block
}
