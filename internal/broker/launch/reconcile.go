// SPDX-License-Identifier: MPL-2.0

package launch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// reconcile decides about what earlier launches left before a new one begins. It
// returns a cluster to adopt, or an error when the name is taken.
func (l *launch) reconcile(ctx context.Context) (*cluster.Cluster, error) {
	where, err := l.inventoryClouds(ctx)
	if err != nil {
		return nil, err
	}
	inventory, err := l.down.Clouds.Inventory(ctx, l.down.Owner, l.spec.Name, where)
	if err != nil {
		return nil, fmt.Errorf("nothing was launched, since it is unknown what is running already: %w", err)
	}
	for _, g := range l.journal.Generations() {
		if g.Removed {
			continue
		}
		var mine []clouds.Machines
		inventory = slices.DeleteFunc(inventory, func(f clouds.Machines) bool {
			if f.Generation == g.ID {
				mine = append(mine, f)
			}
			return f.Generation == g.ID
		})
		if adopted, err := l.reconcileJournaled(ctx, g, mine); err != nil || adopted != nil {
			return adopted, err
		}
	}
	for _, f := range inventory {
		if err := l.reconcileFound(ctx, f); err != nil {
			return nil, err
		}
	}
	if err := l.checkReplaced(); err != nil {
		return nil, err
	}
	return nil, l.folder.PruneKeys(l.journal)
}

// inventoryClouds are the candidates that are open, and every cloud where the
// journal has machines that were not observed gone.
func (l *launch) inventoryClouds(ctx context.Context) ([]string, error) {
	where := l.openCandidates(ctx)
	for _, g := range l.journal.Generations() {
		for _, p := range g.AllPlaces() {
			if g.Removed {
				continue
			}
			if _, err := l.down.OpenPlace(ctx, l.spec.Name, p); err != nil {
				return nil, fmt.Errorf("nothing was launched: %w", err)
			}
			if !slices.Contains(where, p.Ref.Cloud) {
				where = append(where, p.Ref.Cloud)
			}
		}
	}
	return where, nil
}

// openCandidates are the clouds of the offers that are enabled.
func (l *launch) openCandidates(ctx context.Context) []string {
	var where []string
	for _, name := range l.candidateClouds() {
		if _, err := l.down.Clouds.Open(ctx, name); err == nil {
			where = append(where, name)
		}
	}
	return where
}

// reconcileJournaled decides over a generation of the journal that was not
// observed gone. What was never complete, and what was being removed, goes.
func (l *launch) reconcileJournaled(ctx context.Context, g *journal.Generation, listed []clouds.Machines) (*cluster.Cluster, error) {
	switch {
	case !g.Complete && teardown.CommittedUnknown(g, listed):
		if l.spec.Beside && g.Home != l.down.State.Home {
			l.takeForReplaced(ctx, g.ID, listed[0].Cloud, listed[0].Alive)
			return nil, nil // nothing to adopt, and no obstacle
		}
		return nil, l.taken(listed[0].Cloud, g, listed[0].Alive)
	case !g.Complete, g.Removing && g.Home == l.down.State.Home:
		return nil, l.removeLeftovers(ctx, g)
	}
	alive, err := l.aliveOf(ctx, g, listed)
	switch {
	case err != nil:
		return nil, fmt.Errorf("nothing was launched, since it is unknown whether an earlier cluster %q is alive: %w", l.spec.Name, err)
	case len(alive) == 0:
		return nil, l.down.ForgetGone(ctx, l.folder, l.journal, g)
	case l.adoptable(g, alive):
		return l.adopt(ctx, g)
	case !g.Committed && !g.Recorded && g.LaunchedHere && g.Home == l.down.State.Home:
		return nil, l.removeLeftovers(ctx, g) // its launch never came to an end, so no state has it
	case g.Replacing != "" && g.Replacing == l.down.State.Home:
		l.held++
		return nil, nil // create_before_destroy: state holds it, and will remove it
	case l.spec.Beside && g.Recorded:
		l.takeForReplaced(ctx, g.ID, g.Cluster.Cloud, alive)
		return nil, nil // the same, by a plan of another computer or folder
	}
	for _, f := range listed {
		return nil, l.taken(f.Cloud, g, alive)
	}
	return nil, l.taken(g.Cluster.Cloud, g, alive)
}

