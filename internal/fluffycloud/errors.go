// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"fmt"
	"net/http"
)

// apiError is an answer that says no.
type apiError struct {
	Status     int    `json:"status"`
	Code       string `json:"code"`
	Message    string `json:"message"`
	RetryAfter int    `json:"retry_after_s,omitempty"`
}

// Error implements error.
func (e *apiError) Error() string { return e.Code + ": " + e.Message }

func apiErrorf(status int, code, format string, args ...any) *apiError {
	return &apiError{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func notFound(what, id string) *apiError {
	return apiErrorf(http.StatusNotFound, "not_found", "there is no %s %q", what, id)
}

func conflict(format string, args ...any) *apiError {
	return apiErrorf(http.StatusConflict, "conflict", format, args...)
}

// invalid names the field that is wrong.
func invalid(field, format string, args ...any) *apiError {
	return apiErrorf(http.StatusBadRequest, "invalid_parameter", "%s: %s", field, fmt.Sprintf(format, args...))
}

// defaultStatus is the status an error code usually comes with.
func defaultStatus(code string) int {
	switch code {
	case "unauthorized":
		return http.StatusUnauthorized
	case "forbidden", "quota_exceeded":
		return http.StatusForbidden
	case "not_found":
		return http.StatusNotFound
	case "conflict", "in_use", "idempotency_mismatch":
		return http.StatusConflict
	case "invalid_parameter", "price_too_low":
		return http.StatusBadRequest
	case "rate_limited":
		return http.StatusTooManyRequests
	case "insufficient_capacity", "unavailable":
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
