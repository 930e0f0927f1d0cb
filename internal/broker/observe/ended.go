// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// explain says in the status of a cluster that was found ended whether autostop
// did it. What was said of an end before stays.
func (o Observer) explain(before cluster.Cluster, fresh *cluster.Cluster) {
	if fresh.Status != cluster.StatusStopped {
		return
	}
	switch {
	case before.Status == cluster.StatusStopped && before.StatusReason != "":
		fresh.StatusReason = before.StatusReason
	case before.Autostop != nil && !before.Autostop.Down:
		fresh.StatusReason = fmt.Sprintf("autostop after %s; seen %s: %s%s",
			before.Autostop.IdleText(), o.Down.Now().UTC().Format(time.RFC3339), fresh.NodeReasons(), nodes.HookBefore(before))
	}
}

// autodown is the cluster whose machines are positively gone, if it was to
// remove itself: it stays a cluster, without machines. Where the cloud remembers
// that somebody else ended them it was not autostop, and gone is returned.
func (o Observer) autodown(ctx context.Context, c cluster.Cluster, gone error) (cluster.Cluster, error) {
	if c.Autostop == nil || !c.Autostop.Down {
		return c, gone
	}
	endings, err := o.endings(ctx, c)
	if err != nil {
		return c, fmt.Errorf("cluster %q is gone, and who ended it cannot be asked: %w", c.Name, err)
	}
	if len(endings) > 0 && !slices.Contains(endings, cloud.EndedItself) {
		return c, fmt.Errorf("%w (ended by: %v)", gone, endings)
	}
	who := "removed itself"
	if len(endings) == 0 {
		who = "removed itself, or was removed since"
	}
	c.Status = cluster.StatusTerminated
	c.StatusReason = fmt.Sprintf("autostop (down) after %s: the cluster %s; seen %s%s", c.Autostop.IdleText(), who, o.Down.Now().UTC().Format(time.RFC3339), nodes.HookBefore(c))
	c.Nodes = slices.Clone(c.Nodes)
	for i := range c.Nodes {
		n := &c.Nodes[i]
		n.State, n.Reason, n.InternalIP, n.ExternalIP, n.SSHPort = cloud.StateTerminated, "", "", "", 0
	}
	if err := o.Down.RemoveRules(ctx, c, false); err != nil {
		// Nothing of it costs money, and the removal of the cluster tries again.
		o.Down.Log.WarnContext(ctx, "a cluster that removed itself left rules or keys", "cluster", c.Name, "error", err)
	}
	return c, nil
}

// endings are who ended the cluster's machines, as far as the cloud remembers.
func (o Observer) endings(ctx context.Context, c cluster.Cluster) ([]cloud.Ending, error) {
	session, err := o.Down.OpenFor(ctx, c)
	if err != nil {
		return nil, err
	}
	chronicler, ok := session.Provisioner.(cloud.Chronicler)
	if !ok {
		return nil, nil
	}
	ref := c.Ref()
	ref.Zone, ref.Instances = c.Zone, c.InstanceIDs() // labels may be gone with the machines
	ended, err := chronicler.Ended(ctx, ref)
	var out []cloud.Ending
	for _, inst := range ended {
		if inst.Ending != "" && slices.Contains(c.InstanceIDs(), inst.ID) && !slices.Contains(out, inst.Ending) {
			out = append(out, inst.Ending)
		}
	}
	return out, err
}
