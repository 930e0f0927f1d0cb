// SPDX-License-Identifier: MPL-2.0

package bringup

import (
	"context"
	"time"
)

// deadline is when an uncommitted machine removes itself: later than everything
// that may still be done with it, the clean-up included. Launches is how long those
// of all machines take, where they are paced.
func (m Maker) deadline(ctx context.Context, launches time.Duration) time.Time {
	t := m.Timeouts
	if d, ok := ctx.Deadline(); ok {
		return d.Add(t.margin()).UTC().Truncate(time.Second)
	}
	return m.Reach.Now().Add(launches + 2*t.Boot + t.SSH + setupAllowance + t.margin()).UTC().Truncate(time.Second)
}

// setupAllowance is how long setup may take where the caller sets no deadline.
const setupAllowance = time.Hour

// margin is what the dead-man timer leaves between the end of an attempt and
// the end of its machines: time to finish a call that is under way and to
// clean up.
func (t Timeouts) margin() time.Duration {
	return max(t.Margin, graceAfterCancel+t.ListDelay+t.Cleanup)
}
