// SPDX-License-Identifier: MPL-2.0

// Package memcloud is a cloud in memory, for tests, with its driver. The cloud
// has an API below its driver, call by call, so that a process can die between
// any two of them. It hides new machines, loses answers, makes machines late or
// twice, forgets requests and denies what is there, as told; its time is that
// of testing/synctest, or the real one.
package memcloud

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Cloud is one account. What a test sets it sets before the first call, or
// under Mu.
type Cloud struct {
	Mu      sync.Mutex
	Account string
	Caps    cloud.Capabilities
	// Key is what Open asks for; empty lets everybody in.
	Key      string
	Machines []*Machine
	Groups   []*Group
	// Things are what nothing but a test makes.
	Things []cloud.Thing
	Faults []*Fault
	// Means are errors of a test's own, for Faults, with their meaning.
	Means map[error]cloud.Fault
	// Hide is how long lists do not show a new machine, Boot how long it starts,
	// Going how long it ends and Stopping how long it stops.
	Hide, Boot, Going, Stopping time.Duration
	// Latency is how long a call takes before it has its effect.
	Latency time.Duration
	// Repeats lets every create make another machine: there is no token, and
	// names are not unique.
	Repeats bool
	// Pace is the time from one launch to the next; what comes before is refused.
	Pace time.Duration
	// Addresses lets every machine leave an address behind that is paid for.
	Addresses bool
	// Reticent lets surveys show nothing but Things, and machines where there are
	// any: a test that counts what it made itself.
	Reticent bool
	// Loose lets firewalls go while machines are behind them.
	Loose bool
	// Expired makes every call fail, as after the end of a key.
	Expired bool
	// Watch is asked before each create takes effect, OnRun at each Run.
	Watch func(cloud.Identity)
	OnRun func(cloud.RunConfig)

	// Launched is how many machines were made, Duplicates those that calls of ours
	// made beside a living one of their rank, Calls how often the API was called.
	Launched   int
	Duplicates []string
	Calls      int
	methods    []string
	serial     int
	lastLaunch time.Time
}

// Machine is one machine. Its Instance holds what does not change by itself.
type Machine struct {
	cloud.Instance
	// Exists, Visible, Runs, Addressed, Gone and StoppedAt are when it begins to
	// be so; zero is never for the last two, and at once for the others.
	Exists, Visible, Runs, Addressed, Gone, StoppedAt time.Time
	// CutUntil is until when nobody reaches it.
	CutUntil time.Time
	// Twin and Late are the cloud's own mistakes: made besides, or after a refusal.
	Twin, Late bool
	// Jammed is a dead-man timer that does not work.
	Jammed bool
	// OnShutdown is what a power-off does once the machine is committed.
	OnShutdown cloud.Shutdown
	// LeavesDisk keeps its disk when it is gone; DiskGone takes it before.
	LeavesDisk, DiskGone bool
	// Address is an address that is paid for, until it is released.
	Address bool
	// Tags are those of a stranger's machine, which has no Identity.
	Tags map[string]string
	Sent Sent
}

// Sent is what a machine was made with.
type Sent struct {
	UserData       []byte
	SSHUser        string
	AuthorizedKeys []string
	Image          string
	DiskGiB        int
}

// Group is a firewall or a key of a cluster.
type Group struct {
	Kind, Region string
	Owner        cloud.Identity // without attempt and rank
	// From, Ports, SSH, Inside and Outside are a firewall's: who reaches what,
	// and whether its machines reach one another and the world.
	From                 []netip.Prefix
	Ports                []cloud.PortRange
	SSH, Inside, Outside bool
	// SSHUser and AuthorizedKeys are a key's.
	SSHUser        string
	AuthorizedKeys []string
}

// The images that the cloud has.
const (
	DefaultImage = "image-default"
	OtherImage   = "image-other"
)

// New returns a cloud that can do everything but stop spot machines.
func New() *Cloud {
	return &Cloud{
		Account: "acct-1", Going: 3 * time.Second, Stopping: 5 * time.Second,
		Caps: cloud.Capabilities{
			Stop: true, Spot: true, MultiNode: true, PortsLater: true, PortsLaunch: true, UserData: true,
			CustomImage: true, CustomDisk: true, Labels: true, DeadMan: true,
		},
	}
}

// Alive reports whether the machine exists and is billed.
func (m *Machine) Alive(now time.Time) bool {
	return !now.Before(m.Exists) && (m.Gone.IsZero() || now.Before(m.Gone))
}

// View is the machine as the API shows it. A State that a test set stays.
func (m *Machine) View(now time.Time) cloud.Instance {
	in := m.Instance
	in.Labels = cloneMap(m.Labels)
	in.Notes = cloneMap(m.Notes)
	if in.State == "" {
		in.State = m.state(now)
	}
	if in.State != cloud.StateRunning || now.Before(m.Addressed) {
		in.ExternalIP = ""
	}
	return in
}

