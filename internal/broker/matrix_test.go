// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// The fault matrix: ten steps of a cluster's life by seven kinds of trouble.
// Each cell runs on simCloud in virtual time, from a seed, and is followed by
// the recovery that a user would attempt: apply, then destroy. After every
// cell, see simTerraform.check and checkNothingLeft.

// Columns of the matrix.
const (
	refusal = "definite refusal"
	timeout = "timeout, applied"
	sigint  = "SIGINT"
	kill9   = "kill -9"
	vanish  = "instance vanishes"
	stale   = "stale list, 5xx"
	expiry  = "auth expires"
)

func columns() []string {
	return []string{refusal, timeout, sigint, kill9, vanish, stale, expiry}
}

func steps() []string {
	return []string{"bootstrap", "run", "wait", "ssh", "setup", "job submit", "read", "grow", "stop", "terminate"}
}

// Outcomes of a cell.
const (
	up       = "up"       // launched where it was to be, or unchanged
	next     = "next"     // launched on another placement, nothing left of the first
	clean    = "clean"    // an error, and nothing is left
	tainted  = "tainted"  // an error, and what lives is in state, to be destroyed
	kept     = "kept"     // an error, and state is as it was
	removed  = "removed"  // gone from state, with proof
	degraded = "degraded" // in state with the nodes that are left
	stopped  = "stopped"
	killed   = "killed" // nothing came back; the recovery is the test
)

// cell is a cell of the matrix, or one of several variants of it.
type cell struct {
	step, column string
	// fault strikes at the step. Its zone, where set, is the first placement's.
	fault simFault
	// spread is how many calls later the fault may strike, by the seed.
	spread int
	// at is the call of a kill, "phase/op"; before or after it, by the seed.
	at string
	// lateFrom and lateTo are the bounds of fault.late, by the seed.
	lateFrom, lateTo time.Duration
	// wait is how long the user is away before the recovery.
	wait time.Duration
	// exact says that no machine may live besides the state's after the step,
	// late ones included.
	exact bool
	// most bounds the machines launched by the step; 0 is no bound.
	most int
	// keep is on_setup_failure = "keep"; exit the setup script's exit code.
	keep bool
	exit int
	// spoil makes the files for SSH impossible to write, when the fault strikes.
	spoil bool
	// full is the journal entry for which the disk has no room.
	full journal.Event
	want []string
	// never says why the cell cannot be.
	never string
	name  string // of the variant
}

// all and one are whose machine vanishes.
func rank(n int) *int { return &n }

// someRank stands for a rank by the seed.
const someRank = -2

const noJobs = "jobs are internal/job's: at most one start is tested there and in internal/provider"

