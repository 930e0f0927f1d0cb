// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// recent holds the machines this process launched and has not seen terminated.
// A listing that lags does not show them yet, but they are there.
type recent struct {
	mu  sync.Mutex
	ids map[string]launched
}

type launched struct {
	machine machine
	at      time.Time
	seen    bool
}

// add remembers a machine that was just launched.
func (r *recent) add(m machine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = map[string]launched{}
	}
	if _, ok := r.ids[m.ID]; !ok {
		r.ids[m.ID] = launched{machine: m, at: time.Now()}
	}
}

// saw takes note that the cloud shows the machine.
func (r *recent) saw(m machine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.ids[m.ID]
	switch {
	case !ok:
	case m.state() == cloud.StateTerminated:
		delete(r.ids, m.ID)
	default:
		l.seen = true
		r.ids[m.ID] = l
	}
}

// late returns a machine that may exist although the cloud denies it.
func (r *recent) late(id string, settle time.Duration) (machine, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.ids[id]
	return l.machine, ok && !l.seen && time.Since(l.at) < settle
}

// forget drops the machines of ref.
func (r *recent) forget(ref cloud.ClusterRef) {
	for _, id := range r.matching(ref) {
		r.mu.Lock()
		delete(r.ids, id)
		r.mu.Unlock()
	}
}

func (r *recent) matching(ref cloud.ClusterRef) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for id, l := range r.ids {
		if selects(ref, l.machine) {
			ids = append(ids, id)
		}
	}
	return ids
}
