// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/core"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// unrecorded ends the name of a machine that no state holds yet. It is taken away
// once one does: the name is all that can change on preemptible machines. Who
// renames a machine puts it in no danger.
const unrecorded = "-new"

// sshUser is whom the machines let in; the template's user data sees to it on
// every image.
const sshUser = "ubuntu"

// parallel bounds the calls under way at once.
const parallel = 8

// driver implements cloud.Provisioner, with what fleet makes of its calls.
type driver struct {
	*fleet.Fleet[native, resources]
	c        *client
	defaults settings
	// reasons are why machines ended that are gone, by id; they do not change.
	reasons sync.Map
}

func newDriver(c *client, defaults settings) *driver {
	d := &driver{c: c, defaults: defaults}
	d.Fleet = fleet.New(fleet.Config[native, resources]{
		Name: Name, Capabilities: Factory{}.Capabilities(), Calls: d, SSHUser: sshUser, Idempotent: true, Parallel: parallel,
		Hooks: fleet.Hooks[native, resources]{
			Valid: isID, CheckSpec: checkSpec, Zone: d.zone, Callers: d.callers,
			Places: func(res resources) []fleet.Place { return res.places },
		},
		Poll: retry.Policy{Initial: time.Second, Max: 8 * time.Second, Factor: 1.5, Jitter: 0.2},
	})
	return d
}

type (
	machine = fleet.Machine[native]
	native  struct{ compartment string }
)

var (
	_ cloud.Provisioner              = (*driver)(nil)
	_ fleet.Calls[native, resources] = (*driver)(nil)
	_ fleet.Things                   = (*driver)(nil)
	_ fleet.Firewalls                = (*driver)(nil)
)

// isID keeps ids of other clouds out of calls.
func isID(id string) bool { return strings.HasPrefix(id, "ocid1.instance.") && len(id) <= 255 }

// states are Oracle's words in those that all clouds share.
func states() map[core.InstanceLifecycleStateEnum]cloud.State {
	return map[core.InstanceLifecycleStateEnum]cloud.State{
		core.InstanceLifecycleStateProvisioning: cloud.StatePending, core.InstanceLifecycleStateStarting: cloud.StatePending,
		core.InstanceLifecycleStateMoving: cloud.StatePending, core.InstanceLifecycleStateCreatingImage: cloud.StatePending,
		core.InstanceLifecycleStateRunning: cloud.StateRunning, core.InstanceLifecycleStateStopping: cloud.StateStopping,
		core.InstanceLifecycleStateStopped: cloud.StateStopped, core.InstanceLifecycleStateTerminating: cloud.StateTerminating,
		core.InstanceLifecycleStateTerminated: cloud.StateTerminated,
	}
}

// nameOf is what a machine is called once it is recorded.
func nameOf(id cloud.Identity) string { return id.Name(Factory{}.Capabilities().MaxNameLength) }

// machine reads a machine of a region; what it says of its region itself is an
// abbreviation.
func (d *driver) machine(region string, in core.Instance) machine {
	held := decodeTags(in.FreeformTags)
	m := machine{Name: value(in.DisplayName), Status: string(in.LifecycleState), Tags: held, Native: native{value(in.CompartmentId)}, Instance: cloud.Instance{
		ID: value(in.Id), Region: region, Zone: value(in.AvailabilityDomain), Type: value(in.Shape), Market: cloud.OnDemand, State: cloud.StateUnknown,
		SSHPort: int(d.SSHPort), HostKey: held[cloud.TagHostKey], Notes: cloud.NotesFromTags(held), Labels: maps.Clone(held),
	}}
	if s := in.ShapeConfig; s != nil {
		m.Type = typeOf(m.Type, value(s.Ocpus), value(s.MemoryInGBs))
	}
	if in.PreemptibleInstanceConfig != nil {
		m.Market = cloud.Spot
	}
	if state, ok := states()[in.LifecycleState]; ok {
		m.State = state
	}
	if in.TimeCreated != nil {
		m.CreatedAt = in.TimeCreated.Time
	}
	maps.DeleteFunc(m.Labels, func(key, _ string) bool { return strings.HasPrefix(key, cloud.TagPrefix) })
	if id, ok := cloud.IdentityFromTags(held); ok {
		m.Identity = id
		if m.Committed = m.Name != nameOf(id)+unrecorded; !m.Committed {
			m.Deadline = deadlineOf(held)
		}
	}
	return m
}