func matrix() []cell {
	a := simZone
	return []cell{
		{step: "bootstrap", column: refusal, fault: simFault{phase: "bootstrap", op: "firewall.create", times: 1, err: errSimConfig}, want: []string{next}},
		{step: "bootstrap", column: timeout, fault: simFault{phase: "bootstrap", op: "firewall.create", times: 2, err: errSimTimeout, applied: true}, want: []string{up}},
		{step: "bootstrap", column: sigint, fault: simFault{phase: "bootstrap", times: 1}, spread: 2, want: []string{clean}},
		{step: "bootstrap", column: kill9, at: "bootstrap/firewall.create", want: []string{killed}},
		{step: "bootstrap", column: vanish, never: "no machine exists yet"},
		{step: "bootstrap", column: stale, fault: simFault{phase: "bootstrap", times: 2, err: errSimServer}, spread: 2, want: []string{up}},
		{step: "bootstrap", column: expiry, fault: simFault{phase: "bootstrap", times: 1}, spread: 2, want: []string{clean}},

		{step: "run", column: refusal, name: "capacity", fault: simFault{phase: "run", op: "create", zone: a, err: errSimCapacity}, spread: 2, want: []string{next}},
		{step: "run", column: refusal, name: "capacity, and it comes late", fault: simFault{phase: "run", op: "create", zone: a, times: 1, err: errSimCapacity}, spread: 2, lateFrom: time.Second, lateTo: 90 * time.Second, want: []string{next}},
		{step: "run", column: timeout, name: "late, while it is removed or the next one boots", fault: simFault{phase: "run", op: "create", zone: a, skip: 1, times: 4, err: errSimTimeout}, lateFrom: 8 * time.Second, lateTo: 25 * time.Second, exact: true, want: []string{next}},
		{step: "run", column: refusal, name: "not in this region, and it comes after the launch", fault: simFault{phase: "run", op: "create", zone: a, times: 1, err: errSimConfig}, spread: 2, lateFrom: 10 * time.Minute, lateTo: 20 * time.Minute, wait: 30 * time.Minute, want: []string{next}},
		{step: "run", column: refusal, name: "capacity, and it comes after the launch", fault: simFault{phase: "run", op: "create", zone: a, times: 1, err: errSimCapacity}, spread: 2, lateFrom: 10 * time.Minute, lateTo: 20 * time.Minute, wait: 30 * time.Minute, want: []string{next}},
		{step: "run", column: refusal, name: "not a placement left", fault: simFault{phase: "run", op: "create", err: errSimCapacity}, want: []string{clean}},
		{step: "run", column: refusal, name: "for a reason that no table knows", fault: simFault{phase: "run", op: "create", err: errSimForbidden}, spread: 2, most: 3, want: []string{clean}},
		{step: "run", column: refusal, name: "disk full at the intent", full: journal.EventAttempt, want: []string{clean}},
		{step: "run", column: refusal, name: "disk full at the ids", full: journal.EventCreated, most: 2, want: []string{clean}},
		{step: "run", column: refusal, name: "disk full from the ids on", full: "c", most: 2, want: []string{clean}},
		{step: "run", column: timeout, name: "one answer", fault: simFault{phase: "run", op: "create", times: 1, err: errSimTimeout, applied: true}, spread: 2, want: []string{up}},
		{step: "run", column: timeout, name: "every answer", fault: simFault{phase: "run", op: "create", zone: a, err: errSimTimeout, applied: true}, spread: 2, want: []string{next}},
		{step: "run", column: timeout, name: "late", fault: simFault{phase: "run", op: "create", zone: a, times: 4, err: errSimTimeout}, lateFrom: time.Second, lateTo: 2 * time.Minute, want: []string{next}},
		{step: "run", column: sigint, fault: simFault{phase: "run", times: 1}, spread: 4, want: []string{clean}},
		{step: "run", column: kill9, at: "run/create", spread: 2, want: []string{killed}},
		{step: "run", column: vanish, fault: simFault{phase: "run", op: "create", skip: 1, times: 1, vanish: rank(0)}, want: []string{next}},
		{step: "run", column: stale, name: "empty lists", fault: simFault{phase: "run", op: "list", empty: true}, want: []string{up}},
		{step: "run", column: stale, name: "5xx", fault: simFault{phase: "run", times: 2, err: errSimServer}, spread: 4, want: []string{up}},
		{step: "run", column: stale, name: "429", fault: simFault{phase: "run", times: 3, err: errSimThrottle}, spread: 4, want: []string{up}},
		{step: "run", column: stale, name: "two machines of one create", fault: simFault{phase: "run", op: "create", zone: a, times: 1, twice: true}, spread: 2, want: []string{up, next}},
		{step: "run", column: expiry, fault: simFault{phase: "run", op: "create", times: 1}, spread: 2, want: []string{tainted}},

		{step: "wait", column: refusal, name: "machines end at once", fault: simFault{phase: "wait", op: "list", times: 1, vanish: rank(-1)}, spread: 2, want: []string{next}},
		{step: "wait", column: timeout, fault: simFault{phase: "wait", times: 2, err: errSimTimeout}, spread: 3, want: []string{up}},
		{step: "wait", column: sigint, fault: simFault{phase: "wait", times: 1}, spread: 4, want: []string{clean}},
		{step: "wait", column: kill9, at: "wait/list", spread: 4, want: []string{killed}},
		{step: "wait", column: vanish, fault: simFault{phase: "wait", op: "list", times: 1, vanish: rank(someRank)}, spread: 4, want: []string{next}},
		{step: "wait", column: stale, name: "empty lists", fault: simFault{phase: "wait", op: "list", times: 3, empty: true}, spread: 3, want: []string{up}},
		{step: "wait", column: stale, name: "not found, though there", fault: simFault{phase: "wait", times: 4, empty: true}, want: []string{up}},
		{step: "wait", column: stale, name: "5xx", fault: simFault{phase: "wait", times: 3, err: errSimServer}, spread: 3, want: []string{up}},
		{step: "wait", column: expiry, fault: simFault{phase: "wait", op: "list", times: 1}, spread: 4, want: []string{tainted}},

		{step: "ssh", column: refusal, fault: simFault{phase: "ssh", op: "dial", zone: a, err: fmt.Errorf("the key is not accepted")}, want: []string{next}},
		{step: "ssh", column: timeout, fault: simFault{phase: "ssh", op: "dial", times: 3, err: errSimTimeout}, want: []string{up}},
		{step: "ssh", column: timeout, name: "no command ends", fault: simFault{phase: "ssh", op: "probe", zone: a, err: errSimTimeout}, want: []string{next}},
		{step: "ssh", column: timeout, name: "no command ends, everywhere", fault: simFault{phase: "ssh", op: "probe", err: errSimTimeout}, most: 6, want: []string{clean}},
		{step: "ssh", column: timeout, name: "two commands do not end", fault: simFault{phase: "ssh", op: "probe", times: 2, err: errSimTimeout}, want: []string{up}},
		{step: "ssh", column: sigint, fault: simFault{phase: "ssh", op: "dial", times: 1}, spread: 2, want: []string{clean}},
		{step: "ssh", column: kill9, at: "ssh/dial", spread: 2, want: []string{killed}},
		{step: "ssh", column: vanish, fault: simFault{phase: "ssh", op: "dial", times: 1, vanish: rank(someRank)}, want: []string{next}},
		{step: "ssh", column: stale, name: "empty census", fault: simFault{phase: "query", op: "list", skip: 1, times: 1, empty: true}, want: []string{up}},
		{step: "ssh", column: stale, name: "5xx at the census", fault: simFault{phase: "query", op: "list", skip: 1, times: 3, err: errSimServer}, want: []string{up}},
		{step: "ssh", column: expiry, fault: simFault{phase: "ssh", op: "dial", times: 1}, want: []string{tainted}},

		{step: "setup", column: refusal, name: "destroy", exit: 3, want: []string{clean}},
		{step: "setup", column: refusal, name: "keep", exit: 3, keep: true, want: []string{tainted}},
		{step: "setup", column: refusal, name: "upload", fault: simFault{phase: "setup", op: "put", err: errSimForbidden}, spread: 2, most: 2, want: []string{clean}},
		{step: "setup", column: refusal, name: "upload, keep", fault: simFault{phase: "setup", op: "put", err: errSimForbidden}, keep: true, most: 2, want: []string{tainted}},
		{step: "setup", column: refusal, name: "local files", spoil: true, fault: simFault{phase: "setup", op: "exit", times: 1}, most: 2, want: []string{clean}},
		{step: "setup", column: timeout, name: "one connection", fault: simFault{phase: "setup", times: 1, err: errSimTimeout, applied: true}, spread: 6, most: 2, want: []string{up}},
		{step: "setup", column: timeout, name: "two connections of an upload", fault: simFault{phase: "setup", op: "put", times: 2, err: errSimTimeout}, spread: 2, most: 2, want: []string{up}},
		{step: "setup", column: timeout, name: "a stall", fault: simFault{phase: "setup", times: 1, cut: 38 * time.Second}, spread: 6, most: 2, want: []string{up}},
		{step: "setup", column: timeout, name: "a restart of minutes", fault: simFault{phase: "setup", times: 1, cut: 8 * time.Minute}, spread: 6, most: 2, want: []string{up}},
		{step: "setup", column: timeout, name: "silent for long", fault: simFault{phase: "setup", zone: a, times: 1, cut: 11 * time.Minute}, spread: 6, most: 4, want: []string{next}},
		{step: "setup", column: timeout, name: "silent everywhere", fault: simFault{phase: "setup", cut: 30 * time.Minute}, most: 6, want: []string{clean}},
		{step: "setup", column: timeout, name: "every connection in the zone", fault: simFault{phase: "setup", zone: a, err: errSimTimeout, applied: true}, spread: 4, most: 4, want: []string{next}},
		{step: "setup", column: timeout, name: "every connection", fault: simFault{phase: "setup", err: errSimTimeout, applied: true}, spread: 4, most: 6, want: []string{clean}},
		{step: "setup", column: sigint, fault: simFault{phase: "setup", times: 1}, spread: 4, want: []string{clean}},
		{step: "setup", column: kill9, at: "setup/run", spread: 2, want: []string{killed}},
		{step: "setup", column: kill9, name: "while committing", at: "commit/tag", spread: 2, want: []string{killed}},
		{step: "setup", column: vanish, fault: simFault{phase: "setup", times: 1, vanish: rank(someRank)}, spread: 4, want: []string{next}},
		{step: "setup", column: vanish, name: "everywhere", fault: simFault{phase: "setup", op: "exit", vanish: rank(-1)}, most: 6, want: []string{clean}},
		{step: "setup", column: stale, name: "empty lists at the commit", fault: simFault{phase: "commit", op: "list", empty: true}, want: []string{up}},
		{step: "setup", column: stale, name: "5xx at the commit", fault: simFault{phase: "commit", times: 3, err: errSimServer}, spread: 3, want: []string{up}},
		{step: "setup", column: stale, name: "half a commit", fault: simFault{phase: "commit", op: "disarm", times: 8, err: errSimServer}, spread: 2, want: []string{next}},
		{step: "setup", column: stale, name: "disk full at the commit", full: journal.EventCommitting, most: 2, want: []string{clean}},
		{step: "setup", column: stale, name: "disk full after the commit", full: journal.EventCommitted, most: 2, want: []string{clean}},
		{step: "setup", column: expiry, fault: simFault{phase: "setup", times: 1}, spread: 4, want: []string{tainted}},

		{step: "job submit", column: refusal, never: noJobs},
		{step: "job submit", column: timeout, never: noJobs},
		{step: "job submit", column: sigint, never: noJobs},
		{step: "job submit", column: kill9, never: noJobs},
		{step: "job submit", column: vanish, never: noJobs},
		{step: "job submit", column: stale, never: noJobs},
		{step: "job submit", column: expiry, never: noJobs},

		{step: "read", column: refusal, fault: simFault{phase: "query", err: errSimConfig}, want: []string{kept}},
		{step: "read", column: timeout, fault: simFault{phase: "query", err: errSimTimeout, applied: true}, want: []string{kept}},
		{step: "read", column: sigint, fault: simFault{phase: "query", times: 1}, want: []string{kept}},
		{step: "read", column: kill9, at: "query/list", spread: 2, want: []string{killed}},
		{step: "read", column: vanish, name: "all", fault: simFault{phase: "query", times: 1, vanish: rank(-1)}, want: []string{removed}},
		{step: "read", column: vanish, name: "one", fault: simFault{phase: "query", times: 1, vanish: rank(someRank)}, want: []string{degraded}},
		{step: "read", column: stale, name: "empty lists", fault: simFault{phase: "query", op: "list", empty: true}, want: []string{up}},
		{step: "read", column: stale, name: "empty, and not found, once", fault: simFault{phase: "query", times: 4, empty: true}, want: []string{up}},
		{step: "read", column: stale, name: "5xx", fault: simFault{phase: "query", err: errSimServer}, spread: 2, want: []string{kept}},
		{step: "read", column: expiry, fault: simFault{phase: "query", times: 1}, spread: 2, want: []string{kept}},

		{step: "grow", column: refusal, name: "capacity", fault: simFault{phase: "run", op: "create", err: errSimCapacity}, spread: 2, want: []string{kept}},
		{step: "grow", column: refusal, name: "rules", fault: simFault{phase: "bootstrap", err: errSimConfig}, want: []string{kept}},
		{step: "grow", column: refusal, name: "disk full at the intent", full: journal.EventAttempt, want: []string{kept}},
		{step: "grow", column: refusal, name: "disk full at the ids", full: journal.EventCreated, most: 4, exact: true, want: []string{kept}},
		{step: "grow", column: refusal, name: "disk full at the commit", full: journal.EventCommitting, most: 4, exact: true, want: []string{kept}},
		{step: "grow", column: refusal, name: "upload", fault: simFault{phase: "setup", op: "put", err: errSimForbidden}, most: 4, exact: true, want: []string{kept}},
		{step: "grow", column: timeout, name: "no command ends", fault: simFault{phase: "ssh", op: "probe", err: errSimTimeout}, most: 4, exact: true, want: []string{kept}},
		{step: "grow", column: timeout, name: "a stall in setup", fault: simFault{phase: "setup", op: "exit", times: 1, cut: 38 * time.Second}, spread: 2, most: 4, exact: true, want: []string{up}},
		{step: "grow", column: timeout, name: "one answer", fault: simFault{phase: "run", op: "create", times: 1, err: errSimTimeout, applied: true}, spread: 2, want: []string{up}},
		{step: "grow", column: timeout, name: "every answer", fault: simFault{phase: "run", op: "create", err: errSimTimeout, applied: true}, spread: 2, exact: true, want: []string{kept}},
		{step: "grow", column: timeout, name: "late", fault: simFault{phase: "run", op: "create", times: 4, err: errSimTimeout}, lateFrom: time.Second, lateTo: 15 * time.Second, want: []string{kept}},
		{step: "grow", column: sigint, name: "at the create call", fault: simFault{phase: "run", times: 1}, spread: 4, exact: true, want: []string{kept}},
		{step: "grow", column: sigint, name: "at setup", fault: simFault{phase: "setup", times: 1}, spread: 2, exact: true, want: []string{kept}},
		{step: "grow", column: kill9, name: "at the create call", at: "run/create", spread: 2, want: []string{killed}},
		{step: "grow", column: kill9, name: "while committing", at: "commit/tag", spread: 2, want: []string{killed}},
		{step: "grow", column: vanish, fault: simFault{phase: "wait", op: "list", times: 1, vanish: rank(2)}, want: []string{kept}},
		{step: "grow", column: stale, name: "empty lists", fault: simFault{phase: "wait", op: "list", times: 3, empty: true}, want: []string{up}},
		{step: "grow", column: stale, name: "5xx", fault: simFault{phase: "run", times: 2, err: errSimServer}, spread: 4, want: []string{up}},
		{step: "grow", column: stale, name: "half a commit", fault: simFault{phase: "commit", op: "disarm", times: 8, err: errSimServer}, spread: 2, exact: true, want: []string{kept}},
		{step: "grow", column: expiry, fault: simFault{phase: "run", op: "create", times: 1}, spread: 2, want: []string{kept}},

		{step: "stop", column: refusal, fault: simFault{phase: "stop", op: "stop", err: errSimConfig}, spread: 2, want: []string{kept}},
		{step: "stop", column: timeout, fault: simFault{phase: "stop", op: "stop", times: 1, err: errSimTimeout, applied: true}, spread: 2, want: []string{stopped}},
		{step: "stop", column: sigint, fault: simFault{phase: "stop", times: 1}, spread: 3, want: []string{kept}},
		{step: "stop", column: kill9, at: "stop/stop", spread: 2, want: []string{killed}},
		{step: "stop", column: vanish, fault: simFault{phase: "stop", times: 1, vanish: rank(someRank)}, spread: 3, want: []string{kept}},
		{step: "stop", column: stale, name: "empty lists", fault: simFault{phase: "stop", op: "list", times: 3, empty: true}, want: []string{stopped}},
		{step: "stop", column: stale, name: "5xx", fault: simFault{phase: "stop", times: 3, err: errSimServer}, spread: 3, want: []string{stopped}},
		{step: "stop", column: expiry, fault: simFault{phase: "stop", times: 1}, spread: 3, want: []string{kept}},

		{step: "terminate", column: refusal, name: "dependency", fault: simFault{phase: "cleanup", op: "firewall.delete", times: 6, err: errSimInUse}, want: []string{removed}},
		{step: "terminate", column: refusal, name: "disk full", full: journal.EventRemoving, want: []string{removed}},
		{step: "terminate", column: timeout, fault: simFault{phase: "terminate", op: "terminate", times: 3, err: errSimTimeout, applied: true}, spread: 2, want: []string{removed}},
		{step: "terminate", column: sigint, fault: simFault{phase: "terminate", times: 1}, spread: 4, want: []string{kept}},
		{step: "terminate", column: kill9, at: "terminate/terminate", spread: 2, want: []string{killed}},
		{step: "terminate", column: kill9, name: "while cleaning up", at: "cleanup/firewall.delete", want: []string{killed}},
		{step: "terminate", column: vanish, fault: simFault{phase: "terminate", times: 1, vanish: rank(-1)}, spread: 3, want: []string{removed}},
		{step: "terminate", column: stale, name: "empty lists", fault: simFault{phase: "terminate", op: "list", times: 4, empty: true}, spread: 2, want: []string{removed}},
		{step: "terminate", column: stale, name: "not found, though there", fault: simFault{phase: "terminate", times: 5, empty: true}, spread: 2, want: []string{removed}},
		{step: "terminate", column: stale, name: "silent", fault: simFault{phase: "terminate", op: "terminate", times: 6, silent: true}, spread: 2, want: []string{removed}},
		{step: "terminate", column: stale, name: "5xx", fault: simFault{phase: "terminate", times: 12, err: errSimServer}, spread: 3, want: []string{removed}},
		{step: "terminate", column: expiry, fault: simFault{phase: "terminate", times: 1}, spread: 4, want: []string{kept}},
	}
}

