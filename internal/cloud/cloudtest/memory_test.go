// SPDX-License-Identifier: MPL-2.0

package cloudtest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
)

const cloudName = "memory"

var (
	errFull   = errors.New("memory: no capacity")
	errQuota  = errors.New("memory: quota")
	errKey    = errors.New("memory: wrong key")
	errBad    = errors.New("memory: bad request")
	errAnswer = errors.New("memory: no answer")
)

// memoryCloud is a cloud in memory and the harness of its driver. It is a
// correct one, except for what broken names.
type memoryCloud struct {
	caps   cloud.Capabilities
	broken string

	mu        sync.Mutex
	serial    int
	machines  map[string]*memoryMachine
	firewalls map[string]*memoryGroup
	keys      map[string]*memoryGroup
	// capacity is how many launches succeed; negative is no limit.
	capacity int
	lose     bool
}

type memoryMachine struct {
	cloud.Instance
	tags     map[string]string
	disk     bool
	firewall string
	doomed   time.Time
	// onShutdown is what a power-off does once the machine is committed.
	onShutdown cloud.Shutdown
}

type memoryGroup struct {
	owner cloud.Identity // Attempt and Rank are 0
	ssh   bool
	ports []cloud.PortRange
	from  []netip.Prefix
}

func newMemoryCloud(caps cloud.Capabilities, broken string) *memoryCloud {
	return &memoryCloud{
		caps: caps, broken: broken, capacity: -1,
		machines: map[string]*memoryMachine{}, firewalls: map[string]*memoryGroup{}, keys: map[string]*memoryGroup{},
	}
}

func (m *memoryCloud) breaks(what string) bool { return m.broken == what }

func (m *memoryCloud) id(kind string) string {
	m.serial++
	return fmt.Sprintf("%s-%d", kind, m.serial)
}

// lock takes the cloud for one call and lets time do its work first.
func (m *memoryCloud) lock() func() {
	m.mu.Lock()
	now := time.Now()
	for _, in := range m.machines {
		expired := !in.Deadline.IsZero() && !now.Before(in.Deadline)
		switch doomed := !in.doomed.IsZero() && !now.Before(in.doomed); {
		case doomed, expired && (m.caps.DeadMan || m.breaks("stopped is lost")):
			in.kill()
		case expired && in.State == cloud.StateRunning:
			in.State = cloud.StateStopped
		}
	}
	return m.mu.Unlock
}

func (in *memoryMachine) kill() {
	in.State, in.disk = cloud.StateTerminated, false
}

// The harness.

func (m *memoryCloud) Factory() cloud.Factory { return memoryFactory{m} }

func (m *memoryCloud) Credentials() cloud.Credentials {
	return cloud.Credentials{Values: map[string]string{"key": "right"}}
}

func (m *memoryCloud) BadCredentials() cloud.Credentials {
	return cloud.Credentials{Values: map[string]string{"key": "wrong-key"}}
}

func (m *memoryCloud) Placement(nodes int, market cloud.Market) cloud.Placement {
	return cloud.Placement{Nodes: nodes, Offer: cloud.Offer{
		Cloud: cloudName, Region: "here-1", Zone: "here-1a", Market: market,
		InstanceType: cloud.InstanceType{Name: "small"}, HourlyUSD: 1,
	}}
}

func (m *memoryCloud) Spec(base cloud.ClusterSpec) cloud.ClusterSpec {
	base.SSHUser = "memo"
	base.AuthorizedKeys = []string{"ssh-ed25519 AAAA memo"}
	return base
}

func (m *memoryCloud) Errors() []cloudtest.ErrorRow {
	if m.breaks("empty error table") {
		return nil
	}
	return []cloudtest.ErrorRow{
		{Name: "full", Err: errFull, Want: cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}},
		{Name: "quota", Err: errQuota, Want: cloud.Fault{Kind: cloud.KindQuota, Scope: cloud.ScopeRegion}},
		{Name: "key", Err: errKey, Want: cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}},
		{Name: "bad", Err: errBad, Want: cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}},
		{Name: "answer", Err: errAnswer, Want: cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}},
	}
}

