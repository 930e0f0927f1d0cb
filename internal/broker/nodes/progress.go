// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// sayEvery is how often a long wait says that it goes on.
const sayEvery = 15 * time.Second

// Phase is a part of a long operation, from one percentage to another.
type Phase struct {
	From, To int
	// Waiting is what is waited for, for the log.
	Waiting string
	// Bound is how long it may take; 0 is not known.
	Bound time.Duration
}

// Progress is a phase under way. Its methods may be called by several
// goroutines; those of a nil one do nothing.
type Progress struct {
	Phase
	log   *slog.Logger
	now   func() time.Time
	begun time.Time
	total int

	mu   sync.Mutex // also over what is said, so that it never goes back
	done int
}

// Begin says what is waited for, now and every so often until end is called.
// of is how many things are to be done, 0 where there is nothing to count.
func Begin(ctx context.Context, log *slog.Logger, now func() time.Time, ph Phase, of int) (p *Progress, end func()) {
	p = &Progress{Phase: ph, log: log, now: now, begun: now(), total: of}
	p.say(ctx)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(sayEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.mu.Lock()
				p.say(ctx)
				p.mu.Unlock()
			case <-stop:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return p, func() {
		close(stop)
		<-stopped
	}
}

// One counts one of the things to be done.
func (p *Progress) One(ctx context.Context) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	p.say(ctx)
}

// percent is how far the operation is: by what was counted, else by the time
// that is gone, which never reaches the end of the phase.
func (p *Progress) percent() int {
	share := 0.0
	switch {
	case p.total > 0:
		share = float64(p.done) / float64(p.total)
	case p.Bound > 0:
		share = min(float64(p.now().Sub(p.begun))/float64(p.Bound), 0.9)
	}
	return p.From + int(share*float64(p.To-p.From))
}

func (p *Progress) say(ctx context.Context) {
	args := []any{"progress", fmt.Sprintf("%d%%", p.percent()), "waiting_for", p.Waiting}
	if p.total > 0 {
		args = append(args, "done", fmt.Sprintf("%d of %d", p.done, p.total))
	}
	if waited := p.now().Sub(p.begun).Round(time.Second); waited > 0 {
		args = append(args, "waited", waited)
	}
	if p.Bound > 0 {
		args = append(args, "at_most", p.Bound)
	}
	p.log.InfoContext(ctx, "waiting", args...)
}
