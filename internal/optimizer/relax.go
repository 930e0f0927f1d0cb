// SPDX-License-Identifier: MPL-2.0

package optimizer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// tally counts offers, and knows what the cheapest cluster of them costs an hour.
type tally struct {
	n    int
	from float64
}

func (t *tally) add(other tally) {
	if t.n == 0 || other.from < t.from {
		t.from = other.from
	}
	t.n += other.n
}

// nearMisses gathers the offers that fail one or two rules of an alternative: one
// that fails exactly one rule speaks for relaxing it. It keeps counts, and no offer.
type nearMisses struct {
	req   *Request
	index int
	alt   *cloud.Requirement
	ruleset
	single map[int]*left
	pairs  map[[2]int]*tally
}

func (m *nearMisses) add(o *cloud.Offer) {
	var failed [2]int
	n := 0
	rules := m.rules
	if m.defaults.Hold(&o.InstanceType) {
		rules = m.rules[:m.asked]
	}
	for r := range rules {
		if rules[r].ok(o) {
			continue
		}
		if n == len(failed) {
			return
		}
		failed[n] = r
		n++
	}
	if m.strays(failed[:n], o) {
		return
	}
	usd, _ := hourly(*m.req, o)
	switch {
	case n == 1 && !m.rules[failed[0]].fixed:
		m.of(failed[0]).add(m.rules[failed[0]].name, o, usd)
	case n == 2 && !m.rules[failed[0]].fixed && !m.rules[failed[1]].fixed:
		t := m.pairs[failed]
		if t == nil {
			if m.pairs == nil {
				m.pairs = make(map[[2]int]*tally)
			}
			t = &tally{}
			m.pairs[failed] = t
		}
		t.add(tally{1, usd})
	}
}

// strays reports whether an offer fails a rule that names machines, and is none that a
// person would take who names none: advice to name another is about the others. Devices
// do not count, since some clouds sell nothing else.
func (m *nearMisses) strays(failed []int, o *cloud.Offer) bool {
	relaxed, named := cloud.Requirement{}, false
	for _, f := range failed {
		if name := m.rules[f].name; name == "instance_type" || name == "instance_families" {
			if !named {
				relaxed, named = *m.alt, true
			}
			if name == "instance_type" {
				relaxed.InstanceType = ""
			} else {
				relaxed.Families = nil
			}
		}
	}
	if !named {
		return false
	}
	d := relaxed.Defaults()
	d.NoDevices = false
	return !d.Hold(&o.InstanceType)
}

func (m *nearMisses) of(rule int) *left {
	l := m.single[rule]
	if l == nil {
		if m.single == nil {
			m.single = make(map[int]*left)
		}
		l = &left{names: best{few: 3}}
		m.single[rule] = l
	}
	return l
}

// relaxations finds what single change, or else what pair of changes, would
// leave offers.
func (m *nearMisses) relaxations() []Relaxation {
	var out []Relaxation
	for r := range m.rules {
		if l := m.single[r]; l != nil && l.all.n > 0 {
			change, t := m.relax(m.rules[r], l)
			out = append(out, Relaxation{Alternative: m.index, Change: change, Offers: t.n, FromUSD: t.from})
		}
	}
	if len(out) == 0 {
		out = m.pairRelaxations()
	}
	return out
}

// maxPairs bounds how many pairs of changes a user is shown.
const maxPairs = 3

