// SPDX-License-Identifier: MPL-2.0

package cloudtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
)

// harness is an account of the cloud in memory, in virtual time, whose driver
// is a right one unless a mutant says otherwise.
type harness struct {
	*memcloud.Cloud
	mutant mutant
}

var _ interface {
	cloudtest.Harness
	cloudtest.Impostor
	cloudtest.Neighbour
	cloudtest.Killer
	cloudtest.Renamer
	cloudtest.Saboteur
	cloudtest.Counter
	cloudtest.Gatekeeper
	cloudtest.Inspector
	cloudtest.Lagger
	cloudtest.Timekeeper
	cloudtest.Inside
} = harness{}

func newHarness(v variant, m mutant) harness {
	world := memcloud.New()
	world.Caps, world.Key, world.Account = v.caps, "right", "memory"
	world.Going, world.Stopping, world.Addresses = time.Second, time.Second, true
	world.Repeats, world.Pace, world.Latency = v.repeats, v.pace, v.latency
	return harness{Cloud: world, mutant: m}
}

func (h harness) Factory() cloud.Factory {
	return brokenFactory{Factory: memcloud.Factory{Cloud: h.Cloud}, mutant: h.mutant}
}

func (harness) Credentials() cloud.Credentials {
	return cloud.Credentials{Values: map[string]string{"key": "right"}}
}

func (harness) BadCredentials() cloud.Credentials {
	return cloud.Credentials{Values: map[string]string{"key": "wrong-key"}}
}

func (harness) Placement(nodes int, market cloud.Market) cloud.Placement {
	return cloud.Placement{Nodes: nodes, Offer: cloud.Offer{
		Cloud: memcloud.Name, Region: "here-1", Zone: "here-1a", Market: market,
		InstanceType: cloud.InstanceType{Name: "small"}, HourlyUSD: 1,
	}}
}

func (harness) Spec(base cloud.ClusterSpec) cloud.ClusterSpec {
	base.SSHUser = "memo"
	base.AuthorizedKeys = []string{"ssh-ed25519 AAAA memo"}
	return base
}

func (h harness) Errors() []cloudtest.ErrorRow {
	var rows []cloudtest.ErrorRow
	for err, want := range memcloud.Rows() {
		rows = append(rows, cloudtest.ErrorRow{Name: err.Error(), Err: err, Want: want})
	}
	if h.mutant.rows != nil {
		rows = h.mutant.rows(rows)
	}
	return rows
}

func (h harness) LaunchForeign(_ context.Context, at cloud.Placement, kind cloudtest.Foreign, like cloud.Identity) (string, error) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	tags := kind.Tags(like)
	identity, ok := cloud.IdentityFromTags(tags)
	if !ok {
		identity = cloud.Identity{}
	}
	m := h.Add(identity, at, time.Time{}, 0)
	m.Tags, m.Visible = tags, m.Exists
	return m.ID, nil
}

// machine returns one that lives or lived.
func (h harness) machine(id string) *memcloud.Machine {
	i := slices.IndexFunc(h.Machines, func(m *memcloud.Machine) bool { return m.ID == id })
	return h.Machines[i]
}

func (h harness) Running(_ context.Context, id string) (bool, error) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	m := h.machine(id)
	return m.Alive(time.Now()) && m.View(time.Now()).State == cloud.StateRunning, nil
}

func (h harness) Remove(_ context.Context, id string) error {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	m := h.machine(id)
	m.Gone, m.Address = time.Now(), false
	return nil
}

func (h harness) KillMachine(ctx context.Context, id string) error { return h.Remove(ctx, id) }

// Rename changes nothing that is known of machines here, but for a mutant.
func (h harness) Rename(_ context.Context, id, _ string) error {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	if h.mutant.renamed != nil {
		h.mutant.renamed(h.machine(id))
	}
	return nil
}

