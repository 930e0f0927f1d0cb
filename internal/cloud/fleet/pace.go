// SPDX-License-Identifier: MPL-2.0

package fleet

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

	mu   sync.Mutex
	next time.Time
}

// Wait blocks until the call may pass or ctx ends.
func (p *Pace) Wait(ctx context.Context) error {
	if p == nil {
		return nil
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
