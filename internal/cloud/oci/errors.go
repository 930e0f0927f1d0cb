// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/common"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/rest"
)

// Codes that the driver acts upon.
const (
	codeSpent    = "InvalidatedRetryToken"
	codeNotFound = "NotAuthorizedOrNotFound"
	codeChanged  = "NoEtagMatch"
)

// The text of an error, and of a failed work request, that says there is no room.
const noRoomText = "out of host capacity"

// apiError is what Oracle answered, on one line; the SDK's own text has eight, with
// advice about support.
type apiError struct {
	status                 int
	code, message, request string
}

func (e *apiError) Error() string {
	text := fmt.Sprintf("%d %s: %s", e.status, e.code, e.message)
	if e.request != "" {
		text += " (opc-request-id " + e.request + ")"
	}
	return text
}

const maxQuote = 500

// plain takes the error of the SDK apart, where it is an answer of Oracle's.
func plain(err error) error {
	var failure common.ServiceError
	if !errors.As(err, &failure) {
		return err
	}
	message := strings.Join(strings.Fields(strings.ToValidUTF8(failure.GetMessage(), "")), " ")
	if len(message) > maxQuote {
		message = strings.ToValidUTF8(message[:maxQuote], "") + "..."
	}
	return &apiError{failure.GetHTTPStatusCode(), failure.GetCode(), message, failure.GetOpcRequestID()}
}

// noRoomError says that Oracle has no room, by its report before a launch.
type noRoomError struct{ text string }

func (e *noRoomError) Error() string { return e.text }

// Fault is what it means.
func (*noRoomError) Fault() cloud.Fault {
	return cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}
}

// unsettledError is a launch that was refused after an earlier try of it got no
// definite answer, so that a machine may be there.
type unsettledError struct{ first, last error }

func (e *unsettledError) Error() string {
	return e.last.Error() + ", after a try whose outcome is not known: " + e.first.Error()
}

// Fault is what it means.
func (*unsettledError) Fault() cloud.Fault {
	return cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}
}

// notAllowedError is a change that Oracle answers as if there were nothing to change,
// though it shows what is to be changed.
type notAllowedError struct {
	err  error
	what string
}

func (e *notAllowedError) Error() string {
	return "the user may see " + e.what + " and not change it: allow his group to manage instance-family and virtual-network-family in the compartment: " + e.err.Error()
}

func (e *notAllowedError) Unwrap() error { return e.err }

// Fault is what it means.
func (*notAllowedError) Fault() cloud.Fault {
	return cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}
}

func readError(err error) []fleet.Answer {
	var e *apiError
	if !errors.As(err, &e) {
		return nil
	}
	return []fleet.Answer{{Code: e.code, Message: e.message, Status: e.status}}
}

// table says what Oracle's errors mean. Most codes are general, so that rows which
// look at the text come first.
func table() fleet.Table {
	noRoom := slices.Concat(
		fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, noRoomText, ""),
		fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, "outofhostcapacity", ""),
	)
	return fleet.Table{
		Rows: slices.Concat(
			noRoom,
			fleet.Rows(cloud.KindCapacity, cloud.ScopeZone, "OutOfHostCapacity", "OutOfCapacity"),
			fleet.TextRows(cloud.KindQuota, cloud.ScopeRegion, "regional-count", "LimitExceeded"),
			fleet.Rows(cloud.KindQuota, cloud.ScopeZone, "LimitExceeded"),
			fleet.Rows(cloud.KindQuota, cloud.ScopeRegion, "QuotaExceeded"),
			fleet.Rows(cloud.KindAuth, cloud.ScopeCloud, "NotAuthenticated", "NotAuthorized", "SignUpRequired"),
			fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, "shape", codeNotFound, "NotFound"),
			fleet.Rows(cloud.KindAuth, cloud.ScopeRegion, codeNotFound, "NotFound"),
			fleet.Rows(cloud.KindTransient, cloud.ScopeZone, "IncorrectState", "LockConflict", "Conflict", "TooManyRequests", "ExternalServerIncorrectState", codeChanged),
			fleet.TextRows(cloud.KindConfig, cloud.ScopeRegion, "shape", "InvalidParameter"),
			fleet.TextRows(cloud.KindConfig, cloud.ScopeRegion, "image", "InvalidParameter"),
			fleet.Rows(cloud.KindConfig, cloud.ScopeCloud, "InvalidParameter", "CannotParseRequest", "MissingParameter"),
		),
		Reasons: slices.Concat(noRoom,
			fleet.TextRows(cloud.KindQuota, cloud.ScopeZone, "limitexceeded", ""),
			fleet.TextRows(cloud.KindQuota, cloud.ScopeRegion, "quotaexceeded", "")),
		Read:        readError,
		Unreachable: cloud.ScopeRegion,
	}
}

// Classify implements fleet.Calls.
func (*driver) Classify(err error) cloud.Fault { return table().Classify(err) }

// isPassing reports that the same call may work in a moment. What is in a state
// that does not fit is for fleet to look at again.
func isPassing(err error) bool {
	var e *apiError
	if errors.As(err, &e) {
		return e.status == http.StatusTooManyRequests ||
			e.status >= http.StatusInternalServerError && table().Classify(err).Kind == cloud.KindTransient
	}
	return rest.IsTransport(err)
}

// isNotFound reports that Oracle knows nothing of what was asked for by its id, or
// says so to who may not see it.
func isNotFound(err error) bool {
	var e *apiError
	return errors.As(err, &e) && e.status == http.StatusNotFound && e.code != ""
}

// joined lists words for people.
func joined(words []string) string {
	words = slices.Sorted(slices.Values(words))
	return strings.Join(words, ", ")
}
