// SPDX-License-Identifier: MPL-2.0

// Package retry repeats calls with growing pauses, for as long as a context
// allows and not a moment longer.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Policy says how often and how fast to repeat. The zero value repeats without
// a bound on attempts, from 200 ms up to 5 s, doubling.
type Policy struct {
	Initial time.Duration
	Max     time.Duration
	Factor  float64
	// Jitter is the part of a pause, 0 to 1, that is random.
	Jitter float64
	// Attempts bounds the calls; 0 is no bound but the context's.
	Attempts int
}

func (p Policy) withDefaults() Policy {
	if p.Initial <= 0 {
		p.Initial = 200 * time.Millisecond
	}
	if p.Max <= 0 {
		p.Max = 5 * time.Second
	}
	if p.Factor < 1 {
		p.Factor = 2
	}
	return p
}

// permanent marks an error that repeating cannot cure.
type permanent struct{ err error }

func (p *permanent) Error() string { return p.err.Error() }
func (p *permanent) Unwrap() error { return p.err }

// Stop marks err as permanent: Do and Poll return the bare err at once.
func Stop(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

// Do calls f until it succeeds, returns a Stop error, runs out of attempts or
// ctx ends. In the last case the error holds both the context's and the last one.
func Do(ctx context.Context, policy Policy, f func(context.Context) error) error {
	return Poll(ctx, policy, func(ctx context.Context) (bool, error) {
		err := f(ctx)
		return err == nil, err
	})
}

// Poll calls f until it reports done. An error counts as not done yet, unless
// it is marked with Stop; attempts and ctx bound it as in Do.
func Poll(ctx context.Context, policy Policy, f func(context.Context) (done bool, err error)) error {
	policy = policy.withDefaults()
	pause := policy.Initial
	var last error
	for attempt := 1; ; attempt++ {
		if ctx.Err() != nil {
			return ended(ctx, last)
		}
		done, err := f(ctx)
		if p := (*permanent)(nil); errors.As(err, &p) {
			return p.err
		}
		if done {
			return nil
		}
		if err != nil && (ctx.Err() == nil || !errors.Is(err, context.Cause(ctx))) { // what the end broke says nothing new
			last = err
		}
		if policy.Attempts > 0 && attempt >= policy.Attempts {
			if last == nil {
				return fmt.Errorf("not done after %d attempts", attempt)
			}
			return last
		}
		if !sleep(ctx, policy.jittered(pause)) {
			return ended(ctx, last)
		}
		pause = min(time.Duration(float64(pause)*policy.Factor), policy.Max)
	}
}

func (p Policy) jittered(d time.Duration) time.Duration {
	if p.Jitter <= 0 {
		return d
	}
	return time.Duration(float64(d) * (1 - p.Jitter*rand.Float64())) //nolint:gosec // spreads load; no secret depends on it
}

func ended(ctx context.Context, last error) error {
	if last == nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w (last: %w)", context.Cause(ctx), last)
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Pause waits for so long, or until the context ends, and returns its cause then.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
