// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Listed is a cluster that was found on a cloud.
type Listed struct {
	cluster.Cluster
	// Held says that this computer has seen a state hold it, and Known that it has a
	// record of it at all.
	Held, Known bool
}

// List returns the whole clusters that live on a cloud, in the order of their names, as
// their machines show them and as far as the ref matches. An empty owner is this
// broker's own. Machines of launches that were never finished are no cluster.
func (o Observer) List(ctx context.Context, ref cloud.ClusterRef) ([]Listed, error) {
	session, err := o.Down.Clouds.Open(ctx, ref.Cloud)
	if err != nil {
		return nil, err
	}
	ref.Owner = cmp.Or(ref.Owner, o.Down.Owner)
	machines, err := session.Query(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("list the machines of owner %s on %s: %w", ref.Owner, ref.Cloud, err)
	}
	var found []cloud.ClusterRef
	for _, m := range machines {
		one := cloud.ClusterRef{Owner: ref.Owner, Cloud: ref.Cloud, Region: m.Region, Cluster: m.Identity.Cluster, Generation: m.Identity.Generation}
		same := func(r cloud.ClusterRef) bool {
			return r.Cluster == one.Cluster && r.Region == one.Region && r.Generation == one.Generation
		}
		if m.Committed && m.State != cloud.StateTerminating && !slices.ContainsFunc(found, same) {
			found = append(found, one)
		}
	}
	slices.SortFunc(found, func(x, y cloud.ClusterRef) int {
		return cmp.Or(cmp.Compare(x.Cluster, y.Cluster), cmp.Compare(x.Region, y.Region))
	})
	var out []Listed
	for _, one := range found {
		c, err := o.listed(ctx, session, one)
		if err != nil {
			return out, fmt.Errorf("look at cluster %q on %s: %w", one.Cluster, one.Cloud, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// listed is one cluster as it is now.
func (o Observer) listed(ctx context.Context, session cloud.Session, ref cloud.ClusterRef) (Listed, error) {
	g := o.Down.State.Cluster(ref.Owner, ref.Cluster).Known().Find(ref.Generation)
	l := Listed{Known: g != nil, Held: g != nil && g.Recorded}
	c, err := o.findOn(ctx, session, ref)
	if err != nil {
		return l, err
	}
	if l.Cluster, err = o.Observe(ctx, c); err != nil {
		l.Cluster, l.StatusReason = c, err.Error()
	}
	return l, nil
}
