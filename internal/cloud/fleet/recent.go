// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"sync"
	"time"
)

// Recent holds the machines that this process launched and has not seen gone. A
// listing that lags does not show them yet, but they are there. The zero value
// is ready for use, by several goroutines.
type Recent[M any] struct {
	mu  sync.Mutex
	ids map[string]launched[M]
}

type launched[M any] struct {
	machine M
	at      time.Time
	seen    bool
}

// Add remembers a machine that was just launched.
func (r *Recent[M]) Add(id string, m M) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = map[string]launched[M]{}
	}
	if _, ok := r.ids[id]; !ok {
		r.ids[id] = launched[M]{machine: m, at: time.Now()}
	}
}

// Saw takes note that the cloud shows the machine, or shows it terminated.
func (r *Recent[M]) Saw(id string, terminated bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.ids[id]
	switch {
	case !ok:
	case terminated:
		delete(r.ids, id)
	default:
		l.seen = true
		r.ids[id] = l
	}
}

// Late returns a machine that may exist although the cloud does not show it: one
// that was launched less than settle ago and was never seen.
func (r *Recent[M]) Late(id string, settle time.Duration) (M, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.ids[id]
	return l.machine, ok && !l.seen && time.Since(l.at) < settle
}

// Matching are the ids of the machines that match.
func (r *Recent[M]) Matching(match func(M) bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for id, l := range r.ids {
		if match(l.machine) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Forget drops the machines that match.
func (r *Recent[M]) Forget(match func(M) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, l := range r.ids {
		if match(l.machine) {
			delete(r.ids, id)
		}
	}
}
