// SPDX-License-Identifier: MPL-2.0

// Package fleet is the shared half of every driver. A driver says what the calls
// of its cloud are, in the words all clouds share: list, get, create, start,
// stop, delete, relabel, mark, and what an error means. Fleet makes a
// cloud.Provisioner of them: it looks at listings that lag, adopts, resumes,
// creates and looks again, finds out about lost answers, waits, commits, removes, and
// cleans up. What only one cloud has comes in through hooks.
//
// A driver is a struct that embeds *Fleet, implements Calls and Bootstrap, and
// calls New. Where it knows better it declares a method of its own.
package fleet

import (
	"context"
	"net/netip"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Machine is a machine as the calls of a driver show it. N is what else the
// driver keeps of it.
type Machine[N any] struct {
	// Instance is the machine in the words all clouds share. Its Identity is
	// zero where the tags hold no whole one: such a machine is foreign. ID may be
	// empty of one whose launch was not answered. Ending matters of a terminated
	// machine only; an empty Reason may be filled by Hooks.Explain.
	cloud.Instance
	// Tags are the cloud's own, decoded, whether or not they hold a whole Identity:
	// Survey shows a machine that lost one of them. Nil are those of Identity.
	Tags map[string]string
	// Name is what people and the cloud's tools call it, where that is not the id.
	Name string
	// SSHUser is whom it lets in; empty is Config.SSHUser.
	SSHUser string
	// Status is the cloud's own word for the state, for people who meet StateUnknown.
	Status string
	Native N

	// untagged says that Identity is what this process remembers: the cloud shows none.
	untagged bool
}

// Order is one machine to be made.
type Order[R any] struct {
	// Name is that of the identity, as long as Capabilities.MaxNameLength allows.
	Name      string
	Node      cloud.NodeSpec
	Spec      cloud.ClusterSpec
	Placement cloud.Placement
	// Resources are what Bootstrap returned in RunConfig.Resources.
	Resources R
	// Place is one of Hooks.Places, or zero where there is no such hook.
	Place Place
}

// Place is somewhere in a region where machines can be put, such as a subnet.
type Place struct{ ID, Zone string }

// Relabeling says what of a machine's labels and marks is to change.
type Relabeling struct {
	// Labels are all that the machine is to have; Set and Remove lead there.
	Labels map[string]string
	Set    map[string]string
	Remove []string
	// Marks are reserved tags to set: notes, host key, ownership. They go on the
	// machine itself, Labels on its disks too.
	Marks map[string]string
}

// Calls are what fleet asks of a cloud. They return the cloud's raw errors. All
// may be called by several goroutines, and again after they failed.
type Calls[N, R any] interface {
	// List shows the machines that may be of ref's clusters, in every state, all
	// pages of all places where they can be. It may show others too. An empty
	// field of ref matches anything, Owner too; ref.Instances is not looked at.
	List(ctx context.Context, ref cloud.ClusterRef) ([]Machine[N], error)

	// Get shows those of the machines that exist, by id, whoever they belong to,
	// in a way that lags less than List if there is one. Ref.Region and Ref.Zone
	// say where they are, where they are known. See GetEach.
	Get(ctx context.Context, ref cloud.ClusterRef, ids []string) ([]Machine[N], error)

	// Create asks for one machine, with name, tags or token of the identity, and
	// returns what the cloud answered. An id with an error is a machine that is
	// there but not as asked for; no id with an error that Refused does not know
	// may be one, and whatever else is known of it (Name, Native) comes along.
	// ErrSpent is for an identity whose machine is gone.
	Create(ctx context.Context, order Order[R]) (Machine[N], error)

	// StartMachine, StopMachines and DeleteMachines ask for it and need not wait.
	// That a machine is gone, or already on its way, is no error: the next look
	// tells. Its disks are deleted with it. A machine without an id is deleted by
	// its name.
	StartMachine(ctx context.Context, m Machine[N]) error
	StopMachines(ctx context.Context, machines []Machine[N]) error
	DeleteMachines(ctx context.Context, machines []Machine[N]) error

	// Relabel changes the tags of a machine. It is only called for what the
	// Capabilities say can change.
	Relabel(ctx context.Context, m Machine[N], change Relabeling) error

	// Mark makes machines show Committed, and disarms their dead-man timers. It is
	// called for all that Commit is about until each shows Committed and no
	// Deadline, so that what was done already should cost no call.
	Mark(ctx context.Context, machines []Machine[N]) error

	// Classify says what an error means; see Table.
	Classify(err error) cloud.Fault
}

// Things is implemented by a driver that makes more than machines: firewalls,
// keys, groups, and what is paid for beside a machine, such as addresses and
// disks that may outlive it. Fleet removes what is paid for with the machines,
// the rest in CleanupPorts, and shows all in Survey.
type Things interface {
	// Kinds are the kinds of things that the driver makes, machines aside.
	Kinds() []cloud.ThingKind
	// Things lists those of a kind that match the ref as ClusterRef.ThingOf does.
	Things(ctx context.Context, ref cloud.ClusterRef, kind cloud.ThingKind) ([]cloud.Thing, error)
	// RemoveThing asks for its removal. That it is gone is no error. That it is
	// still in use is a transient one.
	RemoveThing(ctx context.Context, t cloud.Thing) error
}

// Firewalls is implemented by a driver whose clusters have a firewall each, which
// is among its Things.
type Firewalls interface {
	// Firewalls lists those of ref's clusters, with what they let in.
	Firewalls(ctx context.Context, ref cloud.ClusterRef) ([]Firewall, error)
	// SetOpenings makes a firewall let in exactly this; what is new opens before
	// what is old closes. What lets the machines reach one another stays.
	SetOpenings(ctx context.Context, f Firewall, want []Opening) error
}

// Firewall is what keeps strangers from the machines of a cluster.
type Firewall struct {
	ID, Name string
	Region   string
	Open     []Opening
	// Native is what else the driver keeps of it.
	Native any
}

// Opening is a range of ports that one source may reach.
type Opening struct {
	// Proto is empty for TCP. With another one, which nobody here ever opens,
	// What says what is let in.
	Proto string
	What  string
	Ports cloud.PortRange
	// From is a prefix, or what else the cloud has as a source.
	From string
}

// Hooks are what only some clouds have. A nil one is left out.
type Hooks[N, R any] struct {
	// Zone is the account's own name for a zone of a region, where catalogs have
	// another. Machines show that name; whoever asks with the other gets it back.
	Zone func(ctx context.Context, region, zone string) (string, error)

	// Valid says why ids cannot be this cloud's; they are never sent then.
	Valid func(id string) bool

	// Places are where to launch, to be tried in turn. All machines of a launch
	// are in one zone.
	Places func(res R) []Place

	// CheckSpec refuses what this cloud cannot launch, beside checkSpec.
	CheckSpec func(spec cloud.ClusterSpec, at cloud.Placement) error

	// Adopt brings what is not a label in line with the spec.
	Adopt func(ctx context.Context, m Machine[N], spec cloud.ClusterSpec) error

	// Refused reports that a Create definitely made nothing. Without it that is
	// so for errors that are neither transient nor unknown.
	Refused func(err error) bool

	// Find looks for a machine that was launched and is neither listed nor known
	// by its id: by its name, or by what Create left in Native. Without it, Get is
	// asked and time decides.
	Find func(ctx context.Context, m Machine[N]) (Machine[N], Sight, error)

	// Explain says why a machine stopped that nobody stopped, where List does not.
	Explain func(ctx context.Context, m Machine[N]) string

	// Overdue says why a machine that was waited for to run, and has been in one
	// Status without more to show for so long, will not get there; empty is to wait on.
	Overdue func(m Machine[N], since time.Duration) string

	// SSHUser asks for the user of a running machine, where List does not know.
	SSHUser func(ctx context.Context, m Machine[N]) (string, error)

	// Callers are who may reach machines of a spec that does not say it, behind
	// a firewall of which Region and Native are known. Without it, or where it
	// names none, that is this computer's public address.
	Callers func(ctx context.Context, spec cloud.ClusterSpec, f Firewall) ([]netip.Prefix, error)
}

// Sight is what Find saw.
type Sight int

// What Find may see.
const (
	SightUnsure Sight = iota // it is not there, and may come until it is too late
	SightComing              // the cloud is at work on it
	SightNever               // it will not come
	SightHere                // it is there
)

// Config makes a Fleet. The zero values of Poll and what follows are good for
// most clouds; tests hurry them.
type Config[N, R any] struct {
	// Name is the cloud's name, Capabilities what it can do.
	Name         string
	Capabilities cloud.Capabilities
	Calls        Calls[N, R]
	Hooks        Hooks[N, R]
	// SSHUser is whom machines let in that do not say it, SSHPort where they
	// listen; 0 is 22.
	SSHUser string
	SSHPort uint16
	// Idempotent says that a Create with an identity that was asked for before
	// makes no second machine. Elsewhere Run waits until the outcome of an
	// unanswered launch is certain before it asks again.
	Idempotent bool
	// DeleteConfirms says that DeleteMachines returns once the cloud confirmed the end.
	DeleteConfirms bool

	// Poll is the pause between two looks at machines.
	Poll retry.Policy
	// QuietLooks is how many looks in a row must show nothing before nothing is
	// believed; MissingLooks is the same for a machine known by its id.
	QuietLooks, MissingLooks int
	// Patience is how many transient failures in a row end a watch.
	Patience int
	// Settle is how long a machine that was launched may stay invisible.
	Settle time.Duration
	// Granularity is how exact Machine.CreatedAt is, and how far the creations of
	// machines may be apart that it does not tell apart. See giveWay.
	Granularity time.Duration
	// TieTime is how long it may take until the younger of two such machines is gone.
	TieTime time.Duration
	// Parallel bounds the calls under way at once, and Launches paces those that
	// make machines, all clusters of the process together. Other calls are paced
	// where the driver makes them.
	Parallel int
	Launches *Pace
	// CallerSource tells this computer's public address.
	CallerSource string
}

// withDefaults fills in what is not set.
func (c Config[N, R]) withDefaults() Config[N, R] {
	if c.Poll == (retry.Policy{}) {
		c.Poll = retry.Policy{Initial: 500 * time.Millisecond, Max: 5 * time.Second, Factor: 1.5, Jitter: 0.2}
	}
	for _, n := range []struct {
		have  *int
		usual int
	}{{&c.QuietLooks, 3}, {&c.MissingLooks, 5}, {&c.Patience, 3}, {&c.Parallel, 8}} {
		if *n.have == 0 {
			*n.have = n.usual
		}
	}
	if c.Settle == 0 {
		c.Settle = time.Minute
	}
	if c.Granularity == 0 {
		c.Granularity = time.Second
	}
	if c.TieTime == 0 {
		c.TieTime = time.Minute
	}
	if c.SSHPort == 0 {
		c.SSHPort = 22
	}
	if c.CallerSource == "" {
		c.CallerSource = callerAddressSource
	}
	return c
}

// Fleet is all of a cloud.Provisioner but Bootstrap and Classify, and a
// cloud.Surveyor, cloud.Chronicler and cloud.Auditor.
type Fleet[N, R any] struct {
	Config[N, R]
	recent ledger[N]
}

// New returns a fleet.
func New[N, R any](c Config[N, R]) *Fleet[N, R] { return &Fleet[N, R]{Config: c.withDefaults()} }

// AllowedCIDRs are who may reach machines of a spec behind a firewall: the
// prefixes asked for, else Hooks.Callers or this computer's own public address.
func (f *Fleet[N, R]) AllowedCIDRs(ctx context.Context, spec cloud.ClusterSpec, behind Firewall) ([]netip.Prefix, error) {
	if len(spec.AllowedCIDRs) > 0 {
		return spec.AllowedCIDRs, nil
	}
	if f.Hooks.Callers != nil {
		if found, err := f.Hooks.Callers(ctx, spec, behind); err != nil || len(found) > 0 {
			return found, err
		}
	}
	addr, err := callerAddress(ctx, f.CallerSource)
	if err != nil {
		return nil, ConfigErrorf(cloud.ScopeCloud, "cannot tell the address from which SSH is to be allowed, so say it with allowed_cidrs: %v", err)
	}
	return []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}, nil
}

// Resources are those of a run configuration, which must be Bootstrap's own.
func (f *Fleet[N, R]) Resources(cfg cloud.RunConfig) (R, error) {
	res, ok := cfg.Resources.(R)
	if !ok {
		return res, ConfigErrorf(cloud.ScopeCloud, "the run configuration is not one that Bootstrap of %s made", f.Name)
	}
	return res, nil
}
