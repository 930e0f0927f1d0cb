// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
	"github.com/skybroker/terraform-provider-sky/templates"
)

// onShutdown is what a machine's own power-off must do: remove it under
// autodown, else stop it where it can stop.
func (b *Broker) onShutdown(cloudName string, market cloud.Market, cfg *autostop.Config) cloud.Shutdown {
	switch {
	case cfg != nil && cfg.Down:
		return cloud.ShutdownTerminate
	case b.CanStop(cloudName, market) == "":
		return cloud.ShutdownStop
	}
	return ""
}

// render is the cluster's configuration as far as it concerns no node in particular.
func (b *Broker) render(c cluster.Cluster) (clusterconfig.Config, error) {
	tmpl, err := clusterconfig.Load(templates.FS, b.cfg.TemplateDir, c.Cloud)
	if err != nil {
		return clusterconfig.Config{}, err
	}
	return tmpl.Render(varsOf(c))
}

// varsOf are what a template is told of the cluster, whatever the node.
func varsOf(c cluster.Cluster) clusterconfig.Vars {
	return clusterconfig.Vars{
		ClusterName: c.Name, Cloud: c.Cloud, Region: c.Region, Zone: c.Zone,
		InstanceType: c.InstanceType, Accelerator: c.Devices(), Nodes: c.Size,
	}
}

// endCommand is the template's command for the end that autostop wants.
func endCommand(cfg clusterconfig.Config, cloudName string, stop autostop.Config) (string, error) {
	name, command := "self_stop", cfg.SelfStop
	if stop.Down {
		name, command = "self_terminate", cfg.SelfTerminate
	}
	if command == "" {
		return "", fmt.Errorf("the cluster template of %s has no %s, so that autostop could not end the machines", cloudName, name)
	}
	return command, nil
}

// arm brings the watchdog on the head in line with c.Autostop; without one it
// is removed. The clients are those of c.Nodes.
func (b *Broker) arm(ctx context.Context, log *slog.Logger, clients []node, c cluster.Cluster) error {
	var head remote.Shell
	var others []remote.Shell
	var hosts []autostop.Host
	for i, n := range c.Nodes {
		if n.Rank == 0 {
			head = clients[i]
			continue
		}
		others = append(others, clients[i])
		hosts = append(hosts, autostop.Host{
			Rank: n.Rank, Address: n.Address(), Port: cmp.Or(n.SSHPort, 22), User: c.SSHUser, HostKey: n.HostKey,
		})
	}
	if head == nil {
		return fmt.Errorf("cluster %q has no head, which autostop needs", c.Name)
	}
	if c.Autostop == nil {
		return autostop.Disarm(ctx, append([]remote.Shell{head}, others...)...)
	}
	cfg, err := b.render(c)
	if err != nil {
		return err
	}
	end, err := endCommand(cfg, c.Cloud, *c.Autostop)
	if err != nil {
		return err
	}
	by, err := autostop.Arm(ctx, head, others, autostop.Setup{
		Config: *c.Autostop, End: end, Sessions: cfg.SSHSessions, ProcessManager: c.ProcessManager, Others: hosts,
	})
	if err != nil {
		return fmt.Errorf("autostop of cluster %q: %w", c.Name, err)
	}
	log.InfoContext(ctx, "autostop is armed", "after", c.Autostop.IdleText(), "down", c.Autostop.Down,
		"wait_for", string(c.Autostop.WaitFor), "survives_a_reboot_by", string(by))
	return nil
}

// rearm is arm with connections of its own.
func (b *Broker) rearm(ctx context.Context, c cluster.Cluster) error {
	clients, err := b.dialAll(ctx, c)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	return b.arm(ctx, b.log, clients, c)
}

// hold keeps the watchdog of a running cluster, if it has one, from ending it
// while it is being changed.
func (b *Broker) hold(ctx context.Context, c cluster.Cluster) (release func(), err error) {
	if c.Autostop == nil || !c.HeadRuns() {
		return func() {}, nil
	}
	clients, err := b.dialHead(ctx, c)
	if err != nil {
		return nil, err
	}
	end, err := autostop.Hold(ctx, clients[0])
	if err != nil {
		closeAll(clients)
		return nil, fmt.Errorf("cluster %q: %w", c.Name, err)
	}
	return func() {
		end()
		closeAll(clients)
	}, nil
}

// dialHead connects to rank 0 alone.
func (b *Broker) dialHead(ctx context.Context, c cluster.Cluster) ([]node, error) {
	c.Nodes = slices.DeleteFunc(slices.Clone(c.Nodes), func(n cluster.Node) bool { return n.Rank != 0 })
	if len(c.Nodes) == 0 {
		return nil, fmt.Errorf("cluster %q has no head", c.Name)
	}
	return b.dialAll(ctx, c)
}

