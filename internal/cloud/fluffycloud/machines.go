// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// machine is an instance, and whose it is.
type machine = fleet.Machine[instance]

// driver implements cloud.Provisioner.
type driver struct {
	*fleet.Fleet[instance, resources]
	c *client
}

var _ interface {
	cloud.Provisioner
	cloud.Chronicler
	cloud.Auditor
	cloud.Surveyor
	fleet.Things
	fleet.Firewalls
} = (*driver)(nil)

func newDriver(c *client) *driver {
	d := &driver{c: c}
	d.Fleet = fleet.New(fleet.Config[instance, resources]{
		Name: Name, Capabilities: Factory{}.Capabilities(), Calls: d, SSHPort: sshPort, Idempotent: true,
		Poll:       retry.Policy{Initial: 50 * time.Millisecond, Max: time.Second, Factor: 1.5},
		QuietLooks: 2, MissingLooks: 6,
		Hooks: fleet.Hooks[instance, resources]{
			Valid: validID,
			SSHUser: func(ctx context.Context, m machine) (string, error) {
				img, err := d.image(ctx, m.Native.Image, cloud.InstanceType{})
				return img.SSHUser, err
			},
			Callers: func(context.Context, cloud.ClusterSpec, fleet.Firewall) ([]netip.Prefix, error) {
				return thisComputer(), nil
			},
		},
	})
	return d
}

// thisComputer is as what the machines see the caller: they are on loopback.
func thisComputer() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

// validID keeps an id from another cloud, or a path, out of a URL.
func validID(id string) bool {
	return id != "" && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// newMachine is the machine in the words all clouds share.
func newMachine(in instance) machine {
	m := machine{Instance: cloud.Instance{
		ID: in.ID, Region: in.Region, Zone: in.Zone, Type: in.InstanceType, Market: cloud.Market(in.Market),
		State: in.state(), Reason: in.StateReason, Ending: ending(in.StateReason), Committed: in.Tags[cloud.TagCommitted] == committed,
		CreatedAt: in.CreatedAt, InternalIP: in.PrivateIP, ExternalIP: in.PublicIP, SSHPort: in.SSHPort, Labels: map[string]string{},
		HostKey: in.Tags[cloud.TagHostKey], Notes: cloud.NotesFromTags(in.Tags),
	}, Tags: in.Tags, Status: in.State, Native: in}
	if id, ok := cloud.IdentityFromTags(in.Tags); ok {
		m.Identity = id
	}
	if in.ExpiresAt != nil {
		m.Deadline = *in.ExpiresAt
	}
	for k, v := range in.Tags {
		if !strings.HasPrefix(k, cloud.TagPrefix) {
			m.Labels[k] = v
		}
	}
	return m
}

// ending reads the reasons of the cloud.
func ending(reason string) cloud.Ending {
	for prefix, e := range map[string]cloud.Ending{
		"self": cloud.EndedItself, "user": cloud.EndedByUser, "preempted": cloud.EndedPreempted, "host": cloud.EndedFailed,
	} {
		if strings.HasPrefix(reason, prefix) {
			return e
		}
	}
	return ""
}

// List implements fleet.Calls.
func (d *driver) List(ctx context.Context, ref cloud.ClusterRef) ([]machine, error) {
	q := url.Values{}
	for k, v := range ref.Tags() {
		if v != "" {
			q.Add("tag", k+"="+v)
		}
	}
	if ref.Region != "" {
		q.Set("region", ref.Region)
	}
	if ref.Zone != "" {
		q.Set("zone", ref.Zone)
	}
	all, err := d.c.instances(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([]machine, 0, len(all))
	for _, in := range all {
		out = append(out, newMachine(in))
	}
	return out, nil
}

// Get implements fleet.Calls.
func (d *driver) Get(ctx context.Context, _ cloud.ClusterRef, ids []string) ([]machine, error) {
	return fleet.GetEach(ids, func(id string) (machine, error) {
		in, err := d.c.instance(ctx, id)
		return newMachine(in), err
	})
}

// StartMachine implements fleet.Calls.
func (d *driver) StartMachine(ctx context.Context, m machine) error {
	return unlessDone(d.c.start(ctx, m.ID))
}

// StopMachines implements fleet.Calls.
func (d *driver) StopMachines(ctx context.Context, machines []machine) error {
	return fleet.Each(d.Parallel, machines, func(m machine) error { return unlessDone(d.c.stop(ctx, m.ID)) })
}

// DeleteMachines implements fleet.Calls. Without an id there is nothing to ask
// for: the token gives it, when the launch is repeated.
func (d *driver) DeleteMachines(ctx context.Context, machines []machine) error {
	return fleet.Each(d.Parallel, machines, func(m machine) error {
		if m.ID == "" {
			return nil
		}
		return unlessDone(d.c.terminate(ctx, m.ID))
	})
}

// committed is the value of cloud.TagCommitted on a recorded machine.
const committed = "true"

// Mark implements fleet.Calls. The mark goes first: a machine that is marked and
// still dies is seen, one that neither dies nor is marked is a leak.
func (d *driver) Mark(ctx context.Context, machines []machine) error {
	return fleet.Each(d.Parallel, machines, func(m machine) error {
		if m.Committed && m.Native.ExpiresAt == nil {
			return nil
		}
		err := d.c.tag(ctx, m.ID, map[string]string{cloud.TagCommitted: committed}, nil)
		if err == nil {
			err = d.c.clearExpiry(ctx, m.ID)
		}
		if err != nil {
			return fmt.Errorf("machine %s: %w", m.ID, err)
		}
		return nil
	})
}

// Relabel implements fleet.Calls.
func (d *driver) Relabel(ctx context.Context, m machine, change fleet.Relabeling) error {
	return d.c.tag(ctx, m.ID, tags.Merge(change.Set, change.Marks), append([]string{}, change.Remove...))
}
