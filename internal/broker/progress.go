// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
)

// sayEvery is how often a long wait says that it goes on.
const sayEvery = 15 * time.Second

// phase is a part of a long operation, from one percentage to another.
type phase struct {
	from, to int
	// waiting is what is waited for, for the log.
	waiting string
	// bound is how long it may take; 0 is not known.
	bound time.Duration
}

// progress is a phase under way. Its methods may be called by several
// goroutines; those of a nil one do nothing.
type progress struct {
	phase
	log   *slog.Logger
	now   func() time.Time
	begun time.Time
	total int

	mu   sync.Mutex // also over what is said, so that it never goes back
	done int
}

// begin says what is waited for, now and every so often until end is called.
// of is how many things are to be done, 0 where there is nothing to count.
func (b *Broker) begin(ctx context.Context, log *slog.Logger, ph phase, of int) (p *progress, end func()) {
	p = &progress{phase: ph, log: log, now: b.cfg.Now, begun: b.cfg.Now(), total: of}
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

// one counts one of the things to be done.
func (p *progress) one(ctx context.Context) {
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
func (p *progress) percent() int {
	share := 0.0
	switch {
	case p.total > 0:
		share = float64(p.done) / float64(p.total)
	case p.bound > 0:
		share = min(float64(p.now().Sub(p.begun))/float64(p.bound), 0.9)
	}
	return p.from + int(share*float64(p.to-p.from))
}

func (p *progress) say(ctx context.Context) {
	args := []any{"progress", fmt.Sprintf("%d%%", p.percent()), "waiting_for", p.waiting}
	if p.total > 0 {
		args = append(args, "done", fmt.Sprintf("%d of %d", p.done, p.total))
	}
	if waited := p.now().Sub(p.begun).Round(time.Second); waited > 0 {
		args = append(args, "waited", waited)
	}
	if p.bound > 0 {
		args = append(args, "at_most", p.bound)
	}
	p.log.InfoContext(ctx, "waiting", args...)
}

// logged runs an operation on a cluster whose beginning, waits and end are in
// the cluster's provision.log.
func (b *Broker) logged(ctx context.Context, f statedir.Folder, doing string, bound time.Duration, op func() error) error {
	log, closeLog, err := f.OpenLog()
	if err != nil { // no reason to leave machines as they are
		b.log.WarnContext(ctx, "the cluster's log cannot be written", "cluster", f.Name, "error", err)
		log, closeLog = b.log.With("cluster", f.Name), func() {}
	}
	defer closeLog()
	begun := b.cfg.Now()
	_, end := b.begin(ctx, log, phase{0, 100, doing, bound}, 0)
	err = op()
	end()
	took := b.cfg.Now().Sub(begun).Round(time.Millisecond)
	if err != nil {
		log.ErrorContext(ctx, "failed", "doing", doing, "took", took, "error", err)
		return err
	}
	log.InfoContext(ctx, "done", "doing", doing, "took", took, "progress", "100%")
	return nil
}
