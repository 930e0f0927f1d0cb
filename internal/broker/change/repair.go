// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Restore brings a cluster that has lost machines back to its size in place:
// the stopped ones are started, and those that are gone are made anew, of the
// cluster's own offer, and set up. A machine only counts as gone after two
// looks. When the new ones cannot be had, the cluster stays as it is.
func (b *Broker) Restore(ctx context.Context, c cluster.Cluster, spec Spec) (cluster.Cluster, error) {
	return b.change(ctx, c, "restoring", func(session cloud.Session) (cluster.Cluster, error) {
		release, err := b.steady(ctx, session, c)
		if err != nil {
			return c, err
		}
		defer release()
		now, err := b.look(ctx, session, c)
		if err != nil {
			return c, err
		}
		if len(now.Lost()) > 0 {
			if err := retry.Pause(ctx, b.cfg.Timeouts.Gone); err != nil {
				return now, err
			}
			if now, err = b.look(ctx, session, c); err != nil {
				return c, err
			}
		}
		lost := now.Lost()
		b.log.InfoContext(ctx, "restoring the cluster", "cluster", c.Name, "lost", lost, "stopped", now.Resting())
		if len(lost) == 0 {
			return b.resume(ctx, session, now, spec)
		}
		awake := now
		if resting := now.Resting(); len(resting) > 0 && len(resting)+len(lost) == now.Size {
			// Nodes that run say which keys the cluster accepts; new ones get no others.
			if awake, err = b.wake(ctx, session, now, len(resting), c.Autostop); err != nil {
				return now, err
			}
		}
		fresh, err := b.addRanks(ctx, session, awake, spec, lost, now.Size)
		if err != nil {
			err = fmt.Errorf("restore the lost nodes %v in place, in %s (to begin anew elsewhere, replace the cluster with \"terraform apply -replace\"): %w",
				lost, cloud.ShortPlace(c.Cloud, c.Region, c.Zone), err)
			return now, b.restAgain(ctx, session, now, err)
		}
		return fresh, nil
	})
}

// lostMemory is how long the loss of a cluster decides where it is launched again.
const lostMemory = 24 * time.Hour

// Loss is where a spot cluster was lost as a whole, and what is to follow.
type Loss struct {
	Cloud, Region string
	How           Recovery
}

// LossOf is the loss of the newest cluster of that name, as the journal in the
// state folder has it; nil where there was none within a day. The folder need
// not exist.
func LossOf(stateDir, owner, name string, how Recovery, now time.Time) *Loss {
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
		return &Loss{Cloud: g.Cluster.Cloud, Region: g.Cluster.Region, How: cmp.Or(how, RecoverElsewhere)}
	}
	return nil
}

// Prefer are the offers to take first: those of the same region, or those of
// all others. strict says that no other will do.
func (l *Loss) Prefer(offers iter.Seq[*cloud.Offer]) (preferred iter.Seq[*cloud.Offer], strict bool) {
	if l == nil {
		return offers, true
	}
	inside := l.How == RecoverInRegion
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
