// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
)

// machine is an instance, and whose it is. Its id is the number that Compute
// Engine gives it, which unlike its name is never given twice.
type machine = fleet.Machine[native]

// native is what else the driver keeps of an instance.
type native struct {
	labels, metadata map[string]string
	labelFingerprint string
	disks            []string
	// scratch says that it has disks that do not outlive a stop.
	scratch bool
	// suspended is a stopped machine that is resumed and not started.
	suspended bool
	// operation is the insert, of a machine that was asked for.
	operation string
}

// driver implements cloud.Provisioner.
type driver struct {
	*fleet.Fleet[native, resources]
	c        *client
	defaults settings
}

var _ interface {
	cloud.Provisioner
	cloud.Chronicler
	cloud.Auditor
	cloud.Surveyor
	fleet.Things
	fleet.Firewalls
} = (*driver)(nil)

func newDriver(c *client, defaults settings) *driver {
	d := &driver{c: c, defaults: defaults}
	d.Fleet = fleet.New(fleet.Config[native, resources]{
		Name: Name, Capabilities: Factory{}.Capabilities(), Calls: d,
		SSHUser: defaultSSHUser, Idempotent: true, DeleteConfirms: true, QuietLooks: 2, Patience: 4,
		Hooks: fleet.Hooks[native, resources]{
			Valid: isID, CheckSpec: checkSpec, Refused: isRefused, Find: d.find, Callers: d.callers,
			Explain: func(ctx context.Context, m machine) string {
				last, _, _ := d.history(ctx, m.Zone, m.ID) // that it cannot be learned is no trouble
				return last.reason
			},
		},
	})
	return d
}

// defaultSSHUser is that of Ubuntu's images.
const defaultSSHUser = "ubuntu"

func (d *driver) newMachine(in *compute.Instance) machine {
	m := machine{Name: in.Name, Native: native{
		labels: in.Labels, metadata: metadataOf(in.Metadata), labelFingerprint: in.LabelFingerprint, suspended: in.Status == "SUSPENDED",
	}}
	values := m.Native.metadata
	m.ID, m.Zone, m.Type, m.Market = strconv.FormatUint(in.Id, 10), lastPart(in.Zone), lastPart(in.MachineType), cloud.OnDemand
	m.Region, m.SSHUser, m.SSHPort = regionOf(m.Zone), values[metaSSHUser], int(d.SSHPort)
	m.State, m.Reason, m.Status = stateOf(in.Status), in.StatusMessage, in.Status
	m.CreatedAt, _ = time.Parse(time.RFC3339, in.CreationTimestamp) // zero where it is unreadable
	if s := in.Scheduling; s != nil && (s.ProvisioningModel == "SPOT" || s.Preemptible) {
		m.Market = cloud.Spot
	}
	if m.InternalIP, m.ExternalIP = addressesOf(in); values[metaNetwork] == networkPrivate {
		m.ExternalIP = m.InternalIP
	}
	for _, disk := range in.Disks {
		if disk.Type == "SCRATCH" {
			m.Native.scratch = true
		} else {
			m.Native.disks = append(m.Native.disks, lastPart(disk.Source))
		}
	}
	m.Tags = codec().Decode(in.Labels, values)
	if id, ok := cloud.IdentityFromTags(m.Tags); ok {
		m.Identity = id
	}
	m.Labels, m.HostKey, m.Notes = readUserLabels(in.Labels, values), values[cloud.TagHostKey], cloud.NotesFromTags(values)
	m.Committed = values[metaCommitted] == committed
	if at, err := strconv.ParseInt(values[metaDeadline], 10, 64); err == nil && !m.Committed {
		m.Deadline = time.Unix(at, 0).UTC()
	}
	return m
}

