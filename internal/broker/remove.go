// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
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
		return nil, a.journal.append(entry{Event: eventRemoved, Generation: a.gen, Attempt: a.number})
	}
	removal := removal{session: session, ref: a.ref(a.placement), known: a.created, certain: a.definite, gone: a.cfg.Timeouts.Gone}
	if err := a.journal.append(entry{Event: eventRemoving, Generation: a.gen, Attempt: a.number, Instances: a.created}); err != nil {
		a.log.ErrorContext(ctx, "the journal cannot be written; removing all the same", "error", err)
	}
	if survivors, err = removal.do(ctx); err != nil {
		return survivors, err
	}
	return nil, a.journal.append(entry{Event: eventRemoved, Generation: a.gen, Attempt: a.number})
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
	// keepRules leaves firewall rules and keys: the cluster goes on living.
	keepRules bool
	// gone is the pause between two looks.
	gone time.Duration
}

// removePolicy paces the attempts at a removal; the context bounds them.
func removePolicy() retry.Policy {
	return retry.Policy{Initial: 500 * time.Millisecond, Max: 15 * time.Second, Jitter: 0.2}
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

// absent believes in absence after one look where nothing can arrive late,
// else after two with a pause.
func (r removal) absent(ctx context.Context) error {
	for look := range 2 {
		if look == 1 {
			if r.certain {
				return nil
			}
			if err := pause(ctx, r.gone); err != nil {
				return err
			}
		}
		left, err := r.session.Query(ctx, r.ref)
		if err != nil {
			return fmt.Errorf("look for survivors: %w", err)
		}
		if len(left) > 0 {
			return fmt.Errorf("%d machines are still listed, %s first", len(left), left[0].ID)
		}
	}
	return nil
}

// survivors lists what is alive, as well as that can be known.
func (r removal) survivors(ctx context.Context) []string {
	left, err := r.session.Query(ctx, r.ref)
	if err != nil {
		return r.known
	}
	ids := make([]string, 0, len(left))
	for _, inst := range left {
		ids = append(ids, inst.ID)
	}
	return ids
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wreck is what goes into state when a removal failed: enough to try again.
func (a *attempt) wreck(ctx context.Context, survivors []string) Cluster {
	c := a.newCluster("")
	if s, err := a.session(ctx, c.Cloud); err == nil {
		c.Account = s.Account
	}
	c.Status, c.StatusReason = StatusDegraded, "a failed launch could not be removed"
	known := map[string]Node{}
	for _, n := range a.cluster.Nodes {
		known[n.InstanceID] = n
	}
	for i, id := range survivors {
		n, ok := known[id]
		if !ok {
			n = Node{Rank: i, InstanceID: id, State: cloud.StateUnknown}
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
