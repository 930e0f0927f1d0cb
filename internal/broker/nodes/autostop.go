// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// EndCommand is the template's command for the end that autostop wants.
func EndCommand(cfg clusterconfig.Config, cloudName string, stop autostop.Config) (string, error) {
	name, command := "self_stop", cfg.SelfStop
	if stop.Down {
		name, command = "self_terminate", cfg.SelfTerminate
	}
	if command == "" {
		return "", fmt.Errorf("the cluster template of %s has no %s, so that autostop could not end the machines", cloudName, name)
	}
	return command, nil
}

// Arm brings the watchdog on the head in line with c.Autostop; without one it
// is removed. The clients are those of c.Nodes.
func (via Reach) Arm(ctx context.Context, log *slog.Logger, clients []Node, c cluster.Cluster) error {
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
	cfg, err := via.Render(c)
	if err != nil {
		return err
	}
	end, err := EndCommand(cfg, c.Cloud, *c.Autostop)
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

// Rearm is arm with connections of its own.
func (via Reach) Rearm(ctx context.Context, c cluster.Cluster) error {
	clients, err := via.DialAll(ctx, c)
	if err != nil {
		return err
	}
	defer CloseAll(clients)
	return via.Arm(ctx, via.Log, clients, c)
}

// Hold keeps the watchdog of a running cluster, if it has one, from ending it
// while it is being changed.
func (via Reach) Hold(ctx context.Context, c cluster.Cluster) (release func(), err error) {
	if c.Autostop == nil || !c.HeadRuns() {
		return func() {}, nil
	}
	clients, err := via.dialHead(ctx, c)
	if err != nil {
		return nil, err
	}
	end, err := autostop.Hold(ctx, clients[0])
	if err != nil {
		CloseAll(clients)
		return nil, fmt.Errorf("cluster %q: %w", c.Name, err)
	}
	return func() {
		end()
		CloseAll(clients)
	}, nil
}

// Drain waits for the end of the jobs that use more than that many nodes, or one
// beyond them.
func (via Reach) Drain(ctx context.Context, c cluster.Cluster, nodes int) error {
	if !c.HeadRuns() {
		return nil // without it no job runs
	}
	clients, err := via.dialHead(ctx, c)
	if err != nil {
		return fmt.Errorf("look for jobs that use the nodes to be removed: %w", err)
	}
	defer CloseAll(clients)
	log, closeLog, err := via.Folder(c).OpenLog()
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
