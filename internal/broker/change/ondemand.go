// SPDX-License-Identifier: MPL-2.0

package change

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// What somebody asks for beside the configuration: a stop, a start, more time. It is
// asked for by the cluster's id alone, perhaps on a computer that knows no more of it
// than its machines show. So nothing here takes what is not known for what is not there.

// stoppedByAction is the note on machines that Rest stopped.
const stoppedByAction = "action"

// Rest stops the cluster's machines and notes on them that somebody wanted it so:
// Observe says it in the status, and no plan takes it for drift. The note comes first;
// on machines that run it says nothing.
func (ch Changer) Rest(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error) {
	if why := ch.Down.Clouds.CannotStop(c.Placement().Offer); why != "" {
		return c, fmt.Errorf("cluster %q: %s", c.Name, why)
	}
	return ch.onDemand(ctx, c, "stopping", func(session cloud.Session) (cluster.Cluster, error) {
		cs, err := ch.Observer.PresentNodes(ctx, session, c, len(c.Nodes)-len(c.Lost()))
		if err != nil {
			return c, err
		}
		cs.Notes, cs.LeaveStopped = map[string]string{cloud.TagAtRest: stoppedByAction}, true
		if cs.AllowedCIDRs, err = ch.sources(ctx, session, c); err != nil {
			return c, err
		}
		cfg, err := session.Bootstrap(ctx, cs, c.Placement())
		if err == nil {
			_, err = session.Run(ctx, cs.Ref, cfg)
		}
		if err != nil {
			return c, fmt.Errorf("note on the machines of cluster %q that they are to stop: %w", c.Name, err)
		}
		return ch.stop(ctx, session, c)
	})
}

// Wake starts the stopped machines of a cluster in place, as Start does. Its autostop
// is armed as it was: as this computer has it on record, else as the head has it.
func (ch Changer) Wake(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error) {
	return ch.onDemand(ctx, c, "starting", func(session cloud.Session) (cluster.Cluster, error) {
		sources, err := ch.sources(ctx, session, c)
		if err != nil {
			return c, err
		}
		c.AllowedCIDRs = cluster.PrefixTexts(sources)
		if c.OnRecord() {
			return ch.resume(ctx, session, c, ch.asIn(c, spec.Spec{Autostop: c.Autostop}))
		}
		return ch.resume(ctx, session, c, awake{autostop: func(ctx context.Context, head nodes.Node) (*autostop.Config, error) {
			return autostop.Armed(ctx, head)
		}})
	})
}

// Extend keeps the cluster's autostop from ending it for that long, and returns until
// when. A cluster without autostop is an error.
func (ch Changer) Extend(ctx context.Context, c cluster.Cluster, by time.Duration) (time.Time, error) {
	if !c.HeadRuns() {
		return time.Time{}, fmt.Errorf("cluster %q is %s, and only one that runs has time to extend", c.Name, c.Status)
	}
	clients, err := ch.Make.Reach.DialHead(ctx, c)
	if err != nil {
		return time.Time{}, err
	}
	defer nodes.CloseAll(clients)
	if err := autostop.Extend(ctx, clients[0], by); err != nil {
		return time.Time{}, fmt.Errorf("cluster %q: %w", c.Name, err)
	}
	return ch.Down.Now().Add(by), nil
}

// sources are who may reach the cluster, so that what is done on demand leaves them.
func (ch Changer) sources(ctx context.Context, session cloud.Session, c cluster.Cluster) ([]netip.Prefix, error) {
	gate, ok := session.Provisioner.(cloud.Gatekeeper)
	if known := c.Prefixes(); len(known) > 0 || !ok {
		return known, nil
	}
	found, err := gate.Sources(ctx, c.Ref())
	if err != nil {
		return nil, fmt.Errorf("look who may reach cluster %q: %w", c.Name, err)
	}
	return found, nil
}

// onDemand is change that makes no record of a cluster that this computer has none of:
// it would hold but half of what there is to know.
func (ch Changer) onDemand(ctx context.Context, c cluster.Cluster, doing string, op func(cloud.Session) (cluster.Cluster, error)) (cluster.Cluster, error) {
	if ch.Down.FolderOf(c).Known().Find(c.Generation) != nil {
		return ch.change(ctx, c, doing, op)
	}
	session, err := ch.Down.OpenFor(ctx, c)
	if err != nil {
		return c, err
	}
	return op(session)
}
