// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"strings"
	"sync"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
)

// bucket lets calls pass at a rate, after a burst.
type bucket struct {
	every time.Duration
	burst int
	mu    sync.Mutex
	next  time.Time
}

// wait blocks until the call may pass or ctx ends.
func (b *bucket) wait(ctx context.Context) error {
	b.mu.Lock()
	now := time.Now()
	if full := now.Add(-time.Duration(b.burst) * b.every); b.next.Before(full) {
		b.next = full
	}
	b.next = b.next.Add(b.every)
	due := b.next.Sub(now)
	b.mu.Unlock()
	if due <= 0 {
		return nil
	}
	timer := time.NewTimer(due)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// limits keep a region's calls below what EC2 grants an account by default,
// so that many clusters in one apply wait for each other instead of being
// throttled. EC2 counts launches, other changes and looks apart.
type limits struct {
	launch, change, look *bucket
}

func newLimits() *limits {
	return &limits{
		launch: &bucket{every: 500 * time.Millisecond, burst: 5},
		change: &bucket{every: 200 * time.Millisecond, burst: 50},
		look:   &bucket{every: 50 * time.Millisecond, burst: 100},
	}
}

func (l *limits) of(operation string) *bucket {
	switch {
	case operation == "RunInstances" || operation == "StartInstances":
		return l.launch
	case strings.HasPrefix(operation, "Describe") || strings.HasPrefix(operation, "Get"):
		return l.look
	default:
		return l.change
	}
}

// install puts the limits behind the retryer, so that repeated tries count.
func (l *limits) install(stack *middleware.Stack) error {
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("SkyLimits",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			if err := l.of(awsmiddleware.GetOperationName(ctx)).wait(ctx); err != nil {
				return middleware.FinalizeOutput{}, middleware.Metadata{}, err
			}
			return next.HandleFinalize(ctx, in)
		}), "Retry", middleware.After)
}