func (h harness) InjectLaunchFault(_ context.Context, kind cloudtest.LaunchFault, skip int) (func(context.Context) error, error) {
	f := memcloud.Fault{Op: "create", Skip: skip}
	switch kind {
	case cloudtest.NoCapacity:
		f.Err = memcloud.ErrCapacity
	case cloudtest.LostAnswer:
		f.Err, f.Applied, f.Times = memcloud.ErrTimeout, true, 1
	case cloudtest.LateCapacity:
		f.Dies = true
	case cloudtest.LateAddress:
		f.Unaddressed = 20 * time.Second
	case cloudtest.OneAtATime:
		f.Skip, f.Times, f.Err = 1, 2, memcloud.ErrThrottle
	case cloudtest.LostMark:
		f.Op, f.Silent, f.Times = "tag", true, 1
	case cloudtest.LostDisarm:
		f.Op, f.Silent, f.Times = "disarm", true, 2
	}
	h.Mu.Lock()
	defer h.Mu.Unlock()
	h.Faults = append(h.Faults, &f)
	return func(context.Context) error {
		h.Mu.Lock()
		defer h.Mu.Unlock()
		h.Faults = nil
		return nil
	}, nil
}

func (h harness) Lag(context.Context) (func(context.Context) error, error) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	h.Hide = 8 * time.Second
	return func(context.Context) error { return nil }, nil
}

func (h harness) Count(context.Context) (cloudtest.Counts, error) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	now := time.Now()
	h.FireTimers(now)
	counts := cloudtest.Counts{Others: len(h.Things)}
	for _, g := range h.Groups {
		if g.Kind == "key" {
			counts.Keys++
		} else {
			counts.Firewalls++
		}
	}
	for _, m := range h.Machines {
		alive := m.Alive(now)
		if alive {
			counts.Machines++
		}
		if (alive && !m.DiskGone) || m.LeavesDisk {
			counts.Disks++
		}
		if m.Address {
			counts.Addresses++
		}
	}
	return counts, nil
}

// firewall is what stands before a machine.
func (h harness) firewall(id string) (*memcloud.Group, error) {
	m := h.machine(id)
	owner := cloud.Identity{Owner: m.Identity.Owner, Cluster: m.Identity.Cluster, Generation: m.Identity.Generation}
	i := slices.IndexFunc(h.Groups, func(g *memcloud.Group) bool { return g.Kind == "firewall" && g.Owner == owner })
	if i < 0 {
		return nil, fmt.Errorf("machine %s has no firewall", id)
	}
	return h.Groups[i], nil
}

func (h harness) OpenPorts(_ context.Context, id string) (cloudtest.Gate, error) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	var gate cloudtest.Gate
	g, err := h.firewall(id)
	if err != nil {
		return gate, err
	}
	for _, from := range g.From {
		if g.SSH {
			gate.Openings = append(gate.Openings, cloudtest.Opening{Ports: cloud.PortRange{First: 22, Last: 22}, From: from})
		}
		for _, p := range g.Ports {
			gate.Openings = append(gate.Openings, cloudtest.Opening{Ports: p, From: from})
		}
	}
	return gate, nil
}

func (h harness) Reaches(_ context.Context, from, to string) (bool, error) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	a, errA := h.firewall(from)
	b, errB := h.firewall(to)
	return a == b && a != nil && a.Inside, errors.Join(errA, errB)
}

func (h harness) ReachesOut(_ context.Context, id string) (bool, error) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	g, err := h.firewall(id)
	return g != nil && g.Outside, err
}

func (h harness) Sent(_ context.Context, id string) (cloudtest.Sent, error) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	s := h.machine(id).Sent
	return cloudtest.Sent{UserData: s.UserData, AuthorizedKeys: s.AuthorizedKeys, Image: s.Image, DiskGiB: s.DiskGiB}, nil
}

func (harness) Images() (other, missing string) { return memcloud.OtherImage, "image-none" }

// EndItself is a power-off, whichever way it is to end.
func (h harness) EndItself(_ context.Context, id string, _ cloud.Shutdown) error {
	h.Cloud.EndItself(id)
	return nil
}

func (harness) ShortestDeadline() time.Duration { return time.Minute }

func (harness) PassTime(_ context.Context, until time.Time) error {
	<-time.After(time.Until(until)) // virtual: the tests run in a synctest bubble
	return nil
}