// List implements fleet.Calls.
func (d *driver) List(ctx context.Context, ref cloud.ClusterRef) ([]machine, error) {
	return everywhere(ctx, d.c, ref.Region, func(at place) ([]machine, error) {
		all, err := pages(ctx, d.c, "instances", at.region, func(ctx context.Context, r *regional, page *string) ([]core.Instance, *string, error) {
			out, err := r.compute.ListInstances(ctx, core.ListInstancesRequest{CompartmentId: &at.compartment, Page: page})
			return out.Items, out.OpcNextPage, err //nolint:wrapcheck // pages does
		})
		if err != nil {
			return nil, err
		}
		machines := make([]machine, len(all))
		for i, in := range all {
			machines[i] = d.machine(at.region, in)
		}
		return machines, d.complete(ctx, at, machines, func(m machine) bool { return ref.Owner != "" && m.Identity.Owner == ref.Owner })
	})
}

// Get implements fleet.Calls.
func (d *driver) Get(ctx context.Context, ref cloud.ClusterRef, ids []string) ([]machine, error) {
	return fleet.GetEach(ids, func(id string) (machine, error) { //nolint:wrapcheck // it names the call
		region := ref.Region
		if region == "" {
			region = regionOf(id)
		}
		if len(d.c.regions(region)) == 0 {
			return machine{}, notSubscribed(region)
		}
		in, err := d.instance(ctx, region, id)
		if isNotFound(err) {
			return machine{}, cloud.ErrNotFound
		}
		if err != nil {
			return machine{}, err
		}
		one := []machine{d.machine(region, in)}
		err = d.complete(ctx, place{region, value(in.CompartmentId)}, one, func(machine) bool { return true })
		return one[0], err
	})
}

func (d *driver) instance(ctx context.Context, region, id string) (core.Instance, error) {
	out, err := call(ctx, d.c, "look up instance "+id, region, func(ctx context.Context, r *regional) (core.GetInstanceResponse, error) {
		return r.compute.GetInstance(ctx, core.GetInstanceRequest{InstanceId: &id})
	})
	return out.Instance, err
}

// complete adds what Oracle keeps elsewhere: the addresses of machines that run, and
// why those failed that were never recorded.
func (d *driver) complete(ctx context.Context, at place, machines []machine, wanted func(machine) bool) error {
	var running, doubtful []*machine
	for i := range machines {
		m := &machines[i]
		switch {
		case !wanted(*m):
		case m.State == cloud.StateRunning:
			running = append(running, m)
		case !m.Committed && (m.State == cloud.StatePending || m.State == cloud.StateTerminating || m.State == cloud.StateTerminated):
			doubtful = append(doubtful, m)
		}
	}
	for _, m := range doubtful {
		m.Reason = d.failure(ctx, at.region, *m)
		if m.Reason != "" && m.State == cloud.StatePending {
			m.State = cloud.StateUnknown // it is there, and will never run
		}
	}
	if len(running) == 0 {
		return nil
	}
	return d.addresses(ctx, at, running)
}

// addresses are those of the machines' primary interfaces. Without public ones
// machines are reached by their private ones.
func (d *driver) addresses(ctx context.Context, at place, running []*machine) error {
	var only *string
	if len(running) == 1 {
		only = &running[0].ID
	}
	all, err := pages(ctx, d.c, "interfaces of instances", at.region, func(ctx context.Context, r *regional, page *string) ([]core.VnicAttachment, *string, error) {
		out, err := r.compute.ListVnicAttachments(ctx, core.ListVnicAttachmentsRequest{CompartmentId: &at.compartment, InstanceId: only, Page: page})
		return out.Items, out.OpcNextPage, err //nolint:wrapcheck // pages does
	})
	if err != nil {
		return err
	}
	return fleet.Each(parallel, running, func(m *machine) error { //nolint:wrapcheck // it names the call
		for _, a := range all {
			if value(a.InstanceId) != m.ID || a.LifecycleState != core.VnicAttachmentLifecycleStateAttached || a.VnicId == nil {
				continue
			}
			out, err := call(ctx, d.c, "look up the interface of instance "+m.ID, at.region, func(ctx context.Context, r *regional) (core.GetVnicResponse, error) {
				return r.network.GetVnic(ctx, core.GetVnicRequest{VnicId: a.VnicId})
			})
			switch {
			case isNotFound(err): // it ends meanwhile
			case err != nil:
				return err
			case value(out.IsPrimary):
				m.InternalIP, m.ExternalIP = value(out.PrivateIp), value(out.PublicIp)
				if m.ExternalIP == "" && m.Tags[tagInternal] != "" {
					m.ExternalIP = m.InternalIP
				}
			}
		}
		return nil
	})
}