func (c cell) String() string {
	s := c.step + " / " + c.column
	if c.name != "" {
		s += " / " + c.name
	}
	return s
}

// seed is the cell's own for a run of the matrix.
func (c cell) seed(run uint64) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s %d", c, run)
	return h.Sum64()%1_000_000 + run*1_000_000
}

// arm sets the cell's fault up, by the seed.
func (x *simTerraform) armCell(c cell) {
	f := c.fault
	rng := x.cloud.rng
	if c.spread > 0 {
		f.skip += rng.IntN(c.spread)
	}
	if c.lateTo > 0 {
		f.late = c.lateFrom + time.Duration(rng.Int64N(int64(c.lateTo-c.lateFrom)))
	}
	if f.vanish != nil && *f.vanish == someRank {
		f.vanish = rank(rng.IntN(2))
	}
	switch c.column {
	case sigint:
		f.hook = func() { x.cancel() }
	case expiry:
		f.hook = func() {
			x.cloud.mu.Lock()
			defer x.cloud.mu.Unlock()
			x.cloud.expired = true
		}
	}
	if c.spoil {
		f.hook = x.spoil
	}
	if c.at != "" {
		when, skip := []string{" before", " after"}[rng.IntN(2)], 0
		if c.spread > 0 {
			skip = rng.IntN(c.spread)
		}
		x.arm = func(p *simProcess) { p.killOn, p.skip = c.at+when, skip }
	} else if c.full == "" && c.exit == 0 {
		x.cloud.faults = []*simFault{&f}
	}
	if c.full != "" {
		x.full = &c.full
	}
	x.setupExit = c.exit
	if c.keep {
		x.spec.OnSetupFailure = SetupFailureKeep
	}
}

