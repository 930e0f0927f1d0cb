// SPDX-License-Identifier: MPL-2.0

package launch

import (
	"context"

	"github.com/skybroker/terraform-provider-sky/internal/broker/bringup"
	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// remove removes an attempt's machines and rules and observes them gone. It
// returns the ids of the survivors with an error.
func (l *launch) remove(ctx context.Context, u *bringup.BringUp) (survivors []string, err error) {
	ctx, cancel := teardown.Detached(ctx, l.down.Cleanup)
	defer cancel()
	if !u.Asked {
		l.removeRules(ctx, u)
		return nil, nil
	}
	ref := u.Ref()
	ref.Zone = "" // nothing of this generation may live between two attempts, and rules are shared by a region
	r := l.down.Removal(u.Session, ref, u.Created)
	r.Certain = u.Definite
	r.ListedBy = u.ListedBy()
	l.note(ctx, journal.Entry{Event: journal.EventRemoving, Generation: l.gen, Attempt: u.Number, Instances: u.Created})
	if survivors, err = r.Do(ctx); err != nil {
		return survivors, err
	}
	l.note(ctx, journal.Entry{Event: journal.EventRemoved, Generation: l.gen, Attempt: u.Number})
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
func (l *launch) removeRules(ctx context.Context, u *bringup.BringUp) {
	if err := u.Session.CleanupPorts(ctx, u.Ref()); err != nil {
		l.log.WarnContext(ctx, "firewall rules and keys are left behind", "placement", u.Placement.String(), "error", err)
		return
	}
	l.note(ctx, journal.Entry{Event: journal.EventRemoved, Generation: l.gen, Attempt: u.Number})
}

// wreck is what goes into state when a removal failed: enough to try again,
// where the survivors are. Of late ones in several places those of the first
// are; the journal has the others.
func (l *launch) wreck(ctx context.Context, u *bringup.BringUp, survivors []string, late []clouds.Machines) cluster.Cluster {
	c := u.Known(u.Before)
	if len(late) > 0 {
		c, survivors = u.Known(l.draft(l.placementOf(late[0]), u.Started)), clouds.IDs(late[0].Alive)
		c.Generation = late[0].Generation
	}
	c.Account, c.LaunchedBy = "", ""
	if s, err := l.down.Clouds.Open(ctx, c.Cloud); err == nil {
		c.Account = s.Account
	}
	c.Status, c.StatusReason = cluster.StatusDegraded, "a failed launch could not be removed"
	known := map[string]cluster.Node{}
	for _, n := range u.Cluster.Nodes {
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
