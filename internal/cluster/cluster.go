// SPDX-License-Identifier: MPL-2.0

// Package cluster is what is known of a cluster: its record, its nodes, and what
// the machines that a cloud shows say of them. It asks nobody.
package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Status is what a cluster does as a whole.
type Status string

// The states of a cluster, in SkyPilot's words, with DEGRADED for a cluster
// that has lost some of its nodes.
const (
	StatusInit     Status = "INIT"
	StatusUp       Status = "UP"
	StatusStopped  Status = "STOPPED"
	StatusDegraded Status = "DEGRADED"
	// StatusTerminated is a cluster that removed itself, as it was told to.
	StatusTerminated Status = "TERMINATED"
)

// The runtimes of a cluster's jobs. The zero value is RuntimeSSH.
const (
	RuntimeSSH = "ssh"
	RuntimeRay = "ray"
)

// Node is one machine of a cluster.
type Node struct {
	Rank       int    `json:"rank"`
	InstanceID string `json:"instance_id"`
	InternalIP string `json:"internal_ip"`
	ExternalIP string `json:"external_ip"`
	SSHPort    int    `json:"ssh_port"`
	// HostKey is pinned, in authorized_keys form.
	HostKey string      `json:"host_key"`
	State   cloud.State `json:"state"`
	Reason  string      `json:"reason,omitempty"`
	// PublicPorts are the ports at which ExternalIP answers for those of the machine;
	// nil is that each answers under its own number.
	PublicPorts map[uint16]uint16 `json:"public_ports,omitempty"`
}

// Cluster is what is known of a launched cluster. It holds no secret: KeyPath
// names a file.
type Cluster struct {
	// ID is "cloud/region/name".
	ID         string `json:"id"`
	Name       string `json:"name"`
	Owner      string `json:"owner"`
	Generation string `json:"generation"`
	Account    string `json:"account"`
	// LaunchedBy is who launched it, where the credentials told. It is kept in
	// the journal, for people.
	LaunchedBy   string       `json:"launched_by,omitempty"`
	Cloud        string       `json:"cloud"`
	Region       string       `json:"region"`
	Zone         string       `json:"zone,omitempty"`
	InstanceType string       `json:"instance_type"`
	Accelerators string       `json:"accelerators,omitempty"`
	Market       cloud.Market `json:"market"`
	// HourlyUSD is the price of the whole cluster at launch, in US dollars an hour.
	HourlyUSD    float64 `json:"hourly_usd"`
	Status       Status  `json:"status"`
	StatusReason string  `json:"status_reason,omitempty"`
	SSHUser      string  `json:"ssh_user"`
	KeyPath      string  `json:"key_path"`
	// ProcessManager is how jobs are detached on the nodes: "auto" or "setsid".
	ProcessManager string `json:"process_manager"`
	// Runtime is RuntimeSSH, also where it is empty, or RuntimeRay.
	Runtime    string `json:"runtime,omitempty"`
	Size       int    `json:"size"`
	Nodes      []Node `json:"nodes"`
	LaunchedAt string `json:"launched_at"` // RFC 3339, UTC
	// AllowedCIDRs may reach SSH and the ports; none where that is not known.
	AllowedCIDRs []string `json:"allowed_cidrs,omitempty"`
	// Autostop is what the cluster was told about its own end; nil is nothing.
	Autostop *autostop.Config `json:"autostop,omitempty"`
	Replaced []Replaced       `json:"-"` // taken by Launch for what it replaces
}

// Replaced is a whole cluster that a launch with Spec.Beside found under its name
// and took for the one that it replaces. Nothing but Spec.Beside says so: it may as
// well be the cluster of an earlier launch whose state was lost.
type Replaced struct {
	// ID is what imports it.
	ID         string
	Generation string
	Instances  []string
}

// ErrGone says that every machine of a cluster is positively gone: it was
// looked for twice, under the account that launched it.
var ErrGone = errors.New("the cluster's machines are gone")

// NodeOf is the node that a machine is. The key that is known of it wins over
// the one that stands on it in the cloud.
func NodeOf(inst cloud.Instance, hostKey string) Node {
	return Node{
		Rank: inst.Identity.Rank, InstanceID: inst.ID, InternalIP: inst.InternalIP, ExternalIP: inst.ExternalIP,
		SSHPort: inst.SSHPort, HostKey: cmp.Or(hostKey, inst.HostKey), State: inst.State, Reason: inst.Reason,
		PublicPorts: inst.PublicPorts,
	}
}

