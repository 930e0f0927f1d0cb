// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"net/http"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// faultRow gives the meaning of a code: an operation's, in capitals, or an
// answer's reason. A row with a text applies only where the lower-case message
// holds it. The first row that any cause matches counts.
type faultRow struct {
	code  string
	text  string
	fault cloud.Fault
}

func (r faultRow) matches(c Cause) bool {
	return r.code == c.Code && strings.Contains(strings.ToLower(c.Message), r.text)
}

// codes makes rows of one meaning.
func codes(kind cloud.Kind, scope cloud.Scope, names ...string) []faultRow {
	rows := make([]faultRow, 0, len(names))
	for _, n := range names {
		rows = append(rows, faultRow{code: n, fault: cloud.Fault{Kind: kind, Scope: scope}})
	}
	return rows
}

// withText makes rows of one code, told apart by their messages.
func withText(kind cloud.Kind, scope cloud.Scope, text string, names ...string) []faultRow {
	rows := codes(kind, scope, names...)
	for i := range rows {
		rows[i].text = text
	}
	return rows
}

// faultTable says what the codes of operations and answers mean.
func faultTable() []faultRow {
	var all []faultRow
	for _, rows := range [][]faultRow{capacityCodes(), quotaCodes(), authCodes(), configCodes(), transientCodes(), unknownCodes()} {
		all = append(all, rows...)
	}
	return all
}

func capacityCodes() []faultRow {
	rows := codes(cloud.KindCapacity, cloud.ScopeZone,
		"ZONE_RESOURCE_POOL_EXHAUSTED", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "RESOURCE_POOL_EXHAUSTED",
		"insufficientCapacity", "VM_MIN_COUNT_NOT_REACHED", "resourcePoolExhausted", "zoneResourcePoolExhausted")
	// A spot machine that was taken back while it was made.
	rows = append(rows, withText(cloud.KindCapacity, cloud.ScopeZone, "preempted", "UNSUPPORTED_OPERATION")...)
	return append(rows, codes(cloud.KindCapacity, cloud.ScopeRegion,
		"IP_SPACE_EXHAUSTED", "IP_SPACE_EXHAUSTED_WITH_DETAILS", "REGION_RESOURCE_POOL_EXHAUSTED")...)
}

// quotaCodes: most quotas are a region's, those of all regions are the cloud's.
func quotaCodes() []faultRow {
	names := []string{"QUOTA_EXCEEDED", "quotaExceeded", "QUOTA_EXCEEDED_WITH_DETAILS"}
	rows := withText(cloud.KindQuota, cloud.ScopeCloud, "_all_regions", names...)
	rows = append(rows, withText(cloud.KindQuota, cloud.ScopeCloud, "globally", names...)...)
	return append(rows, codes(cloud.KindQuota, cloud.ScopeRegion, append(names, "limitExceeded", "LIMIT_EXCEEDED")...)...)
}

func authCodes() []faultRow {
	return codes(cloud.KindAuth, cloud.ScopeCloud,
		"authError", "required", "expired", "forbidden", "insufficientPermissions", "PERMISSION_DENIED", "PERMISSIONS_ERROR", "IAM_PERMISSION_DENIED",
		"ACCESS_TOKEN_SCOPE_INSUFFICIENT", "ACCESS_TOKEN_EXPIRED", "ACCESS_TOKEN_TYPE_UNSUPPORTED", "CREDENTIALS_MISSING",
		"accessNotConfigured", "SERVICE_DISABLED", "billingNotEnabled", "BILLING_DISABLED", "projectNotFound", "userProjectMissing", "USER_PROJECT_DENIED")
}

func configCodes() []faultRow {
	// A type that a zone does not have; others of the region may.
	var rows []faultRow
	for _, text := range []string{"machinetype", "machine type", "acceleratortype", "accelerator type", "disktype"} {
		rows = append(rows, withText(cloud.KindConfig, cloud.ScopeZone, text, "invalid", "INVALID_FIELD_VALUE", codeGoneOp, "notFound", "badRequest", "INVALID_USAGE", "INVALID_ARGUMENT")...)
	}
	// "[n4-standard-2, pd-standard] features are not compatible for creating instance."
	rows = append(rows, withText(cloud.KindConfig, cloud.ScopeRegion, "not compatible", "badRequest", "invalid", "INVALID_FIELD_VALUE", "INVALID_USAGE", "INVALID_ARGUMENT")...)
	rows = append(rows, codes(cloud.KindConfig, cloud.ScopeRegion,
		"notFound", codeGoneOp, "SUBNET_NOT_FOUND_FOR_VPC", "UNSUPPORTED_OPERATION", "resourceNotFound")...)
	rows = append(rows, withText(cloud.KindConfig, cloud.ScopeCloud, "constraint", "conditionNotMet", "CONDITION_NOT_MET")...)
	return append(rows, codes(cloud.KindConfig, cloud.ScopeCloud,
		"invalid", "INVALID_FIELD_VALUE", "INVALID_USAGE", "INVALID_ARGUMENT", "badRequest", "parseError", "invalidParameter",
		"fieldNotMutable", "VPC_NOT_FOUND", "orgPolicyViolation", "ORG_POLICY_VIOLATED", "uploadTooLarge")...)
}

func transientCodes() []faultRow {
	rows := withText(cloud.KindTransient, cloud.ScopeZone, "fingerprint", "conditionNotMet", "CONDITION_NOT_MET")
	rows = append(rows, codes(cloud.KindTransient, cloud.ScopeZone,
		"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_OPERATION_RATE_EXCEEDED", "operationInProgress",
		"backendError", "internalError", "INTERNAL_ERROR", "RESOURCE_NOT_READY", "resourceNotReady", "TIMEOUT", "serviceUnavailable", "SERVICE_UNAVAILABLE",
		"OPERATION_CANCELED_BY_USER")...)
	return append(rows, codes(cloud.KindTransient, cloud.ScopeRegion,
		"resourceInUseByAnotherResource", "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE")...)
}

func unknownCodes() []faultRow {
	// Some machine or rule of this name is there, and is not ours.
	return codes(cloud.KindUnknown, cloud.ScopeZone, codeExists, codeExistsOp)
}

// statusRow gives the meaning of a status where no code tells more.
type statusRow struct {
	status int
	fault  cloud.Fault
}

func statusTable() []statusRow {
	return []statusRow{
		{http.StatusUnauthorized, cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}},
		{http.StatusForbidden, cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}},
		{http.StatusNotFound, cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}},
		{http.StatusBadRequest, cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeCloud}},
		{http.StatusRequestTimeout, cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}},
		{http.StatusTooManyRequests, cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}},
	}
}

// reasonTable says what the end of a machine means, by part of its reason.
func reasonTable() []faultRow {
	return []faultRow{
		{text: "preempted", fault: cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}},
		{text: "host error", fault: cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}},
		{text: "host maintenance", fault: cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}},
		{text: "terminateonhostmaintenance", fault: cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}},
	}
}
