// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"cmp"
	"context"
	"errors"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
)

// A cluster whose launch came to its end and that no state holds is adopted by
// the next launch of its name, from the same configuration, for an equal spec:
// Terraform was killed before it could save it. What a state does hold must not
// be taken for such a one by a second resource of the name, so it is marked as
// held by everything that shows that Terraform has it: a refresh, a plan, and the
// end of a process that handed over what it launched in good order.

// HandOver marks what this process launched as held by Terraform. It is called
// when Terraform has ended the process in good order, which it does not before
// every result was taken. What cannot be marked is marked by the next plan.
func (b *Broker) HandOver(ctx context.Context) {
	b.mu.Lock()
	names := map[string][]string{}
	for gen, name := range b.mine {
		names[name] = append(names[name], gen)
	}
	b.mu.Unlock()
	for name, gens := range names {
		if err := b.markHeld(ctx, b.folder(name), gens...); err != nil {
			b.log.WarnContext(ctx, "a cluster is not marked as held by Terraform", "cluster", name, "error", err)
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
func (b *Broker) NoteHeld(ctx context.Context, owner, name, gen string) {
	if err := b.markHeld(ctx, b.state().Cluster(cmp.Or(owner, b.owner), name), gen); err != nil {
		b.log.WarnContext(ctx, "a cluster is not marked as held by Terraform", "cluster", name, "error", err)
	}
}

func (b *Broker) markHeld(ctx context.Context, f statedir.Folder, gens ...string) error {
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
