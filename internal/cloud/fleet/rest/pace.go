// SPDX-License-Identifier: MPL-2.0

package rest

import (
	"context"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Pace lets calls pass at a rate, after a burst. A nil one lets all pass.
type Pace struct {
	// Every is the time between two calls, Burst how many may pass at once after a
	// pause; 0 is one.
	Every time.Duration
	Burst int
	// Also is a wider pace, which the calls of this one keep as well. They pass one
	// at a time then, without a burst, and Every counts from when one passed both.
	Also *Pace

	mu   sync.Mutex
	next time.Time
	turn chan struct{}
}

// Wait blocks until the call may pass or ctx ends.
func (p *Pace) Wait(ctx context.Context) error {
	switch {
	case p == nil:
		return nil
	case p.Also != nil:
		return p.both(ctx)
	}
	p.mu.Lock()
	now := time.Now()
	if full := now.Add(-time.Duration(max(p.Burst, 1)) * p.Every); p.next.Before(full) {
		p.next = full
	}
	p.next = p.next.Add(p.Every)
	due := p.next.Sub(now)
	p.mu.Unlock()
	if due <= 0 {
		return nil
	}
	return retry.Pause(ctx, due)
}

// both is Wait for what keeps two paces: its turn lasts until it passed both.
func (p *Pace) both(ctx context.Context) error {
	p.mu.Lock()
	if p.turn == nil {
		p.turn = make(chan struct{}, 1)
	}
	p.mu.Unlock()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if due := time.Until(p.next); due > 0 {
		if err := retry.Pause(ctx, due); err != nil {
			return err
		}
	}
	if err := p.Also.Wait(ctx); err != nil {
		return err
	}
	p.next = time.Now().Add(p.Every)
	return nil
}
