// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"errors"
	"fmt"
	"net"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// ConfigError is a request that cannot work as configured, as far as Scope goes.
type ConfigError struct {
	Scope cloud.Scope
	Text  string
}

// ConfigErrorf returns a ConfigError.
func ConfigErrorf(scope cloud.Scope, format string, args ...any) error {
	return &ConfigError{Scope: scope, Text: fmt.Sprintf(format, args...)}
}

// Error implements error.
func (e *ConfigError) Error() string { return e.Text }

// Fault is what it means.
func (e *ConfigError) Fault() cloud.Fault { return cloud.Fault{Kind: cloud.KindConfig, Scope: e.Scope} }

// AuthError says what is wrong with the credentials and what would help.
type AuthError struct {
	Advice string
	Err    error
}

// Error implements error.
func (e *AuthError) Error() string { return e.Advice + " (" + e.Err.Error() + ")" }

// Unwrap returns the cloud's error, or the library's.
func (e *AuthError) Unwrap() error { return e.Err }

// Fault is what it means.
func (*AuthError) Fault() cloud.Fault {
	return cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}
}

// MachineError says that a machine is in a state from which it cannot get to
// the one waited for.
type MachineError struct {
	ID    string
	Rank  int
	State cloud.State
	// Reason is what the cloud says of it, where it says anything.
	Reason string
	Want   cloud.State
}

// Error implements error.
func (e *MachineError) Error() string {
	text := fmt.Sprintf("machine %s (rank %d) is %s and will not become %s", e.ID, e.Rank, e.State, e.Want)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// IsUnreachable reports that no connection could be made.
func IsUnreachable(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
