// SPDX-License-Identifier: MPL-2.0

package snapshot

import (
	"math"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// query is a requirement made ready for snapshots.
type query struct {
	cloud, region, zone, name string
	cpus, memory              span
	sized                     bool    // cpus or memory are asked for
	ratio                     float64 // GiB for each vCPU; 0 is none asked for
	market                    [2]bool
	max                       float64 // price of one machine; +Inf is none
	// picky says that types are asked for by name or architecture: by is the
	// requirement then.
	picky bool
	by    *cloud.Requirement
	// refuse are the flags of types that are not taken; those with the flag apart must
	// feed their devices as defaults say.
	refuse, apart uint64
	defaults      cloud.Defaults
	// few holds the accelerators, names folded, unless there are more than fit;
	// a query then stays on its caller's stack.
	few  [2]cloud.Accelerator
	nFew int
	more []cloud.Accelerator
}

// span is an open interval of amounts.
type span struct{ above, below float64 }

func (w *span) holds(v float64) bool { return v > w.above && v < w.below }

// anything is the span of what is not asked for.
func anything() span { return span{math.Inf(-1), math.Inf(1)} }

// slack is what amounts may be off by, as in Quantity.Holds.
const slack = 1e-9

// spanOf returns the amounts that satisfy q, as Quantity.Holds has it: 0 is an
// amount that is not known, and none of them.
func spanOf(q cloud.Quantity) span {
	switch {
	case q.IsZero():
		return anything()
	case q.AtLeast || q.PerVCPU:
		return span{max(q.Value-slack, 0), math.Inf(1)}
	}
	return span{max(q.Value-slack, 0), q.Value + slack}
}

func (q *query) set(r *cloud.Requirement) {
	q.cloud, q.region, q.zone, q.name = r.Cloud, r.Region, r.Zone, r.InstanceType
	if q.name != "" {
		q.name = fold(q.name)
	}
	for i, a := range r.Accelerators {
		a.Name = fold(a.Name)
		if i < len(q.few) {
			q.few[i], q.nFew = a, i+1
		} else {
			q.more = append(q.more, a)
		}
	}
	q.cpus, q.memory, q.ratio, q.max = spanOf(r.CPUs), spanOf(r.Memory), 0, math.Inf(1)
	if r.Memory.PerVCPU {
		q.memory, q.ratio = anything(), r.Memory.Value
	}
	q.sized = !r.CPUs.IsZero() || !r.Memory.IsZero()
	if r.MaxHourlyUSD > 0 {
		q.max = r.MaxHourlyUSD + slack
	}
	q.picky, q.by = r.Arch != "" && r.Arch != cloud.ArchAny || len(r.Families)+len(r.ExcludedTypes) > 0, r
	q.market = [2]bool{len(r.Markets) == 0 || slices.Contains(r.Markets, cloud.OnDemand), slices.Contains(r.Markets, cloud.Spot)}
}

// setDefaults makes the query take what the requirement's defaults take only.
func (q *query) setDefaults(r *cloud.Requirement) {
	q.defaults = r.Defaults()
	q.refuse = uint64(q.defaults.Refused)
	if q.defaults.HostVCPUs+q.defaults.HostMemoryGiB > 0 {
		q.apart = uint64(cloud.DevicesApart)
	}
	if q.defaults.X86 {
		q.refuse |= flagNotX86
	}
	if q.defaults.NoDevices {
		q.refuse |= flagDevices
	}
}

// find returns the numbers of the first limit offers of a market that satisfy
// the query, ascending.
func (s *Snapshot) find(q *query, m int, limit int, into []uint32) []uint32 {
	c := collector{s: s, q: q, m: m, limit: limit, ids: into[:0]}
	if q.cloud != "" && !strings.EqualFold(q.cloud, s.cloud) {
		return c.ids
	}
	switch {
	case q.nFew > 0:
		c.byAccelerator()
	case q.name != "":
		c.byName()
	case q.sized:
		c.bySize()
	default:
		c.inOrder()
	}
	return c.done()
}

// collector gathers offers from lists that are each ascending.
type collector struct {
	s     *Snapshot
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

// full reports whether an offer, and any after it, is known not to matter.
func (c *collector) full(id uint32) bool {
	n := len(c.ids)
	return n > 0 && n == c.limit && n <= keepSorted && id >= c.ids[n-1]
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
		if c.full(id) {
			return
		}
		if *ms.price.at(id) > c.q.max {
			return
		}
		if !c.here(*ms.place.at(id)) || (!checked && !c.fits(c.s.types.at(*ms.typ.at(id)))) {
			continue
		}
		if !c.add(id) {
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
	return t.flags&c.q.refuse == 0 && c.q.cpus.holds(t.vcpus) && c.q.memory.holds(t.memory) &&
		(c.q.ratio == 0 || t.vcpus > 0 && t.memory > 0 && t.memory+slack >= c.q.ratio*t.vcpus) &&
		(c.q.name == "" || c.s.text(t.fold) == c.q.name) &&
		(t.flags&c.q.apart == 0 || c.q.defaults.Feeds(cloud.Traits(t.flags), t.accCount, t.vcpus, t.memory)) &&
		(!c.q.picky || c.named(t))
}

// named reports whether a type is one that is asked for by name or architecture.
func (c *collector) named(t *typeRec) bool {
	of := cloud.InstanceType{Name: c.s.text(t.name), Arch: c.s.text(t.arch)}
	return c.q.by.TakesArch(&of) && c.q.by.TakesFamily(&of) && !c.q.by.Excludes(&of)
}

func (c *collector) byAccelerator() {
	devices := c.s.pairsByName()
	checked := !c.q.sized && c.q.name == "" && !c.q.picky && c.q.refuse|c.q.apart == 0
	for i := range c.q.nFew {
		c.device(devices, &c.q.few[i], checked)
	}
	for i := range c.q.more {
		c.device(devices, &c.q.more[i], checked)
	}
}

// device takes the offers of one accelerator.
func (c *collector) device(devices map[string][]pairRec, want *cloud.Accelerator, checked bool) {
	for _, p := range devices[want.Name] {
		if math.Abs(p.count-want.Count) < 0.01 {
			c.list(c.s.market[c.m].byPair.slice(p.start[c.m], p.n[c.m]), checked)
		}
	}
}

// pairsByName returns the accelerator index as a map. There are some dozens of
// accelerators, however many offers.
func (s *Snapshot) pairsByName() map[string][]pairRec {
	if m := s.devices.Load(); m != nil {
		return *m
	}
	m := make(map[string][]pairRec, len(s.pairs.all))
	for i := range uint32(len(s.pairs.all)) {
		p := s.pairs.at(i)
		name := s.text(p.fold)
		m[name] = append(m[name], *p)
	}
	s.devices.Store(&m)
	return m
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
	s, ms := c.s, &c.s.market[c.m]
	n := uint32(len(s.types.all))
	types, starts := s.types.slice(0, n), ms.typeStart.slice(0, n+1)
	if len(starts) == 0 {
		return
	}
	lo, _ := slices.BinarySearchFunc(types, c.q.cpus.above, func(t typeRec, above float64) int {
		if t.vcpus > above {
			return 1
		}
		return -1
	})
	for i := lo; i < len(types) && types[i].vcpus < c.q.cpus.below; i++ {
		start, end := starts[i], starts[i+1]
		if start >= end || !c.fits(&types[i]) {
			continue
		}
		if c.full(*ms.byType.at(start)) {
			continue
		}
		c.list(ms.byType.slice(start, end-start), true)
	}
}

// inOrder walks all offers, cheapest first.
func (c *collector) inOrder() {
	ms := &c.s.market[c.m]
	for id := uint32(0); id < uint32(len(ms.typ.all)); id++ {
		if len(c.ids) >= c.limit || *ms.price.at(id) > c.q.max {
			return
		}
		if !c.fits(c.s.types.at(*ms.typ.at(id))) {
			continue
		}
		if c.here(*ms.place.at(id)) {
			c.ids = append(c.ids, id)
		}
	}
}
