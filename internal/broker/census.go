// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// found is what a cloud holds of one generation of a cluster.
type found struct {
	cloud, generation string
	alive             []cloud.Instance
}

// takeCensus asks every cloud in the list for the machines under a cluster's
// name, in all regions and generations. A cloud that does not answer is an
// error: nobody can say then what is alive.
func (b *Broker) takeCensus(ctx context.Context, name string, clouds []string) ([]found, error) {
	answers := make([][]cloud.Instance, len(clouds))
	group, groupCtx := errgroup.WithContext(ctx)
	for i, cloudName := range clouds {
		group.Go(func() error {
			session, err := b.session(groupCtx, cloudName)
			if err != nil {
				return err
			}
			answers[i], err = session.Query(groupCtx, cloud.ClusterRef{Owner: b.owner, Cluster: name, Cloud: cloudName})
			if err != nil {
				return fmt.Errorf("list the machines of cluster %q on %s: %w", name, cloudName, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var census []found
	for i, instances := range answers {
		for _, inst := range instances {
			gen := inst.Identity.Generation
			at := slices.IndexFunc(census, func(f found) bool { return f.cloud == clouds[i] && f.generation == gen })
			if at < 0 {
				at = len(census)
				census = append(census, found{cloud: clouds[i], generation: gen})
			}
			census[at].alive = append(census[at].alive, inst)
		}
	}
	return census, nil
}

// reconcile settles what earlier launches left before a new one begins. It
// returns a cluster to adopt, or an error when the name is taken.
func (l *launch) reconcile(ctx context.Context) (*cluster.Cluster, error) {
	clouds, err := l.censusClouds(ctx)
	if err != nil {
		return nil, err
	}
	census, err := l.takeCensus(ctx, l.spec.Name, clouds)
	if err != nil {
		return nil, fmt.Errorf("nothing was launched, since it is unknown what is running already: %w", err)
	}
	for _, g := range l.journal.Generations() {
		if g.Removed {
			continue
		}
		var mine []found
		census = slices.DeleteFunc(census, func(f found) bool {
			if f.generation == g.ID {
				mine = append(mine, f)
			}
			return f.generation == g.ID
		})
		if adopted, err := l.reconcileJournaled(ctx, g, mine); err != nil || adopted != nil {
			return adopted, err
		}
	}
	for _, f := range census {
		if err := l.reconcileFound(ctx, f); err != nil {
			return nil, err
		}
	}
	if err := l.checkReplaced(); err != nil {
		return nil, err
	}
	return nil, l.folder.PruneKeys(l.journal)
}

// censusClouds are the candidates that are open, and every cloud where the
// journal has machines that were not observed gone.
func (l *launch) censusClouds(ctx context.Context) ([]string, error) {
	clouds := l.openCandidates(ctx)
	for _, g := range l.journal.Generations() {
		for _, p := range g.AllPlaces() {
			if g.Removed {
				continue
			}
			if _, err := l.openPlace(ctx, l.spec.Name, p); err != nil {
				return nil, fmt.Errorf("nothing was launched: %w", err)
			}
			if !slices.Contains(clouds, p.Ref.Cloud) {
				clouds = append(clouds, p.Ref.Cloud)
			}
		}
	}
	return clouds, nil
}

// openCandidates are the clouds of the offers that are enabled.
func (l *launch) openCandidates(ctx context.Context) []string {
	var clouds []string
	for _, name := range l.candidateClouds() {
		if _, err := l.session(ctx, name); err == nil {
			clouds = append(clouds, name)
		}
	}
	return clouds
}

// openPlace opens the cloud of a place, under the account that the machines
// belong to: another account's credentials would make them look gone.
func (b *Broker) openPlace(ctx context.Context, name string, p journal.Place) (cloud.Session, error) {
	where := cloud.ShortPlace(p.Ref.Cloud, p.Ref.Region, p.Ref.Zone)
	session, err := b.session(ctx, p.Ref.Cloud)
	if err != nil {
		return session, fmt.Errorf("an earlier launch of cluster %q may have left machines in %s, which cannot be asked: %w", name, where, err)
	}
	if p.Account != "" && session.Account != p.Account {
		return session, fmt.Errorf("an earlier launch of cluster %q may have left machines in %s under account %s, and the present credentials are of account %s; "+
			"use the credentials it was launched with", name, where, p.Account, session.Account)
	}
	return session, nil
}

// reconcileJournaled decides over a generation of the journal that was not
// observed gone. What was never complete, and what was being removed, goes.
func (l *launch) reconcileJournaled(ctx context.Context, g *journal.Generation, listed []found) (*cluster.Cluster, error) {
	switch {
	case !g.Complete && committedUnknown(g, listed):
		if l.spec.Beside && g.Home != l.cfg.Home {
			l.takeForReplaced(ctx, g.ID, listed[0].cloud, listed[0].alive)
			return nil, nil // nothing to adopt, and no obstacle
		}
		return nil, l.taken(listed[0].cloud, g, listed[0].alive)
	case !g.Complete, g.Removing && g.Home == l.cfg.Home:
		return nil, l.finish(ctx, g)
	}
	alive, err := l.aliveOf(ctx, g, listed)
	switch {
	case err != nil:
		return nil, fmt.Errorf("nothing was launched, since it is unknown whether an earlier cluster %q is alive: %w", l.spec.Name, err)
	case len(alive) == 0:
		return nil, l.forgetGone(ctx, l.folder, l.journal, g)
	case l.adoptable(g, alive):
		return l.adopt(ctx, g)
	case !g.Committed && !g.Recorded && g.LaunchedHere && g.Home == l.cfg.Home:
		return nil, l.finish(ctx, g) // its launch never came to an end, so no state has it
	case g.Replacing != "" && g.Replacing == l.cfg.Home:
		l.held++
		return nil, nil // create_before_destroy: state holds it, and will remove it
	case l.spec.Beside && g.Recorded:
		l.takeForReplaced(ctx, g.ID, g.Cluster.Cloud, alive)
		return nil, nil // the same, by a plan of another computer or folder
	}
	for _, f := range listed {
		return nil, l.taken(f.cloud, g, alive)
	}
	return nil, l.taken(g.Cluster.Cloud, g, alive)
}

// committedUnknown reports whether the cloud says of a generation that it is a
// whole cluster and the journal, restored from elsewhere perhaps, does not.
func committedUnknown(g *journal.Generation, listed []found) bool {
	return g.CommitAttempt == 0 && slices.ContainsFunc(listed, func(f found) bool {
		return f.generation == g.ID && f.committed()
	})
}

// aliveOf are the living machines of a complete generation. A list that shows
// none is asked again, and by id.
func (l *launch) aliveOf(ctx context.Context, g *journal.Generation, listed []found) ([]cloud.Instance, error) {
	var alive []cloud.Instance
	var going []string
	for _, f := range listed {
		for _, inst := range f.alive {
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
	session, err := l.session(ctx, g.Cluster.Cloud)
	if err != nil {
		return nil, err
	}
	if len(going) > 0 { // on their way out, and their rules in use until then
		ref := g.Cluster.Ref()
		ref.Instances = going
		bounded, cancel := context.WithTimeout(ctx, l.cfg.Timeouts.Cleanup)
		defer cancel()
		if err := session.Wait(bounded, ref, cloud.StateTerminated); err != nil {
			return nil, err
		}
	}
	return l.lookTwice(ctx, session, *g.Cluster)
}

// finish removes what is left of a generation, everywhere it may be.
func (l *launch) finish(ctx context.Context, g *journal.Generation) error {
	l.log.WarnContext(ctx, "removing what an earlier launch left", "generation", g.ID, "instances", g.Instances)
	ctx, cancel := detached(ctx, l.cfg.Timeouts.Cleanup)
	defer cancel()
	return l.removeGeneration(ctx, l.folder, l.journal, g, "")
}

// removeGeneration removes a generation of the journal in all its places but
// those of the cloud and region done, which is "cloud/region", and forgets it.
func (b *Broker) removeGeneration(ctx context.Context, f statedir.Folder, j *journal.Journal, g *journal.Generation, done string) error {
	if err := j.Append(journal.Entry{Event: journal.EventRemoving, Generation: g.ID, Instances: g.Instances}); err != nil {
		b.log.ErrorContext(ctx, "the journal cannot be written; removing all the same", "error", err)
	}
	for _, p := range g.AllPlaces() {
		if p.Removed || p.Ref.Cloud+"/"+p.Ref.Region == done {
			continue
		}
		session, err := b.openPlace(ctx, f.Name, p)
		if err != nil {
			return err
		}
		ref := p.Ref
		ref.Zone = "" // a late arrival elsewhere in the region would hold the rules
		r := b.removal(session, ref, p.Instances)
		r.settled = p.VisibleBy(b.cfg.Now(), b.cfg.Timeouts.Settle)
		if survivors, err := r.do(ctx); err != nil {
			return fmt.Errorf("an earlier launch of cluster %q left machines in %s that could not be removed (%s): %w",
				f.Name, cloud.ShortPlace(p.Ref.Cloud, p.Ref.Region, p.Ref.Zone), strings.Join(survivors, ", "), err)
		}
	}
	b.forget(ctx, f, j, g.ID)
	return nil
}

// forgetGone forgets a complete generation whose machines were looked for twice
// in vain, with its rules and keys. It removes no machine: nobody asked for the
// removal of this cluster, and should one be there after all, its rules are in
// use and the record stays.
func (b *Broker) forgetGone(ctx context.Context, f statedir.Folder, j *journal.Journal, g *journal.Generation) error {
	if err := journal.NoteLost(j, g.ID); err != nil {
		return err
	}
	for _, p := range g.AllPlaces() {
		session, err := b.openPlace(ctx, f.Name, p)
		if err != nil {
			return err
		}
		if err := session.CleanupPorts(ctx, p.Ref); err != nil {
			return fmt.Errorf("clean up after cluster %q, whose machines are gone: %w", f.Name, err)
		}
	}
	b.forget(ctx, f, j, g.ID)
	return nil
}

// reconcileFound decides over machines that the journal does not know, or
// knows to be gone.
func (l *launch) reconcileFound(ctx context.Context, f found) error {
	g := l.journal.Find(f.generation)
	switch {
	case g.Straggles(f.committed()): // observed gone, and here again
	case f.committed() && l.spec.Beside && g == nil:
		l.takeForReplaced(ctx, f.generation, f.cloud, f.alive)
		return nil
	case f.committed():
		return l.taken(f.cloud, g, f.alive)
	case !overdue(f.alive, l.cfg.Now()):
		// Launched elsewhere, and perhaps under way right now.
		first := f.alive[0]
		return fmt.Errorf("another launch of cluster %q seems to be under way: under owner id %s, generation %s, not from this machine, it has %s in %s, started %s; %s. "+
			"If it was cut off and its computer is lost, this removes its machines, none of which was ever committed, and frees the name now:\n\nterraform-provider-sky gc --owner %s --take-over %s/%s",
			l.spec.Name, l.owner, f.generation, ids(f.alive), cloud.ShortPlace(f.cloud, first.Region, first.Zone), first.CreatedAt.UTC().Format(time.RFC3339), whenFree(f.alive),
			l.owner, l.spec.Name, f.generation)
	}
	session, err := l.session(ctx, f.cloud)
	if err != nil {
		return err
	}
	l.log.WarnContext(ctx, "removing what an earlier, unfinished launch left", "generation", f.generation, "instances", ids(f.alive))
	ctx, cancel := detached(ctx, l.cfg.Timeouts.Cleanup)
	defer cancel()
	ref := cloud.ClusterRef{Owner: l.owner, Cluster: l.spec.Name, Generation: f.generation, Cloud: f.cloud}
	if survivors, err := l.removal(session, ref, idsOf(f.alive)).do(ctx); err != nil {
		return fmt.Errorf("an earlier launch of cluster %q left %s, and their removal failed, so nothing was launched: %w",
			l.spec.Name, strings.Join(survivors, ", "), err)
	}
	return l.folder.RemoveKeys(f.generation)
}

// reaches reports whether there is a key for the cluster's machines.
func (b *Broker) reaches(c cluster.Cluster) bool {
	_, err := b.SignersOf(c)
	return err == nil
}

// overdue reports whether every machine has outlived its dead-man timer.
func overdue(alive []cloud.Instance, now time.Time) bool {
	for _, inst := range alive {
		if inst.Deadline.IsZero() || now.Before(inst.Deadline) {
			return false
		}
	}
	return true
}

// whenFree says how long machines of another launch are in the way.
func whenFree(alive []cloud.Instance) string {
	var latest time.Time
	for _, inst := range alive {
		if inst.Deadline.IsZero() {
			return "wait for it to end"
		}
		if inst.Deadline.After(latest) {
			latest = inst.Deadline
		}
	}
	return "wait for it, or until its machines remove themselves at " + latest.UTC().Format(time.RFC3339)
}

func idsOf(instances []cloud.Instance) []string {
	out := make([]string, 0, len(instances))
	for _, inst := range instances {
		out = append(out, inst.ID)
	}
	return out
}

func ids(instances []cloud.Instance) string { return strings.Join(idsOf(instances), ", ") }
