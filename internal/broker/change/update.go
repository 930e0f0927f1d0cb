// SPDX-License-Identifier: MPL-2.0

package change

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Changes says what Update must bring up to date.
type Changes struct {
	// Network covers ports, allowed prefixes and labels.
	Network bool
	// Files covers workdir and file mounts.
	Files bool
	// Setup runs the setup script again.
	Setup bool
	// Autostop arms the watchdog anew, or removes it.
	Autostop bool
	// Runtime installs and starts Ray, or ends it.
	Runtime bool
}

// onNodes reports whether something is to be done on the machines themselves.
func (what Changes) onNodes() bool { return what.Files || what.Setup || what.Runtime }

// Update brings a cluster to the spec in place. Its machines and their number
// stay. A stopped one stays stopped: what needs running machines is refused, and
// autostop is noted for its start. After a failed setup the returned cluster
// says so in its status.
func (ch Changer) Update(ctx context.Context, c cluster.Cluster, spec spec.Spec, what Changes) (cluster.Cluster, error) {
	return ch.change(ctx, c, "updating", func(session cloud.Session) (cluster.Cluster, error) {
		switch {
		case c.Status == cluster.StatusTerminated:
			c.Autostop = spec.Autostop
			return c, nil
		case c.Status == cluster.StatusStopped && what.onNodes():
			return c, fmt.Errorf("cluster %q is stopped, and files and setup need running machines", c.Name)
		case what.onNodes(), what.Autostop: // labels and ports take no time, and no SSH
			release, err := ch.Make.Reach.Hold(ctx, c)
			if err != nil {
				return c, err
			}
			defer release()
		}
		return ch.update(ctx, session, c, spec, what)
	})
}

// update does the changes that a cluster is ready for.
func (ch Changer) update(ctx context.Context, session cloud.Session, c cluster.Cluster, spec spec.Spec, what Changes) (cluster.Cluster, error) {
	var err error
	if what.Network || what.Autostop || what.Runtime {
		if c, err = ch.updateNetwork(ctx, session, c, spec, what.Network); err != nil {
			return c, err
		}
	}
	if c.Status == cluster.StatusStopped {
		c.Autostop = spec.Autostop
		return c, nil
	}
	if what.onNodes() {
		if c, err = ch.updateNodes(ctx, c, spec, what); err != nil {
			return c, err
		}
	}
	if !what.Autostop {
		return c, nil
	}
	fresh := c
	fresh.Autostop = spec.Autostop
	if err := ch.Make.Reach.Rearm(ctx, fresh); err != nil {
		return c, err
	}
	if strings.HasPrefix(fresh.StatusReason, nodes.HookFailed) { // perhaps another one by now
		fresh.StatusReason = ""
	}
	return fresh, nil
}

// updateNetwork lets the driver converge labels and rules on what is there, and
// what a power-off does and what stands on the machines; not all is the latter
// alone.
func (ch Changer) updateNetwork(ctx context.Context, session cloud.Session, c cluster.Cluster, spec spec.Spec, all bool) (cluster.Cluster, error) {
	cs, err := ch.Observer.Present(ctx, session, c)
	if err != nil {
		return c, err
	}
	cs.Notes = cluster.NotesOf(cmp.Or(spec.Runtime, c.Runtime), c.Accelerators)
	cs.OnShutdown, cs.LeaveStopped = ch.Down.Clouds.OnShutdown(c.Placement().Offer, spec.Autostop), true
	if all {
		cs.Ports, cs.Labels = spec.Ports, spec.Labels
	}
	if all && len(spec.AllowedCIDRs) > 0 {
		cs.AllowedCIDRs = spec.AllowedCIDRs
	}
	cfg, err := session.Bootstrap(ctx, cs, c.Placement())
	if err != nil {
		return c, fmt.Errorf("update the network of cluster %q: %w", c.Name, err)
	}
	if _, err := session.Run(ctx, cs.Ref, cfg); err != nil {
		return c, fmt.Errorf("update the labels of cluster %q: %w", c.Name, err)
	}
	if !all {
		return c, nil
	}
	if err := session.OpenPorts(ctx, cs.Ref, cfg, spec.Ports); err != nil {
		return c, fmt.Errorf("update the ports of cluster %q: %w", c.Name, err)
	}
	c.AllowedCIDRs = cluster.PrefixTexts(cfg.Spec.AllowedCIDRs)
	return c, nil
}

// updateNodes uploads files and, when asked to, runs setup again.
func (ch Changer) updateNodes(ctx context.Context, c cluster.Cluster, spec spec.Spec, what Changes) (cluster.Cluster, error) {
	log, closeLog, err := ch.Down.FolderOf(c).OpenLog()
	if err != nil {
		return c, err
	}
	defer closeLog()
	if !what.Setup {
		spec.Setup = ""
	}
	clients, err := ch.Make.Reach.DialAll(ctx, c)
	if err != nil {
		return c, err
	}
	defer nodes.CloseAll(clients)
	prepare, err := ch.Make.Reach.PrepareScript(c)
	if err != nil {
		return c, err
	}
	if what.Runtime {
		c.Runtime = spec.Runtime
		if c.Runtime != cluster.RuntimeRay {
			if err := ch.Make.Reach.RayDown(ctx, log, clients, c); err != nil {
				return c, err
			}
		}
	}
	err = ch.Make.Reach.SetUpNodes(ctx, log, clients, c, spec.Work(prepare))
	if setup := (*nodes.SetupError)(nil); errors.As(err, &setup) {
		setup.Kept, setup.Running = true, true
		if setup.Files { // state has the digests of before, so that it is tried again
			return c, err
		}
		c.Status, c.StatusReason = cluster.StatusInit, nodes.SetupReason(setup)
		return c, err
	}
	if err == nil && what.Setup {
		c.StatusReason = ""
		c.Judge()
	}
	return c, err
}