// StartMachine implements fleet.Calls.
func (d *driver) StartMachine(ctx context.Context, m machine) error {
	return d.act(ctx, m, core.InstanceActionActionStart)
}

// StopMachines implements fleet.Calls.
func (d *driver) StopMachines(ctx context.Context, machines []machine) error {
	return fleet.Each(parallel, machines, func(m machine) error { //nolint:wrapcheck // it names the call
		return d.act(ctx, m, core.InstanceActionActionStop)
	})
}

func (d *driver) act(ctx context.Context, m machine, how core.InstanceActionActionEnum) error {
	_, err := call(ctx, d.c, strings.ToLower(string(how))+" instance "+m.String(), m.Region, func(ctx context.Context, r *regional) (core.InstanceActionResponse, error) {
		return r.compute.InstanceAction(ctx, core.InstanceActionRequest{InstanceId: &m.ID, Action: how, OpcRetryToken: common.String(common.RetryToken())})
	})
	// Gone, or on its way: the next look tells.
	if table().HasCode(err, "IncorrectState") {
		return nil
	}
	return d.unlessGone(ctx, m, err)
}

// unlessGone is the error of a change to a machine, but that it is gone. Oracle also
// says that of one that the user may see and not change.
func (d *driver) unlessGone(ctx context.Context, m machine, err error) error {
	if !isNotFound(err) {
		return err
	}
	in, looked := d.instance(ctx, m.Region, m.ID)
	switch {
	case isNotFound(looked):
		return nil
	case looked != nil:
		return looked
	case in.LifecycleState == core.InstanceLifecycleStateTerminating || in.LifecycleState == core.InstanceLifecycleStateTerminated:
		return nil
	}
	return &notAllowedError{err, "instance " + m.String()}
}

// DeleteMachines implements fleet.Calls. All volumes that came with a machine go
// with it; by default Oracle would keep, and charge for, those of data.
func (d *driver) DeleteMachines(ctx context.Context, machines []machine) error {
	return fleet.Each(parallel, machines, func(m machine) error { //nolint:wrapcheck // it names the call
		_, err := call(ctx, d.c, "terminate instance "+m.String(), m.Region, func(ctx context.Context, r *regional) (core.TerminateInstanceResponse, error) {
			return r.compute.TerminateInstance(ctx, core.TerminateInstanceRequest{
				InstanceId: &m.ID, PreserveBootVolume: common.Bool(false), PreserveDataVolumesCreatedAtLaunch: common.Bool(false),
			})
		})
		if table().HasCode(err, "IncorrectState") && m.State == cloud.StateTerminating {
			return nil
		}
		return d.unlessGone(ctx, m, err)
	})
}

// Relabel implements fleet.Calls. Tags are changed as a whole, so that those of the
// moment are read first, and a change that overtook this one is not undone.
func (d *driver) Relabel(ctx context.Context, m machine, change fleet.Relabeling) error {
	what := "change the tags of instance " + m.String()
	now, err := call(ctx, d.c, what, m.Region, func(ctx context.Context, r *regional) (core.GetInstanceResponse, error) {
		return r.compute.GetInstance(ctx, core.GetInstanceRequest{InstanceId: &m.ID})
	})
	if err != nil {
		return err
	}
	all := tags.Merge(decodeTags(now.FreeformTags), change.Set, change.Marks)
	for _, key := range change.Remove {
		delete(all, key)
	}
	held, err := encodeTags(all)
	if err != nil {
		return err
	}
	return d.update(ctx, what, m, core.UpdateInstanceDetails{FreeformTags: held}, now.Etag)
}

func (d *driver) update(ctx context.Context, what string, m machine, change core.UpdateInstanceDetails, unless *string) error {
	_, err := call(ctx, d.c, what, m.Region, func(ctx context.Context, r *regional) (core.UpdateInstanceResponse, error) {
		return r.compute.UpdateInstance(ctx, core.UpdateInstanceRequest{InstanceId: &m.ID, UpdateInstanceDetails: change, IfMatch: unless})
	})
	return err
}

// Mark implements fleet.Calls. The machine's own timer reads its name too.
func (d *driver) Mark(ctx context.Context, machines []machine) error {
	unmarked := slices.DeleteFunc(slices.Clone(machines), func(m machine) bool { return m.Committed })
	return fleet.Each(parallel, unmarked, func(m machine) error { //nolint:wrapcheck // it names the call
		name := nameOf(m.Identity)
		return d.update(ctx, "rename instance "+m.String(), m, core.UpdateInstanceDetails{DisplayName: &name}, nil)
	})
}