// act takes the cell's step and names the outcome.
func (x *simTerraform) act(c cell) string {
	before := x.state
	var dead bool
	var err error
	switch c.step {
	case "read":
		dead, err = x.read()
	case "grow":
		dead, err = x.resize(4)
	case "stop":
		dead, err = x.stop()
	case "terminate":
		dead, err = x.destroy()
	default:
		dead, err = x.apply()
	}
	return x.outcome(before, dead, err)
}

func (x *simTerraform) outcome(before *cluster.Cluster, dead bool, err error) string {
	switch {
	case dead:
		return killed
	case err != nil && before != nil:
		return kept
	case err != nil && x.state != nil:
		return tainted
	case err != nil && len(x.mine()) == 0:
		return clean
	case err != nil:
		return "error, with machines left: " + err.Error()
	case x.state == nil:
		return removed
	case x.state.Status == cluster.StatusDegraded:
		return degraded
	case x.state.Status == cluster.StatusStopped:
		return stopped
	case x.state.Zone == simZone:
		return up
	}
	return next
}

// cellResult is what is printed of a cell.
type cellResult struct {
	cell    cell
	seed    uint64
	outcome string
	failed  bool
}

// runCell runs one cell in virtual time.
func runCell(t *testing.T, c cell, seed uint64, sum *counts) cellResult {
	t.Helper()
	r := cellResult{cell: c, seed: seed}
	ok := t.Run(fmt.Sprintf("%s/seed=%d", strings.ReplaceAll(c.String(), " / ", "/"), seed), func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			x := newSimTerraform(t, seed)
			defer x.end()
			defer func() { sum.add(x, !t.Failed()) }()
			if slices.Contains([]string{"read", "grow", "stop", "terminate"}, c.step) {
				if _, err := x.apply(); err != nil {
					t.Fatal(err)
				}
			}
			x.armCell(c)
			r.outcome = x.act(c)
			x.check("after the fault")
			if !slices.Contains(c.want, r.outcome) {
				t.Errorf("outcome %q, want %v (errors: %v)", r.outcome, c.want, x.errors)
			}
			if c.most > 0 && x.cloud.launched > c.most {
				t.Errorf("%d machines were launched, want %d at most", x.cloud.launched, c.most)
			}
			if c.wait > 0 {
				if err := retry.Pause(t.Context(), c.wait); err != nil {
					t.Fatal(err)
				}
			}
			if alive := x.mine(); c.exact && (x.state == nil || len(alive) != len(x.state.Nodes)) {
				t.Errorf("%d machines live: %+v", len(alive), alive)
			}
			x.recover()
		})
	})
	r.failed = !ok
	return r
}

