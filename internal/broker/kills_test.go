// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"

	"bytes"
	"fmt"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// scenario is an operation that is killed at every boundary between a journal
// entry and a call of the cloud's API, a node's SSH server included.
type scenario struct {
	name string
	// before brings the world there; nil is an empty one.
	before func(x *simTerraform) error
	act    func(x *simTerraform) (bool, error)
	fault  memcloud.Fault
}

func applied(x *simTerraform) error {
	_, err := x.apply()
	return err
}

func apply(x *simTerraform) (bool, error) { return x.apply() }

func scenarios() []scenario {
	return []scenario{
		{name: "launch", act: apply},
		{name: "launch with failover", act: apply, fault: memcloud.Fault{Phase: "run", Op: "create", Zone: simZone, Skip: 1, Err: memcloud.ErrCapacity}},
		{name: "launch whose answers are lost", act: apply, fault: memcloud.Fault{Phase: "run", Op: "create", Zone: simZone, Err: memcloud.ErrTimeout, Applied: true}},
		{name: "launch whose commit fails", act: apply, fault: memcloud.Fault{Phase: "commit", Op: "disarm", Skip: 1, Times: 8, Err: memcloud.ErrServer}},
		{name: "adoption", act: apply, before: func(x *simTerraform) error {
			_, err := x.apply()
			x.state = nil // the result was lost with Terraform
			return err
		}},
		{name: "recovery of a launch killed at the create call", act: apply, before: func(x *simTerraform) error {
			x.arm = func(p *memcloud.Process) { p.KillOn = "run/create after" }
			_, err := x.apply()
			return err
		}},
		{name: "replacement of a tainted cluster", act: apply, before: func(x *simTerraform) error {
			_, err := x.apply()
			x.tainted = true
			return err
		}},
		{name: "read", before: applied, act: (*simTerraform).read},
		{name: "stop", before: applied, act: (*simTerraform).stop},
		{name: "grow", before: applied, act: func(x *simTerraform) (bool, error) { return x.resize(4) }},
		{name: "shrink", before: applied, act: func(x *simTerraform) (bool, error) { return x.resize(1) }},
		{name: "destroy", before: applied, act: (*simTerraform).destroy},
	}
}

// killMode is how a process dies and when the user comes back.
type killMode struct {
	name string
	torn bool
	// away is how long the user is away before the recovery.
	away time.Duration
}

func killModes() []killMode {
	return []killMode{
		{name: "at once"},
		{name: "in the midst of a journal line", torn: true},
		{name: "recovery after three days", away: 72 * time.Hour},
	}
}

// killAt runs a scenario that dies at its k-th point, or with 0 at none. It
// returns the names of the points there were until then.
func killAt(t *testing.T, sc scenario, mode killMode, seed uint64, k int, sum *counts) (trace []string) {
	t.Helper()
	t.Run(fmt.Sprintf("%s/%s/seed=%d/k=%d", sc.name, mode.name, seed, k), func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			x := newSimTerraform(t, seed)
			defer x.end()
			if k > 0 {
				defer func() { sum.add(x, !t.Failed()) }()
			}
			if sc.before != nil {
				if err := sc.before(x); err != nil {
					t.Fatal(err)
				}
			}
			fault := sc.fault
			if fault.Phase != "" {
				x.cloud.Faults = []*memcloud.Fault{&fault}
			}
			x.arm = func(p *memcloud.Process) { p.KillAt, p.Torn = k, mode.torn }
			dead, err := sc.act(x)
			trace = x.process.Trace
			if !dead && err != nil {
				t.Errorf("unkilled: %v", err)
			}
			if !dead {
				return
			}
			point := trace[len(trace)-1]
			x.check("after the kill at " + point)
			if mode.away > 0 {
				x.began = x.began.Add(mode.away)
				if err := retry.Pause(t.Context(), mode.away); err != nil {
					t.Fatal(err)
				}
				x.check("three days after the kill at " + point)
			}
			x.recover()
		})
	})
	return trace
}

// boundaries picks the points to die at. Polls repeat the same few calls: of a
// call that comes again and again the first two and the last are enough, unless
// thorough.
func boundaries(trace []string, thorough bool) []int {
	often := map[string]int{}
	last := map[string]int{}
	for i, name := range trace {
		last[name] = i
	}
	var out []int
	for i, name := range trace {
		often[name]++
		if thorough || name == "journal" || often[name] <= 2 || last[name] == i {
			out = append(out, i+1)
		}
	}
	return out
}

// TestKillAtEveryBoundary kills each scenario before its first call, before its
// second, and so on to its end.
func TestKillAtEveryBoundary(t *testing.T) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SCENARIO\tDEATH\tKILLED AT\tJOURNAL ENTRIES AMONG THEM\tRESULT")
	var sum counts
	for _, sc := range scenarios() {
		for _, mode := range killModes() {
			points, journal := 0, 0
			for run := range killRuns(mode) {
				seed := uint64(run + 1)
				trace := killAt(t, sc, killMode{name: "unkilled"}, seed, 0, &sum)
				for _, k := range boundaries(trace, thorough) {
					if mode.torn && trace[k-1] != "journal" {
						continue
					}
					killAt(t, sc, mode, seed, k, &sum)
					points++
					if trace[k-1] == "journal" {
						journal++
					}
				}
			}
			result := "ok"
			if t.Failed() {
				result = "FAILED (here or above)"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%d boundaries\t%d\t%s\n", sc.name, mode.name, points, journal, result)
		}
	}
	_ = w.Flush()
	report(t, "KILLED AT EVERY BOUNDARY BETWEEN JOURNAL AND CALL", b.String()+sum.String()+"\n")
}
