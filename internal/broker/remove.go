// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// remove removes the attempt's machines and rules and observes them gone. It
// returns the ids of the survivors with an error.
func (a *attempt) remove(ctx context.Context) (survivors []string, err error) {
	ctx, cancel := teardown.Detached(ctx, a.cfg.Timeouts.Cleanup)
	defer cancel()
	session, err := a.clouds.Open(ctx, a.placement.Offer.Cloud)
	if err != nil {
		// Never opened, so nothing was made there by this attempt.
		a.note(ctx, journal.Entry{Event: journal.EventRemoved, Generation: a.gen, Attempt: a.number})
		return nil, nil
	}
	if !a.asked {
		a.removeRules(ctx, session)
		return nil, nil
	}
	ref := a.ref(a.placement)
	ref.Zone = "" // nothing of this generation may live between two attempts, and rules are shared by a region
	r := a.down().Removal(session, ref, a.created)
	r.Certain = a.definite
	if !a.lostAnswer.IsZero() {
		r.ListedBy = a.lostAnswer.Add(a.cfg.Timeouts.ListDelay)
	}
	a.note(ctx, journal.Entry{Event: journal.EventRemoving, Generation: a.gen, Attempt: a.number, Instances: a.created})
	if survivors, err = r.Do(ctx); err != nil {
		return survivors, err
	}
	a.note(ctx, journal.Entry{Event: journal.EventRemoved, Generation: a.gen, Attempt: a.number})
	return nil, nil
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
func (a *attempt) removeRules(ctx context.Context, session cloud.Session) {
	if err := session.CleanupPorts(ctx, a.ref(a.placement)); err != nil {
		a.log.WarnContext(ctx, "firewall rules and keys are left behind", "placement", a.placement.String(), "error", err)
		return
	}
	a.note(ctx, journal.Entry{Event: journal.EventRemoved, Generation: a.gen, Attempt: a.number})
}

// wreck is what goes into state when a removal failed: enough to try again,
// where the survivors are. Of late ones in several places those of the first
// are; the journal has the others.
func (a *attempt) wreck(ctx context.Context, survivors []string, late []clouds.Machines) cluster.Cluster {
	c := a.newCluster("")
	if len(late) > 0 {
		c, survivors = a.insteadAt(late[0]).newCluster(""), clouds.IDs(late[0].Alive)
		c.Generation = late[0].Generation
	}
	if s, err := a.clouds.Open(ctx, c.Cloud); err == nil {
		c.Account = s.Account
	}
	c.Status, c.StatusReason = cluster.StatusDegraded, "a failed launch could not be removed"
	known := map[string]cluster.Node{}
	for _, n := range a.cluster.Nodes {
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