// matrixRuns is how many seeds each cell runs with; FAULT_RUNS overrides it,
// and FAULT_SEED runs every cell with that one seed.
func matrixSeeds(t *testing.T, runs uint64) func(c cell) []uint64 {
	t.Helper()
	if text := os.Getenv("FAULT_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return func(cell) []uint64 { return []uint64{seed} }
	}
	if text := os.Getenv("FAULT_RUNS"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		runs = n
	}
	return func(c cell) []uint64 {
		var seeds []uint64
		for run := range runs {
			seeds = append(seeds, c.seed(run))
		}
		return seeds
	}
}

func TestFaultMatrix(t *testing.T) {
	seeds := matrixSeeds(t, defaultRuns)
	var results []cellResult
	var sum counts
	for _, c := range matrix() {
		if c.never != "" {
			results = append(results, cellResult{cell: c})
			continue
		}
		for _, seed := range seeds(c) {
			results = append(results, runCell(t, c, seed, &sum))
		}
	}
	report(t, "FAULT MATRIX (steps by faults)", matrixTable(results)+sum.String()+"\n")
}

// The matrix is whole: every step meets every column.
func TestFaultMatrixIsWhole(t *testing.T) {
	for _, step := range steps() {
		for _, column := range columns() {
			n := 0
			for _, c := range matrix() {
				if c.step == step && c.column == column {
					n++
					if (c.never == "") == (len(c.want) == 0) {
						t.Errorf("%s must say what it wants or why it cannot be", c)
					}
				}
			}
			if n == 0 {
				t.Errorf("the matrix lacks %s / %s", step, column)
			}
		}
	}
}

