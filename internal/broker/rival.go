// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// rivalError says that another launch of the name goes first: no further
// attempt may begin, wherever it would be.
type rivalError struct {
	cluster, owner string
	other          found
}

// Error implements error.
func (e *rivalError) Error() string {
	first := e.other.alive[0]
	return fmt.Sprintf("another launch of cluster %q under owner id %s, not from this machine, came at the same time and goes first (%s in %s, started %s), so this one was given up; "+
		"apply again once that one has ended, or choose another name", e.cluster, e.owner, ids(e.other.alive),
		cloud.ShortPlace(e.other.cloud, first.Region, first.Zone), first.CreatedAt.UTC().Format(time.RFC3339))
}

// rival looks for a launch of the same name from another state folder that
// began together with this one, so that neither census saw the other. It is an
// error for one of the two only: for the one whose rival is complete, else for
// the one of the greater generation.
func (a *attempt) rival(census []found) error {
	for _, f := range census {
		f.alive = slices.DeleteFunc(slices.Clone(f.alive), func(i cloud.Instance) bool { return i.State == cloud.StateTerminating })
		if a.journal.Find(f.generation) != nil || slices.ContainsFunc(a.replaced, func(r cluster.Replaced) bool { return r.Generation == f.generation }) || len(f.alive) == 0 {
			continue
		}
		if f.committed() || (f.generation < a.gen && !overdue(f.alive, a.cfg.Now())) {
			return &rivalError{cluster: a.spec.Name, owner: a.owner, other: f}
		}
	}
	return nil
}

// committed reports whether a launch of the machines came to its end.
func (f found) committed() bool {
	return slices.ContainsFunc(f.alive, func(i cloud.Instance) bool { return i.Committed })
}
