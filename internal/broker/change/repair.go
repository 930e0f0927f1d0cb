// SPDX-License-Identifier: MPL-2.0

package change

import (
	"context"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Restore brings a cluster that has lost machines back to its size in place:
// the stopped ones are started, and those that are gone are made anew, of the
// cluster's own offer, and set up. A machine only counts as gone after two
// looks. When the new ones cannot be had, the cluster stays as it is.
func (ch Changer) Restore(ctx context.Context, c cluster.Cluster, spec spec.Spec) (cluster.Cluster, error) {
	return ch.change(ctx, c, "restoring", func(session cloud.Session) (cluster.Cluster, error) {
		release, err := ch.holdAndClean(ctx, session, c)
		if err != nil {
			return c, err
		}
		defer release()
		now, err := ch.Observer.Look(ctx, session, c)
		if err != nil {
			return c, err
		}
		if len(now.Lost()) > 0 {
			if err := retry.Pause(ctx, ch.Make.Timeouts.Gone); err != nil {
				return now, err
			}
			if now, err = ch.Observer.Look(ctx, session, c); err != nil {
				return c, err
			}
		}
		lost := now.Lost()
		ch.Down.Log.InfoContext(ctx, "restoring the cluster", "cluster", c.Name, "lost", lost, "stopped", now.Resting())
		if len(lost) == 0 {
			return ch.resume(ctx, session, now, spec)
		}
		awake := now
		if resting := now.Resting(); len(resting) > 0 && len(resting)+len(lost) == now.Size {
			// Nodes that run say which keys the cluster accepts; new ones get no others.
			if awake, err = ch.wake(ctx, session, now, len(resting), c.Autostop); err != nil {
				return now, err
			}
		}
		fresh, err := ch.addRanks(ctx, session, awake, spec, lost, now.Size)
		if err != nil {
			err = fmt.Errorf("restore the lost nodes %v in place, in %s (to begin anew elsewhere, replace the cluster with \"terraform apply -replace\"): %w",
				lost, cloud.ShortPlace(c.Cloud, c.Region, c.Zone), err)
			return now, ch.restAgain(ctx, session, now, err)
		}
		return fresh, nil
	})
}
