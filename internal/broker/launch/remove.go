// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// remove removes an attempt's machines and rules and observes them gone. It
// returns the ids of the survivors with an error.
func (l *launch) remove(ctx context.Context, u *bringUp) (survivors []string, err error) {
	ctx, cancel := teardown.Detached(ctx, l.cfg.Timeouts.Cleanup)
	defer cancel()
	if !u.asked {
		l.removeRules(ctx, u)
		return nil, nil
	}
	ref := u.ref()
	ref.Zone = "" // nothing of this generation may live between two attempts, and rules are shared by a region
	r := l.down().Removal(u.session, ref, u.created)
	r.Certain = u.definite
	r.ListedBy = u.listedBy()
	l.note(ctx, journal.Entry{Event: journal.EventRemoving, Generation: l.gen, Attempt: u.number, Instances: u.created})
	if survivors, err = r.Do(ctx); err != nil {
		return survivors, err
	}
	l.note(ctx, journal.Entry{Event: journal.EventRemoved, Generation: l.gen, Attempt: u.number})
	return nil, nil
}

// listedBy is when a machine that the cloud has not named would be listed at last;
// zero where every one was named.
func (u *bringUp) listedBy() time.Time {
	if u.lostAnswer.IsZero() {
		return time.Time{}
	}
	return u.lostAnswer.Add(u.timeouts.ListDelay)
}

// note writes an entry that nothing may wait for: machines are removed with a
// full disk too, and an intent without an end is looked after later.
func (l *launch) note(ctx context.Context, e journal.Entry) {
	if err := l.journal.Append(e); err != nil {
		l.log.ErrorContext(ctx, "the journal cannot be written", "event", e.Event, "error", err)
	}
}

// removeRules removes what an attempt made that never asked for a machine.
// Nothing of it costs money, so a failure does not end the launch; the place
// stays open in the journal, for whoever comes next.
func (l *launch) removeRules(ctx context.Context, u *bringUp) {
	if err := u.session.CleanupPorts(ctx, u.ref()); err != nil {
		l.log.WarnContext(ctx, "firewall rules and keys are left behind", "placement", u.placement.String(), "error", err)
		return
	}
	l.note(ctx, journal.Entry{Event: journal.EventRemoved, Generation: l.gen, Attempt: u.number})
}

// wreck is what goes into state when a removal failed: enough to try again,
// where the survivors are. Of late ones in several places those of the first
// are; the journal has the others.
func (l *launch) wreck(ctx context.Context, u *bringUp, survivors []string, late []clouds.Machines) cluster.Cluster {
	c := u.known(u.before)
	if len(late) > 0 {
		c, survivors = u.known(l.draft(l.placementOf(late[0]), u.started)), clouds.IDs(late[0].Alive)
		c.Generation = late[0].Generation
	}
	c.Account, c.LaunchedBy = "", ""
	if s, err := l.clouds.Open(ctx, c.Cloud); err == nil {
		c.Account = s.Account
	}
	c.Status, c.StatusReason = cluster.StatusDegraded, "a failed launch could not be removed"
	known := map[string]cluster.Node{}
	for _, n := range u.cluster.Nodes {
		known[n.InstanceID] = n
	}
	for i, id := range survivors {
		n, ok := known[id]
		if !ok {
			n = cluster.Node{Rank: i, InstanceID: id, State: cloud.StateUnknown}
		}
		c.Nodes = append(c.Nodes, n)
	}
	return c
}

// rootCause returns the driver's own words.
func rootCause(err error) error {
	if ce := (*cloud.Error)(nil); errors.As(err, &ce) {
		return ce.Err
	}
	return err
}