// ParseID are cloud, region and name of a cluster's id.
func ParseID(id string) ([]string, error) {
	parts := strings.SplitN(id, "/", 3)
	if len(parts) != 3 || slices.Contains(parts, "") {
		return nil, fmt.Errorf("%q is no cluster id; it reads \"cloud/region/name\", such as \"aws/us-east-1/train\"", id)
	}
	return parts, nil
}

// PrefixTexts writes prefixes as a Cluster holds them.
func PrefixTexts(prefixes []netip.Prefix) []string {
	var out []string
	for _, p := range prefixes {
		out = append(out, p.String())
	}
	return out
}

// Prefixes are the cluster's AllowedCIDRs; what cannot be read is left out,
// and with none at all the cloud decides.
func (c Cluster) Prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range c.AllowedCIDRs {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// Accelerator is the name of the devices of a node, empty without any.
func (c Cluster) Accelerator() string {
	accelerators, err := cloud.ParseAccelerators(c.Accelerators)
	if err != nil || len(accelerators) == 0 {
		return ""
	}
	return accelerators[0].Name
}

// AcceleratorsPerNode is the number of devices on one node, 0 without any.
func (c Cluster) AcceleratorsPerNode() float64 {
	accelerators, err := cloud.ParseAccelerators(c.Accelerators)
	if err != nil || len(accelerators) == 0 {
		return 0
	}
	return accelerators[0].Count
}

// NotesOf are the notes on a cluster's machines.
func NotesOf(runtime, accelerators string) map[string]string {
	return map[string]string{cloud.TagRuntime: cmp.Or(runtime, RuntimeSSH), cloud.TagAccelerators: accelerators}
}

// Notes are those on its machines.
func (c Cluster) Notes() map[string]string { return NotesOf(c.Runtime, c.Accelerators) }

// HostKeyOf is the pinned key of a machine of the cluster, empty where it is not known.
func (c Cluster) HostKeyOf(inst cloud.Instance) string {
	for _, n := range c.Nodes {
		if n.InstanceID == inst.ID {
			return n.HostKey
		}
	}
	return ""
}

// Placement is what the cluster was launched on, as far as drivers need it.
func (c Cluster) Placement() cloud.Placement {
	return cloud.Placement{Nodes: c.Size, Offer: cloud.Offer{
		Cloud: c.Cloud, Region: c.Region, Zone: c.Zone, Market: c.Market,
		InstanceType: cloud.InstanceType{Name: c.InstanceType, Accelerator: c.Devices()}, HourlyUSD: c.PerNode(),
	}}
}

// Devices is what every node has, zero without any.
func (c Cluster) Devices() cloud.Accelerator {
	all, err := cloud.ParseAccelerators(c.Accelerators)
	if err != nil || len(all) == 0 {
		return cloud.Accelerator{}
	}
	return all[0]
}

// Address is the node's address among the nodes.
func (n Node) Address() string { return cmp.Or(n.InternalIP, n.ExternalIP) }

// Ref finds the cluster's machines, whatever their zone.
func (c Cluster) Ref() cloud.ClusterRef {
	return cloud.ClusterRef{Owner: c.Owner, Cluster: c.Name, Generation: c.Generation, Cloud: c.Cloud, Region: c.Region}
}

// InstanceIDs are the ids the cluster is known to have.
func (c Cluster) InstanceIDs() []string {
	ids := make([]string, 0, len(c.Nodes))
	for _, n := range c.Nodes {
		if n.InstanceID != "" {
			ids = append(ids, n.InstanceID)
		}
	}
	return ids
}

// PerNode is the launch price of one node in US dollars an hour.
func (c Cluster) PerNode() float64 { return c.HourlyUSD / float64(max(c.Size, 1)) }

// Reachable reports whether a plain ssh client can reach the node and check
// its key: not while it is stopped, nor when it was found without its key.
func (n Node) Reachable() bool { return n.HostKey != "" && n.ExternalIP != "" }
