// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/ibm"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/ibm/ibmfake"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/lambda"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/runpod"
)

// The fault matrix over the drivers of RunPod, Lambda and IBM Cloud: what the matrix of the cloud
// in memory shows of the broker, these cells show of the broker with a driver, its
// client and its API. They cost more, so that make test takes a part of them.

// wireCell is a cell of it.
type wireCell struct {
	step, name string
	// only is the cloud that it is about; empty is all.
	only string
	// fault strikes at the call; spread is how many calls later it may, by the seed.
	call   func(wireAPI) string
	fault  func(wireAPI) fakekit.Fault
	spread int
	// at is the point of a kill, or of the hook of that name.
	at   func(wireAPI) string
	hook func(*simTerraform, *wireWorld)
	exit int
	want []string
}

func (c wireCell) String() string { return c.step + " / " + c.name }

func anyCall(wireAPI) string { return "*" }

func theCreate(a wireAPI) string { return a.create }

func theList(a wireAPI) string { return a.list }

func theMark(a wireAPI) string { return a.mark }

func theRemove(a wireAPI) string { return a.remove }

func named(call string) func(wireAPI) string { return func(wireAPI) string { return call } }

func refused(status, times int) func(wireAPI) fakekit.Fault {
	return func(wireAPI) fakekit.Fault {
		r := fakekit.Refusef(status, "global/internal-error", "trouble")
		switch status {
		case http.StatusTooManyRequests:
			r.RetryAfter = 3 * time.Second
		case http.StatusUnauthorized:
			r.Code = "global/invalid-api-key"
		}
		return fakekit.Fault{Refuse: r, Times: times}
	}
}

func lost(times int) func(wireAPI) fakekit.Fault {
	return func(wireAPI) fakekit.Fault { return fakekit.Fault{Lose: true, Times: times} }
}

// doneAndRefused is trouble of the cloud's own after the call had its effect.
func doneAndRefused(times int) func(wireAPI) fakekit.Fault {
	return func(a wireAPI) fakekit.Fault {
		f := refused(http.StatusBadGateway, times)(a)
		f.Late = true
		return f
	}
}

func empty(times int) func(wireAPI) fakekit.Fault {
	return func(a wireAPI) fakekit.Fault {
		return fakekit.Fault{Times: times, Answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(a.empty)) // the caller may be gone
		}}
	}
}

func interrupted(x *simTerraform, _ *wireWorld) { x.cancel() }

func vanished(_ *simTerraform, w *wireWorld) {
	for _, in := range w.Of(simOwner) {
		if in.Identity.Cluster == simName {
			w.api.end(in.ID)
		}
	}
}

