// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Whose says which of the clusters of one id is meant, as a state has it. What is
// empty is not known.
type Whose struct{ Owner, Account, Generation string }

// FindGeneration returns the cluster of that id and generation as its cloud sees
// it now, be it recorded on this computer or not, and whatever owner this broker
// acts for. An error that is cloud.ErrNotFound means that all its machines are
// positively gone; after any other nothing is known.
func (b *Broker) FindGeneration(ctx context.Context, id string, w Whose) (cluster.Cluster, error) {
	parts, err := cluster.ParseID(id)
	if err != nil {
		return cluster.Cluster{}, err
	}
	c, known := b.recorded(parts[2], id, w)
	if known {
		fresh, err := b.Observe(ctx, c)
		if errors.Is(err, cluster.ErrGone) {
			return c, errors.Join(err, cloud.ErrNotFound)
		}
		if !errors.As(err, new(*cloud.ExtraNodesError)) {
			return fresh, err
		}
	} else {
		c = cluster.Cluster{ID: id, Name: parts[2], Owner: cmp.Or(w.Owner, b.owner), Account: w.Account, Generation: w.Generation, Cloud: parts[0], Region: parts[1]}
	}
	session, err := b.down().OpenFor(ctx, c)
	if err != nil {
		return c, err
	}
	alive, err := b.down().LookTwice(ctx, session, c)
	if err != nil {
		return c, err
	}
	if !known {
		c, err = b.asShown(ctx, session, c, alive)
		if w.Owner == "" && errors.Is(err, cloud.ErrNotFound) {
			//nolint:errorlint // it must not be ErrNotFound: another owner's machines may live
			err = fmt.Errorf("the state does not say whose cluster it is, and this is what a look for generation %s says: %v. Set owner in the provider block to the one that launched it, or forget the job where the cluster is gone",
				w.Generation, err)
		}
		return c, err
	}
	// Another computer has grown it: its machines say what the record does not.
	shown, err := b.asShown(ctx, session, c, b.withoutFailedGrowth(c, alive))
	if err != nil {
		return c, err
	}
	return c.SeenAs(shown), nil
}

// recorded is what this computer knows of the cluster.
func (b *Broker) recorded(name, id string, w Whose) (cluster.Cluster, bool) {
	is := func(c cluster.Cluster) bool { return c.ID == id && (w.Owner == "" || c.Owner == w.Owner) }
	b.mu.Lock()
	c, seen := b.seen[w.Generation]
	b.mu.Unlock()
	if seen && is(c) {
		return c, true
	}
	if g := b.state().Cluster(cmp.Or(w.Owner, b.owner), name).Known().Find(w.Generation); g != nil && g.Cluster != nil && is(*g.Cluster) {
		return *g.Cluster, true
	}
	return cluster.Cluster{}, false
}

// Current is the generation that this process has seen living under an id last;
// empty where it has seen none.
func (b *Broker) Current(id string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	latest := cluster.Cluster{}
	for _, c := range b.seen {
		if c.ID == id && (latest.Generation == "" || c.LaunchedAt > latest.LaunchedAt) {
			latest = c
		}
	}
	return latest.Generation
}
