// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// The fault matrix runs on a cloud in memory, in the clock of testing/synctest.
// Unlike fakeCloud it has an API below its driver, call by call, so that a
// process can die between any two of them. It hides new machines, loses
// answers, makes machines late or twice, forgets requests and denies what is
// there, as told.

var (
	errSimCapacity = errors.New("503 insufficient capacity")
	errSimConfig   = errors.New("400 invalid parameter")
	errSimTimeout  = errors.New("the connection broke before an answer")
	errSimServer   = errors.New("500 internal error")
	errSimThrottle = errors.New("429 slow down")
	errSimAuth     = errors.New("401 the key has expired")
	errSimInUse    = errors.New("409 in use")
	errSimKilled   = errors.New("this process is dead")
	// errSimForbidden is known to no table.
	errSimForbidden = errors.New("no permission to do that")
)

// simFault is one piece of trouble at one kind of call. Phase is the
// Provisioner's method ("" any), op the API call ("" any), zone the machine's
// ("" any).
type simFault struct {
	phase, op, zone string
	skip, times     int // times 0 is for good
	// err is what the call answers; nil lets it answer as it would.
	err error
	// applied lets the call take effect although err is answered.
	applied bool
	// late lets a create take effect that long after err is answered.
	late time.Duration
	// twice makes two machines of one create.
	twice bool
	// silent answers success and does nothing.
	silent bool
	// empty answers a list without machines, or a get with not found.
	empty bool
	// vanish ends a machine of that rank before the call; -1 all.
	vanish *int
	// cut takes all machines off the network for that long, before the call.
	cut time.Duration
	// hook runs before the call; it may cancel contexts or clear faults.
	hook func()
}

type simMachine struct {
	cloud.Instance
	exists, visible, running, gone time.Time
	stoppedAt, cutUntil            time.Time
	// twin and late are the cloud's own mistakes: made besides, or after a refusal.
	twin, late bool
}

type simGroup struct {
	kind, region string
	owner        cloud.Identity // without attempt and rank
}

type simCloud struct {
	mu       sync.Mutex
	rng      *rand.Rand
	account  string
	machines []*simMachine
	groups   []simGroup
	faults   []*simFault
	// hide is how long lists do not show a new machine; boot how long it starts.
	hide, boot time.Duration
	serial     int
	launched   int
	// duplicates are machines made by our calls beside a living one of their rank.
	duplicates []string
	// watch is asked before each create takes effect.
	watch func(cloud.Identity)
	// expired makes every call fail, as after the end of a key.
	expired bool
}

func newSimCloud(seed uint64) *simCloud {
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	return &simCloud{
		rng: rng, account: "acct-1",
		hide: time.Duration(rng.IntN(8000)) * time.Millisecond,
		boot: time.Duration(10+rng.IntN(50)) * time.Second,
	}
}

// alive reports whether the machine exists and is billed.
func (m *simMachine) alive(now time.Time) bool {
	dead := !m.gone.IsZero() && !now.Before(m.gone)
	if !m.Deadline.IsZero() && !now.Before(m.Deadline) && !now.Before(m.exists) {
		dead = true // the dead-man timer
	}
	return !dead && !now.Before(m.exists)
}

// view is the machine as the API shows it.
func (m *simMachine) view(now time.Time) cloud.Instance {
	in := m.Instance
	switch {
	case !m.gone.IsZero():
		in.State = cloud.StateTerminating
	case !m.stoppedAt.IsZero() && now.Before(m.stoppedAt):
		in.State = cloud.StateStopping
	case !m.stoppedAt.IsZero():
		in.State = cloud.StateStopped
	case now.Before(m.running):
		in.State = cloud.StatePending
	default:
		in.State = cloud.StateRunning
	}
	return in
}

func (s *simCloud) find(id string) *simMachine {
	for _, m := range s.machines {
		if m.ID == id && m.alive(time.Now()) {
			return m
		}
	}
	return nil
}

// of are an owner's living machines.
func (s *simCloud) of(owner string) []cloud.Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []cloud.Instance
	for _, m := range s.machines {
		if m.Identity.Owner == owner && m.alive(time.Now()) {
			out = append(out, m.view(time.Now()))
		}
	}
	return out
}

// groupsOf are an owner's firewalls and keys.
func (s *simCloud) groupsOf(owner string) []simGroup {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.groups), func(g simGroup) bool { return g.owner.Owner != owner })
}

