// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// recent holds the machines that this process launched and has not seen
// terminated, and the launches whose outcome it does not know. EC2's listings
// lag behind by seconds: what they do not show yet may be there.
type recent struct {
	mu     sync.Mutex
	ids    map[string]launched
	doubts map[cloud.Identity]doubt
}

type launched struct {
	machine machine
	at      time.Time
	seen    bool
}

type doubt struct {
	region, zone string
	at           time.Time
}

// add remembers a machine that was just launched.
func (r *recent) add(m machine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = map[string]launched{}
	}
	delete(r.doubts, m.identity)
	if _, ok := r.ids[m.id]; !ok {
		r.ids[m.id] = launched{machine: m, at: time.Now()}
	}
}

// doubt remembers a launch that may have made a machine.
func (r *recent) doubt(id cloud.Identity, region, zone string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.doubts == nil {
		r.doubts = map[cloud.Identity]doubt{}
	}
	r.doubts[id] = doubt{region: region, zone: zone, at: time.Now()}
}

// doubtful reports whether a machine of ref may turn up that nobody has seen.
func (r *recent) doubtful(ref cloud.ClusterRef, settle time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, d := range r.doubts {
		if time.Since(d.at) >= settle {
			delete(r.doubts, id)
		} else if ref.Instances == nil && ref.Matches(id, d.region, d.zone) {
			return true
		}
	}
	return false
}

// saw takes note that the cloud shows the machine.
func (r *recent) saw(m machine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.doubts, m.identity)
	l, ok := r.ids[m.id]
	switch {
	case !ok:
	case m.state == cloud.StateTerminated:
		delete(r.ids, m.id)
	default:
		l.seen = true
		r.ids[m.id] = l
	}
}

// late returns a machine that may exist although no listing shows it.
func (r *recent) late(id string, settle time.Duration) (machine, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.ids[id]
	return l.machine, ok && !l.seen && time.Since(l.at) < settle
}

// forget drops the machines of ref.
func (r *recent) forget(ref cloud.ClusterRef) {
	for _, m := range r.matching(ref) {
		r.mu.Lock()
		delete(r.ids, m.id)
		r.mu.Unlock()
	}
}

func (r *recent) matching(ref cloud.ClusterRef) []machine {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []machine
	for _, l := range r.ids {
		if selects(ref, l.machine) {
			out = append(out, l.machine)
		}
	}
	return out
}
