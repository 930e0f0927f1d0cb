// SPDX-License-Identifier: MPL-2.0

package optimizer

import (
	"hash/maphash"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

const (
	// keptOfPlace is how many candidates of one place are kept, where they fit.
	keptOfPlace = 64
	// kept is how many candidates there may be in all; beyond it, each place keeps
	// half as many. Clouds have some hundred places; where there are more than fit
	// with one candidate each, the worst are given up, but no cloud as a whole.
	kept = 4096
)

// shortlist keeps the best candidates by place while offers are read, so that
// every place stays in the ranking, and memory does not grow with the offers.
type shortlist struct {
	req *Request
	// places holds the candidates of each place, the best first; size is how many
	// there are together, and most how many there may be of one place.
	places map[place][]*candidate
	size   int
	most   int
	// floor is set once places were given up: what is not better than it is of no
	// use, unless it is the first of its cloud and market.
	floor *candidate
	first map[sold]bool
	// seen has the hash of each machine that would do; top are the best candidates
	// of the best machines, the best first.
	seed maphash.Seed
	seen map[uint64]struct{}
	top  []*candidate
}

// place is where, and how far back in what the user ordered, a candidate is.
type place struct {
	cloud, region, zone              string
	market                           cloud.Market
	alternative, ranked, accelerator int
}

// sold is how a cloud sells.
type sold struct {
	cloud  string
	market cloud.Market
}

// machine is what makes a row of its own in the table.
type machine struct {
	cloud, name string
	market      cloud.Market
	acc         cloud.Accelerator
}

func machineOf(o *cloud.Offer) machine {
	return machine{o.Cloud, o.InstanceType.Name, o.Market, o.InstanceType.Accelerator}
}

// add takes a candidate. It is copied if it is kept, and its offer too.
func (s *shortlist) add(c *candidate) {
	if s.places == nil {
		s.places, s.seen, s.seed, s.most = make(map[place][]*candidate), make(map[uint64]struct{}), maphash.MakeSeed(), keptOfPlace
	}
	s.seen[maphash.Comparable(s.seed, machineOf(c.offer))] = struct{}{}
	s.addToTop(c)
	at := s.placeOf(c)
	list := s.places[at]
	if s.floor != nil && len(list) == 0 && s.first[sold{at.cloud, at.market}] && s.compare(c, s.floor) >= 0 {
		return
	}
	if n := len(list); n >= s.most && s.compare(c, list[n-1]) >= 0 {
		return
	}
	i, _ := slices.BinarySearchFunc(list, c, s.compare)
	if len(list) >= s.most {
		list = list[:len(list)-1]
		s.size--
	}
	s.places[at] = slices.Insert(list, i, c.clone())
	if s.size++; s.size > kept {
		s.shrink()
	}
}

// shrink halves how many candidates of a place are kept, until they fit.
func (s *shortlist) shrink() {
	for s.size > kept && s.most > 1 {
		s.most /= 2
		s.size = 0
		for at, list := range s.places {
			clear(list[min(len(list), s.most):])
			s.places[at] = list[:min(len(list), s.most)]
			s.size += len(s.places[at])
		}
	}
	if s.size > kept {
		s.giveUp()
	}
}

// giveUp keeps the best half of the places, and the best of each cloud and market.
// What it gives up cannot come back: half as many as may be kept are better.
func (s *shortlist) giveUp() {
	s.first = make(map[sold]bool)
	for i, c := range s.all() {
		at := s.placeOf(c)
		of := sold{at.cloud, at.market}
		if i >= kept/2 && s.first[of] {
			delete(s.places, at)
			s.size--
		}
		if s.first[of] = true; i == kept/2-1 {
			s.floor = c
		}
	}
}

func (s *shortlist) placeOf(c *candidate) place {
	o := c.offer
	return place{o.Cloud, o.Region, o.Zone, o.Market, c.Alternative, c.market, c.accelerator}
}

func (s *shortlist) compare(a, b *candidate) int { return s.req.compare(a, b) }

// addToTop keeps the best candidate of each of the best machines. One that is
// dropped was worse than those of as many other machines, which only get better.
func (s *shortlist) addToTop(c *candidate) {
	if n := len(s.top); n == tableRows && s.compare(c, s.top[n-1]) >= 0 {
		return
	}
	m := machineOf(c.offer)
	if i := slices.IndexFunc(s.top, func(t *candidate) bool { return machineOf(t.offer) == m }); i >= 0 {
		if s.compare(c, s.top[i]) >= 0 {
			return
		}
		s.top = slices.Delete(s.top, i, i+1)
	}
	i, _ := slices.BinarySearchFunc(s.top, c, s.compare)
	s.top = slices.Insert(s.top, i, c.clone())
	s.top = s.top[:min(len(s.top), tableRows)]
}

// ranked returns what is kept, the best first.
func (s *shortlist) ranked() []*candidate {
	if s.floor != nil {
		s.giveUp() // so that it does not matter in what order offers came
	}
	return s.all()
}

func (s *shortlist) all() []*candidate {
	all := make([]*candidate, 0, s.size)
	for _, list := range s.places {
		all = append(all, list...)
	}
	slices.SortFunc(all, s.compare)
	return all
}

// machines returns how many would do, and the best choice of the best of them.
func (s *shortlist) machines() (int, []Choice) {
	best := make([]Choice, len(s.top))
	for i, c := range s.top {
		best[i] = c.choice(*s.req)
	}
	return len(s.seen), best
}

// clone copies a candidate and its offer, which is good until the next only.
func (c *candidate) clone() *candidate {
	kept := struct {
		candidate
		o cloud.Offer
	}{*c, *c.offer}
	kept.offer = &kept.o
	return &kept.candidate
}

// best keeps the few things that come first by the best offer that has them.
type best struct {
	few  int
	tops []named
	all  map[string]struct{}
}

// named is a name with the best offer that has it.
type named struct {
	name  string
	offer cloud.Offer
}

func (b *best) add(name string, o *cloud.Offer) {
	if b.all == nil {
		b.all = make(map[string]struct{})
	}
	b.all[name] = struct{}{}
	better := func(t named, o *cloud.Offer) int { return cloud.CompareOffers(&t.offer, o) }
	if n := len(b.tops); n == b.few && better(b.tops[n-1], o) <= 0 {
		return
	}
	if i := slices.IndexFunc(b.tops, func(t named) bool { return t.name == name }); i >= 0 {
		if better(b.tops[i], o) <= 0 {
			return
		}
		b.tops = slices.Delete(b.tops, i, i+1)
	}
	i, _ := slices.BinarySearchFunc(b.tops, o, better)
	b.tops = slices.Insert(b.tops, i, named{name, *o})
	b.tops = b.tops[:min(len(b.tops), b.few)]
}

// names returns the first names.
func (b *best) names() []string {
	out := make([]string, len(b.tops))
	for i, t := range b.tops {
		out[i] = t.name
	}
	return out
}