// vanish ends machines of that rank that run; -1 is all.
func (s *simCloud) vanish(owner string, rank int) {
	for _, m := range s.machines {
		if m.Identity.Owner == owner && m.Identity.Cluster == simName && (rank < 0 || m.Identity.Rank == rank) && m.alive(time.Now()) {
			m.gone = time.Now()
		}
	}
}

// simClient is one process's connection to the cloud.
type simClient struct {
	*simCloud
	process *simProcess
	owner   string
	phase   string
}

// call runs one API call through kill points and faults. apply takes effect
// under the cloud's lock.
func (c *simClient) call(ctx context.Context, op, zone string, apply func(f *simFault) error) error {
	name := c.phase + "/" + op
	if err := c.process.point(name + " before"); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", name, ctx.Err())
	}
	f := c.match(op, zone)
	if f != nil && f.hook != nil {
		f.hook()
	}
	err := c.answer(f, apply)
	if kerr := c.process.point(name + " after"); kerr != nil {
		return kerr
	}
	if err == nil && ctx.Err() != nil {
		return fmt.Errorf("%s: %w", name, ctx.Err()) // done, but nobody waited for the answer
	}
	return err
}

func (c *simClient) answer(f *simFault, apply func(f *simFault) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expired && c.phase != "ssh" && c.phase != "setup" {
		return errSimAuth
	}
	if f == nil {
		return apply(nil)
	}
	if f.vanish != nil {
		c.vanish(c.owner, *f.vanish)
	}
	if f.cut > 0 {
		for _, m := range c.machines {
			m.cutUntil = time.Now().Add(f.cut)
		}
	}
	if f.silent {
		return nil
	}
	if f.err == nil || f.applied || f.late > 0 {
		if err := apply(f); err != nil {
			return err
		}
	}
	return f.err
}

// match takes the first fault for a call.
func (c *simClient) match(op, zone string) *simFault {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.faults {
		if (f.phase != "" && f.phase != c.phase) || (f.op != "" && f.op != op) || (f.zone != "" && f.zone != zone) || f.times < 0 {
			continue
		}
		if f.skip > 0 {
			f.skip--
			continue
		}
		if f.times == 1 {
			f.times = -1
		} else if f.times > 1 {
			f.times--
		}
		return f
	}
	return nil
}

func (c *simClient) create(ctx context.Context, n cloud.NodeSpec, at cloud.Placement, deadline time.Time) (string, error) {
	var made string
	id := n.Identity
	err := c.call(ctx, "create", at.Offer.Zone, func(f *simFault) error {
		for _, m := range c.machines { // the token is spent once and for all
			if m.Identity == id && !m.twin && (m.alive(time.Now()) || time.Now().Before(m.exists)) {
				made = m.ID
				return nil
			}
			if m.Identity == id && !m.twin && !m.gone.IsZero() {
				return fmt.Errorf("machine %s: %w", m.ID, cloud.ErrSpent)
			}
		}
		if c.watch != nil {
			c.watch(id)
		}
		for _, m := range c.machines {
			if m.Identity.Owner == id.Owner && m.Identity.Cluster == id.Cluster && m.Identity.Rank == id.Rank && m.alive(time.Now()) {
				c.duplicates = append(c.duplicates, fmt.Sprintf("%+v beside %+v (%s)", id, m.Identity, m.ID))
			}
		}
		m := c.add(id, at, deadline, f)
		m.HostKey, made = n.HostKey, m.ID
		if f != nil && f.twice {
			c.add(id, at, deadline, f).twin = true
		}
		return nil
	})
	if err != nil {
		made = ""
	}
	return made, err
}

// add makes a machine; the caller holds the lock.
func (s *simCloud) add(id cloud.Identity, at cloud.Placement, deadline time.Time, f *simFault) *simMachine {
	s.serial++
	s.launched++
	now := time.Now()
	if f != nil && f.late > 0 {
		now = now.Add(f.late)
	}
	m := &simMachine{Instance: cloud.Instance{
		ID: fmt.Sprintf("i-%d", s.serial), Identity: id, Region: at.Offer.Region, Zone: at.Offer.Zone,
		Type: at.Offer.InstanceType.Name, Market: at.Offer.Market, Deadline: deadline, CreatedAt: now,
		InternalIP: fmt.Sprintf("10.0.0.%d", s.serial), ExternalIP: fmt.Sprintf("192.0.2.%d", s.serial), SSHPort: 22,
	}, exists: now, visible: now.Add(s.hide), running: now.Add(s.boot)}
	m.late = f != nil && f.late > 0
	s.machines = append(s.machines, m)
	return m
}

