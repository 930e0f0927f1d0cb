// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"iter"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/snapshot"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Over runs a function over the offers of the clouds that satisfy any of the
// requirements in themselves: place, type, accelerators, cpus, memory, market.
// Where none does it is every offer of the clouds, so that the optimizer can say
// what each rule removed. No requirement asks for every offer; nil clouds are all.
//
// The offers may be walked several times; each is good until the next, and they
// take no memory together. What the function made of them is void where a
// catalog turns out to be damaged on the way: it is then run once more.
func (s *Set) Over(ctx context.Context, reqs []cloud.Requirement, clouds []string, run func(offers iter.Seq[*cloud.Offer]) error) ([]Source, error) {
	named := slices.DeleteFunc(slices.Clone(clouds), func(name string) bool {
		return len(reqs) > 0 && !slices.ContainsFunc(reqs, func(r cloud.Requirement) bool { return r.Cloud == "" || r.Cloud == name })
	})
	if len(reqs) > 0 {
		tables, err := s.loaded(ctx, named, true)
		if err != nil {
			return nil, err
		}
		served := false
		if err := over(tables, reqs, func(offers iter.Seq[*cloud.Offer]) error {
			if served = !empty(offers); served {
				return run(offers)
			}
			return nil
		}); err != nil || served {
			return sourcesOf(tables), err
		}
	}
	tables, err := s.loaded(ctx, clouds, true)
	if err != nil {
		return nil, err
	}
	return sourcesOf(tables), over(tables, nil, run)
}

func empty(offers iter.Seq[*cloud.Offer]) bool {
	for range offers {
		return false
	}
	return true
}

// over runs a function over what tables hold, and once more where one of them was
// damaged, repaired.
func over(tables []*table, reqs []cloud.Requirement, run func(offers iter.Seq[*cloud.Offer]) error) error {
	for again := false; ; again = true {
		err := run(eachOf(tables, reqs))
		if !slices.ContainsFunc(tables, func(t *table) bool { return t.snap.Load().Bad() }) {
			return err
		}
		if again {
			return snapshot.ErrTorn
		}
		for _, t := range tables {
			if err := t.use(func(*snapshot.Snapshot) {}); err != nil {
				return err
			}
		}
	}
}

func eachOf(tables []*table, reqs []cloud.Requirement) iter.Seq[*cloud.Offer] {
	return func(yield func(*cloud.Offer) bool) {
		for _, t := range tables {
			for o := range t.snap.Load().Each(reqs) {
				if !yield(o) {
					return
				}
			}
		}
	}
}

// Offers is Over for who wants few offers, and all of them at once.
func (s *Set) Offers(ctx context.Context, reqs []cloud.Requirement, clouds []string) (out []cloud.Offer, sources []Source, err error) {
	sources, err = s.Over(ctx, reqs, clouds, func(offers iter.Seq[*cloud.Offer]) error {
		out = out[:0]
		for o := range offers {
			out = append(out, *o)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return out, sources, nil
}

// Cheapest returns, best first, the limit cheapest offers for each requirement
// (their union): what satisfies it in itself, and its defaults, at no more than MaxHourlyUSD for
// one machine where that is set. It is the fast way to an answer whose order is
// price alone; it returns nothing where nothing satisfies.
func (s *Set) Cheapest(ctx context.Context, reqs []cloud.Requirement, clouds []string, limit int) ([]cloud.Offer, []Source, error) {
	tables, err := s.loaded(ctx, clouds, true)
	if err != nil || limit <= 0 {
		return nil, nil, err
	}
	var out []cloud.Offer
	if reqs, err = s.Resolve(ctx, reqs, clouds); err != nil {
		return nil, nil, err
	}
	for i := range reqs {
		found, err := cheapest(tables, &reqs[i], limit)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, found...)
	}
	if len(reqs) > 1 {
		slices.SortFunc(out, func(a, b cloud.Offer) int { return cloud.CompareOffers(&a, &b) })
		out = slices.Compact(out)
	}
	return out, sourcesOf(tables), nil
}

// Best returns the cheapest offer that satisfies a requirement in itself, and
// whether there is one. It is Cheapest with a limit of one, less what that
// allocates.
func (s *Set) Best(ctx context.Context, req *cloud.Requirement, clouds []string) (cloud.Offer, bool, error) {
	tables, err := s.loaded(ctx, clouds, true)
	if err != nil {
		return cloud.Offer{}, false, err
	}
	found, err := cheapest(tables, req, 1)
	if err != nil || len(found) == 0 {
		return cloud.Offer{}, false, err
	}
	return found[0], true, nil
}

// cheapest asks again when something turned out to be damaged on the way, once
// that is repaired.
func cheapest(tables []*table, r *cloud.Requirement, limit int) ([]cloud.Offer, error) {
	out, ok := tryCheapest(tables, r, limit)
	if ok {
		return out, nil
	}
	for _, t := range tables {
		if err := t.use(func(*snapshot.Snapshot) {}); err != nil {
			return nil, err
		}
	}
	if out, ok = tryCheapest(tables, r, limit); !ok {
		return nil, snapshot.ErrTorn
	}
	return out, nil
}

func tryCheapest(tables []*table, r *cloud.Requirement, limit int) ([]cloud.Offer, bool) {
	var few [8]*snapshot.Snapshot
	snaps := few[:0]
	for _, t := range tables {
		snaps = append(snaps, t.snap.Load())
	}
	return snapshot.Cheapest(snaps, r, limit)
}

// ImageProblem returns what says why an offer cannot run an image; empty is that
// it can. It is made for optimizer.Request.Image, and good as long as ctx is.
func (s *Set) ImageProblem(ctx context.Context) func(o cloud.Offer, image string) string {
	return func(o cloud.Offer, image string) string {
		if _, err := s.Image(ctx, o.Cloud, image, o.Region, o.InstanceType.Arch); err != nil {
			return err.Error()
		}
		return ""
	}
}
