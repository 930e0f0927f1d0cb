// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"fmt"
	"maps"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// lookResult is one look at a cluster's machines.
type lookResult[M any] struct {
	// Machines are those that the cloud shows, in every state.
	Machines []M
	// Missing are ids that should be there and are not shown.
	Missing []string
	// Unlisted are machines that were asked for a moment ago and are not shown yet.
	Unlisted []cloud.Identity
	// Doubtful says that a machine may turn up that nobody has seen.
	Doubtful bool
}

// waiter decides, look by look, whether machines get to a state.
type waiter[M any] struct {
	Want cloud.State
	// As gives a machine in the words all clouds share, and Stuck the error of one
	// that will not get to Want.
	As    func(M) cloud.Instance
	Stuck func(M) error
	// Looks is how often in a row bad news must be seen, and MissingLooks how
	// often a machine must be missed, since a cloud may be late or wrong once.
	Looks, MissingLooks int

	alive       map[string]bool // seen since the wait began
	bad, missed int
}

// Look takes one look into account: it reports that all machines are where they
// should be, or returns the error of one that cannot get there any more.
func (w *waiter[M]) look(ref cloud.ClusterRef, v lookResult[M]) (bool, error) {
	if w.alive == nil {
		w.alive = map[string]bool{}
	}
	shown, live := make([]cloud.Instance, len(v.Machines)), 0
	for i, m := range v.Machines {
		if shown[i] = w.As(m); shown[i].State != cloud.StateTerminated {
			live++
		}
	}
	staying := slices.DeleteFunc(slices.Clone(shown), ending)
	missing := w.missing(v.Missing, shown)
	failed := w.failed(ref, v, shown, staying)
	if failed == nil && live+len(missing)+len(v.Unlisted) == 0 && !v.Doubtful {
		failed = fmt.Errorf("cluster %q: no machine to wait for: %w", ref.Cluster, cloud.ErrNotFound)
	}
	if failed != nil {
		if w.bad++; w.bad >= w.Looks {
			return false, failed
		}
		return false, nil
	}
	w.bad = 0
	if len(missing) == 0 {
		w.missed = 0
	} else if w.missed++; w.missed >= w.MissingLooks {
		return false, fmt.Errorf("machines %v of cluster %q are not there any more: %w", missing, ref.Cluster, cloud.ErrNotFound)
	}
	done := len(staying) > 0 && len(missing)+len(v.Unlisted) == 0 // one that goes and counts was an error above
	for _, m := range staying {
		w.alive[m.ID] = true
		done = done && w.reached(m)
	}
	return done, nil
}

func ending(m cloud.Instance) bool {
	return m.State == cloud.StateTerminating || m.State == cloud.StateTerminated
}

// missing are the ids that should be there: those named, and those seen before.
func (w *waiter[M]) missing(named []string, shown []cloud.Instance) []string {
	out := slices.Clone(named)
	for _, id := range slices.Sorted(maps.Keys(w.alive)) {
		there := slices.ContainsFunc(shown, func(m cloud.Instance) bool { return m.ID == id })
		if !there && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

func (w *waiter[M]) reached(m cloud.Instance) bool {
	return m.State == w.Want && (w.Want != cloud.StateRunning || (m.ExternalIP != "" && m.SSHPort > 0))
}

// failed returns the error of the first machine that cannot get there any more.
func (w *waiter[M]) failed(ref cloud.ClusterRef, v lookResult[M], shown, staying []cloud.Instance) error {
	for i, m := range shown {
		hopeless := false
		switch m.State {
		case cloud.StateTerminating, cloud.StateTerminated:
			hopeless = ref.Instances != nil || w.counts(m, staying, v.Unlisted)
		case cloud.StateStopping, cloud.StateStopped:
			hopeless = w.Want == cloud.StateRunning || w.Want == cloud.StatePending
		case cloud.StateUnknown:
			hopeless = m.Reason != ""
		case cloud.StatePending, cloud.StateRunning:
		}
		if hopeless {
			return w.Stuck(v.Machines[i])
		}
	}
	return nil
}

// counts reports whether a dead or dying machine is one that was waited for, and
// not the remains of an earlier attempt or of a node removed on purpose: it was
// seen alive by this wait, or nothing else is left, or it was never recorded and
// died beside siblings of its attempt.
func (w *waiter[M]) counts(dead cloud.Instance, staying []cloud.Instance, unlisted []cloud.Identity) bool {
	if w.alive[dead.ID] || len(staying)+len(unlisted) == 0 {
		return true
	}
	if dead.Committed {
		return false
	}
	sibling, successor := false, false
	beside := func(id cloud.Identity, committed bool) {
		if id.Generation == dead.Identity.Generation {
			sibling = sibling || (id.Attempt == dead.Identity.Attempt && !committed)
			successor = successor || id.Rank == dead.Identity.Rank
		}
	}
	for _, m := range staying {
		beside(m.Identity, m.Committed)
	}
	for _, id := range unlisted {
		beside(id, false)
	}
	return sibling && !successor
}
