// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// machine is an instance, and whose it is.
type machine struct {
	id, region, zone string
	identity         cloud.Identity
	// owned is set where the tags hold a whole identity.
	owned        bool
	tags         map[string]string
	state        cloud.State
	reason       string
	typ          string
	market       cloud.Market
	createdAt    time.Time
	private      string
	public       string
	volumes      []string
	groups       []string
	metadataTags bool
}

func newMachine(region string, in types.Instance) machine {
	m := machine{
		id: aws.ToString(in.InstanceId), region: region, tags: tagsOf(in.Tags), state: stateOf(in.State), reason: reasonOf(in),
		typ: string(in.InstanceType), market: cloud.OnDemand, createdAt: aws.ToTime(in.LaunchTime),
		private: aws.ToString(in.PrivateIpAddress), public: aws.ToString(in.PublicIpAddress),
		metadataTags: in.MetadataOptions != nil && in.MetadataOptions.InstanceMetadataTags == types.InstanceMetadataTagsStateEnabled,
	}
	if in.Placement != nil {
		m.zone = aws.ToString(in.Placement.AvailabilityZone)
	}
	if in.InstanceLifecycle == types.InstanceLifecycleTypeSpot {
		m.market = cloud.Spot
	}
	for _, b := range in.BlockDeviceMappings {
		if b.Ebs != nil && b.Ebs.VolumeId != nil {
			m.volumes = append(m.volumes, *b.Ebs.VolumeId)
		}
	}
	behind := in.SecurityGroups
	for _, n := range in.NetworkInterfaces {
		behind = append(behind, n.Groups...)
	}
	for _, g := range behind {
		if id := aws.ToString(g.GroupId); !slices.Contains(m.groups, id) {
			m.groups = append(m.groups, id)
		}
	}
	m.identity, m.owned = cloud.IdentityFromTags(m.tags)
	return m
}

// stateOf translates AWS's word; one it does not know is neither alive nor gone.
func stateOf(s *types.InstanceState) cloud.State {
	if s == nil {
		return cloud.StateUnknown
	}
	switch s.Name {
	case types.InstanceStateNamePending:
		return cloud.StatePending
	case types.InstanceStateNameRunning:
		return cloud.StateRunning
	case types.InstanceStateNameStopping:
		return cloud.StateStopping
	case types.InstanceStateNameStopped:
		return cloud.StateStopped
	case types.InstanceStateNameShuttingDown:
		return cloud.StateTerminating
	case types.InstanceStateNameTerminated:
		return cloud.StateTerminated
	default:
		return cloud.StateUnknown
	}
}

// reasonOf is AWS's code and message for the state, as "code: message".
func reasonOf(in types.Instance) string {
	if in.StateReason == nil {
		return aws.ToString(in.StateTransitionReason)
	}
	code, message := aws.ToString(in.StateReason.Code), aws.ToString(in.StateReason.Message)
	if strings.HasPrefix(message, code) {
		return message
	}
	return strings.Trim(code+": "+message, ": ")
}

func tagsOf(tags []types.Tag) map[string]string {
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}

