// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"slices"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// ledger holds the machines that this process launched and has not seen gone,
// and the launches whose outcome it does not know. A listing that lags does not
// show them yet, but they may be there. The zero value is ready for use.
type ledger[N any] struct {
	mu      sync.Mutex
	entries []entry[N]
}

type entry[N any] struct {
	// m has no ID where nobody knows whether there is a machine.
	m    Machine[N]
	at   time.Time
	seen bool
	// missed is how often in a row it was asked for and was not there.
	missed int
}

// add remembers a machine that was launched, or without an id a launch that may
// have made one. An id ends all doubt about its identity.
func (l *ledger[N]) add(m Machine[N]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = slices.DeleteFunc(l.entries, func(e entry[N]) bool { return e.m.ID == "" && e.m.Identity == m.Identity })
	if m.ID == "" || !slices.ContainsFunc(l.entries, func(e entry[N]) bool { return e.m.ID == m.ID }) {
		l.entries = append(l.entries, entry[N]{m: m, at: time.Now()})
	}
}

// saw takes note that the cloud shows the machine. One that ends a doubt is
// remembered, since the next listing may not show it yet.
func (l *ledger[N]) saw(m Machine[N]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	doubted, known := false, m.State == cloud.StateTerminated
	l.entries = slices.DeleteFunc(l.entries, func(e entry[N]) bool {
		doubt := e.m.ID == "" && e.m.Identity == m.Identity
		doubted, known = doubted || doubt, known || e.m.ID == m.ID
		return doubt || (e.m.ID == m.ID && m.State == cloud.StateTerminated)
	})
	if doubted && !known {
		l.entries = append(l.entries, entry[N]{m: m, at: time.Now()})
	}
	for i := range l.entries {
		if l.entries[i].m.ID == m.ID {
			l.entries[i].seen, l.entries[i].missed = true, 0
		}
	}
}

// matching are the entries that match.
func (l *ledger[N]) matching(match func(Machine[N]) bool) []entry[N] {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.entries), func(e entry[N]) bool { return !match(e.m) })
}

// forget drops the entries that match.
func (l *ledger[N]) forget(match func(Machine[N]) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = slices.DeleteFunc(l.entries, func(e entry[N]) bool { return match(e.m) })
}

// missed takes note that a machine was asked for and is not there. After so many
// times in a row it is forgotten, since a cloud may not remember its dead, and
// that is reported.
func (l *ledger[N]) missed(e entry[N], times int) (forgotten bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = slices.DeleteFunc(l.entries, func(have entry[N]) bool {
		forgotten = forgotten || (have.is(e.m) && have.missed+1 >= times)
		return have.is(e.m) && have.missed+1 >= times
	})
	for i := range l.entries {
		if l.entries[i].is(e.m) {
			l.entries[i].missed++
		}
	}
	return forgotten
}

// is matches the entry of this machine or launch.
func (e entry[N]) is(m Machine[N]) bool { return e.m.ID == m.ID && e.m.Identity == m.Identity }

// mayAppear reports whether the machine may be there although the cloud does not show
// it: it was launched so lately and was never seen.
func (e entry[N]) mayAppear(within time.Duration) bool { return !e.seen && time.Since(e.at) < within }
