// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// detached returns a context that an interrupt does not reach, with a deadline
// of its own: clean-up must come to an end, not be cut short.
func detached(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.WithoutCancel(ctx), d, fmt.Errorf("clean-up took longer than %s", d))
}

// remove removes the attempt's machines and rules and observes them gone. It
// returns the ids of the survivors with an error.
func (a *attempt) remove(ctx context.Context) (survivors []string, err error) {
	ctx, cancel := detached(ctx, a.cfg.Timeouts.Cleanup)
	defer cancel()
	session, err := a.session(ctx, a.placement.Offer.Cloud)
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
	r := a.removal(session, ref, a.created)
	r.certain = a.definite
	if !a.lostAnswer.IsZero() {
		r.settled = a.lostAnswer.Add(a.cfg.Timeouts.Settle)
	}
	a.note(ctx, journal.Entry{Event: journal.EventRemoving, Generation: a.gen, Attempt: a.number, Instances: a.created})
	if survivors, err = r.do(ctx); err != nil {
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

// removal is the removal of the machines of ref and of those ids.
func (b *Broker) removal(session cloud.Session, ref cloud.ClusterRef, known []string) removal {
	return removal{session: session, ref: ref, known: known, gone: b.cfg.Timeouts.Gone, now: b.cfg.Now}
}

// removal removes the machines of a ref.
type removal struct {
	session cloud.Session
	ref     cloud.ClusterRef
	// known are ids the cloud once answered; they are removed by id too, since
	// a list may lag behind.
	known []string
	// certain says that nothing can arrive late, so that one look is enough.
	certain bool
	// settled is when a machine that nobody has named would be listed at last.
	settled time.Time
	// unfinished are those of known that go only as long as they are not committed.
	unfinished []string
	// keepRules leaves firewall rules and keys: the cluster goes on living.
	keepRules bool
	// gone is the pause between two looks.
	gone time.Duration
	now  func() time.Time
}

// removePolicy paces the attempts at a removal; the context bounds them.
func removePolicy() retry.Policy {
	return retry.Policy{Initial: 500 * time.Millisecond, Max: 15 * time.Second}
}

func (r removal) do(ctx context.Context) (survivors []string, err error) {
	err = retry.Do(ctx, removePolicy(), func(ctx context.Context) error {
		err := r.once(ctx)
		if kind := r.session.Classify(err).Kind; err != nil && kind == cloud.KindAuth {
			return retry.Stop(err)
		}
		return err
	})
	if err == nil {
		return nil, nil
	}
	look, cancel := detached(ctx, 30*time.Second)
	defer cancel()
	return r.survivors(look), err
}

func (r removal) once(ctx context.Context) error {
	if err := r.stillUnfinished(ctx); err != nil {
		return err
	}
	if len(r.known) > 0 {
		byID := r.ref
		byID.Instances = r.known
		if err := r.session.Terminate(ctx, byID); err != nil {
			return fmt.Errorf("terminate %v: %w", r.known, err)
		}
	}
	if err := r.session.Terminate(ctx, r.ref); err != nil {
		return fmt.Errorf("terminate: %w", err)
	}
	if err := r.absent(ctx); err != nil {
		return err
	}
	if r.keepRules {
		return nil
	}
	if err := r.session.CleanupPorts(ctx, r.ref); err != nil {
		return fmt.Errorf("clean up firewall rules and keys: %w", err)
	}
	return nil
}

// stillUnfinished refuses, for good, to remove what was committed meanwhile. It
// looks right before machines are removed, and again before each further try.
func (r removal) stillUnfinished(ctx context.Context) error {
	if len(r.unfinished) == 0 {
		return nil
	}
	ref := r.ref
	ref.Instances = r.unfinished
	left, err := r.session.Query(ctx, ref)
	if err != nil {
		return fmt.Errorf("look whether the launch came to its end: %w", err)
	}
	left = slices.DeleteFunc(left, func(i cloud.Instance) bool { return !i.Committed })
	if len(left) > 0 {
		return retry.Stop(fmt.Errorf("the launch came to its end meanwhile and committed %s, so no more is removed", ids(left)))
	}
	return nil
}

// absent believes in absence after one look where nothing can arrive late,
// else after two with a pause, which lasts until everything has settled.
func (r removal) absent(ctx context.Context) error {
	for look := range 2 {
		if look == 1 {
			if r.certain {
				return nil
			}
			if err := retry.Pause(ctx, max(r.gone, r.settled.Sub(r.now()))); err != nil {
				return err
			}
		}
		left, err := r.look(ctx)
		if err != nil {
			return fmt.Errorf("look for survivors: %w", err)
		}
		if len(left) > 0 {
			return fmt.Errorf("%d machines are still listed, %s first", len(left), left[0])
		}
	}
	return nil
}

// look lists the ids that are alive, by tags and by id.
func (r removal) look(ctx context.Context) ([]string, error) {
	left, err := r.session.Query(ctx, r.ref)
	if err != nil {
		return nil, err
	}
	if len(r.known) > 0 {
		byID := r.ref
		byID.Instances = r.known
		named, err := r.session.Query(ctx, byID)
		if err != nil {
			return nil, err
		}
		left = append(left, named...)
	}
	found := make([]string, 0, len(left))
	for _, inst := range left {
		if !slices.Contains(found, inst.ID) {
			found = append(found, inst.ID)
		}
	}
	return found, nil
}

// survivors lists what is alive, as well as that can be known: what cannot be
// asked for is taken to live.
func (r removal) survivors(ctx context.Context) []string {
	left, err := r.look(ctx)
	if err != nil {
		return r.known
	}
	return left
}

// wreck is what goes into state when a removal failed: enough to try again,
// where the survivors are. Of late ones in several places those of the first
// are; the journal has the others.
func (a *attempt) wreck(ctx context.Context, survivors []string, late []found) cluster.Cluster {
	c := a.newCluster("")
	if len(late) > 0 {
		c, survivors = a.insteadAt(late[0]).newCluster(""), idsOf(late[0].alive)
		c.Generation = late[0].generation
	}
	if s, err := a.session(ctx, c.Cloud); err == nil {
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
