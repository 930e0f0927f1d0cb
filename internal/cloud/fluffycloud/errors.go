// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// The API's error codes.
const (
	codeUnauthorized  = "unauthorized"
	codeForbidden     = "forbidden"
	codeNotFound      = "not_found"
	codeConflict      = "conflict"
	codeInUse         = "in_use"
	codeMismatch      = "idempotency_mismatch"
	codeInvalid       = "invalid_parameter"
	codeNoCapacity    = "insufficient_capacity"
	codeQuotaExceeded = "quota_exceeded"
	codePriceTooLow   = "price_too_low"
	codeRateLimited   = "rate_limited"
	codeInternal      = "internal"
	codeUnavailable   = "unavailable"
)

// APIError is an error the server answered with.
type APIError struct {
	Status    int
	Code      string
	Message   string
	RequestID string
	// Call is the method and path of the request.
	Call string
}

// Error implements error.
func (e *APIError) Error() string {
	code := e.Code
	if code == "" {
		code = strings.ToLower(http.StatusText(e.Status))
	}
	text := fmt.Sprintf("%s: %s (HTTP %d)", e.Call, code, e.Status)
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.RequestID != "" {
		text += " [request " + e.RequestID + "]"
	}
	return text
}

// Is makes not_found answers match cloud.ErrNotFound. A 404 without the API's
// own code may be anybody's, and proves nothing.
func (e *APIError) Is(target error) bool {
	return target == cloud.ErrNotFound && e.Code == codeNotFound
}

func hasCode(err error, code string) bool {
	var api *APIError
	return errors.As(err, &api) && api.Code == code
}

// protocolError is an answer that is not the API's.
type protocolError struct {
	call string
	what string
}

func (e *protocolError) Error() string { return e.call + ": not a FluffyCloud answer: " + e.what }

// goneError is the end of the provider's own server that could not be undone.
// Waiting mends nothing: its text says what stands in the way.
type goneError struct{ err error }

func (e *goneError) Error() string { return e.err.Error() }
func (e *goneError) Unwrap() error { return e.err }

// faultRow gives the meaning of an error. Empty fields match anything; the
// first row that matches counts.
type faultRow struct {
	code   string
	status int
	text   string // part of the lower-case message
	fault  cloud.Fault
}

// faultTable is read top down: texts first, since a server may report trouble
// with capacity or quota under a general code.
func faultTable() []faultRow {
	fault := func(k cloud.Kind, s cloud.Scope) cloud.Fault { return cloud.Fault{Kind: k, Scope: s} }
	return []faultRow{
		{code: codeUnauthorized, fault: fault(cloud.KindAuth, cloud.ScopeCloud)},
		{code: codeForbidden, fault: fault(cloud.KindAuth, cloud.ScopeCloud)},
		{code: codeNoCapacity, fault: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{code: codePriceTooLow, fault: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{code: codeQuotaExceeded, fault: fault(cloud.KindQuota, cloud.ScopeRegion)},
		{code: codeInternal, text: "quota", fault: fault(cloud.KindQuota, cloud.ScopeRegion)},
		{code: codeInternal, text: "capacity", fault: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{code: codeUnavailable, text: "capacity", fault: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{code: codeInvalid, text: "quota", fault: fault(cloud.KindQuota, cloud.ScopeRegion)},
		{code: codeInvalid, text: "capacity", fault: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{code: codeInvalid, fault: fault(cloud.KindConfig, cloud.ScopeRegion)},
		{code: codeNotFound, fault: fault(cloud.KindConfig, cloud.ScopeRegion)},
		{code: codeRateLimited, fault: fault(cloud.KindTransient, cloud.ScopeZone)},
		{code: codeInternal, fault: fault(cloud.KindTransient, cloud.ScopeZone)},
		{code: codeUnavailable, fault: fault(cloud.KindTransient, cloud.ScopeZone)},
		{code: codeInUse, fault: fault(cloud.KindTransient, cloud.ScopeRegion)},
		{code: codeConflict, fault: fault(cloud.KindUnknown, cloud.ScopeZone)},
		{code: codeMismatch, fault: fault(cloud.KindUnknown, cloud.ScopeZone)},
		{status: http.StatusUnauthorized, fault: fault(cloud.KindAuth, cloud.ScopeCloud)},
		{status: http.StatusForbidden, fault: fault(cloud.KindAuth, cloud.ScopeCloud)},
		{status: http.StatusNotFound, fault: fault(cloud.KindConfig, cloud.ScopeRegion)},
		{status: http.StatusTooManyRequests, fault: fault(cloud.KindTransient, cloud.ScopeZone)},
		{status: http.StatusRequestTimeout, fault: fault(cloud.KindTransient, cloud.ScopeZone)},
		{status: http.StatusInternalServerError, fault: fault(cloud.KindTransient, cloud.ScopeZone)},
		{status: http.StatusBadGateway, fault: fault(cloud.KindTransient, cloud.ScopeZone)},
		{status: http.StatusServiceUnavailable, fault: fault(cloud.KindTransient, cloud.ScopeZone)},
		{status: http.StatusGatewayTimeout, fault: fault(cloud.KindTransient, cloud.ScopeZone)},
	}
}

func (r faultRow) matches(e *APIError) bool {
	if r.code != "" && r.code != e.Code {
		return false
	}
	if r.status != 0 && r.status != e.Status {
		return false
	}
	return strings.Contains(strings.ToLower(e.Message), r.text)
}

// reasonTable says what the end of a machine means, by part of its reason.
func reasonTable() []faultRow {
	return []faultRow{
		{text: "preempt", fault: cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}},
		{text: "price", fault: cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}},
		{text: "capacity", fault: cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}},
		{text: "host", fault: cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}},
	}
}

// Classify implements cloud.Provisioner.
func (*driver) Classify(err error) cloud.Fault { return classify(err) }

func classify(err error) cloud.Fault {
	var (
		api     *APIError
		machine *fleet.MachineError
		config  *fleet.ConfigError
		price   *priceError
		gone    *goneError
	)
	switch {
	case errors.As(err, &api):
		return classifyAPI(api)
	case isStranger(err), errors.As(err, &gone): // neither launches nor removals wait for a way in
		return cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}
	case errors.As(err, &machine):
		for _, row := range reasonTable() {
			if strings.Contains(strings.ToLower(machine.Reason), row.text) {
				return row.fault
			}
		}
	case errors.As(err, &config):
		return config.Fault()
	case errors.As(err, &price):
		return cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}
	case fleet.IsUnreachable(err):
		return cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeCloud}
	case fleet.IsTransport(err):
		return cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}
	}
	return cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
}

func classifyAPI(e *APIError) cloud.Fault {
	for _, row := range faultTable() {
		if row.matches(e) {
			return row.fault
		}
	}
	if e.Status >= http.StatusInternalServerError {
		return cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}
	}
	return cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
}

// isTransient reports whether a later call may fare better.
func isTransient(err error) bool { return classify(err).Kind == cloud.KindTransient }
