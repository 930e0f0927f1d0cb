// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
)

// cleanupFails is a cloud whose rules, keys and groups cannot be listed.
func cleanupFails() *memcloud.Fault {
	return &memcloud.Fault{Method: "cleanup", Err: &cloud.LookupError{Err: errServer}}
}

// What costs nothing and cannot be looked up holds no launch, whatever left it: an
// attempt that made no machine, one that did, or a cluster that is gone.
func TestRulesThatCannotBeRemovedHoldNoLaunch(t *testing.T) {
	for name, first := range map[string]func(t *testing.T, x *bench){
		"no machine was asked for": func(t *testing.T, x *bench) {
			x.cloud.Faults = []*memcloud.Fault{{Method: "bootstrap", Err: errors.New("no address")}, cleanupFails()}
			x.launchInVain(t)
		},
		"machines were made": func(t *testing.T, x *bench) {
			x.cloud.Faults = []*memcloud.Fault{{Method: "wait", Err: errors.New("machine entered state failed")}, cleanupFails()}
			x.launchInVain(t)
		},
		"the cluster is gone": func(t *testing.T, x *bench) {
			x.mustLaunch(t, twoNodes("train"))
			x.cloud.Machines = nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				dir, fc := stateDir(t), newFakeCloud()
				first(t, newBench(t, dir, fc))
				fc.Faults = []*memcloud.Fault{cleanupFails()}
				begun := time.Now()
				x := newBench(t, dir, fc)
				c := x.mustLaunch(t, twoNodes("train"))
				if took := time.Since(begun); took > 2*time.Minute {
					t.Errorf("the launch took %s", took)
				}
				x.wantLive(t, 2)
				if g := x.known("train").Generations(); g[0].Removed {
					t.Error("the journal says that all of the earlier launch is gone, and its rules are not")
				}
				fc.Faults = nil
				if err := x.Destroy(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if got := x.known("train").Generations(); slices.ContainsFunc(got, func(g *journal.Generation) bool { return !g.Removed }) {
					t.Errorf("after the removal the journal still has %+v", got)
				}
			})
		})
	}
}

// A machine that a failed clean-up was about is no rule: the launch does not go on.
func TestMachineBehindRulesHoldsTheLaunch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir, fc := stateDir(t), newFakeCloud()
		x := newBench(t, dir, fc)
		x.mustLaunch(t, twoNodes("train"))
		lost := fc.Machines
		fc.Machines = nil
		fc.Faults = []*memcloud.Fault{{Method: "cleanup", Err: &cloud.LookupError{Err: errServer}, Hook: func() { fc.Machines = lost }}}
		if c, err := newBench(t, dir, fc).Launch(t.Context(), twoNodes("train")); err == nil {
			t.Fatalf("launched %v beside machines that are there again", c.InstanceIDs())
		}
	})
}

// Rules that are in use are the proof of a machine that no list shows: nothing is
// launched beside it, for a cluster that looks gone and for a failed attempt.
func TestRulesInUseHoldTheLaunch(t *testing.T) {
	inUse := errors.New("DependencyViolation: it has a dependent object")
	for name, first := range map[string]func(t *testing.T, x *bench){
		"the cluster looks gone": func(t *testing.T, x *bench) {
			x.mustLaunch(t, twoNodes("train"))
			x.cloud.Machines = nil
		},
		"of a failed attempt": func(t *testing.T, x *bench) {
			x.cloud.Faults = []*memcloud.Fault{{Method: "wait", Err: errors.New("machine entered state failed")}, cleanupFails()}
			x.launchInVain(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				dir, fc := stateDir(t), newFakeCloud()
				first(t, newBench(t, dir, fc))
				before := fc.Called("run")
				fc.Faults = []*memcloud.Fault{{Method: "cleanup", Err: inUse}}
				if c, err := newBench(t, dir, fc).Launch(t.Context(), twoNodes("train")); !errors.Is(err, inUse) {
					t.Fatalf("Launch = %v, %v", c.InstanceIDs(), err)
				}
				if now := fc.Called("run"); now != before {
					t.Errorf("%d create calls", now-before)
				}
			})
		})
	}
}

// An interrupt ends the removal of what an earlier launch left, where the cloud does
// not answer, instead of trying until the removal's own end.
func TestInterruptEndsTheRemovalOfLeftovers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir, fc := stateDir(t), newFakeCloud()
		x := newBench(t, dir, fc)
		fc.Faults = []*memcloud.Fault{{Method: "wait", Err: errors.New("machine entered state failed")}, {Method: "terminate", Err: errServer}}
		if _, err := x.Launch(t.Context(), twoNodes("train")); err == nil {
			t.Fatal("the launch worked")
		}
		fc.Faults = []*memcloud.Fault{{Method: "terminate", Err: errServer}}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		begun := time.Now()
		_, err := newBench(t, dir, fc).Launch(ctx, twoNodes("train"))
		if took := time.Since(begun); !errors.Is(err, context.Canceled) || took > time.Minute {
			t.Errorf("Launch = %v after %s", err, took)
		}
		fc.Faults = nil
		newBench(t, dir, fc).mustLaunch(t, twoNodes("train"))
		if live := fc.Live(x.owner); len(live) != 2 {
			t.Errorf("%d machines live", len(live))
		}
	})
}

// The table tells the time until the failure from that of the clean-up, and the text
// what is left.
func TestAttemptTableTellsTheCleanUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		x.cloud.Faults = []*memcloud.Fault{
			{Method: "bootstrap", Err: errors.New("no such subnet"), Hook: func() { time.Sleep(3 * time.Second) }},     //nolint:forbidigo // virtual time
			{Method: "cleanup", Err: &cloud.LookupError{Err: errServer}, Hook: func() { time.Sleep(7 * time.Second) }}, //nolint:forbidigo // virtual time
		}
		_, err := x.Launch(t.Context(), twoNodes("train"))
		var failed *LaunchError
		if !errors.As(err, &failed) || len(failed.Attempts) == 0 {
			t.Fatalf("Launch = %v", err)
		}
		if a := failed.Attempts[0]; a.Took.Round(time.Second) != 3*time.Second || a.CleanedUp.Round(time.Second) != 7*time.Second {
			t.Errorf("the attempt took %s and its clean-up %s", a.Took, a.CleanedUp)
		}
		if text := err.Error(); !strings.Contains(text, "CLEAN-UP") || !strings.Contains(text, "Firewall rules, keys or groups are, which cost nothing") {
			t.Errorf("the error is\n%s", text)
		}
	})
}

func (x *bench) launchInVain(t *testing.T) {
	t.Helper()
	if _, err := x.Launch(t.Context(), twoNodes("train")); err == nil {
		t.Fatal("the launch worked")
	}
}