// addressesOf are the first addresses of a machine, inside and outside.
func addressesOf(in *compute.Instance) (internal, external string) {
	for _, nic := range in.NetworkInterfaces {
		internal = cmp.Or(internal, nic.NetworkIP)
		for _, access := range nic.AccessConfigs {
			external = cmp.Or(external, access.NatIP)
		}
	}
	return internal, external
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

// isID keeps an id of another cloud, or a path, out of a URL.
func isID(id string) bool {
	n, err := strconv.ParseUint(id, 10, 64)
	return err == nil && n > 0
}

// List implements fleet.Calls.
func (d *driver) List(ctx context.Context, ref cloud.ClusterRef) ([]machine, error) {
	return d.list(ctx, ref.Zone, labelFilter(ref))
}

// list shows the machines of a zone, or of all, that match the filter. Where a
// zone does not answer, the whole is an error: it must not look empty.
func (d *driver) list(ctx context.Context, zone, filter string) ([]machine, error) {
	return call(ctx, d.c, "list machines", func(ctx context.Context) ([]machine, error) {
		var all []machine
		add := func(items []*compute.Instance) {
			for _, in := range items {
				all = append(all, d.newMachine(in))
			}
		}
		if zone != "" {
			err := d.c.api.listInstances(ctx, zone, filter, func(page *compute.InstanceList) error {
				add(page.Items)
				return nil
			})
			return all, err
		}
		err := d.c.api.listEverywhere(ctx, filter, func(page *compute.InstanceAggregatedList) error {
			for scope, list := range page.Items {
				if w := list.Warning; w != nil && w.Code == "UNREACHABLE" {
					return &unreachableError{scope: scope, message: w.Message}
				}
				add(list.Instances)
			}
			return nil
		})
		return all, err
	})
}

// Get implements fleet.Calls.
func (d *driver) Get(ctx context.Context, ref cloud.ClusterRef, ids []string) ([]machine, error) {
	return fleet.GetEach(ids, func(id string) (machine, error) {
		if ref.Zone != "" {
			return d.get(ctx, ref.Zone, id)
		}
		all, err := d.list(ctx, "", "(id = "+id+")")
		if i := slices.IndexFunc(all, func(m machine) bool { return m.ID == id }); i >= 0 {
			return all[i], nil
		}
		return machine{}, cmp.Or(err, cloud.ErrNotFound)
	})
}

// get shows one machine by id or name; one that is not there is cloud.ErrNotFound.
func (d *driver) get(ctx context.Context, zone, which string) (machine, error) {
	in, err := call(ctx, d.c, "look up machine "+zone+"/"+which, func(ctx context.Context) (*compute.Instance, error) {
		return d.c.api.getInstance(ctx, zone, which)
	})
	switch {
	case isNotFound(err):
		return machine{}, fmt.Errorf("machine %s/%s: %w", zone, which, cloud.ErrNotFound)
	case err != nil:
		return machine{}, err
	}
	return d.newMachine(in), nil
}

// find looks for a machine by its name, and where it is not there at the insert
// that was to make it.
func (d *driver) find(ctx context.Context, m machine) (machine, fleet.Sight, error) {
	found, err := d.get(ctx, m.Zone, m.Name)
	switch {
	case err == nil:
		return found, fleet.SightHere, nil
	case !errors.Is(err, cloud.ErrNotFound):
		return m, fleet.SightUnsure, err
	case m.Native.operation == "":
		return m, fleet.SightUnsure, nil
	}
	op, err := call(ctx, d.c, "look at operation "+m.Native.operation, func(ctx context.Context) (*compute.Operation, error) {
		return d.c.api.getZoneOperation(ctx, m.Zone, m.Native.operation)
	})
	switch {
	case isNotFound(err):
		return m, fleet.SightUnsure, nil
	case err != nil:
		return m, fleet.SightUnsure, err
	case op.Status != "DONE":
		return m, fleet.SightComing, nil
	case operationFailure(op) != nil:
		return m, fleet.SightNever, nil //nolint:nilerr // the failure of what was asked for is what was to be seen
	}
	return m, fleet.SightUnsure, nil
}

// StartMachine implements fleet.Calls. A lack of capacity is the operation's own error.
func (d *driver) StartMachine(ctx context.Context, m machine) error {
	return d.c.do(ctx, "start machine "+m.Name, func(ctx context.Context) (*compute.Operation, error) {
		if m.Native.suspended {
			return d.c.api.resumeInstance(ctx, m.Zone, m.ID)
		}
		return d.c.api.startInstance(ctx, m.Zone, m.ID)
	})
}

// StopMachines implements fleet.Calls. As on every cloud, local disks do not outlive it.
func (d *driver) StopMachines(ctx context.Context, machines []machine) error {
	return fleet.Each(d.Parallel, machines, func(m machine) error {
		return unlessGone(d.c.do(ctx, "stop machine "+m.Name, func(ctx context.Context) (*compute.Operation, error) {
			return d.c.api.stopInstance(ctx, m.Zone, m.ID, m.Native.scratch)
		}))
	})
}

// DeleteMachines implements fleet.Calls; it sees the removal through.
func (d *driver) DeleteMachines(ctx context.Context, machines []machine) error {
	return fleet.Each(d.Parallel, machines, func(m machine) error {
		which := m.ID
		if which == "" {
			which = m.Name
		}
		return unlessGone(d.c.do(ctx, "delete machine "+m.Zone+"/"+which, func(ctx context.Context) (*compute.Operation, error) {
			return d.c.api.deleteInstance(ctx, m.Zone, which)
		}))
	})
}

// Mark implements fleet.Calls. The machine's own timer asks the metadata server
// whether the mark is there, so the mark alone disarms it; the timer goes from
// the metadata with the same call.
func (d *driver) Mark(ctx context.Context, machines []machine) error {
	armed := slices.DeleteFunc(slices.Clone(machines), func(m machine) bool { return m.Committed })
	return fleet.Each(d.Parallel, armed, func(m machine) error {
		return d.setMetadata(ctx, m, map[string]string{metaCommitted: committed}, metaStartup, metaDeadline)
	})
}

// Relabel implements fleet.Calls: what labels cannot hold, and the marks, are
// metadata. The disks go first: what the machine shows is then true of both.
func (d *driver) Relabel(ctx context.Context, m machine, change fleet.Relabeling) error {
	set, own := maps.Clone(change.Marks), map[string]string{}
	for k := range m.Identity.Tags() {
		if v, ok := set[k]; ok {
			own[k] = v
			delete(set, k)
		}
	}
	own, digested := codec().Encode(own)
	maps.Copy(set, digested)
	var remove []string
	if len(change.Set)+len(change.Remove)+len(own) > 0 {
		user, rest := m.Native.labels, m.Native.metadata[metaLabels]
		if change.Labels != nil {
			user, rest = userLabels(change.Labels)
		}
		merge := func(have map[string]string) map[string]string {
			kept := maps.Clone(have)
			maps.DeleteFunc(kept, func(k, _ string) bool {
				return !strings.HasPrefix(k, googleLabelPrefix) && !strings.HasPrefix(k, cloud.TagPrefix)
			})
			return tags.Merge(user, kept, own)
		}
		if err := d.setLabels(ctx, m, merge); err != nil {
			return err
		}
		switch {
		case rest == m.Native.metadata[metaLabels]:
		case rest == "":
			remove = append(remove, metaLabels)
		default:
			set[metaLabels] = rest
		}
	}
	if len(set)+len(remove) == 0 {
		return nil
	}
	return d.setMetadata(ctx, m, set, remove...)
}

// setLabels changes the labels of a machine and its disks.
func (d *driver) setLabels(ctx context.Context, m machine, merge func(map[string]string) map[string]string) error {
	want := merge(m.Native.labels)
	if maps.Equal(want, m.Native.labels) {
		return nil
	}
	err := fleet.Each(d.Parallel, m.Native.disks, func(disk string) error { return d.setDiskLabels(ctx, m.Zone, disk, merge) })
	if err != nil {
		return err
	}
	return d.c.do(ctx, "set the labels", func(ctx context.Context) (*compute.Operation, error) {
		return d.c.api.setLabels(ctx, m.Zone, m.ID, &compute.InstancesSetLabelsRequest{LabelFingerprint: m.Native.labelFingerprint, Labels: want})
	})
}

// setMetadata changes some keys of a machine's metadata and leaves the others.
// Compute Engine refuses it where somebody else changed them meanwhile.
func (d *driver) setMetadata(ctx context.Context, m machine, set map[string]string, remove ...string) error {
	in, err := call(ctx, d.c, "look up machine "+m.Name, func(ctx context.Context) (*compute.Instance, error) {
		return d.c.api.getInstance(ctx, m.Zone, m.ID)
	})
	if err != nil {
		return err
	}
	values := metadataOf(in.Metadata)
	for _, k := range remove {
		delete(values, k)
	}
	maps.Copy(values, set)
	changed := &compute.Metadata{Items: metadataItems(values)}
	if in.Metadata != nil {
		changed.Fingerprint = in.Metadata.Fingerprint
	}
	return d.c.do(ctx, "set the metadata of machine "+m.Name, func(ctx context.Context) (*compute.Operation, error) {
		return d.c.api.setMetadata(ctx, m.Zone, m.ID, changed)
	})
}
