// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// parallel bounds the calls under way at once.
const parallel = 8

// driver implements cloud.Provisioner.
type driver struct {
	c *client
	// poll is the pause between two looks at machines.
	poll retry.Policy
	// quietLooks is how many looks in a row must show nothing before nothing is
	// believed; missingLooks is the same for a machine known by its id.
	quietLooks   int
	missingLooks int
	// settle is how long a machine that was launched may stay invisible.
	settle time.Duration
	recent fleet.Recent[machine]
}

var _ cloud.Provisioner = (*driver)(nil)

func newDriver(c *client) *driver {
	return &driver{
		c:            c,
		poll:         retry.Policy{Initial: 50 * time.Millisecond, Max: time.Second, Factor: 1.5},
		quietLooks:   2,
		missingLooks: 6,
		settle:       time.Minute,
	}
}

// machine is an instance whose tags say whose it is.
type machine struct {
	instance
	identity cloud.Identity
}

// selects reports whether m belongs to ref, Instances included.
func selects(ref cloud.ClusterRef, m machine) bool {
	return ref.Matches(m.identity, m.Region, m.Zone) &&
		(ref.Instances == nil || slices.Contains(ref.Instances, m.ID))
}

// census is one look at the machines of a ref.
type census struct {
	// machines are sorted by rank, attempt and id, in every state.
	machines []machine
	// missing are ids that should be there and answered not_found; late are
	// machines of which that is so because they were launched a moment ago.
	missing []string
	late    []machine
}

// live are the machines that are not terminated.
func (c census) live() []machine {
	return slices.DeleteFunc(slices.Clone(c.machines), func(m machine) bool {
		return m.state() == cloud.StateTerminated
	})
}

// staying are the machines that nobody is removing.
func (c census) staying() []machine {
	return slices.DeleteFunc(c.live(), func(m machine) bool { return m.state() == cloud.StateTerminating })
}

// look lists the machines of ref. Foreign machines are never part of it; an id
// of ref.Instances that turns out foreign is an error.
func (d *driver) look(ctx context.Context, ref cloud.ClusterRef) (census, error) {
	if ref.Owner == "" {
		return census{}, fleet.ConfigErrorf(cloud.ScopeCloud, "the cluster reference names no owner")
	}
	listed, err := d.c.instances(ctx, listQuery(ref))
	if err != nil {
		return census{}, fmt.Errorf("list machines: %w", err)
	}
	var found census
	known := map[string]bool{}
	for _, in := range listed {
		identity, ok := cloud.IdentityFromTags(in.Tags)
		if m := (machine{in, identity}); ok && !known[in.ID] && selects(ref, m) {
			known[in.ID] = true
			found.machines = append(found.machines, m)
			d.recent.Saw(m.ID, m.state() == cloud.StateTerminated)
		}
	}
	if err := d.lookUp(ctx, ref, known, &found); err != nil {
		return census{}, err
	}
	slices.SortFunc(found.machines, func(a, b machine) int {
		return cmp.Or(cmp.Compare(a.identity.Rank, b.identity.Rank),
			cmp.Compare(a.identity.Attempt, b.identity.Attempt), cmp.Compare(a.ID, b.ID))
	})
	return found, nil
}

