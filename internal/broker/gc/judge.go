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

// machineFinding is a machine before it is judged.
func machineFinding(cloudName string, inst cloud.Instance, dir string) Finding {
	f := Finding{
		Kind: FindingMachine, Cloud: cloudName, Region: inst.Region, Zone: inst.Zone, Cluster: inst.Identity.Cluster,
		Generation: inst.Identity.Generation, ID: inst.ID, Type: inst.Type, State: inst.State, Committed: inst.Committed, dir: dir,
	}
	if !inst.CreatedAt.IsZero() {
		f.CreatedAt = &inst.CreatedAt
	}
	if !inst.Deadline.IsZero() {
		f.Deadline = &inst.Deadline
	}
	return f
}

// judged is the finding with a verdict.
func (f Finding) judged(verdict string, deletable bool, why string, args ...any) Finding {
	f.Verdict, f.Deletable, f.Why = verdict, deletable, fmt.Sprintf(why, args...)
	return f
}

// judgeMachine says what is to become of a machine.
func (gc Collector) judgeMachine(cloudName, account string, inst cloud.Instance, cj clusterJournal, opts Options) Finding {
	f := machineFinding(cloudName, inst, cj.dir)
	var g *journal.Generation
	if cj.err == nil {
		g = cj.journal.Find(inst.Identity.Generation)
	}
	failedGrowth := g != nil && slices.Contains(g.FailedGrowth, inst.ID)
	for _, state := range opts.States {
		for _, h := range state.Clusters {
			if h.holds(cloudName, inst, failedGrowth) {
				return f.judged("held", false, "%s in %s has it", h.Address, state.Source)
			}
		}
	}
	switch {
	case inst.State == cloud.StateTerminating:
		return f.judged("going", false, "it is being removed already")
	case cj.busy:
		return f.judged("in progress", false, "%s", statedir.HolderOf(cj.dir))
	case cj.err != nil:
		return f.judged("unknown", false, "its journal cannot be read: %v", cj.err)
	}
	inCluster := g != nil && g.Complete && g.Cluster != nil && slices.Contains(g.Cluster.InstanceIDs(), inst.ID)
	switch committed := (inst.Committed || inCluster) && !failedGrowth; {
	case committed && len(opts.States) > 0:
		return f.judged("in no state", slices.Contains(opts.DeleteIDs, inst.ID),
			"a complete cluster that none of the given states holds%s; import it with \"terraform import <address> %s\", or remove it with --delete-id %s",
			g.Origin(), cloudName+"/"+inst.Region+"/"+inst.Identity.Cluster, inst.ID)
	case committed:
		return f.judged("complete", false, "a complete cluster%s; give your states with --state to learn whether one holds it", g.Origin())
	case g != nil && g.Account(cloudName) != "" && g.Account(cloudName) != account:
		return f.judged("unknown", false, "the journal has it under account %s", g.Account(cloudName))
	case failedGrowth:
		return f.judged("unfinished", true, "the growth of its cluster that made it failed, and could not remove it")
	case g != nil && g.Removed:
		return f.judged("late", true, "it came after its launch was cleaned up")
	case g != nil:
		return f.judged("unfinished", true, "its launch was cut off")
	}
	return gc.judgeUnknown(f, opts)
}

// judgeUnknown judges a machine that was never committed and that no journal of this
// computer knows.
func (gc Collector) judgeUnknown(f Finding, opts Options) Finding {
	switch {
	case f.Deadline != nil && !gc.Down.Now().Before(*f.Deadline):
		return f.judged("overdue", true, "never committed, and past its own end at %s", f.Deadline.UTC().Format(time.RFC3339))
	case f.Deadline != nil:
		fate := "it removes itself at %s unless that succeeds"
		if caps, ok := gc.Down.Clouds.Capabilities(f.Cloud); ok && !caps.DeadMan {
			fate = "that is over by %s, and nothing ends the machine by itself"
		}
		return f.judged("young", opts.takesOver(f.Cluster, f.Generation), "perhaps a launch from elsewhere; "+fate+"; --take-over %s/%s removes it now",
			f.Deadline.UTC().Format(time.RFC3339), f.Cluster, f.Generation)
	case f.CreatedAt != nil && gc.Down.Now().Sub(*f.CreatedAt) > orphanAge:
		return f.judged("orphan", true, "never committed in %s, and %s has no dead-man timers", orphanAge, f.Cloud)
	}
	return f.judged("young", opts.takesOver(f.Cluster, f.Generation), "perhaps a launch from elsewhere; taken to be forgotten %s after its creation; --take-over %s/%s removes it now",
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
			f.Why, f.Deletable = "keys without a record, and the clouds that could be asked have no machine for them", !cj.busy && len(v.blind) == 0
		}
		out = append(out, f)
	}
	return out
}
