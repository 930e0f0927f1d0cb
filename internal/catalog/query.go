// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"math"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// query is a requirement made ready for snapshots.
type query struct {
	cloud, region, zone, name string
	accs                      []cloud.Accelerator // names folded
	cpus, memory              cloud.Quantity
	market                    [2]bool
	max                       float64 // price of one machine; +Inf is none
	// inline holds accs where there are few.
	inline [2]cloud.Accelerator
}

func (q *query) set(r *cloud.Requirement) {
	q.cloud, q.region, q.zone, q.name = r.Cloud, r.Region, r.Zone, r.InstanceType
	if q.name != "" {
		q.name = fold(q.name)
	}
	q.accs = q.inline[:0]
	for _, a := range r.Accelerators {
		q.accs = append(q.accs, cloud.Accelerator{Name: fold(a.Name), Count: a.Count})
	}
	q.cpus, q.memory, q.max = r.CPUs, r.Memory, math.Inf(1)
	if r.MaxHourlyUSD > 0 {
		q.max = r.MaxHourlyUSD
	}
	q.market = [2]bool{len(r.Markets) == 0 || slices.Contains(r.Markets, cloud.OnDemand), slices.Contains(r.Markets, cloud.Spot)}
}

// find returns the numbers of the first limit offers of a market that satisfy
// the query, ascending.
func (s *snapshot) find(q *query, m int, limit int, into []uint32) []uint32 {
	c := collector{s: s, q: q, m: m, limit: limit, ids: into[:0]}
	if q.cloud != "" && !strings.EqualFold(q.cloud, s.cloud) {
		return c.ids
	}
	switch {
	case len(q.accs) > 0:
		c.byAccelerator()
	case q.name != "":
		c.byName()
	case !q.cpus.IsZero() || !q.memory.IsZero():
		c.bySize()
	default:
		c.inOrder()
	}
	return c.done()
}

// collector gathers offers from lists that are each ascending.
type collector struct {
	s     *snapshot
	q     *query
	m     int
	limit int
	ids   []uint32
}

// keepSorted bounds the limit up to which ids are kept in order as they come.
const keepSorted = 64

// add takes an offer. It reports false when the rest of an ascending list
// cannot matter.
func (c *collector) add(id uint32) bool {
	if c.limit > keepSorted {
		c.ids = append(c.ids, id)
		return true
	}
	n := len(c.ids)
	if n == c.limit {
		if n == 0 || id >= c.ids[n-1] {
			return false
		}
		n--
		c.ids = c.ids[:n]
	}
	for n > 0 && c.ids[n-1] > id {
		n--
	}
	if n > 0 && c.ids[n-1] == id {
		return true
	}
	c.ids = slices.Insert(c.ids, n, id)
	return true
}

func (c *collector) done() []uint32 {
	if c.limit > keepSorted {
		slices.Sort(c.ids)
		c.ids = slices.Compact(c.ids)
		c.ids = c.ids[:min(len(c.ids), c.limit)]
	}
	return c.ids
}

// list takes from one ascending list of offers. checked says that the machines
// are known to satisfy the query.
func (c *collector) list(ids []uint32, checked bool) {
	ms := &c.s.market[c.m]
	for _, id := range ids {
		if n := len(c.ids); n > 0 && n == c.limit && id >= c.ids[n-1] && c.limit <= keepSorted {
			return
		}
		if *ms.price.at(id) > c.q.max {
			return
		}
		if !checked && !c.fits(c.s.types.at(*ms.typ.at(id))) {
			continue
		}
		if c.here(*ms.place.at(id)) && !c.add(id) {
			return
		}
	}
}

// here reports whether a place satisfies the query.
func (c *collector) here(place uint32) bool {
	if c.q.region == "" && c.q.zone == "" {
		return true
	}
	p := c.s.places.at(place)
	return (c.q.region == "" || strings.EqualFold(c.q.region, c.s.text(p.region))) &&
		(c.q.zone == "" || strings.EqualFold(c.q.zone, c.s.text(p.zone)))
}

// fits reports whether a machine satisfies the query, its accelerator aside.
func (c *collector) fits(t *typeRec) bool {
	return c.q.cpus.Holds(t.vcpus, t.vcpus) && c.q.memory.Holds(t.memory, t.vcpus) &&
		(c.q.name == "" || c.s.text(t.fold) == c.q.name)
}

func (c *collector) byAccelerator() {
	s := c.s
	any := c.q.cpus.IsZero() && c.q.memory.IsZero() && c.q.name == ""
	for i := range c.q.accs {
		want := &c.q.accs[i]
		n := uint32(len(s.pairs.all))
		for at := s.firstPair(want.Name); at < n; at++ {
			p := s.pairs.at(at)
			if s.text(p.fold) != want.Name {
				break
			}
			if math.Abs(p.count-want.Count) < 0.01 {
				c.list(s.market[c.m].byPair.slice(p.start[c.m], p.n[c.m]), any)
			}
		}
	}
}

// firstPair returns the position of the first pair of that name, or where it
// would be.
func (s *snapshot) firstPair(name string) uint32 {
	lo, hi := uint32(0), uint32(len(s.pairs.all))
	for lo < hi {
		mid := (lo + hi) / 2
		if s.text(s.pairs.at(mid).fold) < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

func (c *collector) byName() {
	s := c.s
	lo, hi := uint32(0), uint32(len(s.names.all))
	for lo < hi {
		mid := (lo + hi) / 2
		if s.text(s.types.at(*s.names.at(mid)).fold) < c.q.name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for ; lo < uint32(len(s.names.all)); lo++ {
		id := *s.names.at(lo)
		t := s.types.at(id)
		if s.text(t.fold) != c.q.name {
			return
		}
		if c.fits(t) {
			c.list(c.ofType(id), true)
		}
	}
}

// ofType returns the offers of a type.
func (c *collector) ofType(id uint32) []uint32 {
	ms := &c.s.market[c.m]
	start := *ms.typeStart.at(id)
	end := *ms.typeStart.at(id + 1)
	if end < start {
		c.s.bad.Store(true)
		return nil
	}
	return ms.byType.slice(start, end-start)
}

// bySize walks the types, which lie in order of vCPUs, from the first that has
// enough to the last that has not too many.
func (c *collector) bySize() {
	s := c.s
	n := uint32(len(s.types.all))
	lo, hi := uint32(0), n
	for q := c.q.cpus; !q.IsZero() && lo < hi; {
		mid := (lo + hi) / 2
		if s.types.at(mid).vcpus < q.Value-1e-6 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if c.q.cpus.IsZero() {
		lo = 0
	}
	exact := !c.q.cpus.IsZero() && !c.q.cpus.AtLeast && !c.q.cpus.PerVCPU
	for ; lo < n; lo++ {
		t := s.types.at(lo)
		if exact && t.vcpus > c.q.cpus.Value+1e-6 {
			return
		}
		if c.fits(t) {
			c.list(c.ofType(lo), true)
		}
	}
}

// inOrder walks all offers, cheapest first.
func (c *collector) inOrder() {
	ms := &c.s.market[c.m]
	for id := uint32(0); id < uint32(len(ms.typ.all)); id++ {
		if len(c.ids) >= c.limit || *ms.price.at(id) > c.q.max {
			return
		}
		if c.here(*ms.place.at(id)) {
			c.ids = append(c.ids, id)
		}
	}
}
