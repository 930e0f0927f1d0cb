// SPDX-License-Identifier: MPL-2.0

package teardown

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Detached returns a context that an interrupt does not reach, with a deadline
// of its own: clean-up must come to an end, not be cut short.
func Detached(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.WithoutCancel(ctx), d, fmt.Errorf("clean-up took longer than %s", d))
}

// Removal removes the machines of a ref.
type Removal struct {
	Session cloud.Session
	Ref     cloud.ClusterRef
	// Known are ids the cloud once answered; they are removed by id too, since
	// a list may lag behind.
	Known []string
	// Certain says that nothing can arrive late, so that one look is enough.
	Certain bool
	// ListedBy is when a machine that nobody has named would be listed at last.
	ListedBy time.Time
	// Unfinished are those of Known that go only as long as they are not committed.
	Unfinished []string
	// KeepRules leaves firewall rules and keys: the cluster goes on living.
	KeepRules bool
	// Gone is the pause between two looks.
	Gone time.Duration
	Now  func() time.Time
}

// RemovePolicy paces the attempts at a removal; the context bounds them.
func RemovePolicy() retry.Policy {
	return retry.Policy{Initial: 500 * time.Millisecond, Max: 15 * time.Second}
}

// Do removes, as often as its context allows, until the absence is observed. It
// returns the survivors with an error.
func (r Removal) Do(ctx context.Context) (survivors []string, err error) {
	err = retry.Do(ctx, RemovePolicy(), func(ctx context.Context) error {
		err := r.once(ctx)
		if kind := r.Session.Classify(err).Kind; err != nil && kind == cloud.KindAuth {
			return retry.Stop(err)
		}
		return err
	})
	if err == nil {
		return nil, nil
	}
	look, cancel := Detached(ctx, 30*time.Second)
	defer cancel()
	return r.survivors(look), err
}

func (r Removal) once(ctx context.Context) error {
	if err := r.stillUnfinished(ctx); err != nil {
		return err
	}
	if len(r.Known) > 0 {
		byID := r.Ref
		byID.Instances = r.Known
		if err := r.Session.Terminate(ctx, byID); err != nil {
			return fmt.Errorf("terminate %v: %w", r.Known, err)
		}
	}
	if err := r.Session.Terminate(ctx, r.Ref); err != nil {
		return fmt.Errorf("terminate: %w", err)
	}
	if err := r.absent(ctx); err != nil {
		return err
	}
	if r.KeepRules {
		return nil
	}
	if err := r.Session.CleanupPorts(ctx, r.Ref); err != nil {
		return fmt.Errorf("clean up firewall rules and keys: %w", err)
	}
	return nil
}

// stillUnfinished refuses to remove what was committed meanwhile, and no repetition changes that. It
// looks right before machines are removed, and again before each further try.
func (r Removal) stillUnfinished(ctx context.Context) error {
	if len(r.Unfinished) == 0 {
		return nil
	}
	ref := r.Ref
	ref.Instances = r.Unfinished
	left, err := r.Session.Query(ctx, ref)
	if err != nil {
		return fmt.Errorf("look whether the launch came to its end: %w", err)
	}
	left = slices.DeleteFunc(left, func(i cloud.Instance) bool { return !i.Committed })
	if len(left) > 0 {
		return retry.Stop(fmt.Errorf("the launch came to its end meanwhile and committed %s, so no more is removed", clouds.IDText(left)))
	}
	return nil
}

// absent believes in absence after one look where nothing can arrive late,
// else after two with a pause, which lasts until everything would be listed.
func (r Removal) absent(ctx context.Context) error {
	for look := range 2 {
		if look == 1 {
			if r.Certain {
				return nil
			}
			if err := retry.Pause(ctx, max(r.Gone, r.ListedBy.Sub(r.Now()))); err != nil {
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
func (r Removal) look(ctx context.Context) ([]string, error) {
	left, err := r.Session.Query(ctx, r.Ref)
	if err != nil {
		return nil, err
	}
	if len(r.Known) > 0 {
		byID := r.Ref
		byID.Instances = r.Known
		named, err := r.Session.Query(ctx, byID)
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
func (r Removal) survivors(ctx context.Context) []string {
	left, err := r.look(ctx)
	if err != nil {
		return r.Known
	}
	return left
}

// StillAlive is the error of a removal that did not come to its end. None are
// named where it was cut off before it could see any.
func StillAlive(survivors []string, err error) error {
	if len(survivors) == 0 {
		return fmt.Errorf("what is left is not known: %w", err)
	}
	return fmt.Errorf("still alive: %v: %w", survivors, err)
}
