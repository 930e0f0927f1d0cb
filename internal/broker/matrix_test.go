// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"

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
	fault memcloud.Fault
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
		{step: "bootstrap", column: refusal, fault: memcloud.Fault{Phase: "bootstrap", Op: "firewall.create", Times: 1, Err: memcloud.ErrConfig}, want: []string{next}},
		{step: "bootstrap", column: timeout, fault: memcloud.Fault{Phase: "bootstrap", Op: "firewall.create", Times: 2, Err: memcloud.ErrTimeout, Applied: true}, want: []string{up}},
		{step: "bootstrap", column: sigint, fault: memcloud.Fault{Phase: "bootstrap", Times: 1}, spread: 2, want: []string{clean}},
		{step: "bootstrap", column: kill9, at: "bootstrap/firewall.create", want: []string{killed}},
		{step: "bootstrap", column: vanish, never: "no machine exists yet"},
		{step: "bootstrap", column: stale, fault: memcloud.Fault{Phase: "bootstrap", Times: 2, Err: memcloud.ErrServer}, spread: 2, want: []string{up}},
		{step: "bootstrap", column: expiry, fault: memcloud.Fault{Phase: "bootstrap", Times: 1}, spread: 2, want: []string{clean}},

		{step: "run", column: refusal, name: "capacity", fault: memcloud.Fault{Phase: "run", Op: "create", Zone: a, Err: memcloud.ErrCapacity}, spread: 2, want: []string{next}},
		{step: "run", column: refusal, name: "capacity, and it comes late", fault: memcloud.Fault{Phase: "run", Op: "create", Zone: a, Times: 1, Err: memcloud.ErrCapacity}, spread: 2, lateFrom: time.Second, lateTo: 90 * time.Second, want: []string{next}},
		{step: "run", column: timeout, name: "late, while it is removed or the next one boots", fault: memcloud.Fault{Phase: "run", Op: "create", Zone: a, Skip: 1, Times: 4, Err: memcloud.ErrTimeout}, lateFrom: 8 * time.Second, lateTo: 25 * time.Second, exact: true, want: []string{next}},
		{step: "run", column: refusal, name: "not in this region, and it comes after the launch", fault: memcloud.Fault{Phase: "run", Op: "create", Zone: a, Times: 1, Err: memcloud.ErrConfig}, spread: 2, lateFrom: 10 * time.Minute, lateTo: 20 * time.Minute, wait: 30 * time.Minute, want: []string{next}},
		{step: "run", column: refusal, name: "capacity, and it comes after the launch", fault: memcloud.Fault{Phase: "run", Op: "create", Zone: a, Times: 1, Err: memcloud.ErrCapacity}, spread: 2, lateFrom: 10 * time.Minute, lateTo: 20 * time.Minute, wait: 30 * time.Minute, want: []string{next}},
		{step: "run", column: refusal, name: "not a placement left", fault: memcloud.Fault{Phase: "run", Op: "create", Err: memcloud.ErrCapacity}, want: []string{clean}},
		{step: "run", column: refusal, name: "for a reason that no table knows", fault: memcloud.Fault{Phase: "run", Op: "create", Err: memcloud.ErrForbidden}, spread: 2, most: 3, want: []string{clean}},
		{step: "run", column: refusal, name: "disk full at the intent", full: journal.EventAttempt, want: []string{clean}},
		{step: "run", column: refusal, name: "disk full at the ids", full: journal.EventCreated, most: 2, want: []string{clean}},
		{step: "run", column: refusal, name: "disk full from the ids on", full: "c", most: 2, want: []string{clean}},
		{step: "run", column: timeout, name: "one answer", fault: memcloud.Fault{Phase: "run", Op: "create", Times: 1, Err: memcloud.ErrTimeout, Applied: true}, spread: 2, want: []string{up}},
		{step: "run", column: timeout, name: "every answer", fault: memcloud.Fault{Phase: "run", Op: "create", Zone: a, Err: memcloud.ErrTimeout, Applied: true}, spread: 2, want: []string{next}},
		{step: "run", column: timeout, name: "late", fault: memcloud.Fault{Phase: "run", Op: "create", Zone: a, Times: 4, Err: memcloud.ErrTimeout}, lateFrom: time.Second, lateTo: 2 * time.Minute, want: []string{next}},
		{step: "run", column: sigint, fault: memcloud.Fault{Phase: "run", Times: 1}, spread: 4, want: []string{clean}},
		{step: "run", column: kill9, at: "run/create", spread: 2, want: []string{killed}},
		{step: "run", column: vanish, fault: memcloud.Fault{Phase: "run", Op: "create", Skip: 1, Times: 1, Vanish: rank(0)}, want: []string{next}},
		{step: "run", column: stale, name: "empty lists", fault: memcloud.Fault{Phase: "run", Op: "list", Empty: true}, want: []string{up}},
		{step: "run", column: stale, name: "5xx", fault: memcloud.Fault{Phase: "run", Times: 2, Err: memcloud.ErrServer}, spread: 4, want: []string{up}},
		{step: "run", column: stale, name: "429", fault: memcloud.Fault{Phase: "run", Times: 3, Err: memcloud.ErrThrottle}, spread: 4, want: []string{up}},
		{step: "run", column: stale, name: "two machines of one create", fault: memcloud.Fault{Phase: "run", Op: "create", Zone: a, Times: 1, Twice: true}, spread: 2, want: []string{up, next}},
		{step: "run", column: expiry, fault: memcloud.Fault{Phase: "run", Op: "create", Times: 1}, spread: 2, want: []string{tainted}},

		{step: "wait", column: refusal, name: "machines end at once", fault: memcloud.Fault{Phase: "wait", Op: "list", Times: 1, Vanish: rank(-1)}, spread: 2, want: []string{next}},
		{step: "wait", column: timeout, fault: memcloud.Fault{Phase: "wait", Times: 2, Err: memcloud.ErrTimeout}, spread: 3, want: []string{up}},
		{step: "wait", column: sigint, fault: memcloud.Fault{Phase: "wait", Times: 1}, spread: 4, want: []string{clean}},
		{step: "wait", column: kill9, at: "wait/list", spread: 4, want: []string{killed}},
		{step: "wait", column: vanish, fault: memcloud.Fault{Phase: "wait", Op: "list", Times: 1, Vanish: rank(someRank)}, spread: 4, want: []string{next}},
		{step: "wait", column: stale, name: "empty lists", fault: memcloud.Fault{Phase: "wait", Op: "list", Times: 3, Empty: true}, spread: 3, want: []string{up}},
		{step: "wait", column: stale, name: "not found, though there", fault: memcloud.Fault{Phase: "wait", Times: 4, Empty: true}, want: []string{up}},
		{step: "wait", column: stale, name: "5xx", fault: memcloud.Fault{Phase: "wait", Times: 3, Err: memcloud.ErrServer}, spread: 3, want: []string{up}},
		{step: "wait", column: expiry, fault: memcloud.Fault{Phase: "wait", Op: "list", Times: 1}, spread: 4, want: []string{tainted}},

		{step: "ssh", column: refusal, fault: memcloud.Fault{Phase: "ssh", Op: "dial", Zone: a, Err: fmt.Errorf("the key is not accepted")}, want: []string{next}},
		{step: "ssh", column: timeout, fault: memcloud.Fault{Phase: "ssh", Op: "dial", Times: 3, Err: memcloud.ErrTimeout}, want: []string{up}},
		{step: "ssh", column: timeout, name: "no command ends", fault: memcloud.Fault{Phase: "ssh", Op: "probe", Zone: a, Err: memcloud.ErrTimeout}, want: []string{next}},
		{step: "ssh", column: timeout, name: "no command ends, everywhere", fault: memcloud.Fault{Phase: "ssh", Op: "probe", Err: memcloud.ErrTimeout}, most: 6, want: []string{clean}},
		{step: "ssh", column: timeout, name: "two commands do not end", fault: memcloud.Fault{Phase: "ssh", Op: "probe", Times: 2, Err: memcloud.ErrTimeout}, want: []string{up}},
		{step: "ssh", column: sigint, fault: memcloud.Fault{Phase: "ssh", Op: "dial", Times: 1}, spread: 2, want: []string{clean}},
		{step: "ssh", column: kill9, at: "ssh/dial", spread: 2, want: []string{killed}},
		{step: "ssh", column: vanish, fault: memcloud.Fault{Phase: "ssh", Op: "dial", Times: 1, Vanish: rank(someRank)}, want: []string{next}},
		{step: "ssh", column: stale, name: "empty inventory", fault: memcloud.Fault{Phase: "query", Op: "list", Skip: 1, Times: 1, Empty: true}, want: []string{up}},
		{step: "ssh", column: stale, name: "5xx at the inventory", fault: memcloud.Fault{Phase: "query", Op: "list", Skip: 1, Times: 3, Err: memcloud.ErrServer}, want: []string{up}},
		{step: "ssh", column: expiry, fault: memcloud.Fault{Phase: "ssh", Op: "dial", Times: 1}, want: []string{tainted}},

		{step: "setup", column: refusal, name: "destroy", exit: 3, want: []string{clean}},
		{step: "setup", column: refusal, name: "keep", exit: 3, keep: true, want: []string{tainted}},
		{step: "setup", column: refusal, name: "upload", fault: memcloud.Fault{Phase: "setup", Op: "put", Err: memcloud.ErrForbidden}, spread: 2, most: 2, want: []string{clean}},
		{step: "setup", column: refusal, name: "upload, keep", fault: memcloud.Fault{Phase: "setup", Op: "put", Err: memcloud.ErrForbidden}, keep: true, most: 2, want: []string{tainted}},
		{step: "setup", column: refusal, name: "local files", spoil: true, fault: memcloud.Fault{Phase: "setup", Op: "exit", Times: 1}, most: 2, want: []string{clean}},
		{step: "setup", column: timeout, name: "one connection", fault: memcloud.Fault{Phase: "setup", Times: 1, Err: memcloud.ErrTimeout, Applied: true}, spread: 6, most: 2, want: []string{up}},
		{step: "setup", column: timeout, name: "two connections of an upload", fault: memcloud.Fault{Phase: "setup", Op: "put", Times: 2, Err: memcloud.ErrTimeout}, spread: 2, most: 2, want: []string{up}},
		{step: "setup", column: timeout, name: "a stall", fault: memcloud.Fault{Phase: "setup", Times: 1, Cut: 38 * time.Second}, spread: 6, most: 2, want: []string{up}},
		{step: "setup", column: timeout, name: "a restart of minutes", fault: memcloud.Fault{Phase: "setup", Times: 1, Cut: 8 * time.Minute}, spread: 6, most: 2, want: []string{up}},
		{step: "setup", column: timeout, name: "silent for long", fault: memcloud.Fault{Phase: "setup", Zone: a, Times: 1, Cut: 11 * time.Minute}, spread: 6, most: 4, want: []string{next}},
		{step: "setup", column: timeout, name: "silent everywhere", fault: memcloud.Fault{Phase: "setup", Cut: 30 * time.Minute}, most: 6, want: []string{clean}},
		{step: "setup", column: timeout, name: "every connection in the zone", fault: memcloud.Fault{Phase: "setup", Zone: a, Err: memcloud.ErrTimeout, Applied: true}, spread: 4, most: 4, want: []string{next}},
		{step: "setup", column: timeout, name: "every connection", fault: memcloud.Fault{Phase: "setup", Err: memcloud.ErrTimeout, Applied: true}, spread: 4, most: 6, want: []string{clean}},
		{step: "setup", column: sigint, fault: memcloud.Fault{Phase: "setup", Times: 1}, spread: 4, want: []string{clean}},
		{step: "setup", column: kill9, at: "setup/run", spread: 2, want: []string{killed}},
		{step: "setup", column: kill9, name: "while committing", at: "commit/tag", spread: 2, want: []string{killed}},
		{step: "setup", column: vanish, fault: memcloud.Fault{Phase: "setup", Times: 1, Vanish: rank(someRank)}, spread: 4, want: []string{next}},
		{step: "setup", column: vanish, name: "everywhere", fault: memcloud.Fault{Phase: "setup", Op: "exit", Vanish: rank(-1)}, most: 6, want: []string{clean}},
		{step: "setup", column: stale, name: "empty lists at the commit", fault: memcloud.Fault{Phase: "commit", Op: "list", Empty: true}, want: []string{up}},
		{step: "setup", column: stale, name: "5xx at the commit", fault: memcloud.Fault{Phase: "commit", Times: 3, Err: memcloud.ErrServer}, spread: 3, want: []string{up}},
		{step: "setup", column: stale, name: "half a commit", fault: memcloud.Fault{Phase: "commit", Op: "disarm", Times: 8, Err: memcloud.ErrServer}, spread: 2, want: []string{next}},
		{step: "setup", column: stale, name: "disk full at the commit", full: journal.EventCommitting, most: 2, want: []string{clean}},
		{step: "setup", column: stale, name: "disk full after the commit", full: journal.EventCommitted, most: 2, want: []string{clean}},
		{step: "setup", column: expiry, fault: memcloud.Fault{Phase: "setup", Times: 1}, spread: 4, want: []string{tainted}},

		{step: "job submit", column: refusal, never: noJobs},
		{step: "job submit", column: timeout, never: noJobs},
		{step: "job submit", column: sigint, never: noJobs},
		{step: "job submit", column: kill9, never: noJobs},
		{step: "job submit", column: vanish, never: noJobs},
		{step: "job submit", column: stale, never: noJobs},
		{step: "job submit", column: expiry, never: noJobs},

		{step: "read", column: refusal, fault: memcloud.Fault{Phase: "query", Err: memcloud.ErrConfig}, want: []string{kept}},
		{step: "read", column: timeout, fault: memcloud.Fault{Phase: "query", Err: memcloud.ErrTimeout, Applied: true}, want: []string{kept}},
		{step: "read", column: sigint, fault: memcloud.Fault{Phase: "query", Times: 1}, want: []string{kept}},
		{step: "read", column: kill9, at: "query/list", spread: 2, want: []string{killed}},
		{step: "read", column: vanish, name: "all", fault: memcloud.Fault{Phase: "query", Times: 1, Vanish: rank(-1)}, want: []string{removed}},
		{step: "read", column: vanish, name: "one", fault: memcloud.Fault{Phase: "query", Times: 1, Vanish: rank(someRank)}, want: []string{degraded}},
		{step: "read", column: stale, name: "empty lists", fault: memcloud.Fault{Phase: "query", Op: "list", Empty: true}, want: []string{up}},
		{step: "read", column: stale, name: "empty, and not found, once", fault: memcloud.Fault{Phase: "query", Times: 4, Empty: true}, want: []string{up}},
		{step: "read", column: stale, name: "5xx", fault: memcloud.Fault{Phase: "query", Err: memcloud.ErrServer}, spread: 2, want: []string{kept}},
		{step: "read", column: expiry, fault: memcloud.Fault{Phase: "query", Times: 1}, spread: 2, want: []string{kept}},

		{step: "grow", column: refusal, name: "capacity", fault: memcloud.Fault{Phase: "run", Op: "create", Err: memcloud.ErrCapacity}, spread: 2, want: []string{kept}},
		{step: "grow", column: refusal, name: "rules", fault: memcloud.Fault{Phase: "bootstrap", Err: memcloud.ErrConfig}, want: []string{kept}},
		{step: "grow", column: refusal, name: "disk full at the intent", full: journal.EventAttempt, want: []string{kept}},
		{step: "grow", column: refusal, name: "disk full at the ids", full: journal.EventCreated, most: 4, exact: true, want: []string{kept}},
		{step: "grow", column: refusal, name: "disk full at the commit", full: journal.EventCommitting, most: 4, exact: true, want: []string{kept}},
		{step: "grow", column: refusal, name: "upload", fault: memcloud.Fault{Phase: "setup", Op: "put", Err: memcloud.ErrForbidden}, most: 4, exact: true, want: []string{kept}},
		{step: "grow", column: timeout, name: "no command ends", fault: memcloud.Fault{Phase: "ssh", Op: "probe", Err: memcloud.ErrTimeout}, most: 4, exact: true, want: []string{kept}},
		{step: "grow", column: timeout, name: "a stall in setup", fault: memcloud.Fault{Phase: "setup", Op: "exit", Times: 1, Cut: 38 * time.Second}, spread: 2, most: 4, exact: true, want: []string{up}},
		{step: "grow", column: timeout, name: "one answer", fault: memcloud.Fault{Phase: "run", Op: "create", Times: 1, Err: memcloud.ErrTimeout, Applied: true}, spread: 2, want: []string{up}},
		{step: "grow", column: timeout, name: "every answer", fault: memcloud.Fault{Phase: "run", Op: "create", Err: memcloud.ErrTimeout, Applied: true}, spread: 2, exact: true, want: []string{kept}},
		{step: "grow", column: timeout, name: "late", fault: memcloud.Fault{Phase: "run", Op: "create", Times: 4, Err: memcloud.ErrTimeout}, lateFrom: time.Second, lateTo: 15 * time.Second, want: []string{kept}},
		{step: "grow", column: sigint, name: "at the create call", fault: memcloud.Fault{Phase: "run", Times: 1}, spread: 4, exact: true, want: []string{kept}},
		{step: "grow", column: sigint, name: "at setup", fault: memcloud.Fault{Phase: "setup", Times: 1}, spread: 2, exact: true, want: []string{kept}},
		{step: "grow", column: kill9, name: "at the create call", at: "run/create", spread: 2, want: []string{killed}},
		{step: "grow", column: kill9, name: "while committing", at: "commit/tag", spread: 2, want: []string{killed}},
		{step: "grow", column: vanish, fault: memcloud.Fault{Phase: "wait", Op: "list", Times: 1, Vanish: rank(2)}, want: []string{kept}},
		{step: "grow", column: stale, name: "empty lists", fault: memcloud.Fault{Phase: "wait", Op: "list", Times: 3, Empty: true}, want: []string{up}},
		{step: "grow", column: stale, name: "5xx", fault: memcloud.Fault{Phase: "run", Times: 2, Err: memcloud.ErrServer}, spread: 4, want: []string{up}},
		{step: "grow", column: stale, name: "half a commit", fault: memcloud.Fault{Phase: "commit", Op: "disarm", Times: 8, Err: memcloud.ErrServer}, spread: 2, exact: true, want: []string{kept}},
		{step: "grow", column: expiry, fault: memcloud.Fault{Phase: "run", Op: "create", Times: 1}, spread: 2, want: []string{kept}},

		{step: "stop", column: refusal, fault: memcloud.Fault{Phase: "stop", Op: "stop", Err: memcloud.ErrConfig}, spread: 2, want: []string{kept}},
		{step: "stop", column: timeout, fault: memcloud.Fault{Phase: "stop", Op: "stop", Times: 1, Err: memcloud.ErrTimeout, Applied: true}, spread: 2, want: []string{stopped}},
		{step: "stop", column: sigint, fault: memcloud.Fault{Phase: "stop", Times: 1}, spread: 3, want: []string{kept}},
		{step: "stop", column: kill9, at: "stop/stop", spread: 2, want: []string{killed}},
		{step: "stop", column: vanish, fault: memcloud.Fault{Phase: "stop", Times: 1, Vanish: rank(someRank)}, spread: 3, want: []string{kept}},
		{step: "stop", column: stale, name: "empty lists", fault: memcloud.Fault{Phase: "stop", Op: "list", Times: 3, Empty: true}, want: []string{stopped}},
		{step: "stop", column: stale, name: "5xx", fault: memcloud.Fault{Phase: "stop", Times: 3, Err: memcloud.ErrServer}, spread: 3, want: []string{stopped}},
		{step: "stop", column: expiry, fault: memcloud.Fault{Phase: "stop", Times: 1}, spread: 3, want: []string{kept}},

		{step: "terminate", column: refusal, name: "dependency", fault: memcloud.Fault{Phase: "cleanup", Op: "firewall.delete", Times: 6, Err: memcloud.ErrInUse}, want: []string{removed}},
		{step: "terminate", column: refusal, name: "disk full", full: journal.EventRemoving, want: []string{removed}},
		{step: "terminate", column: timeout, fault: memcloud.Fault{Phase: "terminate", Op: "terminate", Times: 3, Err: memcloud.ErrTimeout, Applied: true}, spread: 2, want: []string{removed}},
		{step: "terminate", column: sigint, fault: memcloud.Fault{Phase: "terminate", Times: 1}, spread: 4, want: []string{kept}},
		{step: "terminate", column: kill9, at: "terminate/terminate", spread: 2, want: []string{killed}},
		{step: "terminate", column: kill9, name: "while cleaning up", at: "cleanup/firewall.delete", want: []string{killed}},
		{step: "terminate", column: vanish, fault: memcloud.Fault{Phase: "terminate", Times: 1, Vanish: rank(-1)}, spread: 3, want: []string{removed}},
		{step: "terminate", column: stale, name: "empty lists", fault: memcloud.Fault{Phase: "terminate", Op: "list", Times: 4, Empty: true}, spread: 2, want: []string{removed}},
		{step: "terminate", column: stale, name: "not found, though there", fault: memcloud.Fault{Phase: "terminate", Times: 5, Empty: true}, spread: 2, want: []string{removed}},
		{step: "terminate", column: stale, name: "silent", fault: memcloud.Fault{Phase: "terminate", Op: "terminate", Times: 6, Silent: true}, spread: 2, want: []string{removed}},
		{step: "terminate", column: stale, name: "5xx", fault: memcloud.Fault{Phase: "terminate", Times: 12, Err: memcloud.ErrServer}, spread: 3, want: []string{removed}},
		{step: "terminate", column: expiry, fault: memcloud.Fault{Phase: "terminate", Times: 1}, spread: 4, want: []string{kept}},
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
	rng := x.rng
	if c.spread > 0 {
		f.Skip += rng.IntN(c.spread)
	}
	if c.lateTo > 0 {
		f.Late = c.lateFrom + time.Duration(rng.Int64N(int64(c.lateTo-c.lateFrom)))
	}
	if f.Vanish != nil && *f.Vanish == someRank {
		f.Vanish = rank(rng.IntN(2))
	}
	switch c.column {
	case sigint:
		f.Hook = func() { x.cancel() }
	case expiry:
		f.Hook = func() {
			x.cloud.Mu.Lock()
			defer x.cloud.Mu.Unlock()
			x.cloud.Expired = true
		}
	}
	if c.spoil {
		f.Hook = x.spoil
	}
	if c.at != "" {
		when, skip := []string{" before", " after"}[rng.IntN(2)], 0
		if c.spread > 0 {
			skip = rng.IntN(c.spread)
		}
		x.arm = func(p *memcloud.Process) { p.KillOn, p.Skip = c.at+when, skip }
	} else if c.full == "" && c.exit == 0 {
		x.cloud.Faults = []*memcloud.Fault{&f}
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
			if c.most > 0 && x.cloud.Launched > c.most {
				t.Errorf("%d machines were launched, want %d at most", x.cloud.Launched, c.most)
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