func wireMatrix() []wireCell {
	launch := []wireCell{
		{name: "no room", call: theCreate, fault: func(a wireAPI) fakekit.Fault { return fakekit.Fault{Match: a.cheapest, Refuse: a.full} }, want: []string{next}},
		{name: "no room anywhere", call: theCreate, fault: func(a wireAPI) fakekit.Fault { return fakekit.Fault{Refuse: a.full} }, want: []string{clean}},
		{name: "no money", call: theCreate, fault: func(a wireAPI) fakekit.Fault { return fakekit.Fault{Refuse: a.poor} }, want: []string{clean}},
		{name: "never runs", call: theCreate, fault: func(a wireAPI) fakekit.Fault { return fakekit.Fault{Times: 1, After: a.dud} }, want: []string{next}},
		{name: "an answer is lost", call: theCreate, fault: lost(1), want: []string{up, next}},
		{name: "every answer is lost", call: theCreate, fault: func(a wireAPI) fakekit.Fault { return fakekit.Fault{Match: a.cheapest, Lose: true} }, want: []string{up, next}},
		{name: "made, and refused", call: theCreate, fault: doneAndRefused(1), want: []string{up, next}},
		{name: "5xx", call: anyCall, fault: refused(http.StatusServiceUnavailable, 3), spread: 30, want: []string{up, next}},
		{name: "429", call: anyCall, fault: refused(http.StatusTooManyRequests, 3), spread: 30, want: []string{up}},
		{name: "empty lists", call: theList, fault: empty(4), spread: 6, want: []string{up, next}},
		{name: "SIGINT", at: theList, spread: 8, hook: interrupted, want: []string{clean}},
		{name: "SIGINT at the launch", at: theCreate, hook: interrupted, want: []string{clean}},
		{name: "SIGINT at setup", at: named("setup/run"), hook: interrupted, want: []string{clean}},
		{name: "kill -9 at the launch", at: theCreate, want: []string{killed}},
		{name: "kill -9 at the commit", at: theMark, want: []string{killed}},
		{name: "kill -9 at a look", at: theList, spread: 8, want: []string{killed}},
		{name: "kill -9 at the journal", at: named("journal"), spread: 4, want: []string{killed}},
		{name: "kill -9 at SSH", at: named("ssh/dial"), want: []string{killed}},
		{name: "vanishes", at: theList, spread: 3, hook: vanished, want: []string{up, next}},
		{name: "vanishes at setup", at: named("setup/run"), hook: vanished, want: []string{next}},
		{name: "the commit is refused", call: theMark, fault: refused(http.StatusBadGateway, 30), want: []string{next, clean}},
		{name: "the commit's answer is lost", call: theMark, fault: lost(1), want: []string{up}},
		{name: "auth expires", call: anyCall, fault: refused(http.StatusUnauthorized, 0), spread: 40, want: []string{clean, tainted, up}},
		{name: "setup fails", exit: 3, want: []string{clean}},
	}
	read := []wireCell{
		{name: "5xx", call: theList, fault: refused(http.StatusServiceUnavailable, 0), want: []string{kept}},
		{name: "an answer is lost", call: theList, fault: lost(1), want: []string{up}},
		{name: "an empty list", call: theList, fault: empty(0), want: []string{up, kept}},
		{name: "auth expires", call: anyCall, fault: refused(http.StatusUnauthorized, 0), want: []string{kept}},
		{name: "vanishes", at: theList, hook: vanished, want: []string{removed}},
	}
	end := []wireCell{
		{name: "5xx", call: theRemove, fault: refused(http.StatusServiceUnavailable, 4), want: []string{removed}},
		{name: "done, and refused", call: theRemove, fault: doneAndRefused(2), want: []string{removed}},
		{name: "answers are lost", call: theRemove, fault: lost(2), want: []string{removed}},
		{name: "429", call: anyCall, fault: refused(http.StatusTooManyRequests, 4), spread: 6, want: []string{removed}},
		{name: "an empty list", call: theList, fault: empty(3), spread: 2, want: []string{removed}},
		{name: "SIGINT", at: theRemove, hook: interrupted, want: []string{kept, removed}},
		{name: "kill -9", at: theRemove, want: []string{killed}},
		{name: "kill -9 at a look", at: theList, spread: 4, want: []string{killed}},
		{name: "vanishes", at: theRemove, hook: vanished, want: []string{removed}},
		{name: "auth expires", call: anyCall, fault: refused(http.StatusUnauthorized, 0), spread: 6, want: []string{kept}},
		{name: "kill -9 at the rules", only: lambda.Name, at: named("DELETE /api/v1/firewall-rulesets/{id}"), want: []string{killed}},
		{name: "kill -9 at the key", only: lambda.Name, at: named("DELETE /api/v1/ssh-keys/{id}"), want: []string{killed}},
		{name: "5xx at the rules", only: lambda.Name, call: named("DELETE /api/v1/firewall-rulesets/{id}"), fault: refused(http.StatusServiceUnavailable, 3), want: []string{removed}},
	}
	const address, endOfAddress = ibmfake.CallAddress, "DELETE /{region}/v1/floating_ips/{id}"
	launch = append(launch,
		wireCell{name: "kill -9 at the address", only: ibm.Name, at: named(address), want: []string{killed}},
		wireCell{name: "SIGINT at the address", only: ibm.Name, at: named(address), hook: interrupted, want: []string{clean}},
		wireCell{name: "5xx at the address", only: ibm.Name, call: named(address), fault: refused(http.StatusServiceUnavailable, 3), want: []string{up}},
		wireCell{name: "no address at all", only: ibm.Name, call: named(address), fault: refused(http.StatusServiceUnavailable, 0), want: []string{clean}},
		wireCell{name: "the address's answer is lost", only: ibm.Name, call: named(address), fault: lost(1), want: []string{up}},
	)
	end = append(end,
		wireCell{name: "kill -9 at the address", only: ibm.Name, at: named(endOfAddress), want: []string{killed}},
		wireCell{name: "5xx at the address", only: ibm.Name, call: named(endOfAddress), fault: refused(http.StatusServiceUnavailable, 3), want: []string{removed}},
		wireCell{name: "the address's answer is lost", only: ibm.Name, call: named(endOfAddress), fault: lost(2), want: []string{removed}},
		wireCell{name: "SIGINT at the address", only: ibm.Name, at: named(endOfAddress), hook: interrupted, want: []string{kept, removed}},
	)
	grow := []wireCell{
		{name: "no room", only: lambda.Name, call: theCreate, fault: func(a wireAPI) fakekit.Fault { return fakekit.Fault{Refuse: a.full} }, want: []string{kept}},
		{name: "an answer is lost", only: lambda.Name, call: theCreate, fault: lost(1), want: []string{up, kept}},
		{name: "kill -9", only: lambda.Name, at: theCreate, want: []string{killed}},
	}
	var all []wireCell
	for _, step := range []struct {
		name  string
		cells []wireCell
	}{{"launch", launch}, {"read", read}, {"terminate", end}, {"grow", grow}} {
		for _, c := range step.cells {
			c.step = step.name
			all = append(all, c)
		}
	}
	return all
}

