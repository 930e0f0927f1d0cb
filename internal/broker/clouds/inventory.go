// SPDX-License-Identifier: MPL-2.0

package clouds

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Machines is what a cloud holds of one generation of a cluster.
type Machines struct {
	Cloud, Generation string
	Alive             []cloud.Instance
}

// Inventory asks every cloud in the list for the machines under a cluster's
// name, in all regions and generations. A cloud that does not answer is an
// error: nobody can say then what is alive.
func (s *Sessions) Inventory(ctx context.Context, owner, name string, clouds []string) ([]Machines, error) {
	answers := make([][]cloud.Instance, len(clouds))
	group, groupCtx := errgroup.WithContext(ctx)
	for i, cloudName := range clouds {
		group.Go(func() error {
			session, err := s.Open(groupCtx, cloudName)
			if err != nil {
				return err
			}
			answers[i], err = session.Query(groupCtx, cloud.ClusterRef{Owner: owner, Cluster: name, Cloud: cloudName})
			if err != nil {
				return fmt.Errorf("list the machines of cluster %q on %s: %w", name, cloudName, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var inventory []Machines
	for i, instances := range answers {
		for _, inst := range instances {
			gen := inst.Identity.Generation
			at := slices.IndexFunc(inventory, func(f Machines) bool { return f.Cloud == clouds[i] && f.Generation == gen })
			if at < 0 {
				at = len(inventory)
				inventory = append(inventory, Machines{Cloud: clouds[i], Generation: gen})
			}
			inventory[at].Alive = append(inventory[at].Alive, inst)
		}
	}
	return inventory, nil
}

// Overdue reports whether every machine has outlived its dead-man timer.
func Overdue(alive []cloud.Instance, now time.Time) bool {
	for _, inst := range alive {
		if inst.Deadline.IsZero() || now.Before(inst.Deadline) {
			return false
		}
	}
	return true
}

// IDs are those of the instances.
func IDs(instances []cloud.Instance) []string {
	out := make([]string, 0, len(instances))
	for _, inst := range instances {
		out = append(out, inst.ID)
	}
	return out
}

// IDText names the instances in a sentence.
func IDText(instances []cloud.Instance) string { return strings.Join(IDs(instances), ", ") }

// Committed reports whether a launch of the machines came to its end.
func (f Machines) Committed() bool {
	return slices.ContainsFunc(f.Alive, func(i cloud.Instance) bool { return i.Committed })
}

// AllIDs are the ids of all machines found.
func AllIDs(all []Machines) []string {
	var out []string
	for _, f := range all {
		out = append(out, IDs(f.Alive)...)
	}
	return out
}