func (m *Machine) state(now time.Time) cloud.State {
	switch {
	case !m.Gone.IsZero():
		return cloud.StateTerminating
	case !m.StoppedAt.IsZero() && now.Before(m.StoppedAt):
		return cloud.StateStopping
	case !m.StoppedAt.IsZero():
		return cloud.StateStopped
	case now.Before(m.Runs):
		return cloud.StatePending
	default:
		return cloud.StateRunning
	}
}

func cloneMap(in map[string]string) map[string]string {
	out := make(map[string]string, len(in))
	for k, v := range in {
		out[k] = v
	}
	return out
}

// FireTimers ends the machines whose dead-man timer is due. The caller holds Mu.
func (s *Cloud) FireTimers(now time.Time) {
	for _, m := range s.Machines {
		if m.Jammed || m.Deadline.IsZero() || now.Before(m.Deadline) || !m.Alive(now) {
			continue
		}
		switch {
		case s.Caps.DeadMan:
			m.end(now)
		case s.Caps.DeadManStops && m.StoppedAt.IsZero():
			m.StoppedAt = m.Deadline
		}
	}
}

// end ends a machine at once.
func (m *Machine) end(now time.Time) {
	m.Gone, m.Address, m.State = now, false, ""
}

// Find returns a living machine; nil is none. The caller holds Mu.
func (s *Cloud) Find(id string) *Machine {
	now := time.Now()
	s.FireTimers(now)
	for _, m := range s.Machines {
		if m.ID == id && m.Alive(now) {
			return m
		}
	}
	return nil
}

// Of are an owner's living machines.
func (s *Cloud) Of(owner string) []cloud.Instance {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	now := time.Now()
	s.FireTimers(now)
	var out []cloud.Instance
	for _, m := range s.Machines {
		if m.Identity.Owner == owner && m.Alive(now) {
			out = append(out, m.View(now))
		}
	}
	return out
}

// Live are the ids of an owner's living machines.
func (s *Cloud) Live(owner string) []string {
	var out []string
	for _, in := range s.Of(owner) {
		out = append(out, in.ID)
	}
	return out
}

// GroupsOf are an owner's firewalls and keys.
func (s *Cloud) GroupsOf(owner string) []*Group {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.Groups), func(g *Group) bool { return g.Owner.Owner != owner })
}

// Called counts the calls of a method of the driver.
func (s *Cloud) Called(method string) int {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	n := 0
	for _, m := range s.methods {
		if strings.HasPrefix(m, method+" ") {
			n++
		}
	}
	return n
}

// Methods are the calls of the driver so far, as "run r1a".
func (s *Cloud) Methods() []string {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return slices.Clone(s.methods)
}

// Vanish ends the owner's machines of that cluster and rank; -1 is all. The
// caller holds Mu.
func (s *Cloud) Vanish(owner, cluster string, rank int) {
	now := time.Now()
	for _, m := range s.Machines {
		if m.Identity.Owner == owner && (cluster == "" || m.Identity.Cluster == cluster) && (rank < 0 || m.Identity.Rank == rank) && m.Alive(now) {
			m.end(now)
		}
	}
}

// Add makes a machine that nobody asked for by the API, late after that time.
// The caller holds Mu.
func (s *Cloud) Add(id cloud.Identity, at cloud.Placement, deadline time.Time, late time.Duration) *Machine {
	s.serial++
	s.Launched++
	now := time.Now().Add(late)
	m := &Machine{
		Instance: cloud.Instance{
			ID: fmt.Sprintf("i-%d", s.serial), Identity: id, Region: at.Offer.Region, Zone: at.Offer.Zone,
			Type: at.Offer.InstanceType.Name, Market: at.Offer.Market, Deadline: deadline, CreatedAt: now,
			ExternalIP: fmt.Sprintf("192.0.2.%d", s.serial), SSHPort: 22,
		},
		Exists: now, Visible: now.Add(s.Hide), Runs: now.Add(s.Boot), Late: late > 0, Address: s.Addresses,
	}
	if s.Caps.MultiNode {
		m.InternalIP = fmt.Sprintf("10.0.0.%d", s.serial)
	}
	s.Machines = append(s.Machines, m)
	return m
}

// Mistake reports whether the cloud made a machine that nobody was told of. It
// may come at any time, so that only its dead-man timer and gc are sure to end it.
func (s *Cloud) Mistake(id string) bool {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	m := s.Find(id)
	return m != nil && (m.Late || m.Twin)
}

// EndItself is a machine's own power-off.
func (s *Cloud) EndItself(id string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	m := s.Find(id)
	switch {
	case m == nil:
	case !m.Committed || m.OnShutdown == cloud.ShutdownTerminate:
		m.end(time.Now())
	default:
		m.StoppedAt = time.Now()
	}
}
