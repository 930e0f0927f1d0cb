// SPDX-License-Identifier: MPL-2.0

package gc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// orphanAge is when a machine that was never committed, of a launch that this
// state folder knows nothing of, on a cloud without dead-man timers, is taken
// to be forgotten.
const orphanAge = 24 * time.Hour

// judgeMachine says what is to become of a machine.
func (gc Collector) judgeMachine(cloudName, account string, inst cloud.Instance, cj clusterJournal, opts Options) Finding {
	f := Finding{
		Kind: FindingMachine, Cloud: cloudName, Region: inst.Region, Zone: inst.Zone, Cluster: inst.Identity.Cluster,
		Generation: inst.Identity.Generation, ID: inst.ID, Type: inst.Type, State: inst.State, Committed: inst.Committed, dir: cj.dir,
	}
	if !inst.CreatedAt.IsZero() {
		f.CreatedAt = &inst.CreatedAt
	}
	if !inst.Deadline.IsZero() {
		f.Deadline = &inst.Deadline
	}
	say := func(verdict string, deletable bool, why string, args ...any) Finding {
		f.Verdict, f.Deletable, f.Why = verdict, deletable, fmt.Sprintf(why, args...)
		return f
	}
	named := slices.Contains(opts.DeleteIDs, inst.ID)
	var g *journal.Generation
	if cj.err == nil {
		g = cj.journal.Find(inst.Identity.Generation)
	}
	undone := g != nil && slices.Contains(g.FailedGrowth, inst.ID)
	for _, state := range opts.States {
		for _, h := range state.Clusters {
			if h.holds(cloudName, inst, undone) {
				return say("held", false, "%s in %s has it", h.Address, state.Source)
			}
		}
	}
	switch {
	case inst.State == cloud.StateTerminating:
		return say("going", false, "it is being removed already")
	case cj.busy:
		return say("in progress", false, "%s", statedir.HolderOf(cj.dir))
	case cj.err != nil:
		return say("unknown", false, "its journal cannot be read: %v", cj.err)
	}
	inCluster := g != nil && g.Complete && g.Cluster != nil && slices.Contains(g.Cluster.InstanceIDs(), inst.ID)
	committed := (inst.Committed || inCluster) && !undone
	switch {
	case committed && len(opts.States) > 0:
		return say("in no state", named, "a complete cluster that none of the given states holds%s; import it with \"terraform import <address> %s\", or remove it with --delete-id %s",
			g.Origin(), cloudName+"/"+inst.Region+"/"+inst.Identity.Cluster, inst.ID)
	case committed:
		return say("complete", false, "a complete cluster%s; give your states with --state to learn whether one holds it", g.Origin())
	case g != nil && g.Account(cloudName) != "" && g.Account(cloudName) != account:
		return say("unknown", false, "the journal has it under account %s", g.Account(cloudName))
	case undone:
		return say("unfinished", true, "the growth of its cluster that made it failed, and could not remove it")
	case g != nil && g.Removed:
		return say("late", true, "it came after its launch was cleaned up")
	case g != nil:
		return say("unfinished", true, "its launch was cut off")
	case !inst.Deadline.IsZero() && !gc.Down.Now().Before(inst.Deadline):
		return say("overdue", true, "never committed, and past its own end at %s", inst.Deadline.UTC().Format(time.RFC3339))
	case !inst.Deadline.IsZero():
		return say("young", opts.takesOver(f.Cluster, f.Generation), "perhaps a launch from elsewhere; it removes itself at %s unless that succeeds; --take-over %s/%s removes it now",
			inst.Deadline.UTC().Format(time.RFC3339), f.Cluster, f.Generation)
	case !inst.CreatedAt.IsZero() && gc.Down.Now().Sub(inst.CreatedAt) > orphanAge:
		return say("orphan", true, "never committed in %s, and %s has no dead-man timers", orphanAge, cloudName)
	}
	return say("young", opts.takesOver(f.Cluster, f.Generation), "perhaps a launch from elsewhere; taken to be forgotten %s after its creation; --take-over %s/%s removes it now",
		orphanAge, f.Cluster, f.Generation)
}

// judgeRecords says what is to become of a cluster's records and keys for which
// there is no machine.
func (gc Collector) judgeRecords(v View, cj clusterJournal) []Finding {
	if cj.err != nil {
		return []Finding{{Kind: FindingJournal, Path: filepath.Join(cj.dir, "journal.jsonl"), Verdict: "damaged", Why: cj.err.Error(), dir: cj.dir}}
	}
	var out []Finding
	for _, g := range cj.journal.Generations() {
		if g.Removed || v.living[g.ID] {
			continue
		}
		f := Finding{
			Kind: FindingJournal, Cluster: cj.name, Generation: g.ID, Path: filepath.Join(cj.dir, "journal.jsonl"),
			Verdict: "no machines", Why: "the record of a launch whose machines are not there", Deletable: true, dir: cj.dir,
		}
		if why := v.cannotSee(g); why != "" {
			f.Verdict, f.Why, f.Deletable = "unknown", why, false
		} else if cj.busy {
			f.Verdict, f.Why, f.Deletable = "in progress", statedir.HolderOf(cj.dir), false
		}
		out = append(out, f)
	}
	return append(out, gc.judgeKeys(v, cj)...)
}

// cannotSee says why the absence of a generation's machines is not known.
func (v View) cannotSee(g *journal.Generation) string {
	for _, p := range g.AllPlaces() {
		session, ok := v.sessions[p.Ref.Cloud]
		switch {
		case !ok:
			return fmt.Sprintf("it may have machines in %s, which cannot be asked", cloud.ShortPlace(p.Ref.Cloud, p.Ref.Region, p.Ref.Zone))
		case p.Account != "" && p.Account != session.Account:
			return fmt.Sprintf("it may have machines under account %s of %s", p.Account, p.Ref.Cloud)
		}
	}
	return ""
}

// judgeKeys finds folders of keys that belong to no living generation.
func (gc Collector) judgeKeys(v View, cj clusterJournal) []Finding {
	entries, err := os.ReadDir(cj.dir)
	if err != nil {
		return nil
	}
	var out []Finding
	for _, e := range entries {
		g := cj.journal.Find(e.Name())
		if !e.IsDir() || !journal.GenerationPattern().MatchString(e.Name()) || v.living[e.Name()] || (g != nil && !g.Removed) {
			continue
		}
		f := Finding{
			Kind: FindingKeys, Cluster: cj.name, Generation: e.Name(), Path: filepath.Join(cj.dir, e.Name()),
			Verdict: "no machines", Why: "the keys of machines that are gone", Deletable: !cj.busy, dir: cj.dir,
		}
		if g == nil {
			// Its record may have been moved away while its machines live, in a
			// cloud that is not enabled now.
			f.Why, f.Deletable = "keys without a record, and no machine of theirs on the clouds that could be asked", !cj.busy && len(v.blind) == 0
		}
		out = append(out, f)
	}
	return out
}