func (m *nearMisses) pairRelaxations() []Relaxation {
	keys := make([][2]int, 0, len(m.pairs))
	for k := range m.pairs {
		keys = append(keys, k)
	}
	devices := func(k [2]int) int {
		if m.rules[k[0]].name == "accelerators" || m.rules[k[1]].name == "accelerators" {
			return 1
		}
		return 0
	}
	slices.SortFunc(keys, func(a, b [2]int) int {
		return cmp.Or(cmp.Compare(devices(a), devices(b)), cmp.Compare(m.pairs[b].n, m.pairs[a].n), cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
	})
	var out []Relaxation
	for _, k := range keys[:min(len(keys), maxPairs)] {
		a, b, t := m.rules[k[0]], m.rules[k[1]], m.pairs[k]
		change := fmt.Sprintf("any %s and any %s (instead of %s, %s)", a.name, b.name, a.want, b.want)
		out = append(out, Relaxation{Alternative: m.index, Change: change, Offers: t.n, FromUSD: t.from})
	}
	return out
}

// left is what fails one rule only, added up by what the rule asks about.
type left struct {
	all tally
	// sizes has vCPUs and memory; near the prices close to the lowest.
	sizes   map[[2]float64]tally
	near    map[float64]int
	devices map[cloud.Accelerator]tally
	prices  Devices
	names   best
}

func (l *left) add(rule string, o *cloud.Offer, usd float64) {
	if rule == "accelerators" && o.InstanceType.Accelerator.IsZero() {
		return // who asks for devices is not helped by a machine without any
	}
	one := tally{1, usd}
	l.all.add(one)
	switch rule {
	case "cpus", "memory":
		into(&l.sizes, [2]float64{o.InstanceType.VCPUs, o.InstanceType.MemoryGiB}, one)
	case "max_hourly_cost":
		l.addPrice(usd)
	case "accelerators":
		into(&l.devices, o.InstanceType.Accelerator, one)
		if l.prices == nil {
			l.prices = make(Devices)
		}
		l.prices.Add(o)
		l.names.add(o.InstanceType.Accelerator.String(), o)
	default:
		if of := placeOf(rule); of != nil {
			l.names.add(of(o), o)
		}
	}
}

func into[K comparable](all *map[K]tally, key K, t tally) {
	if *all == nil {
		*all = make(map[K]tally)
	}
	sum := (*all)[key]
	sum.add(t)
	(*all)[key] = sum
}

// limitStep is what a limit that is proposed is rounded up to: a hundredth of a cent.
const limitStep = 1e-4

// addPrice counts the prices that a limit just above the lowest one allows.
func (l *left) addPrice(usd float64) {
	if l.near == nil {
		l.near = make(map[float64]int)
	}
	if usd > l.all.from+2*limitStep {
		return
	}
	if l.near[usd]++; usd == l.all.from {
		for other := range l.near {
			if other > usd+2*limitStep {
				delete(l.near, other)
			}
		}
	}
}

// relax words the nearest weakening of one rule that the offers left allow, and
// counts those.
func (m *nearMisses) relax(r rule, l *left) (string, tally) {
	switch r.name {
	case "cpus":
		return relaxQuantity(r, m.alt.CPUs, l, func(size [2]float64) float64 { return size[0] })
	case "memory":
		return relaxQuantity(r, m.alt.Memory, l, func(size [2]float64) float64 { return size[1] })
	case "max_hourly_cost":
		limit := math.Ceil(l.all.from*1e4-1e-6) / 1e4
		kept := tally{0, l.all.from}
		for usd, n := range l.near {
			if Within(cloud.Requirement{MaxHourlyUSD: limit}, usd) {
				kept.n += n
			}
		}
		return fmt.Sprintf("max_hourly_cost %s instead of %s",
			strings.TrimPrefix(dollars(limit), "$"), strings.TrimPrefix(dollars(m.alt.MaxHourlyUSD), "$")), kept
	case "accelerators":
		names, kept := l.nearest(m.alt.Accelerators)
		return fmt.Sprintf("accelerators %s instead of %s", names, r.want), kept
	}
	if placeOf(r.name) != nil {
		return fmt.Sprintf("%s %s instead of %s", r.name, l.some(), r.want), l.all
	}
	if r.byDefault {
		return r.instead, l.all
	}
	return "any " + r.name + " instead of " + r.want, l.all
}

// relaxQuantity names the largest amount below a lower bound, or the nearest to
// an exact amount.
func relaxQuantity(r rule, q cloud.Quantity, l *left, of func(size [2]float64) float64) (string, tally) {
	best, nearest := 0.0, math.Inf(1)
	for size := range l.sizes {
		v := of(size)
		if q.PerVCPU {
			v /= max(size[0], 1e-9)
		}
		if near := math.Abs(v - q.Value); near < nearest || (near == nearest && v > best) {
			best, nearest = v, near
		}
	}
	if q.PerVCPU {
		best = math.Floor(best*100) / 100
	}
	weaker := q
	weaker.Value = best
	var kept tally
	for size, t := range l.sizes {
		if weaker.Holds(of(size), size[0]) {
			kept.add(t)
		}
	}
	if kept.n == 0 || best == 0 {
		return "any " + r.name + " instead of " + r.want, l.all
	}
	return fmt.Sprintf("%s %s instead of %s", r.name, weaker, r.want), kept
}

// nearest names the accelerators that are nearest to those wanted, and counts the
// offers that have them. Where none is near it names the cheapest.
func (l *left) nearest(want []cloud.Accelerator) (string, tally) {
	var names []string
	for _, w := range want {
		names = append(names, NearestAccelerators(w, l.prices)...)
	}
	names = dedupe(names)
	if len(names) == 0 {
		return l.some(), l.all
	}
	names = names[:min(len(names), 3)]
	var kept tally
	for a, t := range l.devices {
		if slices.Contains(names, a.String()) {
			kept.add(t)
		}
	}
	return strings.Join(names, " or "), kept
}

// some lists the values of the cheapest offers, a few of them.
func (l *left) some() string {
	names := l.names.names()
	if more := len(l.names.all) - len(names); more > 0 {
		return strings.Join(names, ", ") + fmt.Sprintf(" or %d others", more)
	}
	return strings.Join(names, " or ")
}

func placeOf(rule string) func(o *cloud.Offer) string {
	switch rule {
	case "cloud":
		return func(o *cloud.Offer) string { return o.Cloud }
	case "region":
		return func(o *cloud.Offer) string { return o.Region }
	case "zone":
		return func(o *cloud.Offer) string { return cmp.Or(o.Zone, "(none)") }
	case "instance_type":
		return func(o *cloud.Offer) string { return o.InstanceType.Name }
	case "instance_families":
		return func(o *cloud.Offer) string { return o.InstanceType.Family() }
	case "market":
		return func(o *cloud.Offer) string { return string(o.Market) }
	}
	return nil
}
