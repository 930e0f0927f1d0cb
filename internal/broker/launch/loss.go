// SPDX-License-Identifier: MPL-2.0

package launch

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// lostMemory is how long the loss of a cluster decides where it is launched again.
const lostMemory = 24 * time.Hour

// Loss is where a spot cluster was lost as a whole, and what is to follow.
type Loss struct {
	Cloud, Region string
	How           spec.Recovery
}

// LossOf is the loss of the newest cluster of that name, as the journal in the
// state folder has it; nil where there was none within a day. The folder need
// not exist.
func LossOf(stateDir, owner, name string, how spec.Recovery, now time.Time) *Loss {
	j, err := statedir.ReadJournal(stateDir, owner, name)
	if err != nil {
		return nil // the launch says so
	}
	for _, g := range slices.Backward(j.Generations()) {
		if g.Cluster == nil || (!g.Committed && !g.Recorded) {
			continue // a launch that never came to a cluster
		}
		if g.LostAt.IsZero() || now.Sub(g.LostAt) > lostMemory || g.Cluster.Market != cloud.Spot {
			return nil
		}
		return &Loss{Cloud: g.Cluster.Cloud, Region: g.Cluster.Region, How: cmp.Or(how, spec.RecoverElsewhere)}
	}
	return nil
}

// Prefer are the offers to take first: those of the same region, or those of
// all others. strict says that no other will do.
func (l *Loss) Prefer(offers iter.Seq[*cloud.Offer]) (preferred iter.Seq[*cloud.Offer], strict bool) {
	if l == nil {
		return offers, true
	}
	inside := l.How == spec.RecoverInRegion
	preferred = func(yield func(*cloud.Offer) bool) {
		for o := range offers {
			if (o.Cloud == l.Cloud && o.Region == l.Region) == inside && !yield(o) {
				return
			}
		}
	}
	for range preferred {
		return preferred, inside
	}
	return offers, true // what is asked for now is only sold where it is not wanted
}

// Rank is optimizer.RankEach with the preference for where a lost cluster goes.
func (l *Loss) Rank(req optimizer.Request, offers iter.Seq[*cloud.Offer], caps map[string]cloud.Capabilities, blocked []optimizer.Block) (optimizer.Plan, error) {
	preferred, strict := l.Prefer(offers)
	plan, err := optimizer.RankEach(req, preferred, caps, blocked)
	if err != nil && !strict {
		return optimizer.RankEach(req, offers, caps, blocked)
	}
	return plan, err
}
