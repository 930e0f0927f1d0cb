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

// Codes that the driver itself handles.
const (
	codeExists   = "alreadyExists"
	codeExistsOp = "RESOURCE_ALREADY_EXISTS"
	codeGoneOp   = "RESOURCE_NOT_FOUND"
	// What becomes of tokens has no codes of Google's.
	codeTokenRefused = "token refused"
	codeTokenLater   = "token later"
)

// operationError is how an operation ended that was accepted and then failed:
// where Compute Engine says that it has no capacity, or no quota left.
type operationError struct {
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
func (e *operationError) Error() string {
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
	e := &operationError{Name: op.Name, Type: op.OperationType, Target: lastPart(op.TargetLink), Status: int(op.HttpErrorStatusCode)}
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

// answersOf are the codes and messages of an answer, an operation or a refused
// token, the most telling first.
func answersOf(err error) []fleet.Answer {
	var (
		op    *operationError
		api   *googleapi.Error
		token *auth.Error
		out   []fleet.Answer
	)
	switch {
	case errors.As(err, &op):
		for _, c := range op.Causes {
			out = append(out, fleet.Answer{Code: c.Code, Message: c.Message, Status: op.Status})
		}
	case errors.As(err, &api):
		for _, item := range api.Errors {
			out = append(out, fleet.Answer{Code: item.Reason, Message: item.Message, Status: api.Code})
		}
		for _, d := range api.Details {
			if m, ok := d.(map[string]any); ok {
				if reason, ok := m["reason"].(string); ok {
					out = append(out, fleet.Answer{Code: reason, Message: api.Message, Status: api.Code})
				}
			}
		}
		if len(out) == 0 {
			out = append(out, fleet.Answer{Status: api.Code})
		}
	case errors.As(err, &token) && token.Temporary():
		return []fleet.Answer{{Code: codeTokenLater}}
	case errors.As(err, &token):
		return []fleet.Answer{{Code: codeTokenRefused}}
	}
	return out
}

func statusOf(err error) int {
	if answers := answersOf(err); len(answers) > 0 {
		return answers[0].Status
	}
	return 0
}

// isNotFound reports that Compute Engine itself says that a thing is not there.
// A bare 404 may be a proxy's, and proves nothing.
func isNotFound(err error) bool {
	return (statusOf(err) == http.StatusNotFound && table().HasCode(err, "notFound")) || table().HasCode(err, codeGoneOp)
}

// unlessGone is the error of a removal; that there is nothing to remove is none.
func unlessGone(err error) error {
	if isNotFound(err) {
		return nil
	}
	return err
}

// isPassing reports whether the same call may succeed in a moment.
func isPassing(err error) bool {
	var op *operationError
	if errors.As(err, &op) || fleet.IsUnreachable(err) || classify(err).Kind != cloud.KindTransient {
		return false
	}
	status := statusOf(err)
	return status == 0 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout ||
		status >= http.StatusInternalServerError || status == http.StatusForbidden // a rate limit
}

// unreachableError says that a listing is not whole.
type unreachableError struct{ scope, message string }

func (e *unreachableError) Error() string { return e.scope + " does not answer: " + e.message }

// Fault makes it trouble that passes.
func (e *unreachableError) Fault() cloud.Fault {
	return cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}
}

// Classify implements cloud.Provisioner.
func (*driver) Classify(err error) cloud.Fault { return classify(err) }

func classify(err error) cloud.Fault { return table().Classify(err) }

// table says what the codes of operations, in capitals, and of answers mean.
func table() fleet.Table {
	return fleet.Table{
		Rows:    slices.Concat(capacityCodes(), quotaCodes(), authCodes(), configCodes(), transientCodes(), otherCodes()),
		Reasons: reasonRows(), Read: answersOf, Unreachable: cloud.ScopeCloud,
	}
}

func capacityCodes() []fleet.Row {
	rows := fleet.Rows(cloud.KindCapacity, cloud.ScopeZone,
		"ZONE_RESOURCE_POOL_EXHAUSTED", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "RESOURCE_POOL_EXHAUSTED",
		"insufficientCapacity", "VM_MIN_COUNT_NOT_REACHED", "resourcePoolExhausted", "zoneResourcePoolExhausted")
	// A spot machine that was taken back while it was made.
	rows = append(rows, fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, "preempted", "UNSUPPORTED_OPERATION")...)
	return append(rows, fleet.Rows(cloud.KindCapacity, cloud.ScopeRegion,
		"IP_SPACE_EXHAUSTED", "IP_SPACE_EXHAUSTED_WITH_DETAILS", "REGION_RESOURCE_POOL_EXHAUSTED")...)
}

