// SPDX-License-Identifier: MPL-2.0

package journal

import (
	"cmp"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Place is somewhere an attempt of a generation may have made machines.
type Place struct {
	Ref     cloud.ClusterRef
	Account string
	Attempt int
	// Nodes is how many machines were asked for, Created how many the cloud named.
	Nodes, Created int
	Instances      []string
	// Deadline is later than any create call of the attempt; zero where none was
	// made here.
	Deadline time.Time
	// Ended is when the generation's next entry was written: its create call, and
	// had ended by then, perhaps with its process. Zero is not known.
	Ended time.Time
	// Removed says that the absence of the attempt's machines was observed.
	Removed bool
}

// Generation is what a journal says of one generation of its cluster.
type Generation struct {
	ID        string
	Home      string
	Digest    string
	Attempts  int
	Places    []Place // everywhere machines may exist
	Instances []string
	// Complete says that the cluster was whole when its timers were about to be
	// disarmed; the cloud may or may not have heard of it.
	Complete bool
	// Committed says that the commit went through. Launch reports success after
	// that only, so that without it no state can hold the cluster.
	Committed bool
	// CommitPending says that the newest commit, a growth's perhaps, was begun and
	// never seen to end.
	CommitPending bool
	// FailedGrowth are the machines of growths that failed, not observed gone yet. No
	// state holds them, even where the cloud heard of their commit.
	FailedGrowth []string
	// CommitAttempt is the attempt that Complete speaks of; 0 is none.
	CommitAttempt int
	LaunchedHere  bool // here, not imported
	// Recorded says that Terraform was seen to hold the cluster in state.
	Recorded bool
	// Replacing is the home whose state holds the cluster and is about to hold
	// another of its name beside it (create_before_destroy); empty is none.
	Replacing string
	// Removing says that the removal of the whole generation has begun.
	Removing bool
	Removed  bool
	// LostAt is when all its machines were found gone; zero is never.
	LostAt  time.Time
	Cluster *cluster.Cluster // as of the newest entry that holds one
}

// AllPlaces are where machines of the generation may be.
func (g *Generation) AllPlaces() []Place {
	if len(g.Places) == 0 && g.Cluster != nil { // launched elsewhere, imported here
		return []Place{{Ref: g.Cluster.Ref(), Account: g.Cluster.Account, Nodes: g.Cluster.Size, Created: len(g.Cluster.Nodes)}}
	}
	return g.Places
}

// IDs are all the ids that the journal has of the generation on a cloud.
func (g *Generation) IDs(cloudName string) []string {
	var out []string
	for _, p := range g.AllPlaces() {
		if p.Ref.Cloud == cloudName {
			out = append(out, p.Instances...)
		}
	}
	if g.Cluster != nil && g.Cluster.Cloud == cloudName {
		for _, id := range g.Cluster.InstanceIDs() {
			if !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
	}
	return out
}

// InRegion reports whether an id of the journal belongs to a region.
func (g *Generation) InRegion(id, region string) bool {
	for _, p := range g.AllPlaces() {
		if slices.Contains(p.Instances, id) {
			return p.Ref.Region == region
		}
	}
	return true
}

// GrownElsewhere reports whether the generation has a machine that this computer
// did not add, since another one did.
func (g *Generation) GrownElsewhere(alive []cloud.Instance) bool {
	return slices.ContainsFunc(alive, func(i cloud.Instance) bool {
		return i.Identity.Generation == g.ID && !slices.Contains(g.IDs(g.Cluster.Cloud), i.ID) && !slices.Contains(g.FailedGrowth, i.ID)
	})
}

// Origin says where a generation was launched from, for a sentence.
func (g *Generation) Origin() string {
	if g == nil || g.Home == "" {
		return ""
	}
	return ", launched from " + g.Home
}

// Account is whose account the generation's machines on a cloud belong to;
// empty where the journal does not say.
func (g *Generation) Account(cloudName string) string {
	for _, p := range g.AllPlaces() {
		if p.Ref.Cloud == cloudName {
			return p.Account
		}
	}
	return ""
}

// apply takes the next entry of the journal into account.
func (g *Generation) apply(e Entry) {
	if n := len(g.Places); n > 0 && g.Places[n-1].Ended.IsZero() {
		g.Places[n-1].Ended = e.Time
	}
	switch e.Event {
	case EventLaunch:
		g.Home, g.Digest, g.LaunchedHere = e.Home, e.Digest, true
	case EventAttempt:
		g.attempted(e)
	case EventCreated:
		g.created(e.Instances)
	case EventRemoving:
		g.removing(e)
	case EventCommitting, EventCommitted:
		g.Complete, g.CommitAttempt = true, e.Attempt
		g.Committed = g.Committed || e.Event == EventCommitted
		g.CommitPending = e.Event == EventCommitting
	case EventRecorded:
		g.Recorded, g.Removing, g.CommitPending, g.Replacing = true, false, false, ""
		g.Complete = g.Complete || !g.LaunchedHere
	case EventReplacing:
		g.Replacing = cmp.Or(e.Home, g.Home)
	case eventLost:
		g.LostAt = e.Time
	case EventGrowthFailed:
		g.FailedGrowth, g.CommitPending = slices.Clone(e.Instances), false
	case EventRemoved:
		g.removed(e.Attempt)
	case EventStraggler:
		g.straggled(e)
	}
	if e.Cluster != nil {
		g.Cluster = e.Cluster
		g.FailedGrowth = Without(g.FailedGrowth, e.Cluster.InstanceIDs())
	}
}

// attempted notes that an attempt is about to make machines.
func (g *Generation) attempted(e Entry) {
	g.Attempts, g.Removed, g.Removing = e.Attempt, false, false
	if e.Ref == nil {
		return
	}
	p := Place{Ref: *e.Ref, Account: e.Account, Attempt: e.Attempt, Nodes: e.Nodes}
	if e.Deadline != nil {
		p.Deadline = *e.Deadline
	}
	g.Places = append(g.Places, p)
}

// created notes which machines the last attempt made.
func (g *Generation) created(ids []string) {
	g.Instances = append(g.Instances, ids...)
	if n := len(g.Places); n > 0 {
		g.Places[n-1].Created += len(ids)
		g.Places[n-1].Instances = append(g.Places[n-1].Instances, ids...)
	}
}

// removing notes an intent: until absence is observed, machines are to be expected.
// One that names machines or an attempt does not speak of the whole generation.
func (g *Generation) removing(e Entry) {
	g.Removing = g.Removing || (e.Attempt == 0 && (e.Ref == nil || e.Ref.Instances == nil))
	if e.Attempt != 0 && e.Attempt == g.CommitAttempt {
		g.Complete = false // its commit failed
	}
}

// straggled notes machines that came after their attempt was observed gone.
func (g *Generation) straggled(e Entry) {
	if e.Ref == nil {
		return
	}
	n := len(e.Instances)
	g.Removed, g.Places = false, append(g.Places, Place{Ref: *e.Ref, Account: e.Account, Nodes: n, Created: n, Instances: e.Instances})
}

// removed notes that an attempt, or with 0 everything, was observed gone.
func (g *Generation) removed(attempt int) {
	g.Removed = true
	for i := range g.Places {
		if attempt == 0 || g.Places[i].Attempt == attempt {
			g.Places[i].Removed = true
		}
		g.Removed = g.Removed && g.Places[i].Removed
	}
}

// Straggles reports whether machines of the generation, committed or not, came after
// it was observed gone and are to go, too. A complete cluster that was lost, and is
// there after all, is none: nobody has asked for its removal.
func (g *Generation) Straggles(committed bool) bool {
	return g != nil && g.Removed && (g.LostAt.IsZero() || !committed)
}

// LivesBeside reports whether machines of the generation may be in another place
// than the cluster's, left by attempts that failed.
func (g *Generation) LivesBeside(c cluster.Cluster) bool {
	return slices.ContainsFunc(g.Places, func(p Place) bool {
		return !p.Removed && (p.Ref.Cloud != c.Cloud || p.Ref.Region != c.Region)
	})
}

// Without returns the strings of x that are not in y.
func Without(x, y []string) []string {
	return slices.DeleteFunc(slices.Clone(x), func(s string) bool { return slices.Contains(y, s) })
}

// VisibleBy is when a machine that the attempt asked for, and that the cloud has
// not named, would be listed at last; zero where there can be none.
func (p Place) VisibleBy(now time.Time, listDelay time.Duration) time.Time {
	if p.Removed || p.Created >= p.Nodes || p.Deadline.IsZero() {
		return time.Time{}
	}
	ended := now // its process may have died within the call a moment ago
	for _, t := range []time.Time{p.Ended, p.Deadline} {
		if !t.IsZero() && t.Before(ended) {
			ended = t
		}
	}
	return ended.Add(listDelay)
}

// VisibleBy is when a machine of the generation that is in a region and that the
// cloud has not named would be listed at last; zero where there can be none.
func (g *Generation) VisibleBy(cloudName, region string, now time.Time, listDelay time.Duration) (last time.Time) {
	for _, p := range g.AllPlaces() {
		if t := p.VisibleBy(now, listDelay); p.Ref.Cloud == cloudName && p.Ref.Region == region && t.After(last) {
			last = t
		}
	}
	return last
}

// HasFailedGrowth reports whether the cluster, as a state has it, holds a machine that
// the journal has for a failed growth: then the state is right.
func (g *Generation) HasFailedGrowth(c cluster.Cluster) bool {
	return slices.ContainsFunc(c.InstanceIDs(), func(id string) bool { return slices.Contains(g.FailedGrowth, id) })
}
