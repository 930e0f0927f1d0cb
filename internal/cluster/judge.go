// SPDX-License-Identifier: MPL-2.0

package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// SetupFailed marks the status of a cluster whose setup must run again.
const SetupFailed = "setup failed"

// Observed is the cluster with what was seen of its machines.
func (c Cluster) Observed(alive []cloud.Instance) (Cluster, error) {
	byID := map[string]cloud.Instance{}
	byRank := map[int]cloud.Instance{}
	for _, inst := range alive {
		byID[inst.ID] = inst
		byRank[inst.Identity.Rank] = inst
	}
	c.Nodes = slices.Clone(c.Nodes)
	for i, n := range c.Nodes {
		inst, ok := byID[n.InstanceID]
		if !ok && n.InstanceID == "" {
			inst, ok = byRank[n.Rank]
		}
		if !ok {
			c.Nodes[i].State, c.Nodes[i].Reason = cloud.StateTerminated, c.lostReason()
			continue
		}
		c.Nodes[i] = NodeOf(inst, n.HostKey)
		delete(byID, inst.ID)
	}
	for _, id := range c.Uncommitted(alive) {
		delete(byID, id) // of a growth that was cut off; its dead-man timer runs
	}
	if len(byID) > 0 && len(c.Nodes) >= c.Size {
		var extra []string
		for id := range byID {
			extra = append(extra, id)
		}
		slices.Sort(extra)
		return c, &cloud.ExtraNodesError{Cluster: c.Name, Want: c.Size, Extra: extra}
	}
	c.Judge()
	return c, nil
}

// Judge sets the status of the whole from the nodes: all running is UP, all
// stopped is STOPPED, some gone is DEGRADED, anything else is INIT.
func (c *Cluster) Judge() {
	count := map[cloud.State]int{}
	for _, n := range c.Nodes {
		count[n.State]++
	}
	keptSetupFailure := strings.HasPrefix(c.StatusReason, SetupFailed)
	switch {
	case count[cloud.StateRunning] == c.Size && keptSetupFailure:
		c.Status = StatusInit
	case count[cloud.StateRunning] == c.Size:
		c.Status, c.StatusReason = StatusUp, ""
	case count[cloud.StateStopped] == c.Size:
		c.Status, c.StatusReason = StatusStopped, c.NodeReasons()
	case count[cloud.StateTerminated] > 0 || len(c.Nodes) < c.Size:
		c.Status, c.StatusReason = StatusDegraded, c.NodeReasons()
	default:
		c.Status, c.StatusReason = StatusInit, c.NodeReasons()
	}
}

// HeadRuns reports whether the head was seen running.
func (c Cluster) HeadRuns() bool {
	return slices.ContainsFunc(c.Nodes, func(n Node) bool { return n.Rank == 0 && n.State == cloud.StateRunning })
}

// SeenAs is the recorded cluster with the machines that it has now.
func (c Cluster) SeenAs(shown Cluster) Cluster {
	perNode := c.PerNode()
	c.Nodes, c.Size, c.Status, c.StatusReason = shown.Nodes, shown.Size, shown.Status, shown.StatusReason
	c.HourlyUSD = perNode * float64(c.Size)
	return c
}

// lostReason is why a machine is no longer there, as far as that can be told.
func (c Cluster) lostReason() string {
	if c.Market == cloud.Spot {
		return "the machine is gone: the cloud took it back, or it was removed outside Terraform"
	}
	return "the machine is gone: it failed, or was removed outside Terraform"
}

// NodeReasons names the nodes that do not run.
func (c *Cluster) NodeReasons() string {
	var parts []string
	for _, n := range c.Nodes {
		if n.State == cloud.StateRunning {
			continue
		}
		part := fmt.Sprintf("rank %d is %s", n.Rank, n.State)
		if n.Reason != "" {
			part += " (" + n.Reason + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// Lost are the ranks whose machines are gone.
func (c Cluster) Lost() []int {
	return c.ranksThat(func(s cloud.State) bool { return s == cloud.StateTerminated })
}

// Resting are the ranks whose machines are stopped.
func (c Cluster) Resting() []int {
	return c.ranksThat(func(s cloud.State) bool { return s == cloud.StateStopped })
}

// Runs reports whether the machine runs and has an address.
func (n Node) Runs() bool { return n.State == cloud.StateRunning && n.ExternalIP != "" }

// AtRest reports whether every machine that is left is stopped.
func (c Cluster) AtRest() bool {
	resting := len(c.Resting())
	return c.Status == StatusStopped || (resting > 0 && resting+len(c.Lost()) == c.Size)
}

// ranksThat are the ranks whose machine is in such a state; one that is not
// recorded at all counts as terminated.
func (c Cluster) ranksThat(is func(cloud.State) bool) []int {
	var ranks []int
	for rank := range c.Size {
		state := cloud.StateTerminated
		if i := slices.IndexFunc(c.Nodes, func(n Node) bool { return n.Rank == rank }); i >= 0 {
			state = c.Nodes[i].State
		}
		if is(state) {
			ranks = append(ranks, rank)
		}
	}
	return ranks
}

// Uncommitted are the ids of machines that are not, or not yet, the cluster's.
func (c Cluster) Uncommitted(alive []cloud.Instance) []string {
	var out []string
	for _, inst := range alive {
		if !inst.Committed && !slices.Contains(c.InstanceIDs(), inst.ID) {
			out = append(out, inst.ID)
		}
	}
	return out
}
