// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

const (
	// defaultSSHUser is that of Ubuntu's images.
	defaultSSHUser = "ubuntu"
	// pageSize is how many machines one page may hold.
	pageSize = 200
	// filterValues is how many values one filter may have.
	filterValues = 200
)

// driver implements cloud.Provisioner, with what fleet makes of its calls.
type driver struct {
	*fleet.Fleet[native, resources]
	c        *clients
	defaults settings
	facts    facts
}

var (
	_ cloud.Provisioner              = (*driver)(nil)
	_ cloud.Surveyor                 = (*driver)(nil)
	_ cloud.Chronicler               = (*driver)(nil)
	_ cloud.Auditor                  = (*driver)(nil)
	_ fleet.Calls[native, resources] = (*driver)(nil)
	_ fleet.Things                   = (*driver)(nil)
	_ fleet.Firewalls                = (*driver)(nil)
)

func newDriver(c *clients, defaults settings) *driver {
	d := &driver{c: c, defaults: defaults}
	d.Fleet = fleet.New(fleet.Config[native, resources]{
		Name: Name, Capabilities: Factory{}.Capabilities(), Calls: d, SSHUser: defaultSSHUser, SSHPort: sshPort, Parallel: parallel,
		Idempotent: true, // by the token
		Hooks: fleet.Hooks[native, resources]{
			Zone: d.zoneName, Valid: isInstanceID, CheckSpec: checkSpec, Adopt: d.setOnShutdown, Callers: d.vpcPrefix,
			Places: func(res resources) []fleet.Place { return res.places },
		},
	})
	return d
}

// machine is an instance.
type machine = fleet.Machine[native]

// native is what only AWS's instances have.
type native struct {
	volumes []string
	// metadataTags says that the machine can read its tags, as its dead-man timer does.
	metadataTags bool
}

func newMachine(region string, in types.Instance) machine {
	tags := tagsOf(in.Tags)
	m := machine{Tags: tags, SSHUser: tags[tagSSHUser], Native: native{
		metadataTags: in.MetadataOptions != nil && in.MetadataOptions.InstanceMetadataTags == types.InstanceMetadataTagsStateEnabled,
	}}
	m.Instance = cloud.Instance{
		ID: aws.ToString(in.InstanceId), Region: region, Type: string(in.InstanceType), Market: cloud.OnDemand,
		State: stateOf(in.State), Reason: reasonOf(in), Committed: tags[cloud.TagCommitted] == committed, CreatedAt: aws.ToTime(in.LaunchTime),
		InternalIP: aws.ToString(in.PrivateIpAddress), ExternalIP: aws.ToString(in.PublicIpAddress), SSHPort: sshPort,
		HostKey: tags[cloud.TagHostKey], Notes: cloud.NotesFromTags(tags),
	}
	if id, ok := cloud.IdentityFromTags(tags); ok {
		m.Identity = id
	}
	m.Labels, m.Ending = labelsOf(tags, m.Identity), endingOf(m.Reason)
	if tags[tagNetwork] == networkPrivate {
		m.ExternalIP = m.InternalIP
	}
	if at, err := strconv.ParseInt(tags[tagDeadline], 10, 64); err == nil && !m.Committed {
		m.Deadline = time.Unix(at, 0).UTC()
	}
	if in.Placement != nil {
		m.Zone = aws.ToString(in.Placement.AvailabilityZone)
	}
	if in.InstanceLifecycle == types.InstanceLifecycleTypeSpot {
		m.Market = cloud.Spot
	}
	for _, b := range in.BlockDeviceMappings {
		if b.Ebs != nil && b.Ebs.VolumeId != nil {
			m.Native.volumes = append(m.Native.volumes, *b.Ebs.VolumeId)
		}
	}
	return m
}

// labelsOf are the user's tags.
func labelsOf(tags map[string]string, id cloud.Identity) map[string]string {
	out := map[string]string{}
	for k, v := range tags {
		if !strings.HasPrefix(k, cloud.TagPrefix) && !strings.HasPrefix(k, "aws:") && (k != tagName || v != id.Name(maxNameLength)) {
			out[k] = v
		}
	}
	return out
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

// isInstanceID keeps ids of other clouds, and what a filter understands, out of calls.
func isInstanceID(id string) bool {
	return strings.HasPrefix(id, "i-") && !strings.ContainsAny(id, " ,*?\\")
}

// List implements fleet.Calls.
func (d *driver) List(ctx context.Context, ref cloud.ClusterRef) ([]machine, error) {
	regions, err := d.regionsOf(ctx, ref)
	if err != nil {
		return nil, err
	}
	return fleet.Across(parallel, regions, func(region string) ([]machine, error) { return d.describe(ctx, region, tagFilters(ref)) })
}

// Get implements fleet.Calls. It filters instead of naming the machines: a filter
// that nothing matches is an empty answer, not an error.
func (d *driver) Get(ctx context.Context, ref cloud.ClusterRef, ids []string) ([]machine, error) {
	regions, err := d.regionsOf(ctx, ref)
	if err != nil {
		return nil, err
	}
	return fleet.Across(parallel, regions, func(region string) ([]machine, error) {
		return fleet.Across(1, slices.Collect(slices.Chunk(ids, filterValues)), func(some []string) ([]machine, error) {
			return d.describe(ctx, region, []types.Filter{filter("instance-id", some...)})
		})
	})
}

// regionsOf are the regions in which ref's machines may be.
func (d *driver) regionsOf(ctx context.Context, ref cloud.ClusterRef) ([]string, error) {
	if ref.Region == "" {
		return d.c.regions(ctx)
	}
	return []string{ref.Region}, d.c.checkRegion(ctx, ref.Region)
}

// StartMachine implements fleet.Calls.
func (d *driver) StartMachine(ctx context.Context, m machine) error {
	_, err := d.c.in(m.Region).StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{m.ID}}, launching)
	if hasCode(err, codeWrongState, codeWrongStateShort) {
		return nil // the next look tells
	}
	return err //nolint:wrapcheck // the SDK names operation and code; fleet says the rest
}

