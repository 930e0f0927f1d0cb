// SPDX-License-Identifier: MPL-2.0

// Package held knows which clusters Terraform holds: those that this process has
// launched or refreshed, and what the journal of this computer says of others.
package held

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// A cluster whose launch came to its end and that no state holds is adopted by
// the next launch of its name, from the same configuration, for an equal spec:
// Terraform was killed before it could save it. What a state does hold must not
// be adopted by a second resource of the name, so it is marked as
// held by everything that shows that Terraform has it: a refresh, a plan, and the
// end of a process that handed over what it launched in good order.

// Marks are the marks in the journals of this computer that Terraform holds a
// cluster.
type Marks struct {
	// Owner is whose clusters they are where no cluster says.
	Owner  string
	State  statedir.Dir
	Memory *Memory
}

// HandOver marks what this process launched as held by Terraform. It is called
// when Terraform has ended the process in good order, which it does not before
// every result was taken. What cannot be marked is marked by the next plan.
func (h Marks) HandOver(ctx context.Context) {
	for name, gens := range h.Memory.launchedByName() {
		if err := h.mark(ctx, h.State.Cluster(h.Owner, name), gens...); err != nil {
			h.State.Log.WarnContext(ctx, "a cluster is not marked as held by Terraform", "cluster", name, "error", err)
		}
	}
}

// Unheld reports whether the state folder has the generation for one that no
// state was seen to hold. The folder need not exist.
func Unheld(stateDir, owner, name, gen string) bool {
	j, err := statedir.ReadJournal(stateDir, owner, name)
	if err != nil {
		return false
	}
	g := j.Find(gen)
	return g != nil && !g.Recorded && !g.Removed
}

// NoteHeld marks a cluster as held by a state, one that a plan was made for. As
// with every record of what Terraform knows itself, it fails nothing.
func (h Marks) NoteHeld(ctx context.Context, owner, name, gen string) {
	if err := h.mark(ctx, h.State.Cluster(cmp.Or(owner, h.Owner), name), gen); err != nil {
		h.State.Log.WarnContext(ctx, "a cluster is not marked as held by Terraform", "cluster", name, "error", err)
	}
}

func (h Marks) mark(ctx context.Context, f statedir.Folder, gens ...string) error {
	release, err := f.Lock(ctx, "noting what Terraform holds")
	if errors.As(err, new(*statedir.BusyError)) {
		return nil // its holder has it from Terraform, too
	}
	if err != nil {
		return err
	}
	defer release()
	return f.WithJournal(func(j *journal.Journal) error {
		for _, gen := range gens {
			g := j.Find(gen)
			if g == nil || g.Recorded || g.Removed || g.Removing || g.CommitPending {
				continue
			}
			if err := j.Append(journal.Entry{Event: journal.EventRecorded, Generation: gen}); err != nil {
				return err
			}
		}
		return nil
	})
}

// NoteReplacement is called when a cluster is planned to be created. Where this
// process has refreshed a cluster of the same name, the plan replaces it, and
// with create_before_destroy both will be alive for a while: that is noted, so
// that the launch does not refuse because of the old one.
//
// held are clusters of that name that the plan itself has seen in state, which it
// has without a refresh, too.
func (h Marks) NoteReplacement(ctx context.Context, name string, held ...cluster.Cluster) error {
	ours := func(c cluster.Cluster) bool { return cmp.Or(c.Owner, h.Owner) == h.Owner }
	old := h.Memory.seenWhere(func(c cluster.Cluster) bool { return c.Name == name && ours(c) })
	for _, c := range held {
		if ours(c) && !slices.ContainsFunc(old, func(o cluster.Cluster) bool { return o.Generation == c.Generation }) {
			old = append(old, c)
		}
	}
	if len(old) == 0 {
		return nil
	}
	f := h.State.Cluster(h.Owner, name)
	release, err := f.LockOrGoOn(ctx, "planning")
	if err != nil {
		return err
	}
	defer release()
	return f.WithKnown(ctx, func(j *journal.Journal) error {
		for _, c := range old {
			if err := h.noteReplaced(j, c); err != nil { // the launch cannot write either, and says so
				h.State.Log.WarnContext(ctx, "the replacement of a cluster is not recorded", "cluster", name, "error", err)
			}
		}
		return nil
	})
}

// noteReplaced records that a cluster of this home's state is to be replaced,
// one that was launched from elsewhere, too.
func (h Marks) noteReplaced(j *journal.Journal, c cluster.Cluster) error {
	g := j.Find(c.Generation)
	if g != nil && (g.Removed || g.Replacing == h.State.Home) {
		return nil
	}
	if g == nil {
		if err := j.Append(journal.Entry{Event: journal.EventRecorded, Generation: c.Generation, Cluster: &c}); err != nil {
			return err
		}
	}
	return j.Append(journal.Entry{Event: journal.EventReplacing, Generation: c.Generation, Home: h.State.Home})
}

// Record puts the cluster, as Terraform will hold it, into the journal.
func (h Marks) Record(c cluster.Cluster) error {
	f := h.State.Cluster(cmp.Or(c.Owner, h.Owner), c.Name)
	return f.WithJournal(func(j *journal.Journal) error {
		if err := j.Append(journal.Entry{Event: journal.EventRecorded, Generation: c.Generation, Cluster: &c}); err != nil {
			return err
		}
		return f.WriteSSHFiles(c)
	})
}
