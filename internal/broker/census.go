// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// census is what the clouds hold under a cluster's name.
type census struct {
	// byGeneration holds the living machines, oldest generation first in order.
	byGeneration map[string][]cloud.Instance
	order        []string
	clouds       map[string]string // generation -> cloud
}

// takeCensus asks every cloud in the list for the cluster's machines, in all
// regions and generations. A cloud that does not answer is an error: nobody
// can say then what is alive.
func (b *Broker) takeCensus(ctx context.Context, name string, clouds []string) (census, error) {
	found := make([][]cloud.Instance, len(clouds))
	group, groupCtx := errgroup.WithContext(ctx)
	for i, cloudName := range clouds {
		group.Go(func() error {
			session, err := b.session(groupCtx, cloudName)
			if err != nil {
				return err
			}
			found[i], err = session.Query(groupCtx, cloud.ClusterRef{Owner: b.owner, Cluster: name, Cloud: cloudName})
			if err != nil {
				return fmt.Errorf("list the machines of cluster %q on %s: %w", name, cloudName, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return census{}, err
	}
	c := census{byGeneration: map[string][]cloud.Instance{}, clouds: map[string]string{}}
	for i, instances := range found {
		for _, inst := range instances {
			gen := inst.Identity.Generation
			if _, seen := c.byGeneration[gen]; !seen {
				c.order = append(c.order, gen)
			}
			c.byGeneration[gen] = append(c.byGeneration[gen], inst)
			c.clouds[gen] = clouds[i]
		}
	}
	return c, nil
}

// reconcile settles what earlier launches left before a new one begins. It
// returns a cluster to adopt, or an error when the name is taken.
func (l *launch) reconcile(ctx context.Context) (*Cluster, error) {
	clouds, err := l.censusClouds(ctx)
	if err != nil {
		return nil, err
	}
	found, err := l.takeCensus(ctx, l.spec.Name, clouds)
	if err != nil {
		return nil, fmt.Errorf("nothing was launched, since it is unknown what is running already: %w", err)
	}
	for _, gen := range found.order {
		adopted, err := l.reconcileGeneration(ctx, found.clouds[gen], gen, found.byGeneration[gen])
		if err != nil || adopted != nil {
			return adopted, err
		}
	}
	return nil, nil
}

// censusClouds are the candidates that are open, and every cloud where the
// journal has machines that were not observed gone.
func (l *launch) censusClouds(ctx context.Context) ([]string, error) {
	var clouds []string
	for _, name := range l.candidateClouds() {
		if _, err := l.session(ctx, name); err == nil {
			clouds = append(clouds, name)
		}
	}
	for _, g := range l.journal.generations() {
		if g.Removed {
			continue
		}
		for _, ref := range g.Refs {
			if slices.Contains(clouds, ref.Cloud) {
				continue
			}
			if _, err := l.session(ctx, ref.Cloud); err != nil {
				return nil, fmt.Errorf("an earlier launch of cluster %q may have left machines on %s, which cannot be asked: %w", l.spec.Name, ref.Cloud, err)
			}
			clouds = append(clouds, ref.Cloud)
		}
	}
	return clouds, nil
}

// reconcileGeneration decides over one generation that has living machines.
func (l *launch) reconcileGeneration(ctx context.Context, cloudName, gen string, alive []cloud.Instance) (*Cluster, error) {
	g := l.journal.find(gen)
	committed := slices.ContainsFunc(alive, func(i cloud.Instance) bool { return i.Committed })
	switch {
	case g != nil && g.Complete && l.adoptable(g, alive):
		return l.adopt(ctx, g)
	case g != nil && g.Complete && g.Replacing && g.Home == l.cfg.Home:
		return nil, nil // create_before_destroy: state holds it, and will remove it
	case committed || (g != nil && g.Complete):
		return nil, l.taken(cloudName, g, alive)
	case g == nil && !overdue(alive, l.cfg.Now()):
		// Launched elsewhere, and perhaps under way right now.
		return nil, fmt.Errorf("another launch of cluster %q seems to be under way (%s, started %s, not from this machine); "+
			"wait for it, or until its machines remove themselves at %s", l.spec.Name, ids(alive),
			alive[0].CreatedAt.UTC().Format(time.RFC3339), latestDeadline(alive).UTC().Format(time.RFC3339))
	}
	return nil, l.cleanUp(ctx, cloudName, gen, alive)
}

// adoptable reports whether a complete generation is the lost result of this
// very launch: same home, same spec, never seen in state, all machines there
// and the key at hand.
func (l *launch) adoptable(g *generation, alive []cloud.Instance) bool {
	l.mu.Lock()
	own := l.mine[g.ID]
	l.mu.Unlock()
	if own || g.Recorded || g.Cluster == nil || g.Home != l.cfg.Home || g.Digest != l.digest {
		return false
	}
	running := 0
	for _, inst := range alive {
		if inst.State == cloud.StateRunning {
			running++
		}
	}
	return running == g.Cluster.Size && len(alive) == running && keyReadable(g.Cluster.KeyPath)
}

// adopt finishes the commit of a generation that a crash kept from state.
func (l *launch) adopt(ctx context.Context, g *generation) (*Cluster, error) {
	c := *g.Cluster
	l.log.WarnContext(ctx, "adopting the cluster of an earlier launch that was cut off before its state was saved", "generation", g.ID)
	session, err := l.session(ctx, c.Cloud)
	if err != nil {
		return nil, err
	}
	if err := session.Commit(ctx, c.ref()); err != nil {
		return nil, fmt.Errorf("adopt generation %s: %w", g.ID, err)
	}
	if err := l.journal.append(entry{Event: eventCommitted, Generation: g.ID, Cluster: &c}); err != nil {
		return nil, err
	}
	l.remember(g.ID)
	return &c, nil
}

func (l *launch) taken(cloudName string, g *generation, alive []cloud.Instance) error {
	e := &ImportError{Name: l.spec.Name, ID: cloudName + "/" + alive[0].Region + "/" + l.spec.Name}
	for _, inst := range alive {
		e.Instances = append(e.Instances, inst.ID)
	}
	if g != nil {
		e.Home = g.Home
	}
	return e
}

// cleanUp removes what an earlier launch left uncommitted.
func (l *launch) cleanUp(ctx context.Context, cloudName, gen string, alive []cloud.Instance) error {
	l.log.WarnContext(ctx, "removing what an earlier, unfinished launch left", "generation", gen, "instances", ids(alive))
	session, err := l.session(ctx, cloudName)
	if err != nil {
		return err
	}
	ctx, cancel := detached(ctx, l.cfg.Timeouts.Cleanup)
	defer cancel()
	known := make([]string, 0, len(alive))
	for _, inst := range alive {
		known = append(known, inst.ID)
	}
	if err := l.journal.append(entry{Event: eventRemoving, Generation: gen, Instances: known}); err != nil {
		return err
	}
	r := removal{
		session: session, known: known, gone: l.cfg.Timeouts.Gone,
		ref: cloud.ClusterRef{Owner: l.owner, Cluster: l.spec.Name, Generation: gen, Cloud: cloudName},
	}
	if survivors, err := r.do(ctx); err != nil {
		return fmt.Errorf("an earlier launch of cluster %q left %s, and their removal failed, so nothing was launched: %w",
			l.spec.Name, strings.Join(survivors, ", "), err)
	}
	err = l.journal.append(entry{Event: eventRemoved, Generation: gen})
	return errors.Join(err, removeKeys(l.ClusterDir(l.spec.Name), gen))
}

// remember marks a generation as committed by this process, so that a second
// resource of the same name does not mistake it for a lost one.
func (b *Broker) remember(gen string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mine[gen] = true
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

func latestDeadline(alive []cloud.Instance) time.Time {
	var latest time.Time
	for _, inst := range alive {
		if inst.Deadline.After(latest) {
			latest = inst.Deadline
		}
	}
	return latest
}

func ids(instances []cloud.Instance) string {
	out := make([]string, 0, len(instances))
	for _, inst := range instances {
		out = append(out, inst.ID)
	}
	return strings.Join(out, ", ")
}
