// SPDX-License-Identifier: MPL-2.0

// Package cloudtest is the definition of a working driver: the suite that the
// driver of every cloud passes, over the wire, against the cloud, an emulator
// or a fake that speaks its API.
//
// A driver's test provides a Harness and calls Run. What a case needs beyond
// the driver itself, such as a machine of somebody else's or a launch that
// fails, comes from the hooks below, which the harness implements as well. A
// case whose hook is missing fails. A case does not apply only where the
// driver's Capabilities say so, or where the harness says that its world cannot
// show it (Limited), which a test of the driver counts.
package cloudtest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Harness is one account of one cloud to test a driver on.
type Harness interface {
	// Factory returns a new factory at each call. Two of them share no memory, as
	// two processes do.
	Factory() cloud.Factory
	Credentials() cloud.Credentials
	// Placement is an offer with room for that many machines, and a few more.
	Placement(nodes int, market cloud.Market) cloud.Placement
	// Spec completes what the suite asks for by what this cloud needs: image,
	// SSH user and keys, user data, NodeConfig. Identities, labels, ports and
	// the deadline stay as they are.
	Spec(base cloud.ClusterSpec) cloud.ClusterSpec
	// Errors are errors as the driver returns them, with their meaning.
	Errors() []ErrorRow
}

// ErrorRow is an error and what Classify must make of it.
type ErrorRow struct {
	Name string
	Err  error
	Want cloud.Fault
}

// The hooks. Every harness implements all but those its cloud's Capabilities
// make pointless.
type (
	// Impostor gives credentials that the cloud must refuse.
	Impostor interface {
		BadCredentials() cloud.Credentials
	}

	// Neighbour launches machines behind the driver's back.
	Neighbour interface {
		// LaunchForeign starts a machine beside the one of identity like and
		// returns its id.
		LaunchForeign(ctx context.Context, at cloud.Placement, kind Foreign, like cloud.Identity) (string, error)
		// Running reports whether the machine runs.
		Running(ctx context.Context, id string) (bool, error)
		// Remove removes it with everything that came with it.
		Remove(ctx context.Context, id string) error
	}

	// Killer ends a machine as the failure of its host would, and returns once
	// the cloud shows it as gone.
	Killer interface {
		KillMachine(ctx context.Context, id string) error
	}

	// Saboteur makes launches fail. The fault begins after skip launches and
	// lasts until remove is called; LostAnswer strikes once.
	Saboteur interface {
		InjectLaunchFault(ctx context.Context, kind LaunchFault, skip int) (remove func(context.Context) error, err error)
	}

	// Counter counts everything on the account that somebody might pay for or
	// stumble over.
	Counter interface {
		Count(ctx context.Context) (Counts, error)
	}

	// Gatekeeper shows what is reachable on a machine, from where.
	Gatekeeper interface {
		OpenPorts(ctx context.Context, id string) (Gate, error)
		// Reaches reports whether one machine reaches another on every port by its
		// address inside.
		Reaches(ctx context.Context, from, to string) (bool, error)
		// ReachesOut reports whether a machine reaches the outside.
		ReachesOut(ctx context.Context, id string) (bool, error)
	}

	// Renamer gives a machine another name, as its owner can in the console. It
	// serves clouds with LabelsFixed, whose mark of Commit may be a name.
	Renamer interface {
		Rename(ctx context.Context, id, name string) error
	}

	// Inspector shows with what a machine was made.
	Inspector interface {
		Sent(ctx context.Context, id string) (Sent, error)
		// Images are one other than the default that runs on the suite's placement,
		// and one that reads as well and is not there. They are asked for where the
		// cloud has CustomImage.
		Images() (other, missing string)
	}

	// Lagger makes lists lag: until stop, they do not show machines launched from
	// then on for as long as the driver says it bears.
	Lagger interface {
		Lag(ctx context.Context) (stop func(context.Context) error, err error)
	}

	// Timekeeper serves clouds with a dead-man timer.
	Timekeeper interface {
		// ShortestDeadline is how far off the earliest deadline must be.
		ShortestDeadline() time.Duration
		// PassTime returns once the cloud's clock is past until.
		PassTime(ctx context.Context, until time.Time) error
	}

	// Inside acts from within a machine, on clouds whose machines end themselves.
	Inside interface {
		// EndItself does on the machine what the cluster template's self_stop or
		// self_terminate does there.
		EndItself(ctx context.Context, id string, how cloud.Shutdown) error
	}

	// Patient is for clouds that need longer than five minutes a case.
	Patient interface {
		Patience() time.Duration
	}

	// Limited is a world that cannot show everything: an emulator that lacks a
	// part of the cloud. It names the cases with the reason. A test of the driver
	// says how many there may be.
	Limited interface {
		OutOfReach() map[string]string
	}
)

// Foreign is a kind of machine that is none of the driver's business.
type Foreign string

// The kinds of foreign machines. On clouds without tags the name takes their place.
const (
	// Unmarked has no ownership tags.
	Unmarked Foreign = "unmarked"
	// OtherOwner has all of them, and another owner.
	OtherOwner Foreign = "other owner"
	// Malformed has the right owner and cluster, but no readable rank.
	Malformed Foreign = "malformed tags"
)

