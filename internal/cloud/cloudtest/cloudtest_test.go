// SPDX-License-Identifier: MPL-2.0

package cloudtest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
)

// everything is a cloud that can do all, spot stops apart.
func everything() cloud.Capabilities {
	return cloud.Capabilities{
		Stop: true, Spot: true, MultiNode: true, PortsLater: true, PortsLaunch: true,
		UserData: true, Labels: true, DeadMan: true, SelfStop: true, SelfTerminate: true, MaxNameLength: 63,
	}
}

// halfDead is a cloud whose uncommitted machines only stop.
func halfDead() cloud.Capabilities {
	caps := everything()
	caps.DeadMan, caps.DeadManStops = false, true
	return caps
}

// failures runs the suite and returns the cases that fail, in virtual time.
func failures(t *testing.T, m *memoryCloud) map[string]error {
	t.Helper()
	failed := map[string]error{}
	for _, c := range cloudtest.Cases() {
		if !c.Applies(m.caps) {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			fresh := newMemoryCloud(m.caps, m.broken)
			if err := c.Run(t.Context(), fresh); err != nil {
				failed[c.Name] = err
			}
			<-time.After(2 * time.Hour) // virtual: a driver that ignores its context ends, too
		})
	}
	return failed
}

func TestAWorkingDriverPasses(t *testing.T) {
	stopsSpot := everything()
	stopsSpot.StopSpot = true
	for name, caps := range map[string]cloud.Capabilities{
		"everything": everything(),
		"spot stops": stopsSpot,
		"half dead":  halfDead(),
		"little":     {UserData: true, PortsLaunch: true},
	} {
		t.Run(name, func(t *testing.T) {
			for c, err := range failures(t, newMemoryCloud(caps, "")) {
				t.Errorf("%s: %v", c, err)
			}
		})
	}
}

// TestBrokenDriversAreCaught is why the suite can be trusted: every way to
// break the driver fails the case that is there for it.
func TestBrokenDriversAreCaught(t *testing.T) {
	for broken, by := range map[string]string{
		"takes any key":                       "factory/refuses bad credentials",
		"quotes the key":                      "factory/refuses bad credentials",
		"no account":                          "factory/one account",
		"empty error table":                   "classify/table",
		"classify knows nothing":              "classify/anything",
		"classify only bare errors":           "classify/table",
		"bootstrap makes more":                "bootstrap/twice",
		"bootstrap closes ports":              "ports/survive another Bootstrap",
		"takes reserved labels":               "run/refuses reserved labels",
		"run duplicates":                      "run/to n and again",
		"run ignores extra nodes":             "run/more nodes than asked",
		"run deletes extra nodes":             "run/more nodes than asked",
		"run creates beside extra nodes":      "run/more nodes than asked",
		"run ignores the context":             "run/cancelled before it began",
		"run takes the mark away":             "commit/marks",
		"labels are only added":               "run/labels converge",
		"names collide":                       "run/long and awkward name",
		"spot is on demand":                   "run/spot",
		"describe is out of order":            "run/more nodes later",
		"describe of nothing succeeds":        "life/absent cluster",
		"commit of nothing succeeds":          "life/absent cluster",
		"terminate of nothing fails":          "life/absent cluster",
		"no owner is everybody":               "life/no owner",
		"query shows the dead":                "life/terminate twice",
		"query leaks foreign":                 "ownership/foreign machines next door",
		"terminate returns early":             "life/terminate at once",
		"terminate leaves one":                "life/terminate twice",
		"terminate leaves disks":              "life/terminate twice",
		"terminate misses the stopped":        "life/terminate stopped",
		"terminate ignores Instances":         "life/terminate some",
		"terminate takes foreign ids":         "ownership/foreign id refused",
		"terminate ignores the generation":    "ownership/other generation untouched",
		"terminate takes the whole owner":     "ownership/other cluster untouched",
		"stopped machines are always resumed": "life/change while stopped",
		"stop terminates":                     "life/stop and resume",
		"stop loses the disk":                 "life/stop and resume",
		"stop does nothing":                   "life/stop and resume",
		"stop of what cannot stop":            "life/cannot stop spot",
		"resume makes a new one":              "life/stop and resume",
		"wait ignores the context":            "wait/cancelled",
		"wait ignores death":                  "wait/machine died",
		"partial record is lost":              "fault/partial launch",
		"partial launch is success":           "fault/partial launch",
		"lost answer launches again":          "fault/answer lost",
		"spent identity is reported":          "fault/spent identity",
		"host keys are forgotten":             "ownership/host key and notes",
		"host keys come at launch only":       "ownership/host key and notes",
		"a new label takes the host key":      "ownership/host key and notes",
		"survey is of one owner":              "ownership/survey",
		"survey shows all":                    "ownership/survey",
		"survey shows the dead":               "ownership/survey",
		"survey shows machines only":          "ownership/survey",
		"identity loses the attempt":          "ownership/identity round trip",
		"ports are not opened at launch":      "ports/at launch",
		"ports accumulate":                    "ports/open, replace, close",
		"ports close SSH":                     "ports/open, replace, close",
		"ports open everywhere":               "ports/open, replace, close",
		"drift is never told":                 "ports/drift is told",
		"cleanup leaves keys":                 "ports/cleanup twice",
		"cleanup ignores the generation":      "ownership/other generation untouched",
		"commit does not mark":                "commit/marks",
		"commit does not disarm":              "dead-man/commit disarms",
		"deadline is dropped":                 "dead-man/uncommitted is removed",
		"power-off always stops":              "self/terminate",
		"power-off never changes":             "self/from stop to terminate",
		"power-off is forgotten":              "self/from stop to terminate",
	} {
		t.Run(broken, func(t *testing.T) {
			failed := failures(t, newMemoryCloud(everything(), broken))
			if failed[by] == nil {
				t.Errorf("%q does not catch it; these fail: %v", by, failed)
			}
		})
	}
}

// TestBrokenTimersThatStopAreCaught: the same for the weaker promise.
func TestBrokenTimersThatStopAreCaught(t *testing.T) {
	for broken, by := range map[string]string{
		"commit does not disarm": "dead-man/commit disarms",
		"deadline is dropped":    "dead-man/uncommitted stops",
		"stopped is lost":        "dead-man/uncommitted stops",
	} {
		failed := failures(t, newMemoryCloud(halfDead(), broken))
		if failed[by] == nil {
			t.Errorf("%s: %q does not catch it; these fail: %v", broken, by, failed)
		}
	}
}

// bare is a harness without hooks.
type bare struct{ cloudtest.Harness }

func TestAMissingHookFails(t *testing.T) {
	m := newMemoryCloud(everything(), "")
	for _, c := range cloudtest.Cases() {
		if err := c.Run(t.Context(), bare{m}); err == nil {
			t.Errorf("%s passes on a harness that cannot even count", c.Name)
		}
	}
}