// aliveOf are the living machines of a complete generation. A list that shows
// none is asked again, and by id.
func (l *launch) aliveOf(ctx context.Context, g *journal.Generation, listed []clouds.Machines) ([]cloud.Instance, error) {
	var alive []cloud.Instance
	var going []string
	for _, f := range listed {
		for _, inst := range f.Alive {
			if inst.State == cloud.StateTerminating {
				going = append(going, inst.ID)
			} else {
				alive = append(alive, inst)
			}
		}
	}
	if len(alive) > 0 || g.Cluster == nil {
		return alive, nil
	}
	session, err := l.down.Clouds.Open(ctx, g.Cluster.Cloud)
	if err != nil {
		return nil, err
	}
	if len(going) > 0 { // on their way out, and their rules in use until then
		ref := g.Cluster.Ref()
		ref.Instances = going
		bounded, cancel := context.WithTimeout(ctx, l.down.Cleanup)
		defer cancel()
		if err := session.Wait(bounded, ref, cloud.StateTerminated); err != nil {
			return nil, err
		}
	}
	return l.down.LookTwice(ctx, session, *g.Cluster)
}

// removeLeftovers removes what is left of a generation, everywhere it may be.
func (l *launch) removeLeftovers(ctx context.Context, g *journal.Generation) error {
	l.log.WarnContext(ctx, "removing what an earlier launch left", "generation", g.ID, "instances", g.Instances)
	ctx, cancel := teardown.Detached(ctx, l.down.Cleanup)
	defer cancel()
	return l.down.RemoveGeneration(ctx, l.folder, l.journal, g, "")
}

// reconcileFound decides over machines that the journal does not know, or
// knows to be gone.
func (l *launch) reconcileFound(ctx context.Context, f clouds.Machines) error {
	g := l.journal.Find(f.Generation)
	switch {
	case g.Straggles(f.Committed()): // observed gone, and here again
	case f.Committed() && l.spec.Beside && g == nil:
		l.takeForReplaced(ctx, f.Generation, f.Cloud, f.Alive)
		return nil
	case f.Committed():
		return l.taken(f.Cloud, g, f.Alive)
	case !clouds.Overdue(f.Alive, l.down.Now()):
		// Launched elsewhere, and perhaps under way right now.
		first := f.Alive[0]
		return fmt.Errorf("another launch of cluster %q seems to be under way: under owner id %s, generation %s, not from this machine, it has %s in %s, started %s; %s. "+
			"If it was cut off and its computer is lost, run\n\nterraform-provider-sky gc --owner %s --take-over %s/%s\n\nwhich removes its machines, none of which was ever committed, and frees the name now",
			l.spec.Name, l.down.Owner, f.Generation, clouds.IDText(f.Alive), cloud.ShortPlace(f.Cloud, first.Region, first.Zone), first.CreatedAt.UTC().Format(time.RFC3339), l.whenFree(f.Cloud, f.Alive),
			l.down.Owner, l.spec.Name, f.Generation)
	}
	session, err := l.down.Clouds.Open(ctx, f.Cloud)
	if err != nil {
		return err
	}
	l.log.WarnContext(ctx, "removing what an earlier, unfinished launch left", "generation", f.Generation, "instances", clouds.IDText(f.Alive))
	ctx, cancel := teardown.Detached(ctx, l.down.Cleanup)
	defer cancel()
	ref := cloud.ClusterRef{Owner: l.down.Owner, Cluster: l.spec.Name, Generation: f.Generation, Cloud: f.Cloud}
	if survivors, err := l.down.Removal(session, ref, clouds.IDs(f.Alive)).Do(ctx); err != nil {
		return fmt.Errorf("an earlier launch of cluster %q left %s, and their removal failed, so nothing was launched: %w",
			l.spec.Name, strings.Join(survivors, ", "), err)
	}
	return l.folder.RemoveKeys(f.Generation)
}

// reaches reports whether there is a key for the cluster's machines.
func (l *launch) reaches(c cluster.Cluster) bool {
	_, err := l.down.FolderOf(c).Signers(c)
	return err == nil
}

// whenFree says how long machines of another launch are in the way.
func (l *launch) whenFree(cloudName string, alive []cloud.Instance) string {
	var latest time.Time
	for _, inst := range alive {
		if inst.Deadline.IsZero() {
			return "wait for it to end"
		}
		if inst.Deadline.After(latest) {
			latest = inst.Deadline
		}
	}
	if caps, ok := l.down.Clouds.Capabilities(cloudName); ok && !caps.DeadMan {
		return "wait for it; it is over by " + latest.UTC().Format(time.RFC3339) + ", and the next apply after that removes its machines"
	}
	return "wait for it, or until its machines remove themselves at " + latest.UTC().Format(time.RFC3339)
}