// lookUp asks for the machines that should be there but were not listed.
func (d *driver) lookUp(ctx context.Context, ref cloud.ClusterRef, known map[string]bool, found *census) error {
	ids := append(d.recent.Matching(func(m machine) bool { return selects(ref, m) }), ref.Instances...)
	for _, id := range ids {
		if known[id] {
			continue
		}
		known[id] = true
		if !validID(id) {
			return fleet.ConfigErrorf(cloud.ScopeCloud, "%q is not a machine id", id)
		}
		in, err := d.c.instance(ctx, id)
		if errors.Is(err, cloud.ErrNotFound) {
			if late, ok := d.recent.Late(id, d.settle); ok {
				found.late = append(found.late, late)
			} else {
				found.missing = append(found.missing, id)
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("look up machine %s: %w", id, err)
		}
		identity, ok := cloud.IdentityFromTags(in.Tags)
		m := machine{in, identity}
		if !ok || in.ID != id || !selects(ref, m) {
			return fleet.ConfigErrorf(cloud.ScopeCloud, "machine %s does not belong to cluster %q of this owner: left alone", id, ref.Cluster)
		}
		found.machines = append(found.machines, m)
		d.recent.Saw(m.ID, m.state() == cloud.StateTerminated)
	}
	return nil
}

func listQuery(ref cloud.ClusterRef) url.Values {
	q := url.Values{}
	q.Add("tag", cloud.TagOwner+"="+ref.Owner)
	if ref.Cluster != "" {
		q.Add("tag", cloud.TagCluster+"="+ref.Cluster)
	}
	if ref.Generation != "" {
		q.Add("tag", cloud.TagGeneration+"="+ref.Generation)
	}
	if ref.Region != "" {
		q.Set("region", ref.Region)
	}
	if ref.Zone != "" {
		q.Set("zone", ref.Zone)
	}
	return q
}

// validID keeps an id from another cloud, or a path, out of a URL.
func validID(id string) bool {
	return id != "" && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// watch looks at the machines of ref until f reports done or an error, or ctx
// ends. Trouble that passes is borne a few looks long.
func (d *driver) watch(ctx context.Context, ref cloud.ClusterRef, f func(context.Context, census) (bool, error)) error {
	w := fleet.Watcher{Poll: d.poll, Patience: 3, Transient: isTransient}
	return fleet.Watch(ctx, w, func(ctx context.Context) (census, error) { return d.look(ctx, ref) }, f)
}

func ids(machines []machine) []string {
	out := make([]string, len(machines))
	for i, m := range machines {
		out[i] = m.ID
	}
	return out
}

func (c census) view() fleet.View[machine] {
	v := fleet.View[machine]{Machines: c.machines, Missing: c.missing}
	for _, m := range c.late {
		v.Late = append(v.Late, m.identity)
	}
	return v
}

// String lists the machines that are not terminated, for errors.
func (c census) String() string {
	var parts []string
	for _, m := range c.live() {
		parts = append(parts, fmt.Sprintf("%s (rank %d, %s)", m.ID, m.identity.Rank, m.State))
	}
	for _, id := range c.missing {
		parts = append(parts, id+" (not found)")
	}
	for _, m := range c.late {
		parts = append(parts, m.ID+" (not found)")
	}
	if len(parts) == 0 {
		return "no machines"
	}
	return strings.Join(parts, ", ")
}

// each runs f for every machine, a few at a time, and joins the errors.
func each(ctx context.Context, machines []machine, f func(context.Context, machine) error) error {
	return fleet.Each(parallel, machines, func(m machine) error { return f(ctx, m) })
}

// portable is the machine in the words all clouds share.
func (m machine) portable() cloud.Instance {
	out := cloud.Instance{
		ID:         m.ID,
		Identity:   m.identity,
		Region:     m.Region,
		Zone:       m.Zone,
		Type:       m.InstanceType,
		Market:     cloud.Market(m.Market),
		State:      m.state(),
		Reason:     m.StateReason,
		Committed:  m.Tags[cloud.TagCommitted] == committed,
		CreatedAt:  m.CreatedAt,
		InternalIP: m.PrivateIP,
		ExternalIP: m.PublicIP,
		SSHPort:    m.SSHPort,
		Labels:     map[string]string{},
		HostKey:    m.Tags[cloud.TagHostKey],
		Notes:      cloud.NotesFromTags(m.Tags),
	}
	if m.ExpiresAt != nil {
		out.Deadline = *m.ExpiresAt
	}
	for k, v := range m.Tags {
		if !strings.HasPrefix(k, cloud.TagPrefix) {
			out.Labels[k] = v
		}
	}
	return out
}
