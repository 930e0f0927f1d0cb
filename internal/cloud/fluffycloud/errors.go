// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
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

// apiError is an error the server answered with.
type apiError struct {
	Status    int
	Code      string
	Message   string
	RequestID string
	// Call is the method and path of the request.
	Call string
}

// Error implements error.
func (e *apiError) Error() string {
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
func (e *apiError) Is(target error) bool {
	return target == cloud.ErrNotFound && e.Code == codeNotFound
}

func hasCode(err error, code string) bool { return table().HasCode(err, code) }

// unlessDone is the error of a change. That a thing is gone already, there
// already or on its way there is none: the next look tells.
func unlessDone(err error) error {
	if hasCode(err, codeConflict) || hasCode(err, codeNotFound) {
		return nil
	}
	return err
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

// Fault is what it means: neither launches nor removals wait for a way in.
func (e *goneError) Fault() cloud.Fault { return noWayIn() }

func noWayIn() cloud.Fault { return cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud} }

// table is read top down: texts first, since a server may report trouble with
// capacity or quota under a general code.
func table() fleet.Table {
	return fleet.Table{
		Rows: slices.Concat(
			fleet.Rows(cloud.KindAuth, cloud.ScopeCloud, codeUnauthorized, codeForbidden),
			fleet.Rows(cloud.KindCapacity, cloud.ScopeZone, codeNoCapacity, codePriceTooLow),
			fleet.Rows(cloud.KindQuota, cloud.ScopeRegion, codeQuotaExceeded),
			fleet.TextRows(cloud.KindQuota, cloud.ScopeRegion, "quota", codeInternal, codeInvalid),
			fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, "capacity", codeInternal, codeUnavailable, codeInvalid),
			fleet.Rows(cloud.KindConfig, cloud.ScopeRegion, codeInvalid, codeNotFound),
			fleet.Rows(cloud.KindTransient, cloud.ScopeZone, codeRateLimited, codeInternal, codeUnavailable),
			fleet.Rows(cloud.KindTransient, cloud.ScopeRegion, codeInUse),
			fleet.Rows(cloud.KindUnknown, cloud.ScopeZone, codeConflict, codeMismatch),
			[]fleet.Row{{Status: http.StatusNotFound, Fault: cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}}},
		),
		Reasons: slices.Concat(
			fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, "preempt", ""), fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, "price", ""),
			fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, "capacity", ""), fleet.TextRows(cloud.KindTransient, cloud.ScopeZone, "host", ""),
		),
		Read: func(err error) []fleet.Answer {
			var api *apiError
			if !errors.As(err, &api) {
				return nil
			}
			return []fleet.Answer{{Code: api.Code, Message: api.Message, Status: api.Status}}
		},
		Unreachable: cloud.ScopeCloud,
	}
}

// Classify implements cloud.Provisioner.
func (*driver) Classify(err error) cloud.Fault { return classify(err) }

func classify(err error) cloud.Fault {
	if isStranger(err) {
		return noWayIn()
	}
	return table().Classify(err)
}

// isTransient reports whether a later call may succeed.
func isTransient(err error) bool { return classify(err).Kind == cloud.KindTransient }