// byRegion calls f with the machines' ids, a call's worth at a time.
func byRegion(machines []machine, f func(region string, ids []string) error) error {
	regions := map[string][]string{}
	for _, m := range machines {
		regions[m.Region] = append(regions[m.Region], m.ID)
	}
	for region, ids := range regions {
		for some := range slices.Chunk(ids, filterValues) {
			if err := f(region, some); err != nil {
				return err
			}
		}
	}
	return nil
}

// StopMachines implements fleet.Calls.
func (d *driver) StopMachines(ctx context.Context, machines []machine) error {
	return byRegion(machines, func(region string, ids []string) error {
		_, err := d.c.in(region).StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: ids})
		if hasCode(err, codeWrongState, codeWrongStateShort) || isNotFound(err) {
			return nil // the next look tells
		}
		return err //nolint:wrapcheck // the SDK names operation and code; fleet says the rest
	})
}

// DeleteMachines implements fleet.Calls.
func (d *driver) DeleteMachines(ctx context.Context, machines []machine) error {
	return byRegion(machines, func(region string, ids []string) error { return d.terminate(ctx, region, ids) })
}

// terminate asks for all at once. AWS refuses all for one that it does not
// know, and then they are asked for one by one.
func (d *driver) terminate(ctx context.Context, region string, ids []string) error {
	_, err := d.c.in(region).TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: ids})
	switch {
	case hasCode(err, codeWrongState, codeWrongStateShort):
	case isNotFound(err) && len(ids) > 1:
		return fleet.Each(parallel, ids, func(id string) error { return d.terminate(ctx, region, []string{id}) })
	case isNotFound(err): // the next look tells
	default:
		return err //nolint:wrapcheck // the SDK names operation and code; fleet says the rest
	}
	return nil
}

// tag sets tags on several things of a region.
func (d *driver) tag(ctx context.Context, region string, on []string, tags map[string]string) error {
	if len(tags) == 0 {
		return nil
	}
	_, err := d.c.in(region).CreateTags(ctx, &ec2.CreateTagsInput{Resources: on, Tags: ec2Tags(tags)})
	return err //nolint:wrapcheck // the SDK names operation and code; fleet says the rest
}

// Relabel implements fleet.Calls.
func (d *driver) Relabel(ctx context.Context, m machine, change fleet.Relabeling) error {
	remove := map[string]string{}
	for _, k := range change.Remove {
		if k == tagName { // it has one of its own
			change.Set[k] = m.Identity.Name(maxNameLength)
		} else {
			remove[k] = m.Labels[k]
		}
	}
	on := append([]string{m.ID}, m.Native.volumes...)
	if err := d.tag(ctx, m.Region, []string{m.ID}, change.Marks); err != nil {
		return err
	}
	if err := d.tag(ctx, m.Region, on, change.Set); err != nil || len(remove) == 0 {
		return err
	}
	_, err := d.c.in(m.Region).DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: on, Tags: ec2Tags(remove)})
	return err //nolint:wrapcheck // the SDK names operation and code; fleet says the rest
}

// describe lists machines in one region.
func (d *driver) describe(ctx context.Context, region string, filters []types.Filter) ([]machine, error) {
	client := d.c.in(region)
	return pages("machines in "+region, func(token *string) ([]machine, *string, error) {
		out, err := client.DescribeInstances(ctx, &ec2.DescribeInstancesInput{
			Filters: filters, MaxResults: aws.Int32(pageSize), NextToken: token,
		})
		if err != nil {
			return nil, nil, err
		}
		var machines []machine
		for _, r := range out.Reservations {
			for _, in := range r.Instances {
				machines = append(machines, newMachine(region, in))
			}
		}
		return machines, out.NextToken, nil
	})
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// tagFilters narrow a listing to what may belong to ref. A name with a
// character that filters understand is left to selects.
func tagFilters(ref cloud.ClusterRef) []types.Filter {
	var out []types.Filter
	add := func(key, value string) {
		if value != "" && !strings.ContainsAny(value, `*?\`) {
			out = append(out, filter("tag:"+key, value))
		}
	}
	add(cloud.TagOwner, ref.Owner)
	add(cloud.TagCluster, ref.Cluster)
	add(cloud.TagGeneration, ref.Generation)
	if len(out) == 0 {
		out = append(out, filter("tag-key", cloud.TagOwner))
	}
	return out
}

// pages reads all pages of a listing.
func pages[T any](what string, fetch func(token *string) ([]T, *string, error)) ([]T, error) {
	return fleet.Pages(what, func(token string) ([]T, string, error) {
		var at *string
		if token != "" {
			at = &token
		}
		items, next, err := fetch(at)
		return items, aws.ToString(next), err
	})
}
