// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/snapshot"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Offers returns the offers of the clouds that satisfy any of the requirements
// in themselves: place, type, accelerators, cpus, memory, market. Where none
// does it returns every offer of the clouds, so that the optimizer can say what
// each rule removed. No requirement asks for every offer; nil clouds are all.
func (s *Set) Offers(ctx context.Context, reqs []cloud.Requirement, clouds []string) ([]cloud.Offer, []Source, error) {
	named := slices.DeleteFunc(slices.Clone(clouds), func(name string) bool {
		return len(reqs) > 0 && !slices.ContainsFunc(reqs, func(r cloud.Requirement) bool { return r.Cloud == "" || r.Cloud == name })
	})
	tables, err := s.loaded(ctx, named, true)
	if err != nil {
		return nil, nil, err
	}
	out, err := offersOf(tables, func(snap *snapshot.Snapshot) []cloud.Offer { return snap.Matching(reqs) })
	if err != nil || len(out) > 0 {
		return out, sourcesOf(tables), err
	}
	if tables, err = s.loaded(ctx, clouds, true); err != nil {
		return nil, nil, err
	}
	out, err = offersOf(tables, func(snap *snapshot.Snapshot) []cloud.Offer { return snap.All(nil) })
	return out, sourcesOf(tables), err
}

func offersOf(tables []*table, of func(snap *snapshot.Snapshot) []cloud.Offer) ([]cloud.Offer, error) {
	var out []cloud.Offer
	for _, t := range tables {
		var found []cloud.Offer
		if err := t.use(func(snap *snapshot.Snapshot) { found = of(snap) }); err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// Cheapest returns, best first, the limit cheapest offers for each requirement
// (their union): what satisfies it in itself, at no more than MaxHourlyUSD for
// one machine where that is set. It is the fast way to an answer whose order is
// price alone; it returns nothing where nothing satisfies.
func (s *Set) Cheapest(ctx context.Context, reqs []cloud.Requirement, clouds []string, limit int) ([]cloud.Offer, []Source, error) {
	tables, err := s.loaded(ctx, clouds, true)
	if err != nil || limit <= 0 {
		return nil, nil, err
	}
	var out []cloud.Offer
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
