// SPDX-License-Identifier: MPL-2.0

package memcloud

import (
	"errors"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// What the cloud answers when it does not do as asked.
var (
	ErrCapacity = errors.New("503 insufficient capacity")
	ErrQuota    = errors.New("403 the quota is used up")
	ErrConfig   = errors.New("400 invalid parameter")
	ErrTimeout  = errors.New("the connection broke before an answer")
	ErrServer   = errors.New("500 internal error")
	ErrThrottle = errors.New("429 slow down")
	ErrAuth     = errors.New("401 the key has expired")
	ErrInUse    = errors.New("409 in use")
	// ErrForbidden is known to no table.
	ErrForbidden = errors.New("no permission to do that")
)

// Rows are the errors with their meaning, as the driver classifies them.
func Rows() map[error]cloud.Fault {
	return map[error]cloud.Fault{
		ErrCapacity: {Kind: cloud.KindCapacity, Scope: cloud.ScopeZone},
		ErrQuota:    {Kind: cloud.KindQuota, Scope: cloud.ScopeRegion},
		ErrAuth:     {Kind: cloud.KindAuth, Scope: cloud.ScopeCloud},
		ErrConfig:   {Kind: cloud.KindConfig, Scope: cloud.ScopeRegion},
		ErrTimeout:  {Kind: cloud.KindTransient, Scope: cloud.ScopeZone},
		ErrServer:   {Kind: cloud.KindTransient, Scope: cloud.ScopeZone},
		ErrThrottle: {Kind: cloud.KindTransient, Scope: cloud.ScopeZone},
		ErrInUse:    {Kind: cloud.KindTransient, Scope: cloud.ScopeZone},
	}
}

// Classify says what an error of this cloud means.
func Classify(err error) cloud.Fault {
	for is, fault := range Rows() {
		if errors.Is(err, is) {
			return fault
		}
	}
	return cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
}

// Fault is one piece of trouble: at the calls of the API, or, with Method, at
// the driver itself.
type Fault struct {
	// Method is one of the driver's, such as "run": it fails once it is called,
	// or with Applied when it is done, and nothing repeats it.
	Method string
	// Phase is the driver's method within which a call of the API fails, Op the
	// call, Zone the machine's; an empty one is any.
	Phase, Op, Zone string
	// Skip calls pass first; Times calls fail, 0 is all.
	Skip, Times int
	// Err is what the call answers; nil lets it answer as it would.
	Err error
	// Applied lets the call take effect although Err is answered.
	Applied bool
	// Late lets a create take effect that long after Err is answered.
	Late time.Duration
	// Twice makes two machines of one create.
	Twice bool
	// Silent answers success and does nothing.
	Silent bool
	// Empty answers a list without machines, or a get with not found.
	Empty bool
	// Vanish ends the machines of that rank before the call; -1 is all.
	Vanish *int
	// Cut takes all machines off the network for that long, before the call.
	Cut time.Duration
	// Dies lets a machine that was created end before it runs, for lack of capacity.
	Dies bool
	// Unaddressed lets a created machine run for that long before it has an address.
	Unaddressed time.Duration
	// Hook runs before the call; it may cancel contexts or clear faults.
	Hook func()
}

// matches reports whether the fault is one of this call.
func (f *Fault) matches(method, phase, op, zone string) bool {
	if f.Times < 0 || f.Method != method || (f.Zone != "" && f.Zone != zone) {
		return false
	}
	return method != "" || ((f.Phase == "" || f.Phase == phase) && (f.Op == "" || f.Op == op))
}

// strike reports whether the fault strikes a call that it matches.
func (f *Fault) strike() bool {
	switch {
	case f.Skip > 0:
		f.Skip--
		return false
	case f.Times == 1:
		f.Times = -1 // used up
	case f.Times > 1:
		f.Times--
	}
	return true
}

// match takes the first fault for a call.
func (s *Cloud) match(method, phase, op, zone string) *Fault {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	for _, f := range s.Faults {
		if f.matches(method, phase, op, zone) && f.strike() {
			return f
		}
	}
	return nil
}
