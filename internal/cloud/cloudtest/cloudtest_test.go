// SPDX-License-Identifier: MPL-2.0

package cloudtest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
)

// variant is a shape of cloud.
type variant struct {
	caps cloud.Capabilities
	// repeats is a cloud without tokens, whose names are not unique; pace is how
	// far apart it wants launches.
	repeats bool
	pace    time.Duration
	// latency is how long a call takes.
	latency time.Duration
}

// everything is a cloud that can do all, spot stops apart.
func everything() cloud.Capabilities {
	return cloud.Capabilities{
		Stop: true, Spot: true, MultiNode: true, PortsLater: true, PortsLaunch: true,
		UserData: true, CustomImage: true, CustomDisk: true, Labels: true, DeadMan: true,
		SelfStop: true, SelfTerminate: true, MaxNameLength: 63,
	}
}

// halfDead is a cloud whose uncommitted machines only stop.
func halfDead() cloud.Capabilities {
	caps := everything()
	caps.DeadMan, caps.DeadManStops = false, true
	return caps
}

func variants() map[string]variant {
	stopsSpot := everything()
	stopsSpot.StopSpot = true
	fixed := everything()
	fixed.LabelsFixed = true
	return map[string]variant{
		"fixed labels": {caps: fixed},
		"everything":   {caps: everything()},
		"spot stops":   {caps: stopsSpot},
		"half dead":    {caps: halfDead()},
		"little":       {caps: cloud.Capabilities{UserData: true, PortsLaunch: true}},
		"no tokens":    {caps: everything(), repeats: true, latency: 100 * time.Millisecond},
		"paced":        {caps: everything(), pace: 2 * time.Second},
	}
}

// try runs a case in virtual time and returns what is wrong.
func try(t *testing.T, c cloudtest.Case, h harness) (failure error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		failure = c.Run(t.Context(), h)
		<-time.After(48 * time.Hour) // virtual: a driver that ignores its context ends, too
	})
	return failure
}

func TestAWorkingDriverPasses(t *testing.T) {
	for name, v := range variants() {
		t.Run(name, func(t *testing.T) {
			for _, c := range cloudtest.Cases() {
				if !c.Applies(v.caps) {
					continue
				}
				if err := try(t, c, newHarness(v, mutant{})); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestBrokenDriversAreCaught is why the suite can be trusted: every way to
// break the driver fails the case that is there for it.
func TestBrokenDriversAreCaught(t *testing.T) {
	caught := map[string]bool{}
	for _, b := range breaks() {
		v := variants()[b.variant]
		if b.variant == "" {
			v = variants()["everything"]
		}
		t.Run(b.what, func(t *testing.T) {
			for _, c := range cloudtest.Cases() {
				if c.Name != b.by {
					continue
				}
				err := try(t, c, newHarness(v, b.mutant))
				if err == nil || !strings.Contains(err.Error(), b.says) {
					t.Errorf("%q returns %v, want an error with %q", b.by, err, b.says)
				}
				caught[c.Name] = true
				return
			}
			t.Errorf("there is no case %q", b.by)
		})
	}
	for _, c := range cloudtest.Cases() {
		if !caught[c.Name] {
			t.Errorf("no broken driver shows that %q fails where it should", c.Name)
		}
	}
	t.Logf("%d broken drivers were tried", len(breaks()))
}

// bare is a harness without hooks.
type bare struct{ cloudtest.Harness }

func TestAMissingHookFails(t *testing.T) {
	h := newHarness(variants()["everything"], mutant{})
	for _, c := range cloudtest.Cases() {
		if err := c.Run(t.Context(), bare{h}); err == nil {
			t.Errorf("%s passes on a harness that cannot even count", c.Name)
		}
	}
}

// A call that never returns ends its case within a bounded time, and the error
// names both.
func TestAHungDriverIsNamed(t *testing.T) {
	for _, method := range []string{"Bootstrap", "Run", "Wait for running", "Describe", "Query", "Commit", "Stop", "Terminate", "OpenPorts", "CleanupPorts"} {
		hangs := mutant{instead: func(_ context.Context, _ *broken, called string, _ cloud.ClusterRef) (bool, error) {
			if called != method {
				return false, nil
			}
			<-time.After(24 * time.Hour) // virtual
			return true, errors.New("woke up")
		}}
		for _, c := range cloudtest.Cases() {
			if c.Name != "ownership/foreign machines next door" && c.Name != "commit/marks" && c.Name != "ports/open, replace, close" {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := c.Run(t.Context(), newHarness(variants()["everything"], hangs))
				if took := time.Since(began); took > 20*time.Minute {
					t.Errorf("%s hangs, and %s ended after %s", method, c.Name, took)
				}
				call, _, _ := strings.Cut(method, " ")
				if err != nil && (!strings.Contains(err.Error(), call+" hangs") || !strings.HasPrefix(err.Error(), c.Name)) {
					t.Errorf("%s hangs, and the error is %v", method, err)
				}
				if err == nil && (method == "Run" || method == "Terminate" || method == "CleanupPorts") {
					t.Errorf("%s hangs, and %s passes", method, c.Name)
				}
				<-time.After(48 * time.Hour) // virtual: let the sleeper end
			})
		}
	}
}