// ec2Tags is the inverse of tagsOf, sorted, since a launch must be repeatable.
func ec2Tags(tags map[string]string) []types.Tag {
	out := make([]types.Tag, 0, len(tags))
	for k, v := range tags {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	slices.SortFunc(out, func(a, b types.Tag) int { return strings.Compare(*a.Key, *b.Key) })
	return out
}

// selects reports whether m belongs to ref, Instances included. The ref's zone
// is the account's name for it.
func selects(ref cloud.ClusterRef, m machine) bool {
	return m.owned && ref.Matches(m.identity, m.region, m.zone) &&
		(ref.Instances == nil || slices.Contains(ref.Instances, m.id))
}

// ref refers to this machine alone.
func (m machine) ref() cloud.ClusterRef {
	return cloud.ClusterRef{
		Owner: m.identity.Owner, Cluster: m.identity.Cluster, Generation: m.identity.Generation,
		Cloud: Name, Region: m.region, Instances: []string{m.id},
	}
}

// address is where the caller reaches the machine; empty until it has one.
func (m machine) address() string {
	if m.tags[tagNetwork] == networkPrivate {
		return m.private
	}
	return m.public
}

// committed reports whether the machine is recorded and its timer off.
func (m machine) committed() bool { return m.tags[cloud.TagCommitted] == committed }

// labels are the user's tags.
func (m machine) labels() map[string]string {
	out := map[string]string{}
	for k, v := range m.tags {
		if !strings.HasPrefix(k, cloud.TagPrefix) && !strings.HasPrefix(k, "aws:") &&
			(k != tagName || v != m.identity.Name(maxNameLength)) {
			out[k] = v
		}
	}
	return out
}

// portable is the machine in the words all clouds share. Its zone is in the
// words of whoever asks: a zone id where the ref named one.
func (m machine) portable(askedZone string) cloud.Instance {
	out := cloud.Instance{
		ID: m.id, Identity: m.identity, Region: m.region, Zone: m.zone, Type: m.typ, Market: m.market,
		State: m.state, Reason: m.reason, Committed: m.committed(), CreatedAt: m.createdAt,
		InternalIP: m.private, ExternalIP: m.address(), SSHPort: sshPort, Labels: m.labels(),
		HostKey: m.tags[cloud.TagHostKey], Notes: cloud.NotesFromTags(m.tags),
	}
	if askedZone != "" {
		out.Zone = askedZone
	}
	if at, err := strconv.ParseInt(m.tags[tagDeadline], 10, 64); err == nil && !out.Committed {
		out.Deadline = time.Unix(at, 0).UTC()
	}
	return out
}

// stuck is the error for a machine that cannot get to state want.
func (m machine) stuck(want cloud.State) error {
	return &fleet.MachineError{ID: m.id, Rank: m.identity.Rank, State: m.state, Reason: m.reason, Want: want}
}

// census is one look at the machines of a ref.
type census struct {
	// machines are sorted by rank, attempt and id, in every state.
	machines []machine
	// missing are ids that should be there and are not shown.
	missing []string
	// late are machines that were launched a moment ago and are not shown yet.
	late []machine
	// doubtful says that a launch whose outcome is unknown may still turn up.
	doubtful bool
}

// live are the machines that are not terminated.
func (c census) live() []machine {
	return slices.DeleteFunc(slices.Clone(c.machines), func(m machine) bool { return m.state == cloud.StateTerminated })
}

// staying are the machines that nobody is removing.
func (c census) staying() []machine {
	return slices.DeleteFunc(c.live(), func(m machine) bool { return m.state == cloud.StateTerminating })
}

func ids(machines []machine) []string {
	out := make([]string, len(machines))
	for i, m := range machines {
		out[i] = m.id
	}
	return out
}

func (c census) view() fleet.View[machine] {
	v := fleet.View[machine]{Machines: c.machines, Missing: c.missing, Doubtful: c.doubtful}
	for _, m := range c.late {
		v.Late = append(v.Late, m.identity)
	}
	return v
}

// String lists the machines that are not terminated, for errors.
func (c census) String() string {
	var parts []string
	for _, m := range c.live() {
		parts = append(parts, fmt.Sprintf("%s (rank %d, %s)", m.id, m.identity.Rank, m.state))
	}
	for _, id := range c.missing {
		parts = append(parts, id+" (not shown)")
	}
	for _, m := range c.late {
		parts = append(parts, m.id+" (not shown yet)")
	}
	if len(parts) == 0 {
		return "no machines"
	}
	return strings.Join(parts, ", ")
}

// byRegion sorts the machines' ids by region.
func byRegion(machines []machine) map[string][]string {
	out := map[string][]string{}
	for _, m := range machines {
		out[m.region] = append(out[m.region], m.id)
	}
	return out
}
