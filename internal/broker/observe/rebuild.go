// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// asShown is the cluster that the machines found of c show, to a computer that has
// no record of it, or an old one: what c knows already of how to reach it stays.
func (o Observer) asShown(ctx context.Context, session cloud.Session, c cluster.Cluster, alive []cloud.Instance) (cluster.Cluster, error) {
	alive = slices.DeleteFunc(slices.Clone(alive), func(i cloud.Instance) bool { return !i.Committed })
	c.ID = c.Cloud + "/" + c.Region + "/" + c.Name
	if len(alive) == 0 {
		return cluster.Cluster{}, fmt.Errorf("cluster %s of owner %s: %w", c.ID, c.Owner, cloud.ErrNotFound)
	}
	slices.SortFunc(alive, func(x, y cloud.Instance) int { return x.Identity.Rank - y.Identity.Rank })
	first, known := alive[0], c
	c = cluster.Cluster{
		ID: c.ID, Name: c.Name, Owner: c.Owner, Generation: first.Identity.Generation,
		Account: session.Account, Cloud: c.Cloud, Region: c.Region, Zone: first.Zone, InstanceType: first.Type, Market: first.Market,
		Accelerators: first.Notes[cloud.TagAccelerators], Runtime: first.Notes[cloud.TagRuntime], Size: len(alive),
		SSHUser: known.SSHUser, ProcessManager: known.ProcessManager,
	}
	for _, inst := range alive {
		if inst.Identity.Generation != c.Generation {
			return cluster.Cluster{}, fmt.Errorf("cluster %s has machines of two generations, %s and %s; remove one of them first", c.ID, first.ID, inst.ID)
		}
		c.Nodes = append(c.Nodes, cluster.NodeOf(inst, known.HostKeyOf(inst)))
	}
	if err := c.CheckHostKeys(); err != nil {
		return cluster.Cluster{}, err
	}
	if err := o.howToReach(ctx, session, &c); err != nil {
		return cluster.Cluster{}, err
	}
	c.Judge()
	return c, nil
}

// howToReach fills in as whom to log in and how processes are detached: as the
// cloud has it, else as the template says.
func (o Observer) howToReach(ctx context.Context, session cloud.Session, c *cluster.Cluster) error {
	if c.SSHUser != "" && c.ProcessManager != "" {
		return nil
	}
	info, err := session.Describe(ctx, c.Ref())
	if err != nil && !errors.Is(err, cloud.ErrNotFound) { // all are stopped
		return fmt.Errorf("describe cluster %q: %w", c.Name, err)
	}
	cfg, err := o.Reach.Render(*c)
	if err != nil {
		return err
	}
	c.SSHUser, c.ProcessManager = cmp.Or(info.SSHUser, cfg.SSHUser), string(cfg.ProcessManager)
	return nil
}