func (m *memoryCloud) LaunchForeign(_ context.Context, at cloud.Placement, kind cloudtest.Foreign, like cloud.Identity) (string, error) {
	defer m.lock()()
	in := &memoryMachine{tags: kind.Tags(like), disk: true}
	in.Instance = cloud.Instance{ID: m.id("i"), State: cloud.StateRunning, Region: at.Offer.Region, Zone: at.Offer.Zone}
	m.machines[in.ID] = in
	return in.ID, nil
}

func (m *memoryCloud) Running(_ context.Context, id string) (bool, error) {
	defer m.lock()()
	return m.machines[id].State == cloud.StateRunning, nil
}

func (m *memoryCloud) Remove(_ context.Context, id string) error {
	defer m.lock()()
	m.machines[id].kill()
	return nil
}

func (m *memoryCloud) KillMachine(ctx context.Context, id string) error { return m.Remove(ctx, id) }

func (m *memoryCloud) InjectLaunchFault(_ context.Context, kind cloudtest.LaunchFault, skip int) (func(context.Context) error, error) {
	defer m.lock()()
	if kind == cloudtest.LostAnswer {
		m.lose = true
	} else {
		m.capacity = skip
	}
	return func(context.Context) error {
		defer m.lock()()
		m.capacity, m.lose = -1, false
		return nil
	}, nil
}

func (m *memoryCloud) Count(context.Context) (cloudtest.Counts, error) {
	defer m.lock()()
	c := cloudtest.Counts{Firewalls: len(m.firewalls), Keys: len(m.keys)}
	for _, in := range m.machines {
		if in.State != cloud.StateTerminated {
			c.Machines++
		}
		if in.disk {
			c.Disks++
		}
	}
	return c, nil
}

func (m *memoryCloud) OpenPorts(_ context.Context, id string) (cloudtest.Gate, error) {
	defer m.lock()()
	g := m.firewalls[m.machines[id].firewall]
	return cloudtest.Gate{SSH: g.ssh, Ports: slices.Clone(g.ports)}, nil
}

// EndItself is a power-off, whichever way it is to end.
func (m *memoryCloud) EndItself(_ context.Context, id string, _ cloud.Shutdown) error {
	defer m.lock()()
	in := m.machines[id]
	switch {
	case in.tags[cloud.TagCommitted] != "true" || in.onShutdown == cloud.ShutdownTerminate:
		in.kill()
	default:
		in.State = cloud.StateStopped
	}
	return nil
}

func (m *memoryCloud) ShortestDeadline() time.Duration { return time.Minute }

func (m *memoryCloud) PassTime(_ context.Context, until time.Time) error {
	<-time.After(time.Until(until)) // virtual: the tests run in a synctest bubble
	return nil
}

type memoryFactory struct{ m *memoryCloud }

func (memoryFactory) Name() string                       { return cloudName }
func (f memoryFactory) Capabilities() cloud.Capabilities { return f.m.caps }

func (memoryFactory) Options() []cloud.Option {
	return []cloud.Option{{Name: "key", Description: "The key.", Sensitive: true}}
}

func (f memoryFactory) Open(_ context.Context, creds cloud.Credentials) (cloud.Session, error) {
	if key := creds.Values["key"]; key != "right" && !f.m.breaks("takes any key") {
		if f.m.breaks("quotes the key") {
			return cloud.Session{}, fmt.Errorf("%s: %w", key, errKey)
		}
		return cloud.Session{}, errKey
	}
	account := "memory"
	if f.m.breaks("no account") {
		account = ""
	}
	return cloud.Session{Provisioner: &memoryDriver{f.m}, Account: account}, nil
}

func labelsOf(tags map[string]string) map[string]string {
	out := maps.Clone(tags)
	maps.DeleteFunc(out, func(k, _ string) bool { return len(k) > 4 && k[:4] == cloud.TagPrefix })
	return out
}
