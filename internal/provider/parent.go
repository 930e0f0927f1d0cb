// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
)

// parentPoll is how often the parent process is looked at.
const parentPoll = time.Second

// errParentGone is why operations end when Terraform was killed.
var errParentGone = errors.New("the Terraform process that asked for this is gone")

// whileParentLives is watchParent for the process that started this one, where
// the system can tell.
func whileParentLives(ctx context.Context, ops *operations, gone func()) context.Context {
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
func watchParent(ctx context.Context, orphan func() bool, poll time.Duration, ops *operations, gone func()) context.Context {
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
		cancel(errParentGone)
		ops.wait()
		gone()
	}()
	return root
}

// operations counts what is running, so that a dying process waits for it, and
// knows what is to be done at the end of one that Terraform ends in good order.
type operations struct {
	running sync.WaitGroup

	mu   sync.Mutex
	ends []func(context.Context)
}

func newOperations() *operations { return &operations{} }

func (o *operations) wait() { o.running.Wait() }

// atEnd has f called at the end of the process.
func (o *operations) atEnd(f func(context.Context)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ends = append(o.ends, f)
}

// end is called once Terraform has taken all results and has hung up.
func (o *operations) end(ctx context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.ends {
		f(ctx)
	}
}

// begin binds an operation to the process's life: the context ends when
// Terraform cancels, when its timeout passes, and when Terraform is gone.
func (d *providerData) begin(ctx context.Context, timeout time.Duration) (context.Context, func()) {
	d.ops.running.Add(1)
	ctx, stop := context.WithCancelCause(ctx)
	unbind := context.AfterFunc(d.root, func() { stop(context.Cause(d.root)) })
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, timeoutError{timeout})
	return ctx, func() {
		cancel()
		unbind()
		stop(nil)
		d.ops.running.Done()
	}
}

// within is begin with a bound that the attribute timeouts sets, else with the
// other one. A bound that is no duration is an error that the caller returns on.
func (d *providerData) within(
	ctx context.Context, bound func(context.Context, time.Duration) (time.Duration, diag.Diagnostics), otherwise time.Duration, to *diag.Diagnostics,
) (context.Context, func()) {
	timeout, diags := bound(ctx, otherwise)
	to.Append(diags...)
	return d.begin(ctx, timeout)
}

// timeoutError says which bound was hit and how to raise it.
type timeoutError struct{ after time.Duration }

func (e timeoutError) Error() string {
	return "the time allowed has passed (" + e.after.String() + "); the timeouts attribute can raise it"
}