// seed is the cell's own for a run of the matrix.
func (c wireCell) seed(cloudName string, run uint64) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s %s %d", cloudName, c, run)
	return h.Sum64()%1_000_000 + run*1_000_000
}

// arm sets the cell's trouble up, by the seed.
func (c wireCell) arm(x *simTerraform, w *wireWorld) {
	skip := 0
	if c.spread > 0 {
		skip = x.rng.IntN(c.spread)
	}
	x.setupExit = c.exit
	switch {
	case c.hook != nil:
		w.hooks[c.at(w.api)] = &wireHook{skip, func() { c.hook(x, w) }}
	case c.at != nil:
		point := c.at(w.api)
		if point != "journal" {
			point += []string{" before", " after"}[x.rng.IntN(2)]
		}
		x.arm = func(p *memcloud.Process) { p.KillOn, p.Skip = point, skip }
	case c.call != nil:
		f := c.fault(w.api)
		f.Call, f.Skip = c.call(w.api), skip
		w.inject(f)
	}
}

// act takes the cell's step and names the outcome.
func (c wireCell) act(x *simTerraform, w *wireWorld) string {
	before := x.state
	var dead bool
	var err error
	switch c.step {
	case "read":
		dead, err = x.read()
	case "grow":
		dead, err = x.resize(3)
	case "terminate":
		dead, err = x.destroy()
	default:
		dead, err = x.apply()
	}
	outcome := x.outcome(before, dead, err)
	if outcome == next && x.state.Region == w.api.offers[0].Region { // there are no zones here
		outcome = up
	}
	return outcome
}

// runWire runs one cell in virtual time.
func runWire(t *testing.T, c wireCell, cloudName string, seed uint64, sum *counts) (outcome string, ok bool) {
	t.Helper()
	ok = t.Run(fmt.Sprintf("%s/%s/seed=%d", cloudName, strings.ReplaceAll(c.String(), " / ", "/"), seed), func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			x, w := newWire(t, cloudName, seed)
			defer x.end()
			defer func() { sum.add(x, !t.Failed()) }()
			if c.step != "launch" {
				if _, err := x.apply(); err != nil {
					t.Fatal(err)
				}
			}
			c.arm(x, w)
			outcome = c.act(x, w)
			x.check("after the fault")
			if !slices.Contains(c.want, outcome) {
				t.Errorf("outcome %q, want %v (errors: %v)", outcome, c.want, x.errors)
			}
			x.recover()
		})
	})
	return outcome, ok
}

// TestFaultWire is the matrix.
func TestFaultWire(t *testing.T) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "CLOUD\tSTEP\tFAULT\tOUTCOMES\tRESULT")
	var sum counts
	for _, cloudName := range []string{runpod.Name, lambda.Name, ibm.Name} {
		for _, c := range wireMatrix() {
			if c.only != "" && c.only != cloudName {
				continue
			}
			var outcomes []string
			result := "ok"
			if c.seed(cloudName, 0)%wireShare != 0 {
				continue
			}
			for run := range uint64(wireRuns) {
				outcome, ok := runWire(t, c, cloudName, c.seed(cloudName, run), &sum)
				if !slices.Contains(outcomes, outcome) {
					outcomes = append(outcomes, outcome)
				}
				if !ok {
					result = "FAILED"
				}
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", cloudName, c.step, c.name, strings.Join(outcomes, ", "), result)
		}
	}
	_ = w.Flush()
	report(t, "FAULT MATRIX OVER DRIVERS (steps by faults)", b.String()+sum.String()+"\n")
}
