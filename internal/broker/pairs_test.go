// SPDX-License-Identifier: MPL-2.0

//go:build faults

package broker

import (
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"

	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// cleanupFaults strike while a failed launch, or a destroyed cluster, is being
// removed.
func cleanupFaults() []cell {
	return []cell{
		{name: "5xx for long", fault: memcloud.Fault{Phase: "terminate", Times: 40, Err: memcloud.ErrServer}, spread: 3},
		{name: "5xx for good", fault: memcloud.Fault{Phase: "terminate", Err: memcloud.ErrServer}, spread: 3},
		{name: "429", fault: memcloud.Fault{Phase: "terminate", Times: 9, Err: memcloud.ErrThrottle}, spread: 3},
		{name: "silent", fault: memcloud.Fault{Phase: "terminate", Op: "terminate", Times: 5, Silent: true}},
		{name: "answers lost", fault: memcloud.Fault{Phase: "terminate", Times: 5, Err: memcloud.ErrTimeout, Applied: true}, spread: 3},
		{name: "empty lists", fault: memcloud.Fault{Phase: "terminate", Op: "list", Times: 6, Empty: true}, spread: 3},
		{name: "nothing is to be found", fault: memcloud.Fault{Phase: "terminate", Times: 9, Empty: true}, spread: 3},
		{name: "inventory 5xx", fault: memcloud.Fault{Phase: "query", Skip: 1, Times: 6, Err: memcloud.ErrServer}, spread: 4},
		{name: "inventory empty", fault: memcloud.Fault{Phase: "query", Skip: 1, Times: 6, Empty: true}, spread: 4},
		{name: "firewall in use", fault: memcloud.Fault{Phase: "cleanup", Times: 9, Err: memcloud.ErrInUse}, spread: 2},
		{name: "auth expires", column: expiry, fault: memcloud.Fault{Phase: "terminate", Times: 1}, spread: 4},
		{name: "SIGINT", column: sigint, fault: memcloud.Fault{Phase: "terminate", Times: 1}, spread: 4},
		{name: "kill -9 at terminate", at: "terminate/terminate", spread: 2},
		{name: "kill -9 at the looks", at: "query/list", spread: 6},
		{name: "kill -9 at the rules", at: "cleanup/firewall.delete", spread: 1},
		{name: "kill -9 at the journal", at: "journal", spread: 8},
		{name: "disk full", full: "remov"},
	}
}

// pairable are the cells that fail a launch without ending the process.
func pairable() []cell {
	return slices.DeleteFunc(matrix(), func(c cell) bool {
		fails := slices.Contains(c.want, next) || slices.Contains(c.want, clean)
		return c.never != "" || !fails || c.full != "" || slices.Contains([]string{"read", "grow", "stop", "terminate"}, c.step)
	})
}

// pairRuns is how many seeds each pair runs with.
const pairRuns = 2

// TestFaultPairs runs a fault during the clean-up of another.
func TestFaultPairs(t *testing.T) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "FAULT\tDURING ITS CLEAN-UP\tOUTCOMES\tRESULT")
	var sum counts
	for _, second := range cleanupFaults() {
		outcomes, ok := map[string]int{}, true
		for _, first := range pairable() {
			for run := range uint64(pairRuns) {
				seed := first.seed(run) ^ second.seed(run)<<20
				outcome, good := runPair(t, first, second, seed, &sum)
				outcomes[outcome]++
				ok = ok && good
			}
		}
		var parts []string
		for _, o := range []string{up, next, clean, tainted, kept, killed, removed} {
			if outcomes[o] > 0 {
				parts = append(parts, fmt.Sprintf("%s %d", o, outcomes[o]))
			}
			delete(outcomes, o)
		}
		for o := range outcomes {
			parts = append(parts, o)
		}
		result := "ok"
		if !ok {
			result = "FAILED"
		}
		_, _ = fmt.Fprintf(w, "each of %d\t%s\t%s\t%s\n", len(pairable()), second.name, strings.Join(parts, ", "), result)
	}
	_ = w.Flush()
	report(t, "PAIRS OF FAULTS (a fault during the clean-up of another)", b.String()+sum.String()+"\n")
}

func runPair(t *testing.T, first, second cell, seed uint64, sum *counts) (outcome string, ok bool) {
	t.Helper()
	ok = t.Run(fmt.Sprintf("%s/%s/seed=%d", strings.ReplaceAll(first.String(), " / ", "/"), second.name, seed), func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			x := newSimTerraform(t, seed)
			defer x.end()
			defer func() { sum.add(x, !t.Failed()) }()
			x.armCell(second)
			faults, arm, full := x.cloud.Faults, x.arm, x.full
			x.armCell(first)
			x.cloud.Faults = append(x.cloud.Faults, faults...)
			x.arm, x.full = arm, full
			outcome = x.act(first)
			if strings.HasPrefix(outcome, "error, with machines left") {
				t.Errorf("outcome %q", outcome)
			}
			x.check("after the pair")
			x.recover()
		})
	})
	return outcome, ok
}

// TestKilledTwice kills a launch anywhere and its recovery anywhere.
func TestKilledTwice(t *testing.T) {
	const tries = 400
	rng := rand.New(rand.NewPCG(1, 2))
	dead := 0
	var sum counts
	for n := range tries {
		sc := scenarios()[rng.IntN(5)]
		k1, k2, seed := 1+rng.IntN(90), 1+rng.IntN(60), rng.Uint64()%1000
		t.Run(fmt.Sprintf("%s/%d/seed=%d/k=%d,%d", sc.name, n, seed, k1, k2), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newSimTerraform(t, seed)
				defer x.end()
				defer func() { sum.add(x, !t.Failed()) }()
				if sc.before != nil {
					if err := sc.before(x); err != nil {
						t.Fatal(err)
					}
				}
				fault := sc.fault
				if fault.Phase != "" {
					x.cloud.Faults = []*memcloud.Fault{&fault}
				}
				for i, k := range []int{k1, k2} {
					x.arm = func(p *memcloud.Process) { p.KillAt, p.Torn = k, n%2 == 0 }
					if killed, _ := x.apply(); killed {
						dead++
					}
					x.check(fmt.Sprintf("after death %d", i+1))
				}
				x.recover()
			})
		})
	}
	report(t, "KILLED, AND KILLED AGAIN DURING THE RECOVERY", fmt.Sprintf("deaths %d\n%s\n", dead, sum))
}
