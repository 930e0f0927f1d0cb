// SPDX-License-Identifier: MPL-2.0

package gc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Delete removes what both looks call deletable, a generation at a time.
func (gc Collector) Delete(ctx context.Context, opts Options, first View, second *View) {
	agreed := map[string]bool{}
	for _, f := range first.Report.Findings {
		agreed[f.key()] = f.Deletable
	}
	groups := map[string][]int{}
	var order []string
	for i, f := range second.Report.Findings {
		named := slices.Contains(opts.DeleteIDs, f.ID) || (f.Kind == FindingMachine && opts.takesOver(f.Cluster, f.Generation))
		if !f.Deletable || !agreed[f.key()] || (!opts.Delete && !named) {
			continue
		}
		key := f.dir + "\x00" + f.Generation
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], i)
	}
	for _, key := range order {
		var doomed []*Finding
		for _, i := range groups[key] {
			doomed = append(doomed, &second.Report.Findings[i])
		}
		err := gc.removeGeneration(ctx, *second, doomed)
		for _, f := range doomed {
			if f.Deleted = err == nil; err != nil {
				f.Error = err.Error()
			}
		}
	}
}

// removeGeneration removes findings of one generation of one cluster.
func (gc Collector) removeGeneration(ctx context.Context, v View, doomed []*Finding) error {
	name, gen := doomed[0].Cluster, doomed[0].Generation
	if name == "" || gc.folder(name).Path() != doomed[0].dir {
		return fmt.Errorf("the folder %s does not say which cluster it belongs to", doomed[0].dir)
	}
	folder := gc.folder(name)
	release, err := folder.Lock(ctx, "collecting garbage")
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithTimeoutCause(ctx, gc.Down.Cleanup, fmt.Errorf("the removal took longer than %s", gc.Down.Cleanup))
	defer cancel()
	return folder.WithJournal(func(j *journal.Journal) error {
		if j.Count(gen) != v.journalOf(name, gc).journal.Count(gen) {
			return errors.New("somebody worked on it meanwhile, so it was left alone; run gc again")
		}
		for cloudName, session := range v.sessions {
			if err := gc.removeMachines(ctx, v, j, session, cloudName, doomed); err != nil {
				return err
			}
		}
		if v.keepsSome(gen, doomed) {
			return nil
		}
		if err := gc.removeThings(ctx, v, doomed); err != nil {
			return err
		}
		g := j.Find(gen)
		switch {
		case g == nil || g.Removed:
			return folder.RemoveKeys(gen)
		case g.Complete:
			return gc.forgetComplete(ctx, folder, j, g)
		}
		return gc.Down.RemoveGeneration(ctx, folder, j, g, "")
	})
}

// forgetComplete forgets a complete generation once its machines are gone for sure.
func (gc Collector) forgetComplete(ctx context.Context, folder statedir.Folder, j *journal.Journal, g *journal.Generation) error {
	if g.Cluster != nil {
		session, err := gc.Down.OpenFor(ctx, *g.Cluster)
		if err != nil {
			return err
		}
		alive, err := gc.Down.LookTwice(ctx, session, *g.Cluster)
		if err != nil {
			return err
		}
		if len(alive) > 0 {
			return fmt.Errorf("cluster %q has machines after all: %s", folder.Name, clouds.IDText(alive))
		}
	}
	return gc.Down.ForgetGone(ctx, folder, j, g)
}

// removeMachines removes the doomed machines of one cloud.
func (gc Collector) removeMachines(ctx context.Context, v View, j *journal.Journal, session cloud.Session, cloudName string, doomed []*Finding) error {
	var known, unfinished []string
	for _, f := range doomed {
		if f.Kind == FindingMachine && f.Cloud == cloudName {
			known = append(known, f.ID)
			if !f.Committed {
				unfinished = append(unfinished, f.ID)
			}
		}
	}
	if len(known) == 0 {
		return nil
	}
	gen := doomed[0].Generation
	ref := cloud.ClusterRef{Owner: gc.Down.Owner, Cluster: doomed[0].Cluster, Generation: gen, Cloud: cloudName, Instances: known}
	if j.Find(gen) != nil {
		if err := j.Append(journal.Entry{Event: journal.EventRemoving, Generation: gen, Ref: &ref, Account: session.Account, Instances: known}); err != nil {
			return err
		}
	}
	r := gc.Down.Removal(session, ref, known)
	r.Unfinished = unfinished
	r.KeepRules = v.keepsSome(gen, doomed)
	if survivors, err := r.Do(ctx); err != nil {
		return teardown.StillAlive(survivors, err)
	}
	return nil
}

// keepsSome reports whether a generation has machines that stay.
func (v View) keepsSome(gen string, doomed []*Finding) bool {
	return slices.ContainsFunc(v.Report.Findings, func(f Finding) bool {
		return f.Kind == FindingMachine && f.Generation == gen &&
			!slices.ContainsFunc(doomed, func(d *Finding) bool { return d.Kind == FindingMachine && d.ID == f.ID && d.Cloud == f.Cloud })
	})
}
