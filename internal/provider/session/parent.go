// SPDX-License-Identifier: MPL-2.0

package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
)

// parentPoll is how often the parent process is looked at.
const parentPoll = time.Second

// ErrParentGone is why operations end when Terraform was killed.
var ErrParentGone = errors.New("the Terraform process that asked for this is gone")

// WhileParentLives is watchParent for the process that started this one, where
// the system can tell.
func WhileParentLives(ctx context.Context, ops *Operations, gone func()) context.Context {
	if !canWatchParent {
		return ctx
	}
	return outlive(watchParent(ctx, orphanWatch(), parentPoll, ops, gone))
}

// watchParent cancels the returned context once orphan says that the parent has
// died: nobody will keep what is launched from then on. It asks at once, since a
// CLI may be killed before the provider that it started does anything. It then
// waits for running operations, which clean up on their own deadlines, and calls
// gone. It ends with ctx.
func watchParent(ctx context.Context, orphan func() bool, poll time.Duration, ops *Operations, gone func()) context.Context {
	root, cancel := context.WithCancelCause(ctx)
	go func() {
		ticker := time.NewTicker(poll)
		defer ticker.Stop()
		for !orphan() {
			select {
			case <-ctx.Done():
				cancel(context.Cause(ctx))
				return
			case <-ticker.C:
			}
		}
		cancel(ErrParentGone)
		ops.wait()
		gone()
	}()
	return root
}

// Operations counts what is running, so that a dying process waits for it, and
// knows what is to be done at the end of one that Terraform ends in good order.
type Operations struct {
	running sync.WaitGroup

	mu   sync.Mutex
	ends []func(context.Context)
}

// NewOperations counts from zero.
func NewOperations() *Operations { return &Operations{} }

func (o *Operations) wait() { o.running.Wait() }

// atEnd has f called at the end of the process.
func (o *Operations) atEnd(f func(context.Context)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ends = append(o.ends, f)
}

// End is called once Terraform has taken all results and has hung up.
func (o *Operations) End(ctx context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.ends {
		f(ctx)
	}
}

// Begin binds an operation to the process's life: the context ends when
// Terraform cancels, when its timeout passes, and when Terraform is gone.
func (d *Session) Begin(ctx context.Context, timeout time.Duration) (context.Context, func()) {
	d.Ops.running.Add(1)
	ctx, stop := context.WithCancelCause(ctx)
	unbind := context.AfterFunc(d.Root, func() { stop(context.Cause(d.Root)) })
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, TimeoutError{timeout})
	return ctx, func() {
		cancel()
		unbind()
		stop(nil)
		d.Ops.running.Done()
	}
}

// Within is begin with a bound that the attribute timeouts sets, else with the
// other one. A bound that is no duration is an error that the caller returns on.
func (d *Session) Within(
	ctx context.Context, bound func(context.Context, time.Duration) (time.Duration, diag.Diagnostics), otherwise time.Duration, to *diag.Diagnostics,
) (context.Context, func()) {
	timeout, diags := bound(ctx, otherwise)
	to.Append(diags...)
	return d.Begin(ctx, timeout)
}

// TimeoutError says which bound was hit and how to raise it.
type TimeoutError struct{ after time.Duration }

func (e TimeoutError) Error() string {
	return "the time allowed has passed (" + e.after.String() + "); the timeouts attribute can raise it"
}
