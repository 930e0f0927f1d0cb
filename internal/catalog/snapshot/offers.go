// SPDX-License-Identifier: MPL-2.0

package snapshot

import (
	"cmp"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// hit is an offer not yet written out.
type hit struct {
	snap   *Snapshot
	price  float64
	id     uint32
	market uint8
}

func (h *hit) offer() cloud.Offer { return h.snap.offer(int(h.market), h.id) }

func (h *hit) compare(o *hit) int {
	if c := cmp.Compare(h.price, o.price); c != 0 {
		return c
	}
	if h.snap == o.snap && h.market == o.market {
		return cmp.Compare(h.id, o.id)
	}
	a, b := h.offer(), o.offer()
	return cloud.CompareOffers(&a, &b)
}

// Cheapest returns, best first, the limit cheapest offers of some snapshots that
// satisfy a requirement in itself, and its defaults. It reports false where one is damaged.
func Cheapest(snaps []*Snapshot, r *cloud.Requirement, limit int) ([]cloud.Offer, bool) {
	var q query
	q.set(r)
	q.setDefaults(r)
	// Where one device is found, it has a machine of the default architecture.
	open := len(r.Accelerators) == 1 && r.Arch == ""
	if len(r.Accelerators) > 1 && r.Arch == "" {
		q.settle(snaps)
	}
	var space [16]hit
	hits, ok := q.gather(snaps, limit, space[:0])
	if refused := q.refuse; ok && open && len(hits) == 0 {
		if q.settle(snaps); q.refuse != refused {
			hits, ok = q.gather(snaps, limit, hits)
		}
	}
	if !ok {
		return nil, false
	}
	if len(hits) > 1 {
		slices.SortFunc(hits, func(a, b hit) int { return a.compare(&b) })
	}
	hits = hits[:min(len(hits), limit)]
	out := make([]cloud.Offer, len(hits))
	for i, h := range hits {
		h.snap.fill(&out[i], int(h.market), h.id)
		if h.snap.bad.Load() {
			return nil, false
		}
	}
	return out, true
}

// gather appends the limit cheapest offers of each snapshot and market. It reports
// false where a snapshot is damaged.
func (q *query) gather(snaps []*Snapshot, limit int, hits []hit) ([]hit, bool) {
	var spare [8]uint32
	for _, snap := range snaps {
		for m := range markets {
			if !q.market[m] {
				continue
			}
			for _, id := range snap.find(q, m, limit, spare[:0]) {
				hits = append(hits, hit{snap, *snap.market[m].price.at(id), id, uint8(m)})
			}
		}
		if snap.bad.Load() {
			return nil, false
		}
	}
	return hits, true
}
