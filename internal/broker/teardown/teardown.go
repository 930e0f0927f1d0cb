// SPDX-License-Identifier: MPL-2.0

// Package teardown removes what launches made, and observes it gone: machines, and
// the rules, keys and records of generations.
package teardown

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Teardown removes what launches made, and observes it gone.
type Teardown struct {
	// Owner is whose machines are looked for where no cluster says.
	Owner  string
	Clouds *clouds.Sessions
	State  statedir.Dir
	// Gone is the pause between two looks before absence is believed, ListDelay how
	// long a new machine may exist that no list shows, Cleanup what a removal may
	// take.
	Gone, ListDelay, Cleanup time.Duration
	Now                      func() time.Time
	Log                      *slog.Logger
}

// FolderOf is the folder of a cluster, whose owner may be another than Owner.
func (t Teardown) FolderOf(c cluster.Cluster) statedir.Folder {
	return t.State.Cluster(cmp.Or(c.Owner, t.Owner), c.Name)
}

// Folder is the folder of a cluster of Owner.
func (t Teardown) Folder(name string) statedir.Folder { return t.State.Cluster(t.Owner, name) }

// OpenFor opens the cluster's cloud and refuses another account's credentials:
// they would make a living cluster look gone.
func (t Teardown) OpenFor(ctx context.Context, c cluster.Cluster) (cloud.Session, error) {
	session, err := t.Clouds.Open(ctx, c.Cloud)
	if err != nil {
		return session, err
	}
	if c.Account != "" && session.Account != c.Account {
		return session, fmt.Errorf("cluster %q belongs to account %s on %s and the present credentials are of account %s; use the credentials it was launched with%s. Where that account is gone for good, and its machines with it, "+
			"\"terraform state rm <its address>\" makes Terraform forget the cluster",
			c.Name, c.Account, c.Cloud, session.Account, t.launchedBy(c))
	}
	return session, nil
}

// launchedBy says who launched the cluster, where the journal knows.
func (t Teardown) launchedBy(c cluster.Cluster) string {
	if g := t.FolderOf(c).Known().Find(c.Generation); g != nil && g.Cluster != nil && g.Cluster.LaunchedBy != "" {
		return ", those of " + g.Cluster.LaunchedBy
	}
	return ""
}

// LookTwice lists the machines, by id where ids are known. It takes a second
// look before it returns none.
func (t Teardown) LookTwice(ctx context.Context, session cloud.Session, c cluster.Cluster) ([]cloud.Instance, error) {
	return clouds.List(ctx, session, c, 2, t.Gone)
}

// OpenPlace opens the cloud of a place, under the account that the machines
// belong to: another account's credentials would make them look gone.
func (t Teardown) OpenPlace(ctx context.Context, name string, p journal.Place) (cloud.Session, error) {
	where := cloud.ShortPlace(p.Ref.Cloud, p.Ref.Region, p.Ref.Zone)
	session, err := t.Clouds.Open(ctx, p.Ref.Cloud)
	if err != nil {
		return session, fmt.Errorf("an earlier launch of cluster %q may have left machines in %s, which cannot be asked: %w", name, where, err)
	}
	if p.Account != "" && session.Account != p.Account {
		return session, fmt.Errorf("an earlier launch of cluster %q may have left machines in %s under account %s, and the present credentials are of account %s; "+
			"use the credentials it was launched with", name, where, p.Account, session.Account)
	}
	return session, nil
}

// RemoveGeneration removes a generation of the journal in all its places but
// those of the cloud and region done, which is "cloud/region", and forgets it.
func (t Teardown) RemoveGeneration(ctx context.Context, f statedir.Folder, j *journal.Journal, g *journal.Generation, done string) error {
	if err := j.Append(journal.Entry{Event: journal.EventRemoving, Generation: g.ID, Instances: g.Instances}); err != nil {
		t.Log.ErrorContext(ctx, "the journal cannot be written; removing all the same", "error", err)
	}
	for _, p := range g.AllPlaces() {
		if p.Removed || p.Ref.Cloud+"/"+p.Ref.Region == done {
			continue
		}
		session, err := t.OpenPlace(ctx, f.Name, p)
		if err != nil {
			return err
		}
		ref := p.Ref
		ref.Zone = "" // a late arrival elsewhere in the region would hold the rules
		r := t.Removal(session, ref, p.Instances)
		r.ListedBy = p.VisibleBy(t.Now(), t.ListDelay)
		if survivors, err := r.Do(ctx); err != nil {
			return fmt.Errorf("an earlier launch of cluster %q left machines in %s that could not be removed (%s): %w",
				f.Name, cloud.ShortPlace(p.Ref.Cloud, p.Ref.Region, p.Ref.Zone), strings.Join(survivors, ", "), err)
		}
	}
	t.Forget(ctx, f, j, g.ID)
	return nil
}