// Tags are the tags of a foreign machine beside the one of identity like.
func (f Foreign) Tags(like cloud.Identity) map[string]string {
	tags := like.Tags()
	switch f {
	case OtherOwner:
		tags[cloud.TagOwner] = "somebody-else"
	case Malformed:
		tags[cloud.TagRank] = "first"
	case Unmarked:
		tags = map[string]string{"purpose": "none of ours"}
	}
	return tags
}

// LaunchFault is a way for a launch to go wrong.
type LaunchFault string

// The ways.
const (
	// NoCapacity is a definite refusal: nothing was made.
	NoCapacity LaunchFault = "no capacity"
	// LostAnswer makes the machine and loses the answer.
	LostAnswer LaunchFault = "lost answer"
	// LateCapacity takes the launch, and ends the machine for lack of capacity
	// before it runs.
	LateCapacity LaunchFault = "late capacity"
	// LateAddress lets the machine run for a moment before it has its address.
	LateAddress LaunchFault = "late address"
	// OneAtATime refuses the second and the third launch once, as a cloud does that
	// takes one at a time, by its own words for too many calls.
	OneAtATime LaunchFault = "one at a time"
	// LostMark is no fault of a launch: the call that marks a machine as committed
	// is answered well and does nothing, once.
	LostMark LaunchFault = "lost mark"
	// LostDisarm is the same for the call that disarms its dead-man timer, which may
	// be the call that marks it. It strikes twice, since a second call may be made
	// before the mark is seen.
	LostDisarm LaunchFault = "lost disarm"
)

// Counts are what an account holds; machines and disks that are gone, or only
// listed for remembrance, do not count. Others are tags, groups and whatever
// else a driver makes that stays on the account.
type Counts struct {
	Machines, Disks, Addresses, Firewalls, Keys, Others int
}

// Paid is the part of it that costs money.
func (c Counts) paid() Counts {
	return Counts{Machines: c.Machines, Disks: c.Disks, Addresses: c.Addresses}
}

// Gate is what is reachable on a machine.
type Gate struct{ Openings []Opening }

// Opening is a range of TCP ports that may be reached from somewhere. SSH is the
// one of the port that the machine's SSH server listens on, as First and Last 22
// whatever that port is.
type Opening struct {
	Ports cloud.PortRange
	From  netip.Prefix
}

// Sent is what a machine was made with. UserData is as the machine gets it,
// decoded; AuthorizedKeys come beside it on clouds that carry keys themselves,
// and SSHUser is whom they are for. DiskGiB is the size of its disk.
type Sent struct {
	UserData       []byte
	AuthorizedKeys []string
	Image          string
	DiskGiB        int
}

// Case is one thing a driver must do.
type Case struct {
	Name string
	// applies says which clouds it concerns; nil means all.
	applies func(cloud.Capabilities) bool
	run     func(context.Context, *world) error
}

// Run runs every case as a subtest, one after the other on one account.
func Run(t *testing.T, h Harness) {
	t.Helper()
	checkReach(t, h)
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) { c.test(t, h) })
	}
}

// checkReach refuses a harness that puts a case out of its reach that there is not.
func checkReach(t *testing.T, h Harness) {
	t.Helper()
	for name, why := range outOfReach(h) {
		if !slices.ContainsFunc(Cases(), func(c Case) bool { return c.Name == name }) || why == "" {
			t.Errorf("the harness puts %q out of its reach (%q), which is no case or has no reason", name, why)
		}
	}
}

func outOfReach(h Harness) map[string]string {
	if l, ok := h.(Limited); ok {
		return l.OutOfReach()
	}
	return nil
}

// RunEach is Run for clouds that come for free: every case gets an account of
// its own, made within its subtest, and the cases run in parallel.
func RunEach(t *testing.T, newHarness func(*testing.T) Harness) {
	t.Helper()
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			c.test(t, newHarness(t))
		})
	}
}

func (c Case) test(t *testing.T, h Harness) {
	t.Helper()
	if !c.Applies(cloud.CapabilitiesOf(h.Factory(), h.Credentials())) {
		t.Log("does not apply: the cloud's Capabilities exclude it")
		return
	}
	if why := outOfReach(h)[c.Name]; why != "" {
		t.Logf("out of this world's reach: %s", why)
		return
	}
	if err := c.Run(t.Context(), h); err != nil {
		t.Error(err)
	}
}

// Cases returns the suite.
func Cases() []Case {
	var all []Case
	for _, group := range [][]Case{openCases(), launchCases(), sentCases(), sessionCases(), lifeCases(), faultCases(), ownershipCases(), portCases(), deadManCases(), selfCases()} {
		all = append(all, group...)
	}
	return all
}

// Applies reports whether the case concerns a cloud with these capabilities.
func (c Case) Applies(caps cloud.Capabilities) bool { return c.applies == nil || c.applies(caps) }

// patience is how long a case may take, and as long again to clean up.
func patience(h Harness) time.Duration {
	if p, ok := h.(Patient); ok {
		return p.Patience()
	}
	return 5 * time.Minute
}

// Run runs the case on a fresh session, removes what it made through the
// driver, and returns what was wrong. It ends within a bounded time, also where
// a call of the driver never does.
func (c Case) Run(ctx context.Context, h Harness) error {
	limited, cancel := context.WithTimeout(ctx, patience(h))
	defer cancel()
	w, err := newWorld(limited, h)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	err = c.run(limited, w)
	// The end of a case's time must not keep its machines alive.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience(h))
	defer cancel()
	if err := w.close(closing, err); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	return nil
}
