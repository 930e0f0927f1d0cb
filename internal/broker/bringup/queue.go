// SPDX-License-Identifier: MPL-2.0

package bringup

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Queue is the create calls that are under way. On a cloud that takes launches one
// after another all of a process wait for one another, and a call must not fail for
// the time that the others need.
type Queue struct {
	mu    sync.Mutex
	calls map[string][]*createCall
}

// createCall is one of them. Need is the time its own launches take, end when it
// has taken too long.
type createCall struct {
	need, limit time.Duration
	end         time.Time
	timer       *time.Timer
}

// extend gives a call more time.
func (c *createCall) extend(by time.Duration) {
	c.limit, c.end = c.limit+by, c.end.Add(by)
}

// bound is a context that ends once a create call on the cloud takes longer than
// usual, beside what its launches need and those of every call that is under way at
// the same time, also of one that comes later.
func (q *Queue) bound(parent context.Context, cloudName string, need, usual time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	own := &createCall{need: need, limit: usual + need, end: time.Now().Add(usual + need)}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, other := range q.calls[cloudName] {
		own.extend(other.need)
		other.extend(need)
	}
	if q.calls == nil {
		q.calls = map[string][]*createCall{}
	}
	q.calls[cloudName] = append(q.calls[cloudName], own)
	own.timer = time.AfterFunc(own.limit, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if left := time.Until(own.end); left > 0 {
			own.timer.Reset(left)
			return
		}
		cancel(fmt.Errorf("the machines were not made after %s: %w", own.limit, context.DeadlineExceeded))
	})
	return ctx, func() {
		cancel(context.Canceled)
		q.mu.Lock()
		defer q.mu.Unlock()
		own.timer.Stop()
		q.calls[cloudName] = slices.DeleteFunc(q.calls[cloudName], func(c *createCall) bool { return c == own })
	}
}