// ForgetGone forgets a complete generation that two looks did not find, with its
// rules and keys. It removes no machine: nobody asked for the
// removal of this cluster, and should one be there after all, its rules are in
// use and the record stays.
func (t Teardown) ForgetGone(ctx context.Context, f statedir.Folder, j *journal.Journal, g *journal.Generation) error {
	if err := journal.NoteLost(j, g.ID); err != nil {
		return err
	}
	for _, p := range g.AllPlaces() {
		session, err := t.OpenPlace(ctx, f.Name, p)
		if err != nil {
			return err
		}
		if err := session.CleanupPorts(ctx, p.Ref); err != nil {
			return fmt.Errorf("clean up after cluster %q, whose machines are gone: %w", f.Name, err)
		}
	}
	t.Forget(ctx, f, j, g.ID)
	return nil
}

// Forget records that a generation is gone and deletes its keys. What of that
// cannot be done fails nothing: the absence will be observed once more, and the
// keys are found by gc.
func (t Teardown) Forget(ctx context.Context, f statedir.Folder, j *journal.Journal, gen string) {
	if err := j.Append(journal.Entry{Event: journal.EventRemoved, Generation: gen}); err != nil {
		t.Log.ErrorContext(ctx, "the journal cannot be written", "error", err)
	}
	err := errors.Join(f.RemoveKeys(gen), f.RenewSSHFiles(j, gen))
	if err != nil {
		t.Log.WarnContext(ctx, "keys and SSH files of a cluster that is gone are left", "cluster", f.Name, "error", err)
	}
}

// Removal is the removal of the machines of ref and of those ids.
func (t Teardown) Removal(session cloud.Session, ref cloud.ClusterRef, known []string) Removal {
	return Removal{Session: session, Ref: ref, Known: known, Gone: t.Gone, Now: t.Now}
}

// youngThing is when a key or rule without a machine is taken to be left behind
// rather than made for a launch that is just beginning elsewhere.
const youngThing = 15 * time.Minute

// sweepLimit bounds what anybody waits for the removal of what costs nothing.
const sweepLimit = 2 * time.Minute

// ClearUnused removes keys, rules and groups of a name that are no living
// generation's: those of a launch that was killed, and whose disk is gone with
// the record of it. Nothing of it costs money, so a failure is no error; and no
// cloud removes what a machine still uses.
func (t Teardown) ClearUnused(ctx context.Context, j *journal.Journal, name string, clouds ...string) {
	if len(j.Generations()) > 1 {
		return // its launches are on record here, and cleaned up by that
	}
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	for _, cloudName := range clouds {
		session, err := t.Clouds.Open(ctx, cloudName)
		if err != nil {
			continue
		}
		if err := t.clearOn(ctx, session, j, cloud.ClusterRef{Owner: t.Owner, Cluster: name, Cloud: cloudName}); err != nil {
			t.Log.WarnContext(ctx, "keys or rules of an earlier launch may be left", "cluster", name, "cloud", cloudName, "error", err)
		}
	}
}

func (t Teardown) clearOn(ctx context.Context, session cloud.Session, j *journal.Journal, ref cloud.ClusterRef) error {
	surveyor, ok := session.Provisioner.(cloud.Surveyor)
	if !ok {
		return nil
	}
	things, err := surveyor.Survey(ctx, ref)
	if err != nil {
		return fmt.Errorf("list what was made for cluster %q: %w", ref.Cluster, err)
	}
	for _, left := range withoutMachines(things) {
		if g := j.Find(left.Generation); (g != nil && !g.Removed) || t.Beginning(things, left) {
			continue
		}
		t.Log.InfoContext(ctx, "removing keys and rules that an earlier launch left", "cluster", ref.Cluster, "generation", left.Generation)
		if err := session.CleanupPorts(ctx, left); err != nil {
			return fmt.Errorf("remove what generation %s of cluster %q left: %w", left.Generation, ref.Cluster, err)
		}
	}
	return nil
}

// Beginning reports whether a generation has made something so lately, on the cloud
// that was surveyed, that its launch may be about to ask for machines, which need
// all that it made. Every driver says when its things were made; one that does not
// say is taken to be old.
func (t Teardown) Beginning(things []cloud.Thing, of cloud.ClusterRef) bool {
	return slices.ContainsFunc(things, func(o cloud.Thing) bool {
		same := o.Ref.Owner == of.Owner && o.Ref.Cluster == of.Cluster && o.Ref.Generation == of.Generation
		return same && o.Kind != cloud.ThingMachine && !o.CreatedAt.IsZero() && t.Now().Sub(o.CreatedAt) < youngThing
	})
}

// withoutMachines are the generations that have things and no machine.
func withoutMachines(things []cloud.Thing) []cloud.ClusterRef {
	var left []cloud.ClusterRef
	for _, t := range things {
		alive := slices.ContainsFunc(things, func(m cloud.Thing) bool {
			return m.Kind == cloud.ThingMachine && m.Ref.Owner == t.Ref.Owner && m.Ref.Generation == t.Ref.Generation
		})
		ref := cloud.ClusterRef{Owner: t.Ref.Owner, Cluster: t.Ref.Cluster, Generation: t.Ref.Generation, Cloud: t.Ref.Cloud}
		if !alive && !slices.ContainsFunc(left, func(l cloud.ClusterRef) bool { return l.Generation == ref.Generation && l.Cluster == ref.Cluster }) {
			left = append(left, ref)
		}
	}
	return left
}
