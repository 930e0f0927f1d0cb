// SPDX-License-Identifier: MPL-2.0

package observe

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
// it now, whether it is recorded on this computer or not, and whatever owner this broker
// acts for. An error that is cloud.ErrNotFound means that all its machines are
// positively gone; after any other nothing is known.
func (o Observer) FindGeneration(ctx context.Context, id string, w Whose) (cluster.Cluster, error) {
	parts, err := cluster.ParseID(id)
	if err != nil {
		return cluster.Cluster{}, err
	}
	c, known := o.recorded(parts[2], id, w)
	if known {
		fresh, err := o.Observe(ctx, c)
		if errors.Is(err, cluster.ErrGone) {
			return c, errors.Join(err, cloud.ErrNotFound)
		}
		if !errors.As(err, new(*cloud.ExtraNodesError)) {
			return fresh, err
		}
	} else {
		c = cluster.Cluster{ID: id, Name: parts[2], Owner: cmp.Or(w.Owner, o.Down.Owner), Account: w.Account, Generation: w.Generation, Cloud: parts[0], Region: parts[1]}
	}
	session, err := o.Down.OpenFor(ctx, c)
	if err != nil {
		return c, err
	}
	alive, err := o.Down.LookTwice(ctx, session, c)
	if err != nil {
		return c, err
	}
	if !known {
		c, err = o.asShown(ctx, session, c, alive)
		if w.Owner == "" && errors.Is(err, cloud.ErrNotFound) {
			//nolint:errorlint // it must not be ErrNotFound: another owner's machines may live
			err = fmt.Errorf("the state does not say whose cluster it is, and this is what a look for generation %s says: %v. Set owner in the provider block to the one that launched it, or forget the job where the cluster is gone",
				w.Generation, err)
		}
		return c, err
	}
	// Another computer has grown it: its machines say what the record does not.
	shown, err := o.asShown(ctx, session, c, o.Down.WithoutFailedGrowth(c, alive))
	if err != nil {
		return c, err
	}
	return c.SeenAs(shown), nil
}

// recorded is what this computer knows of the cluster.
func (o Observer) recorded(name, id string, w Whose) (cluster.Cluster, bool) {
	is := func(c cluster.Cluster) bool { return c.ID == id && (w.Owner == "" || c.Owner == w.Owner) }
	if c, seen := o.Held.Memory.Seen(w.Generation); seen && is(c) {
		return c, true
	}
	if g := o.Down.State.Cluster(cmp.Or(w.Owner, o.Down.Owner), name).Known().Find(w.Generation); g != nil && g.Cluster != nil && is(*g.Cluster) {
		return *g.Cluster, true
	}
	return cluster.Cluster{}, false
}
