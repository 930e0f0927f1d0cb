// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// FindByName returns the cluster of that name: as recorded in the state folder,
// else the one that the given clouds hold. Clouds that are not enabled are
// passed over; if none is, that is the error.
func (b *Broker) FindByName(ctx context.Context, name string, clouds []string) (Cluster, error) {
	j, err := readJournal(b.ClusterDir(name))
	if err != nil {
		return Cluster{}, err
	}
	for _, g := range slices.Backward(j.generations()) {
		if g.Cluster != nil && !g.Removed {
			return *g.Cluster, nil
		}
	}
	if err := b.owned(); err != nil {
		return Cluster{}, err
	}
	var last error
	asked := 0
	for _, cloudName := range clouds {
		session, err := b.session(ctx, cloudName)
		if err != nil {
			last = err
			continue
		}
		asked++
		alive, err := session.Query(ctx, cloud.ClusterRef{Owner: b.owner, Cluster: name, Cloud: cloudName})
		if err != nil {
			return Cluster{}, fmt.Errorf("look for cluster %q on %s: %w", name, cloudName, err)
		}
		for _, inst := range alive {
			if inst.Committed {
				return b.findInCloud(ctx, cloudName, inst.Region, name)
			}
		}
	}
	if asked == 0 && last != nil {
		return Cluster{}, last
	}
	return Cluster{}, fmt.Errorf("cluster %q of owner %s: %w", name, b.owner, cloud.ErrNotFound)
}
