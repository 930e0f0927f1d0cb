// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// gcDelete removes what both looks call deletable, a generation at a time.
func (b *Broker) gcDelete(ctx context.Context, opts GCOptions, first gcView, second *gcView) {
	agreed := map[string]bool{}
	for _, f := range first.report.Findings {
		agreed[f.key()] = f.Deletable
	}
	groups := map[string][]int{}
	var order []string
	for i, f := range second.report.Findings {
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
			doomed = append(doomed, &second.report.Findings[i])
		}
		err := b.gcGeneration(ctx, *second, doomed)
		for _, f := range doomed {
			if f.Deleted = err == nil; err != nil {
				f.Error = err.Error()
			}
		}
	}
}

// gcGeneration removes findings of one generation of one cluster.
func (b *Broker) gcGeneration(ctx context.Context, v gcView, doomed []*Finding) error {
	name, gen := doomed[0].Cluster, doomed[0].Generation
	if name == "" || b.folder(name).Path() != doomed[0].dir {
		return fmt.Errorf("the folder %s does not say which cluster it belongs to", doomed[0].dir)
	}
	folder := b.folder(name)
	release, err := folder.Lock(ctx, "collecting garbage")
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithTimeoutCause(ctx, b.cfg.Timeouts.Cleanup, fmt.Errorf("the removal took longer than %s", b.cfg.Timeouts.Cleanup))
	defer cancel()
	return folder.WithJournal(func(j *journal.Journal) error {
		if j.Count(gen) != v.journalOf(name, b).journal.Count(gen) {
			return errors.New("somebody worked on it meanwhile, so it was left alone; run gc again")
		}
		for cloudName, session := range v.sessions {
			if err := b.gcMachines(ctx, v, j, session, cloudName, doomed); err != nil {
				return err
			}
		}
		if v.keepsSome(gen, doomed) {
			return nil
		}
		if err := b.gcLeftThings(ctx, v, doomed); err != nil {
			return err
		}
		g := j.Find(gen)
		switch {
		case g == nil || g.Removed:
			return folder.RemoveKeys(gen)
		case g.Complete:
			return b.gcComplete(ctx, folder, j, g)
		}
		return b.removeGeneration(ctx, folder, j, g, "")
	})
}

// gcComplete forgets a complete generation once its machines are gone for sure.
func (b *Broker) gcComplete(ctx context.Context, folder statedir.Folder, j *journal.Journal, g *journal.Generation) error {
	if g.Cluster != nil {
		session, err := b.openFor(ctx, *g.Cluster)
		if err != nil {
			return err
		}
		alive, err := b.lookTwice(ctx, session, *g.Cluster)
		if err != nil {
			return err
		}
		if len(alive) > 0 {
			return fmt.Errorf("cluster %q has machines after all: %s", folder.Name, ids(alive))
		}
	}
	return b.forgetGone(ctx, folder, j, g)
}

// gcMachines removes the doomed machines of one cloud.
func (b *Broker) gcMachines(ctx context.Context, v gcView, j *journal.Journal, session cloud.Session, cloudName string, doomed []*Finding) error {
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
	ref := cloud.ClusterRef{Owner: b.owner, Cluster: doomed[0].Cluster, Generation: gen, Cloud: cloudName, Instances: known}
	if j.Find(gen) != nil {
		if err := j.Append(journal.Entry{Event: journal.EventRemoving, Generation: gen, Ref: &ref, Account: session.Account, Instances: known}); err != nil {
			return err
		}
	}
	r := b.removal(session, ref, known)
	r.unfinished = unfinished
	r.keepRules = v.keepsSome(gen, doomed)
	if survivors, err := r.do(ctx); err != nil {
		return stillAlive(survivors, err)
	}
	return nil
}

// keepsSome reports whether a generation has machines that stay.
func (v gcView) keepsSome(gen string, doomed []*Finding) bool {
	return slices.ContainsFunc(v.report.Findings, func(f Finding) bool {
		return f.Kind == FindingMachine && f.Generation == gen &&
			!slices.ContainsFunc(doomed, func(d *Finding) bool { return d.Kind == FindingMachine && d.ID == f.ID && d.Cloud == f.Cloud })
	})
}
