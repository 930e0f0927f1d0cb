// SPDX-License-Identifier: MPL-2.0

package launch

import (
	"fmt"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// concurrentLaunchError says that another launch of the name goes first: no further
// attempt may begin, wherever it would be.
type concurrentLaunchError struct {
	cluster, owner string
	other          clouds.Machines
}

// Error implements error.
func (e *concurrentLaunchError) Error() string {
	first := e.other.Alive[0]
	return fmt.Sprintf("another launch of cluster %q under owner id %s, not from this machine, came at the same time and goes first (%s in %s, started %s), so this one was given up; "+
		"apply again once that one has ended, or choose another name", e.cluster, e.owner, clouds.IDText(e.other.Alive),
		cloud.ShortPlace(e.other.Cloud, first.Region, first.Zone), first.CreatedAt.UTC().Format(time.RFC3339))
}

// checkConcurrent looks for a launch of the same name from another state folder that
// began together with this one, so that neither inventory showed the other. It is an
// error for one of the two only: for the one whose other is complete, else for
// the one of the greater generation.
func (l *launch) checkConcurrent(inventory []clouds.Machines) error {
	for _, f := range inventory {
		f.Alive = slices.DeleteFunc(slices.Clone(f.Alive), func(i cloud.Instance) bool { return i.State == cloud.StateTerminating })
		if l.journal.Find(f.Generation) != nil || slices.ContainsFunc(l.replaced, func(r cluster.Replaced) bool { return r.Generation == f.Generation }) || len(f.Alive) == 0 {
			continue
		}
		if f.Committed() || (f.Generation < l.gen && !clouds.Overdue(f.Alive, l.down.Now())) {
			return &concurrentLaunchError{cluster: l.spec.Name, owner: l.down.Owner, other: f}
		}
	}
	return nil
}
