// SPDX-License-Identifier: MPL-2.0

package journal

import (
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Moment is what a journal says of a cluster from a time on.
type Moment struct {
	At time.Time
	// Cluster is as it was recorded; nil is that its machines are gone.
	Cluster *cluster.Cluster
}

// History is what happened to the machines of a generation that became a cluster, the
// oldest first. It begins with the attempt that made them, as far as the journal knows
// that. Attempts that failed are no part of it.
func (j *Journal) History(generation string) []Moment {
	var out []Moment
	var attempted time.Time
	for _, e := range j.entries {
		if e.Generation != generation {
			continue
		}
		if e.Event == EventAttempt && len(out) == 0 {
			attempted = e.Time
		}
		switch {
		case e.Cluster != nil:
			at := e.Time
			if len(out) == 0 && !attempted.IsZero() {
				at = attempted
			}
			out = append(out, Moment{At: at, Cluster: e.Cluster})
		case e.Event == eventLost, e.Event == EventRemoved && e.Attempt == 0:
			if len(out) > 0 && out[len(out)-1].Cluster != nil {
				out = append(out, Moment{At: e.Time})
			}
		}
	}
	return out
}
