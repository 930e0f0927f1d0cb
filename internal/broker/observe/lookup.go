// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Find returns the cluster with the id "cloud/region/name" that lives there, with
// what the state folder knows of it beside what its machines show. One that lives
// nowhere is as the state folder has it, if it does.
func (o Observer) Find(ctx context.Context, id string) (cluster.Cluster, error) {
	parts, err := cluster.ParseID(id)
	if err != nil {
		return cluster.Cluster{}, err
	}
	session, err := o.Down.Clouds.Open(ctx, parts[0])
	if err != nil {
		return cluster.Cluster{}, err
	}
	c, err := o.findOn(ctx, session, cloud.ClusterRef{Owner: o.Down.Owner, Cluster: parts[2], Cloud: parts[0], Region: parts[1]})
	if errors.Is(err, cloud.ErrNotFound) {
		if g := o.newest(parts[2], func(c cluster.Cluster) bool { return c.ID == id }); g != nil {
			return *g.Cluster, nil
		}
	}
	return c, err
}

// FindByName returns the cluster of that name that lives on one of the clouds, or
// where the state folder has one, as Find does. Clouds that are not enabled are
// passed over; if none is, that is the error.
func (o Observer) FindByName(ctx context.Context, name string, clouds []string) (cluster.Cluster, error) {
	record := o.newest(name, func(cluster.Cluster) bool { return true })
	if record != nil && !slices.Contains(clouds, record.Cluster.Cloud) {
		clouds = append([]string{record.Cluster.Cloud}, clouds...)
	}
	var last error
	asked := 0
	for _, cloudName := range clouds {
		session, err := o.Down.Clouds.Open(ctx, cloudName)
		if err != nil {
			last = err
			continue
		}
		asked++
		c, err := o.findOn(ctx, session, cloud.ClusterRef{Owner: o.Down.Owner, Cluster: name, Cloud: cloudName})
		if !errors.Is(err, cloud.ErrNotFound) {
			return c, err
		}
	}
	switch {
	case record != nil:
		return *record.Cluster, nil
	case asked == 0 && last != nil:
		return cluster.Cluster{}, last
	}
	return cluster.Cluster{}, fmt.Errorf("cluster %q of owner %s: %w", name, o.Down.Owner, cloud.ErrNotFound)
}

// findOn is the cluster that the machines of a name on a cloud show. A stale
// journal is not used: where another generation lives than it knows, the machines
// say what there is to know.
func (o Observer) findOn(ctx context.Context, session cloud.Session, ref cloud.ClusterRef) (cluster.Cluster, error) {
	alive, err := session.Query(ctx, ref)
	if err != nil {
		return cluster.Cluster{}, fmt.Errorf("look for cluster %q on %s: %w", ref.Cluster, ref.Cloud, err)
	}
	alive = slices.DeleteFunc(alive, func(i cloud.Instance) bool { return !i.Committed || i.State == cloud.StateTerminating })
	if len(alive) == 0 {
		return cluster.Cluster{}, fmt.Errorf("cluster %q of owner %s: %w", ref.Cluster, o.Down.Owner, cloud.ErrNotFound)
	}
	ref.Region = alive[0].Region
	g := o.newest(ref.Cluster, func(c cluster.Cluster) bool {
		return c.Cloud == ref.Cloud && slices.ContainsFunc(alive, func(i cloud.Instance) bool {
			return i.Identity.Generation == c.Generation && i.Region == c.Region
		})
	})
	if g != nil && !g.GrownElsewhere(alive) {
		return *g.Cluster, nil
	}
	c := cluster.Cluster{Name: ref.Cluster, Owner: ref.Owner, Cloud: ref.Cloud, Region: ref.Region}
	if g != nil {
		alive = slices.DeleteFunc(alive, func(i cloud.Instance) bool { return i.Identity.Generation != g.ID })
	}
	shown, err := o.asShown(ctx, session, c, slices.DeleteFunc(alive, func(i cloud.Instance) bool { return i.Region != ref.Region }))
	if err == nil && g != nil {
		shown = g.Cluster.SeenAs(shown)
	}
	return shown, err
}

// newest is the newest generation of a name in the journal that is not known to
// be gone and whose cluster fits; nil is none. What cannot be read has none.
func (o Observer) newest(name string, fits func(cluster.Cluster) bool) *journal.Generation {
	for _, g := range slices.Backward(o.Down.Folder(name).Known().Generations()) {
		if g.Cluster != nil && !g.Removed && fits(*g.Cluster) {
			return g
		}
	}
	return nil
}
