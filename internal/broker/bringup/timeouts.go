// SPDX-License-Identifier: MPL-2.0

package bringup

import (
	"time"
)

// Timeouts bound the steps of a launch that the caller's context does not
// bound more tightly.
type Timeouts struct {
	// Boot bounds one attempt from the create call to running machines (15 min).
	Boot time.Duration
	// SSH bounds the wait for SSH on every node after that (10 min).
	SSH time.Duration
	// Cleanup bounds the removal of a failed or cancelled attempt; it runs
	// detached from the caller's cancellation (10 min).
	Cleanup time.Duration
	// Gone is the pause between two looks before absence is believed (2 s).
	Gone time.Duration
	// ListDelay is how long after a create call a machine may exist that no list
	// shows yet (20 s).
	ListDelay time.Duration
	// Margin is added to the caller's deadline for the dead-man timer (15 min).
	Margin time.Duration
}

// WithDefaults are the timeouts with the defaults for those that are zero.
func (t Timeouts) WithDefaults() Timeouts {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&t.Boot, 15*time.Minute)
	def(&t.SSH, 10*time.Minute)
	def(&t.Cleanup, 10*time.Minute)
	def(&t.Gone, 2*time.Second)
	def(&t.ListDelay, 20*time.Second)
	def(&t.Margin, 15*time.Minute)
	return t
}