// quotaCodes: most quotas are a region's, those of all regions are the cloud's.
func quotaCodes() []fleet.Row {
	names := []string{"QUOTA_EXCEEDED", "quotaExceeded", "QUOTA_EXCEEDED_WITH_DETAILS"}
	rows := fleet.TextRows(cloud.KindQuota, cloud.ScopeCloud, "_all_regions", names...)
	rows = append(rows, fleet.TextRows(cloud.KindQuota, cloud.ScopeCloud, "globally", names...)...)
	return append(rows, fleet.Rows(cloud.KindQuota, cloud.ScopeRegion, append(names, "limitExceeded", "LIMIT_EXCEEDED")...)...)
}

func authCodes() []fleet.Row {
	return fleet.Rows(cloud.KindAuth, cloud.ScopeCloud,
		"authError", "required", "expired", "forbidden", "insufficientPermissions", "PERMISSION_DENIED", "PERMISSIONS_ERROR", "IAM_PERMISSION_DENIED",
		"ACCESS_TOKEN_SCOPE_INSUFFICIENT", "ACCESS_TOKEN_EXPIRED", "ACCESS_TOKEN_TYPE_UNSUPPORTED", "CREDENTIALS_MISSING",
		"accessNotConfigured", "SERVICE_DISABLED", "billingNotEnabled", "BILLING_DISABLED", "projectNotFound", "userProjectMissing", "USER_PROJECT_DENIED")
}

func configCodes() []fleet.Row {
	// A type that a zone does not have; others of the region may.
	var rows []fleet.Row
	for _, text := range []string{"machinetype", "machine type", "acceleratortype", "accelerator type", "disktype"} {
		rows = append(rows, fleet.TextRows(cloud.KindConfig, cloud.ScopeZone, text, "invalid", "INVALID_FIELD_VALUE", codeGoneOp, "notFound", "badRequest", "INVALID_USAGE", "INVALID_ARGUMENT")...)
	}
	// "[n4-standard-2, pd-standard] features are not compatible for creating instance."
	rows = append(rows, fleet.TextRows(cloud.KindConfig, cloud.ScopeRegion, "not compatible", "badRequest", "invalid", "INVALID_FIELD_VALUE", "INVALID_USAGE", "INVALID_ARGUMENT")...)
	rows = append(rows, fleet.Rows(cloud.KindConfig, cloud.ScopeRegion,
		"notFound", codeGoneOp, "SUBNET_NOT_FOUND_FOR_VPC", "UNSUPPORTED_OPERATION", "resourceNotFound")...)
	rows = append(rows, fleet.TextRows(cloud.KindConfig, cloud.ScopeCloud, "constraint", "conditionNotMet", "CONDITION_NOT_MET")...)
	return append(rows, fleet.Rows(cloud.KindConfig, cloud.ScopeCloud,
		"invalid", "INVALID_FIELD_VALUE", "INVALID_USAGE", "INVALID_ARGUMENT", "badRequest", "parseError", "invalidParameter",
		"fieldNotMutable", "VPC_NOT_FOUND", "orgPolicyViolation", "ORG_POLICY_VIOLATED", "uploadTooLarge")...)
}

func transientCodes() []fleet.Row {
	rows := fleet.TextRows(cloud.KindTransient, cloud.ScopeZone, "fingerprint", "conditionNotMet", "CONDITION_NOT_MET")
	rows = append(rows, fleet.Rows(cloud.KindTransient, cloud.ScopeZone,
		"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_OPERATION_RATE_EXCEEDED", "operationInProgress",
		"backendError", "internalError", "INTERNAL_ERROR", "RESOURCE_NOT_READY", "resourceNotReady", "TIMEOUT", "serviceUnavailable", "SERVICE_UNAVAILABLE",
		"OPERATION_CANCELED_BY_USER")...)
	return append(rows, fleet.Rows(cloud.KindTransient, cloud.ScopeRegion,
		"resourceInUseByAnotherResource", "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE")...)
}

func otherCodes() []fleet.Row {
	// Some machine or rule of this name is there, and is not ours.
	rows := fleet.Rows(cloud.KindUnknown, cloud.ScopeZone, codeExists, codeExistsOp)
	rows = append(rows, fleet.Rows(cloud.KindAuth, cloud.ScopeCloud, codeTokenRefused)...)
	rows = append(rows, fleet.Rows(cloud.KindTransient, cloud.ScopeZone, codeTokenLater)...)
	return append(rows, // where no code tells more
		fleet.Row{Status: http.StatusNotFound, Fault: cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}},
		fleet.Row{Status: http.StatusBadRequest, Fault: cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeCloud}})
}

// reasonRows say what the end of a machine means, by part of its reason.
func reasonRows() []fleet.Row {
	passes := cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}
	return []fleet.Row{
		{Text: "preempted", Fault: cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}},
		{Text: "host error", Fault: passes},
		{Text: "host maintenance", Fault: passes},
		{Text: "terminateonhostmaintenance", Fault: passes},
	}
}
