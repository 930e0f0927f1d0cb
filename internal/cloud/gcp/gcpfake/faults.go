// SPDX-License-Identifier: MPL-2.0

package gcpfake

import (
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

// Fault makes calls go wrong.
type Fault struct {
	// Method is the id of a method, such as compute.instances.insert; "*" is any.
	Method string
	// Skip calls pass before the first that fails; Times fail, 0 is all.
	Skip, Times int
	// Code, Message and Hint end the operation with an error, after an answer
	// that says all is well.
	Code, Message, Hint string
	// Status and Reason answer with an error instead. After the effect, where
	// Late is set: the call works, and its answer says that it did not.
	Status int
	Reason string
	Late   bool
	// LoseAnswer does what was asked and closes the connection.
	LoseAnswer bool
	// Slow makes the operation take longer.
	Slow time.Duration
	// Unaddressed lets a machine run that long before it has its external address.
	Unaddressed time.Duration
	// Silent answers well and changes no metadata.
	Silent bool
	// Match, where set, must be part of the path.
	Match string
}

// Inject adds a fault; the function takes it back.
func (c *Cloud) Inject(f Fault) (remove func()) {
	rule := fakekit.Fault{
		Call: f.Method, Match: f.Match, Skip: f.Skip, Times: f.Times, Late: f.Late, Lose: f.LoseAnswer,
		After: func() {
			if c.begun != nil {
				c.spoil(c.begun, &f)
			}
		},
	}
	if f.Status != 0 {
		rule.Refuse = fakekit.Refusef(f.Status, f.Reason, "%s", f.Message)
	}
	return c.Kit.Inject(rule)
}
