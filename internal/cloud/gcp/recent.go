// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// recent holds the machines that this process asked for and has not seen gone.
// A listing that lags does not show them yet, and an insert whose answer was
// lost may have made one.
type recent struct {
	mu     sync.Mutex
	byName map[string]launched // by zone and name
}

// launched is a machine that was asked for.
type launched struct {
	identity   cloud.Identity
	zone, name string
	// operation is the insert, once it was accepted; id is known once it was seen.
	operation string
	id        string
	at        time.Time
	misses    int
}

func (l launched) key() string { return l.zone + "/" + l.name }

// expect remembers a machine that is about to be asked for.
func (r *recent) expect(id cloud.Identity, zone, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byName == nil {
		r.byName = map[string]launched{}
	}
	l := launched{identity: id, zone: zone, name: name, at: time.Now()}
	if _, known := r.byName[l.key()]; !known {
		r.byName[l.key()] = l
	}
}

func (r *recent) change(zone, name string, f func(*launched)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := zone + "/" + name
	if l, ok := r.byName[key]; ok {
		f(&l)
		r.byName[key] = l
	}
}

// accepted takes note of the operation that makes the machine.
func (r *recent) accepted(zone, name, operation string) {
	r.change(zone, name, func(l *launched) { l.operation = operation })
}

// saw takes note that Compute Engine shows the machine.
func (r *recent) saw(m machine) {
	r.change(m.zone, m.name, func(l *launched) { l.id, l.misses = m.id, 0 })
}

// missed counts how often in a row a machine was not there, and returns that.
func (r *recent) missed(l launched) int {
	r.change(l.zone, l.name, func(l *launched) { l.misses++ })
	return l.misses + 1
}

func (r *recent) drop(zone, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byName, zone+"/"+name)
}

// matching are the machines of ref. Where ref names ids, those that have none
// yet are not among them.
func (r *recent) matching(ref cloud.ClusterRef) []launched {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []launched
	for _, l := range r.byName {
		if selects(ref, machine{id: l.id, identity: l.identity, owned: true, zone: l.zone, region: regionOf(l.zone)}) {
			out = append(out, l)
		}
	}
	return out
}

// forget drops the machines of ref.
func (r *recent) forget(ref cloud.ClusterRef) {
	for _, l := range r.matching(ref) {
		r.drop(l.zone, l.name)
	}
}
