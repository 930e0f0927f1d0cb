// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// recent holds the machines that this process launched and has not seen
// terminated, and the launches whose outcome it does not know. EC2's listings
// lag behind by seconds: what they do not show yet may be there.
type recent struct {
	machines fleet.Recent[machine]
	mu       sync.Mutex
	doubts   map[cloud.Identity]doubt
}

type doubt struct {
	region, zone string
	at           time.Time
}

// add remembers a machine that was just launched.
func (r *recent) add(m machine) {
	r.machines.Add(m.id, m) // first, so that at no moment it is neither known nor in doubt
	r.settle(m.identity)
}

// saw takes note that the cloud shows the machine.
func (r *recent) saw(m machine) {
	r.settle(m.identity)
	r.machines.Saw(m.id, m.state == cloud.StateTerminated)
}

// settle ends the doubt about a launch.
func (r *recent) settle(id cloud.Identity) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.doubts, id)
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
