// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cloud.google.com/go/auth"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// Codes that the driver itself acts upon.
const (
	codeExists   = "alreadyExists"
	codeExistsOp = "RESOURCE_ALREADY_EXISTS"
	codeGoneOp   = "RESOURCE_NOT_FOUND"
)

// OperationError is how an operation ended that was accepted and then failed:
// where Compute Engine says that it has no capacity, or no quota left.
type OperationError struct {
	// Name and Type are the operation's; Target is the name of what it was done to.
	Name, Type, Target string
	Status             int
	Causes             []Cause
}

// Cause is one reason for the failure of an operation.
type Cause struct {
	Code    string
	Message string
	// Hint is what Compute Engine says to people, where that is more.
	Hint string
}

// Error implements error.
func (e *OperationError) Error() string {
	parts := make([]string, 0, len(e.Causes))
	for _, c := range e.Causes {
		text := c.Code
		if c.Message != "" {
			text += ": " + c.Message
		}
		if c.Hint != "" && c.Hint != c.Message {
			text += " (" + c.Hint + ")"
		}
		parts = append(parts, text)
	}
	return fmt.Sprintf("%s of %s failed: %s [operation %s]", e.Type, e.Target, strings.Join(parts, "; "), e.Name)
}

// operationFailure is the error of an operation that is done, nil for success.
func operationFailure(op *compute.Operation) error {
	if op.Error == nil && op.HttpErrorStatusCode == 0 {
		return nil
	}
	e := &OperationError{Name: op.Name, Type: op.OperationType, Target: lastPart(op.TargetLink), Status: int(op.HttpErrorStatusCode)}
	if op.Error != nil {
		for _, cause := range op.Error.Errors {
			c := Cause{Code: cause.Code, Message: cause.Message}
			for _, d := range cause.ErrorDetails {
				if d.LocalizedMessage != nil {
					c.Hint = d.LocalizedMessage.Message
				}
			}
			e.Causes = append(e.Causes, c)
		}
	}
	if len(e.Causes) == 0 {
		e.Causes = []Cause{{Code: http.StatusText(e.Status), Message: op.HttpErrorMessage}}
	}
	return e
}

// causesOf are the codes and messages of an answer or an operation, the most
// telling first.
func causesOf(err error) []Cause {
	var (
		op  *OperationError
		api *googleapi.Error
	)
	switch {
	case errors.As(err, &op):
		return op.Causes
	case errors.As(err, &api):
		var out []Cause
		for _, item := range api.Errors {
			out = append(out, Cause{Code: item.Reason, Message: item.Message})
		}
		for _, d := range api.Details {
			if m, ok := d.(map[string]any); ok {
				if reason, ok := m["reason"].(string); ok {
					out = append(out, Cause{Code: reason, Message: api.Message})
				}
			}
		}
		return out
	}
	return nil
}

func statusOf(err error) int {
	var (
		op  *OperationError
		api *googleapi.Error
	)
	switch {
	case errors.As(err, &op):
		return op.Status
	case errors.As(err, &api):
		return api.Code
	}
	return 0
}

func hasCode(err error, codes ...string) bool {
	return slices.ContainsFunc(causesOf(err), func(c Cause) bool { return slices.Contains(codes, c.Code) })
}

// isNotFound reports that Compute Engine itself says that a thing is not there.
// A bare 404 may be a proxy's, and proves nothing.
func isNotFound(err error) bool {
	return (statusOf(err) == http.StatusNotFound && hasCode(err, "notFound")) || hasCode(err, codeGoneOp)
}

// Classify implements cloud.Provisioner.
func (*driver) Classify(err error) cloud.Fault { return classify(err) }

func classify(err error) cloud.Fault {
	var (
		badAuth *fleet.AuthError
		config  *fleet.ConfigError
		machine *fleet.MachineError
		token   *auth.Error
	)
	switch {
	case errors.As(err, &badAuth):
		return badAuth.Fault()
	case errors.As(err, &config):
		return config.Fault()
	case errors.As(err, &machine):
		return reasonFault(machine.Reason)
	case len(causesOf(err)) > 0 || statusOf(err) != 0:
		return classifyAnswer(err)
	case errors.As(err, &token) && !token.Temporary():
		return cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}
	case fleet.IsUnreachable(err):
		return cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeCloud}
	case fleet.IsTransport(err) || token != nil:
		return cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}
	}
	return cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
}

// classifyAnswer reads the table, and for codes it does not know the status.
func classifyAnswer(err error) cloud.Fault {
	causes := causesOf(err)
	for _, row := range faultTable() {
		if slices.ContainsFunc(causes, row.matches) {
			return row.fault
		}
	}
	for _, row := range statusTable() {
		if statusOf(err) == row.status {
			return row.fault
		}
	}
	if statusOf(err) >= http.StatusInternalServerError {
		return cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}
	}
	return cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
}

func reasonFault(reason string) cloud.Fault {
	for _, row := range reasonTable() {
		if strings.Contains(strings.ToLower(reason), row.text) {
			return row.fault
		}
	}
	return cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
}

// isTransient reports whether a later call may fare better.
func isTransient(err error) bool { return classify(err).Kind == cloud.KindTransient }

// isPassing reports whether the very same call may fare better in a moment.
func isPassing(err error) bool {
	var op *OperationError
	if errors.As(err, &op) || fleet.IsUnreachable(err) || !isTransient(err) {
		return false
	}
	status := statusOf(err)
	return status == 0 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout ||
		status >= http.StatusInternalServerError || status == http.StatusForbidden // a rate limit
}

// isRefused reports that a launch definitely made nothing.
func isRefused(err error) bool {
	var op *OperationError
	status := statusOf(err)
	return errors.As(err, &op) || (status >= 400 && status < 500 && status != http.StatusRequestTimeout)
}

// asStopped finds the error of a machine that is stopped, or on the way.
func asStopped(err error, target **fleet.MachineError) bool {
	return errors.As(err, target) && ((*target).State == cloud.StateStopped || (*target).State == cloud.StateStopping)
}
