// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// notesOf are the notes on a cluster's machines.
func notesOf(runtime, accelerators string) map[string]string {
	return map[string]string{cloud.TagRuntime: cmp.Or(runtime, RuntimeSSH), cloud.TagAccelerators: accelerators}
}

func (c Cluster) notes() map[string]string { return notesOf(c.Runtime, c.Accelerators) }

// hostKeyOf is the pinned key of a machine of the cluster, empty where it is not known.
func (c Cluster) hostKeyOf(inst cloud.Instance) string {
	for _, n := range c.Nodes {
		if n.InstanceID == inst.ID {
			return n.HostKey
		}
	}
	return ""
}

// asShown is the cluster that the machines found of c show, to a computer that has
// no record of it, or an old one: what c knows already of how to reach it stays.
func (b *Broker) asShown(ctx context.Context, session cloud.Session, c Cluster, alive []cloud.Instance) (Cluster, error) {
	alive = slices.DeleteFunc(slices.Clone(alive), func(i cloud.Instance) bool { return !i.Committed })
	c.ID = c.Cloud + "/" + c.Region + "/" + c.Name
	if len(alive) == 0 {
		return Cluster{}, fmt.Errorf("cluster %s of owner %s: %w", c.ID, c.Owner, cloud.ErrNotFound)
	}
	slices.SortFunc(alive, func(x, y cloud.Instance) int { return x.Identity.Rank - y.Identity.Rank })
	first, known := alive[0], c
	c = Cluster{
		ID: c.ID, Name: c.Name, Owner: c.Owner, Generation: first.Identity.Generation,
		Account: session.Account, Cloud: c.Cloud, Region: c.Region, Zone: first.Zone, InstanceType: first.Type, Market: first.Market,
		Accelerators: first.Notes[cloud.TagAccelerators], Runtime: first.Notes[cloud.TagRuntime], Size: len(alive),
		SSHUser: known.SSHUser, ProcessManager: known.ProcessManager,
	}
	for _, inst := range alive {
		if inst.Identity.Generation != c.Generation {
			return Cluster{}, fmt.Errorf("cluster %s has machines of two generations, %s and %s; remove one of them first", c.ID, first.ID, inst.ID)
		}
		c.Nodes = append(c.Nodes, nodeOf(inst, known.hostKeyOf(inst)))
	}
	if err := c.checkHostKeys(); err != nil {
		return Cluster{}, err
	}
	if err := b.howToReach(ctx, session, &c); err != nil {
		return Cluster{}, err
	}
	c.judge()
	return c, nil
}

// checkHostKeys refuses a cluster whose machines nobody could tell from others'.
func (c Cluster) checkHostKeys() error {
	for _, n := range c.Nodes {
		if n.HostKey == "" {
			return &MissingHostKeyError{Cluster: c.Name, Rank: n.Rank, InstanceID: n.InstanceID}
		}
	}
	return nil
}

// MissingHostKeyError says that the host key of a machine is not known here, so
// that nothing may connect to it.
type MissingHostKeyError struct {
	Cluster, InstanceID string
	Rank                int
}

// Error implements error; it says how to go on.
func (e *MissingHostKeyError) Error() string {
	return fmt.Sprintf("the host key of rank %d of cluster %q (%s) is not known, so that it cannot be told from another machine: it does not carry the tag %s. "+
		"Machines that an earlier release launched have it once the cluster is changed where its host keys are in state: add a label, for instance, and apply",
		e.Rank, e.Cluster, e.InstanceID, cloud.TagHostKey)
}

// howToReach fills in as whom to log in and how processes are detached: as the
// cloud has it, else as the template says.
func (b *Broker) howToReach(ctx context.Context, session cloud.Session, c *Cluster) error {
	if c.SSHUser != "" && c.ProcessManager != "" {
		return nil
	}
	info, err := session.Describe(ctx, c.ref())
	if err != nil && !errors.Is(err, cloud.ErrNotFound) { // all are stopped
		return fmt.Errorf("describe cluster %q: %w", c.Name, err)
	}
	cfg, err := b.render(*c)
	if err != nil {
		return err
	}
	c.SSHUser, c.ProcessManager = cmp.Or(info.SSHUser, cfg.SSHUser), string(cfg.ProcessManager)
	return nil
}
