// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNotFound says that what was asked for is positively not there. Drivers
// wrap it; it is an answer about life and death, not a launch fault.
var ErrNotFound = errors.New("not found")

// ErrSpent says that the machine of an Identity existed and is gone, so that
// the cloud's idempotency would answer a create with the dead machine. Run
// wraps it; a node of that rank needs an Identity with a higher Attempt.
var ErrSpent = errors.New("the machine of this identity is gone already; its rank needs a new attempt")

// Kind says what sort of trouble an error is.
type Kind string

// The kinds of trouble. The zero value reads as KindUnknown.
const (
	KindCapacity  Kind = "capacity"
	KindQuota     Kind = "quota"
	KindAuth      Kind = "auth"
	KindConfig    Kind = "config"
	KindTransient Kind = "transient"
	KindUnknown   Kind = "unknown"
)

// Scope says how far the trouble reaches.
type Scope string

// The scopes of trouble, narrow to wide.
const (
	ScopeZone   Scope = "zone"
	ScopeRegion Scope = "region"
	ScopeCloud  Scope = "cloud"
)

// Fault is a kind times a scope; it decides what is blocked and what is retried.
type Fault struct {
	Kind  Kind
	Scope Scope
}

// String returns "capacity (zone)".
func (f Fault) String() string { return fmt.Sprintf("%s (%s)", f.Kind, f.Scope) }

// Error is a driver's error with its meaning, what was being done and where.
type Error struct {
	Fault     Fault
	Op        string
	Placement Placement
	Err       error
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %s: %v", e.Op, e.Placement, e.Fault, e.Err)
}

// Unwrap returns the driver's error.
func (e *Error) Unwrap() error { return e.Err }

// ExtraNodesError says that the cloud has more machines of a cluster than were
// asked for: a leak, or somebody else's work. Nothing is deleted for it.
type ExtraNodesError struct {
	Cluster string
	Want    int
	Extra   []string
}

// Error implements error.
func (e *ExtraNodesError) Error() string {
	return fmt.Sprintf("cluster %q has machines beyond the %d asked for: %s",
		e.Cluster, e.Want, strings.Join(e.Extra, ", "))
}