// drain waits for the end of the jobs that use more than that many nodes, or one
// beyond them.
func (b *Broker) drain(ctx context.Context, c cluster.Cluster, nodes int) error {
	if !c.HeadRuns() {
		return nil // without it no job runs
	}
	clients, err := b.dialHead(ctx, c)
	if err != nil {
		return fmt.Errorf("look for jobs that use the nodes to be removed: %w", err)
	}
	defer closeAll(clients)
	log, closeLog, err := b.folderOf(c).OpenLog()
	if err != nil {
		return err
	}
	defer closeLog()
	var leaving, last []string
	for _, n := range c.Nodes {
		if n.Rank >= nodes {
			leaving = append(leaving, n.Address())
		}
	}
	err = retry.Poll(ctx, retry.Policy{Initial: 500 * time.Millisecond, Max: 5 * time.Second}, func(ctx context.Context) (bool, error) {
		jobs, err := autostop.Running(ctx, clients[0], nodes, leaving...)
		if err != nil {
			return false, retry.Stop(err)
		}
		if !slices.Equal(jobs, last) && len(jobs) > 0 {
			log.InfoContext(ctx, "waiting for jobs on the nodes to be removed", "cluster", c.Name, "jobs", jobs)
		}
		last = jobs
		return len(jobs) == 0, nil
	})
	if err != nil && len(last) > 0 {
		return fmt.Errorf("jobs %v still use the nodes to be removed; wait for them, or cancel them: %w", last, err)
	}
	return err
}

// explain says in the status of a cluster that was found ended whether autostop
// did it. What was said of an end before stays.
func (b *Broker) explain(before cluster.Cluster, fresh *cluster.Cluster) {
	if fresh.Status != cluster.StatusStopped {
		return
	}
	switch {
	case before.Status == cluster.StatusStopped && before.StatusReason != "":
		fresh.StatusReason = before.StatusReason
	case before.Autostop != nil && !before.Autostop.Down:
		fresh.StatusReason = fmt.Sprintf("autostop after %s; seen %s: %s%s",
			before.Autostop.IdleText(), b.cfg.Now().UTC().Format(time.RFC3339), fresh.NodeReasons(), hookBefore(before))
	}
}

// autodown is the cluster whose machines are positively gone, if it was to
// remove itself: it stays a cluster, without machines. Where the cloud remembers
// that somebody else ended them it was not autostop, and gone is returned.
func (b *Broker) autodown(ctx context.Context, c cluster.Cluster, gone error) (cluster.Cluster, error) {
	if c.Autostop == nil || !c.Autostop.Down {
		return c, gone
	}
	endings, err := b.endings(ctx, c)
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
	c.StatusReason = fmt.Sprintf("autostop (down) after %s: the cluster %s; seen %s%s", c.Autostop.IdleText(), who, b.cfg.Now().UTC().Format(time.RFC3339), hookBefore(c))
	c.Nodes = slices.Clone(c.Nodes)
	for i := range c.Nodes {
		n := &c.Nodes[i]
		n.State, n.Reason, n.InternalIP, n.ExternalIP, n.SSHPort = cloud.StateTerminated, "", "", "", 0
	}
	if err := b.removeLeftovers(ctx, c, false); err != nil {
		// Nothing of it costs money, and the removal of the cluster tries again.
		b.log.WarnContext(ctx, "a cluster that removed itself left rules or keys", "cluster", c.Name, "error", err)
	}
	return c, nil
}

// endings are who ended the cluster's machines, as far as the cloud remembers.
func (b *Broker) endings(ctx context.Context, c cluster.Cluster) ([]cloud.Ending, error) {
	session, err := b.openFor(ctx, c)
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

// Autostop says when and how a cluster ends by itself.
type Autostop = autostop.Config

// WaitFor says what keeps a cluster from being idle.
type WaitFor = autostop.WaitFor

// What a cluster waits for before it counts as idle.
const (
	WaitForJobsAndSSH = autostop.JobsAndSSH
	WaitForJobs       = autostop.Jobs
	WaitForNone       = autostop.None
)

// The defaults of Autostop.
const (
	DefaultIdle         = autostop.DefaultIdle
	DefaultHookTimeout  = autostop.DefaultHookTimeout
	DefaultHookHold     = autostop.DefaultHookHold
	DefaultHookHoldDown = autostop.DefaultHookHoldDown
	DefaultUnreadHold   = autostop.DefaultUnreadHold
)