func matrixTable(results []cellResult) string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "STEP\tFAULT\tVARIANT\tOUTCOME\tSEEDS\tRESULT")
	for i := 0; i < len(results); {
		c := results[i].cell
		if c.never != "" {
			_, _ = fmt.Fprintf(w, "%s\t%s\t\timpossible here\t\t%s\n", c.step, c.column, c.never)
			i++
			continue
		}
		var outcomes, seeds []string
		verdict := "ok"
		for ; i < len(results) && results[i].cell.String() == c.String(); i++ {
			r := results[i]
			if !slices.Contains(outcomes, r.outcome) {
				outcomes = append(outcomes, r.outcome)
			}
			if len(seeds) < 4 || r.failed {
				seeds = append(seeds, strconv.FormatUint(r.seed, 10))
			}
			if r.failed {
				verdict = "FAILED"
			}
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.step, c.column, c.name, strings.Join(outcomes, ", "), strings.Join(seeds, " "), verdict)
	}
	_ = w.Flush()
	return b.String()
}

// report prints a part of the fault report, and adds it to the file that
// make test-faults shows.
func report(t *testing.T, title, text string) {
	t.Helper()
	whole := title + "\n" + text + "\n"
	t.Log("\n" + whole)
	path := os.Getenv("FAULT_REPORT")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(whole); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
