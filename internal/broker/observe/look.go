// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"context"
	"fmt"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Look returns the cluster as its cloud sees it now.
func (o Observer) Look(ctx context.Context, session cloud.Session, c cluster.Cluster) (cluster.Cluster, error) {
	return o.lookTimes(ctx, session, c, 2)
}

// lookTimes is look that takes so many looks before it finds the cluster gone.
func (o Observer) lookTimes(ctx context.Context, session cloud.Session, c cluster.Cluster, looks int) (cluster.Cluster, error) {
	alive, err := clouds.List(ctx, session, c, looks, o.Down.Gone)
	if err != nil {
		return c, err
	}
	if len(alive) == 0 {
		return c, fmt.Errorf("cluster %q: %w", c.Name, cluster.ErrGone)
	}
	return c.Observed(o.Down.WithoutFailedGrowth(c, alive))
}

// Present is the spec of the machines that are there, by the identities they
// carry; a cluster that has lost some is an error.
func (o Observer) Present(ctx context.Context, session cloud.Session, c cluster.Cluster) (cloud.ClusterSpec, error) {
	return o.PresentNodes(ctx, session, c, c.Size)
}

// PresentNodes is Present for a cluster that must have so many machines.
func (o Observer) PresentNodes(ctx context.Context, session cloud.Session, c cluster.Cluster, want int) (cloud.ClusterSpec, error) {
	alive, err := o.Down.LookTwice(ctx, session, c)
	if err != nil {
		return cloud.ClusterSpec{}, err
	}
	spec := cloud.ClusterSpec{Ref: c.Ref(), SSHUser: c.SSHUser, AllowedCIDRs: c.Prefixes(), Notes: c.Notes()}
	spec.Ref.Zone = c.Zone
	var have []string
	for _, inst := range alive {
		spec.Nodes = append(spec.Nodes, cloud.NodeSpec{Identity: inst.Identity, HostKey: c.HostKeyOf(inst)})
		spec.Attempt = max(spec.Attempt, inst.Identity.Attempt)
		spec.Labels = inst.Labels
		have = append(have, inst.ID)
	}
	if len(have) != want {
		return spec, fmt.Errorf("cluster %q has %d machines (%s) where %d were expected; refresh it, so that the next plan restores it",
			c.Name, len(have), strings.Join(have, ", "), want)
	}
	return spec, nil
}