// mistake reports whether the cloud made a machine that nobody was told of. It
// may come at any time, so that only its dead-man timer and gc are sure to end it.
func (s *simCloud) mistake(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.find(id)
	return m != nil && (m.late || m.twin)
}

func (c *simClient) list(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	var out []cloud.Instance
	err := c.call(ctx, "list", ref.Zone, func(f *simFault) error {
		for _, m := range c.machines {
			now := time.Now()
			if m.alive(now) && !now.Before(m.visible) && ref.Matches(m.Identity, m.Region, m.Zone) && (f == nil || !f.empty) {
				out = append(out, m.view(now))
			}
		}
		return nil
	})
	return out, err
}

func (c *simClient) get(ctx context.Context, id string) (cloud.Instance, error) {
	var out cloud.Instance
	err := c.call(ctx, "get", "", func(f *simFault) error {
		m := c.find(id)
		if m == nil || (f != nil && f.empty) {
			return fmt.Errorf("machine %s: %w", id, cloud.ErrNotFound)
		}
		out = m.view(time.Now())
		return nil
	})
	return out, err
}

// change calls f on a living machine.
func (c *simClient) change(ctx context.Context, op, id string, f func(m *simMachine)) error {
	return c.call(ctx, op, "", func(*simFault) error {
		m := c.find(id)
		if m == nil {
			return fmt.Errorf("machine %s: %w", id, cloud.ErrNotFound)
		}
		f(m)
		return nil
	})
}

func (c *simClient) terminate(ctx context.Context, id string) error {
	return c.change(ctx, "terminate", id, func(m *simMachine) {
		if m.gone.IsZero() {
			m.gone = time.Now().Add(3 * time.Second)
		}
	})
}

// ensureGroup makes a firewall or a key unless it is there.
func (c *simClient) ensureGroup(ctx context.Context, g simGroup) error {
	return c.call(ctx, g.kind+".create", "", func(*simFault) error {
		if !slices.Contains(c.groups, g) {
			c.groups = append(c.groups, g)
		}
		return nil
	})
}

// dropGroup deletes firewalls or keys of a ref.
func (c *simClient) dropGroup(ctx context.Context, kind string, ref cloud.ClusterRef) error {
	return c.call(ctx, kind+".delete", "", func(*simFault) error {
		mine := func(g simGroup) bool { return g.kind == kind && ref.Matches(g.owner, g.region, ref.Zone) }
		for _, m := range c.machines {
			if kind == "firewall" && m.alive(time.Now()) && slices.ContainsFunc(c.groups, func(g simGroup) bool {
				return mine(g) && g.owner.Generation == m.Identity.Generation && g.owner.Owner == m.Identity.Owner && g.region == m.Region
			}) {
				return fmt.Errorf("firewall of %s: %w", m.ID, errSimInUse)
			}
		}
		c.groups = slices.DeleteFunc(c.groups, mine)
		return nil
	})
}

// simProcess is one run of the provider. It can be killed at any point: from
// then on nothing it does has an effect.
type simProcess struct {
	mu     sync.Mutex
	calls  int
	killAt int // 0 never
	// killOn kills at the point of that name, the first time after skip ones.
	killOn string
	skip   int
	// torn makes a death at a journal entry leave half of its line.
	torn  bool
	trace []string
	dead  bool
	died  chan struct{}
	// resume lets the dead process's goroutines end, when the test is over.
	resume chan struct{}
	onKill func()
}

func newSimProcess(resume chan struct{}) *simProcess {
	return &simProcess{died: make(chan struct{}), resume: resume}
}

// point is a place where the process may die. A dead one stays there until the
// test is over.
func (p *simProcess) point(name string) error {
	p.mu.Lock()
	p.calls++
	if !p.dead {
		p.trace = append(p.trace, name)
	}
	if p.killOn == name {
		p.skip--
	}
	if !p.dead && (p.calls == p.killAt || (p.killOn == name && p.skip < 0)) {
		p.dead = true
		if p.onKill != nil {
			p.onKill()
		}
		close(p.died)
	}
	dead := p.dead
	p.mu.Unlock()
	if dead {
		<-p.resume
		return errSimKilled
	}
	return nil
}
