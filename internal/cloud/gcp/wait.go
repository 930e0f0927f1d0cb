// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"fmt"
	"maps"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// waiter decides, look by look, whether machines get to a state.
type waiter struct {
	want cloud.State
	// alive are the machines seen since the wait began, by id. Compute Engine
	// shows nothing of a machine that is gone, so one that is no longer among
	// the others is the news itself.
	alive map[string]machine
	// looks is how often in a row bad news must be seen, and missingLooks how
	// often a machine must be missed, since a listing may be late once.
	looks, missingLooks int
	bad, missed         int
}

func (d *driver) newWaiter(want cloud.State) *waiter {
	return &waiter{want: want, alive: map[string]machine{}, looks: d.quietLooks, missingLooks: d.missingLooks}
}

func (w *waiter) look(ref cloud.ClusterRef, c census) (bool, error) {
	failed := w.failed(ref, c)
	missing := w.missing(c)
	if failed == nil && len(c.machines)+len(missing)+len(c.late) == 0 {
		failed = fmt.Errorf("cluster %q: no machine to wait for: %w", ref.Cluster, cloud.ErrNotFound)
	}
	if failed != nil {
		if w.bad++; w.bad >= w.looks {
			return false, failed
		}
		return false, nil
	}
	w.bad = 0
	if len(missing) == 0 {
		w.missed = 0
	} else if w.missed++; w.missed >= w.missingLooks {
		return false, fmt.Errorf("machines %v of cluster %q are not there any more: %w", missing, ref.Cluster, cloud.ErrNotFound)
	}
	staying := c.staying() // one that goes and counts was an error above
	done := len(staying) > 0 && len(missing)+len(c.late) == 0
	for _, m := range staying {
		w.alive[m.id] = m
		done = done && w.reached(m)
	}
	return done, nil
}

// missing are the ids that should be there: those named, and those seen before.
func (w *waiter) missing(c census) []string {
	gone := slices.Clone(c.missing)
	for _, id := range slices.Sorted(maps.Keys(w.alive)) {
		shown := slices.ContainsFunc(c.machines, func(m machine) bool { return m.id == id })
		if !shown && !slices.Contains(gone, id) {
			gone = append(gone, id)
		}
	}
	return gone
}

func (w *waiter) reached(m machine) bool {
	return m.state == w.want && (w.want != cloud.StateRunning || m.address() != "")
}

// failed returns the error of the first machine that cannot get there any more.
func (w *waiter) failed(ref cloud.ClusterRef, c census) error {
	for _, m := range c.machines {
		switch m.state {
		case cloud.StateTerminating, cloud.StateTerminated:
			// It counts where it was named or seen before, or nothing else is
			// left; else it is the remains of an earlier attempt.
			if _, seen := w.alive[m.id]; seen || ref.Instances != nil || len(c.staying()) == 0 {
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
