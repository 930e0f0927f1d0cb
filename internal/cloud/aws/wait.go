// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// waiter decides, look by look, whether machines get to a state.
type waiter struct {
	want cloud.State
	// alive are the machines seen alive since the wait began.
	alive map[string]bool
	// looks is how often in a row bad news must be seen, and missingLooks how
	// often a machine must be missed, since a listing may be late once.
	looks, missingLooks int
	bad, missed         int
}

func (d *driver) newWaiter(want cloud.State) *waiter {
	return &waiter{want: want, alive: map[string]bool{}, looks: min(2, d.quietLooks), missingLooks: d.missingLooks}
}

func (w *waiter) look(ref cloud.ClusterRef, c census) (bool, error) {
	waited, failed := c.live(), w.failed(ref, c)
	if failed == nil && len(waited)+len(c.missing)+len(c.late) == 0 && !c.doubtful {
		failed = fmt.Errorf("cluster %q: no machine to wait for: %w", ref.Cluster, cloud.ErrNotFound)
	}
	if failed != nil {
		if w.bad++; w.bad >= w.looks {
			return false, failed
		}
		return false, nil
	}
	w.bad = 0
	if len(c.missing) == 0 {
		w.missed = 0
	} else if w.missed++; w.missed >= w.missingLooks {
		return false, fmt.Errorf("machines %v of cluster %q are not there any more: %w", c.missing, ref.Cluster, cloud.ErrNotFound)
	}
	done := len(waited) > 0 && len(c.missing)+len(c.late) == 0
	for _, m := range waited {
		if m.state != cloud.StateTerminating { // one that counts was an error above
			w.alive[m.id] = true
			done = done && w.reached(m)
		}
	}
	return done, nil
}

func (w *waiter) reached(m machine) bool {
	return m.state == w.want && (w.want != cloud.StateRunning || m.address() != "")
}

// failed returns the error of the first machine that cannot get there any more.
func (w *waiter) failed(ref cloud.ClusterRef, c census) error {
	for _, m := range c.machines {
		switch m.state {
		case cloud.StateTerminating, cloud.StateTerminated:
			if w.counts(ref, m, c) {
				return m.stuck(w.want)
			}
		case cloud.StateStopping, cloud.StateStopped:
			if w.want == cloud.StateRunning || w.want == cloud.StatePending {
				return m.stuck(w.want)
			}
		case cloud.StatePending, cloud.StateRunning, cloud.StateUnknown:
		}
	}
	return nil
}

// counts reports whether a dead or dying machine is one that was waited for, and
// not the remains of an earlier attempt or of a node removed on purpose: it was
// named, or seen alive by this wait, or nothing else is left, or it was never
// recorded and died beside siblings of its attempt.
func (w *waiter) counts(ref cloud.ClusterRef, dead machine, c census) bool {
	live := append(c.staying(), c.late...)
	if ref.Instances != nil || w.alive[dead.id] || len(live) == 0 {
		return true
	}
	if dead.committed() {
		return false
	}
	sibling, successor := false, false
	for _, m := range live {
		if m.identity.Generation != dead.identity.Generation {
			continue
		}
		sibling = sibling || (m.identity.Attempt == dead.identity.Attempt && !m.committed())
		successor = successor || m.identity.Rank == dead.identity.Rank
	}
	return sibling && !successor
}
