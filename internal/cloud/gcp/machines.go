// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// machine is an instance, and whose it is. Its id is the number that Compute
// Engine gives it, which unlike its name is never given twice.
type machine struct {
	id, name, zone, region string
	identity               cloud.Identity
	// owned is set where labels and metadata hold a whole identity.
	owned            bool
	labels, metadata map[string]string
	labelFingerprint string
	state            cloud.State
	// status is Compute Engine's own word for the state.
	status    string
	reason    string
	typ       string
	market    cloud.Market
	createdAt time.Time
	private   string
	public    string
	disks     []string
	scratch   bool // it has disks that do not outlive a stop
}

func newMachine(in *compute.Instance) machine {
	m := machine{
		id: strconv.FormatUint(in.Id, 10), name: in.Name, zone: lastPart(in.Zone), labels: in.Labels, metadata: metadataOf(in.Metadata),
		labelFingerprint: in.LabelFingerprint, state: stateOf(in.Status), status: in.Status, reason: in.StatusMessage,
		typ: lastPart(in.MachineType), market: cloud.OnDemand,
	}
	m.region = regionOf(m.zone)
	m.createdAt, _ = time.Parse(time.RFC3339, in.CreationTimestamp) // zero where it is unreadable
	if s := in.Scheduling; s != nil && (s.ProvisioningModel == "SPOT" || s.Preemptible) {
		m.market = cloud.Spot
	}
	for _, nic := range in.NetworkInterfaces {
		if m.private == "" {
			m.private = nic.NetworkIP
		}
		for _, access := range nic.AccessConfigs {
			if m.public == "" {
				m.public = access.NatIP
			}
		}
	}
	for _, d := range in.Disks {
		if d.Type == "SCRATCH" {
			m.scratch = true
		} else {
			m.disks = append(m.disks, lastPart(d.Source))
		}
	}
	m.identity, m.owned = identityOf(m.labels, m.metadata)
	return m
}

// regionOf is a zone's region: its name without the last letter.
func regionOf(zone string) string {
	if i := strings.LastIndexByte(zone, '-'); i > 0 {
		return zone[:i]
	}
	return ""
}

// stateOf translates Compute Engine's word; one it does not know is neither
// alive nor gone. TERMINATED is what other clouds call stopped. STOPPING may
// be on the way there, or to removal.
func stateOf(status string) cloud.State {
	switch status {
	case "PENDING", "PROVISIONING", "STAGING", "REPAIRING":
		return cloud.StatePending
	case "RUNNING":
		return cloud.StateRunning
	case "PENDING_STOP", "STOPPING", "SUSPENDING":
		return cloud.StateStopping
	case "TERMINATED", "SUSPENDED":
		return cloud.StateStopped
	case "DEPROVISIONING":
		return cloud.StateTerminating
	default:
		return cloud.StateUnknown
	}
}

// selects reports whether m belongs to ref, Instances included.
func selects(ref cloud.ClusterRef, m machine) bool {
	return m.owned && ref.Matches(m.identity, m.region, m.zone) &&
		(ref.Instances == nil || slices.Contains(ref.Instances, m.id))
}

// ref refers to this machine alone.
func (m machine) ref() cloud.ClusterRef {
	return cloud.ClusterRef{
		Owner: m.identity.Owner, Cluster: m.identity.Cluster, Generation: m.identity.Generation,
		Cloud: Name, Region: m.region, Zone: m.zone, Instances: []string{m.id},
	}
}

// address is where the caller reaches the machine; empty until it has one.
func (m machine) address() string {
	if m.metadata[metaNetwork] == networkPrivate {
		return m.private
	}
	return m.public
}

func (m machine) committed() bool { return m.metadata[metaCommitted] == committed }

// portable is the machine in the words all clouds share.
func (m machine) portable(port int) cloud.Instance {
	out := cloud.Instance{
		ID: m.id, Identity: m.identity, Region: m.region, Zone: m.zone, Type: m.typ, Market: m.market,
		State: m.state, Reason: m.reason, Committed: m.committed(), CreatedAt: m.createdAt,
		InternalIP: m.private, ExternalIP: m.address(), SSHPort: port, Labels: readUserLabels(m.labels, m.metadata),
		HostKey: m.metadata[cloud.TagHostKey], Notes: cloud.NotesFromTags(m.metadata),
	}
	if at, err := strconv.ParseInt(m.metadata[metaDeadline], 10, 64); err == nil && !out.Committed {
		out.Deadline = time.Unix(at, 0).UTC()
	}
	return out
}

// stuck is the error for a machine that cannot get to state want.
func (m machine) stuck(want cloud.State) error {
	reason := m.reason
	if m.state == cloud.StateUnknown {
		reason = strings.TrimSuffix(fmt.Sprintf("Compute Engine says %q: %s", m.status, reason), ": ")
	}
	return &fleet.MachineError{ID: m.String(), Rank: m.identity.Rank, State: m.state, Reason: reason, Want: want}
}

// String is the machine's id and the name that people see.
func (m machine) String() string { return m.id + " (" + m.zone + "/" + m.name + ")" }

// census is one look at the machines of a ref.
type census struct {
	// machines are sorted by rank, attempt and id.
	machines []machine
	// missing are ids that should be there and are not; late are names of
	// machines that were asked for and may still turn up.
	missing []string
	late    []launched
}

// staying are the machines that nobody is removing.
func (c census) staying() []machine {
	return slices.DeleteFunc(slices.Clone(c.machines), func(m machine) bool { return m.state == cloud.StateTerminating })
}

func ids(machines []machine) []string {
	out := make([]string, len(machines))
	for i, m := range machines {
		out[i] = m.id
	}
	return out
}

func (c census) view() fleet.View[machine] {
	v := fleet.View[machine]{Machines: c.machines, Missing: c.missing}
	for _, l := range c.late {
		v.Late = append(v.Late, l.identity)
	}
	return v
}

// String lists the machines, for errors.
func (c census) String() string {
	var parts []string
	for _, m := range c.machines {
		parts = append(parts, fmt.Sprintf("%s (rank %d, %s)", m, m.identity.Rank, m.state))
	}
	for _, id := range c.missing {
		parts = append(parts, id+" (not there)")
	}
	for _, l := range c.late {
		parts = append(parts, l.zone+"/"+l.name+" (not there yet)")
	}
	if len(parts) == 0 {
		return "no machines"
	}
	return strings.Join(parts, ", ")
}
