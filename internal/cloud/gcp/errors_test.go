// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"cloud.google.com/go/auth"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

func fault(k cloud.Kind, s cloud.Scope) cloud.Fault { return cloud.Fault{Kind: k, Scope: s} }

// refused is an answer with a reason; ended an operation with a code.
func refused(status int, reason, message string) error {
	return &googleapi.Error{Code: status, Message: message, Errors: []googleapi.ErrorItem{{Reason: reason, Message: message}}}
}

func ended(code, message string) error {
	return operationFailure(&compute.Operation{
		Name: "operation-1", OperationType: "insert", TargetLink: "x/instances/i", HttpErrorStatusCode: 503,
		Error: &compute.OperationError{Errors: []*compute.OperationErrorErrors{{Code: code, Message: message}}},
	})
}

// errorRows has one row for every row of the tables, and what goes wrong
// before there is an answer.
func errorRows() []cloudtest.ErrorRow {
	var rows []cloudtest.ErrorRow
	for _, r := range table().Rows {
		if r.Status != 0 || strings.HasPrefix(r.Code, "token ") {
			continue // these have rows of their own below
		}
		message := "Something about " + strings.ToUpper(r.Text) + "."
		name := strings.TrimSpace(r.Code + " " + r.Text)
		rows = append(rows,
			cloudtest.ErrorRow{Name: name + " in an operation", Err: ended(r.Code, message), Want: wantOf(r.Code, message)},
			cloudtest.ErrorRow{Name: name + " in an answer", Err: refused(418, r.Code, message), Want: wantOf(r.Code, message)})
	}
	bare := func(status int) error { return &googleapi.Error{Code: status, Body: "<html>"} }
	zone, region, whole := cloud.ScopeZone, cloud.ScopeRegion, cloud.ScopeCloud
	return append(rows, []cloudtest.ErrorRow{
		{Name: "a disk that the type does not take", Err: refused(400, "badRequest", "[pd-standard, n4-standard-2] features are not compatible for creating instance."), Want: fault(cloud.KindConfig, region)},
		{Name: "another disk that the type does not take", Err: refused(400, "invalid", "pd-standard disk type cannot be used by c3-standard-4 machine type."), Want: fault(cloud.KindConfig, zone)},
		{Name: "bare 401", Err: bare(401), Want: fault(cloud.KindAuth, whole)},
		{Name: "bare 403", Err: bare(403), Want: fault(cloud.KindAuth, whole)},
		{Name: "bare 404", Err: bare(404), Want: fault(cloud.KindConfig, region)},
		{Name: "bare 400", Err: bare(400), Want: fault(cloud.KindConfig, whole)},
		{Name: "bare 408", Err: bare(408), Want: fault(cloud.KindTransient, zone)},
		{Name: "bare 429", Err: bare(429), Want: fault(cloud.KindTransient, zone)},
		{Name: "bare 500", Err: bare(500), Want: fault(cloud.KindTransient, zone)},
		{Name: "bare 503", Err: bare(503), Want: fault(cloud.KindTransient, zone)},
		{Name: "bare 418", Err: bare(418), Want: fault(cloud.KindUnknown, zone)},
		{Name: "an operation without causes", Err: operationFailure(&compute.Operation{HttpErrorStatusCode: 500}), Want: fault(cloud.KindTransient, zone)},
		{
			Name: "reason among the details",
			Err:  &googleapi.Error{Code: 403, Details: []any{map[string]any{"reason": "SERVICE_DISABLED"}}},
			Want: fault(cloud.KindAuth, whole),
		},
		{Name: "preempted", Err: &fleet.MachineError{Reason: "preempted; its disk is still charged for"}, Want: fault(cloud.KindCapacity, zone)},
		{Name: "host error", Err: &fleet.MachineError{Reason: "host error"}, Want: fault(cloud.KindTransient, zone)},
		{Name: "host maintenance", Err: &fleet.MachineError{Reason: "compute.instances.terminateOnHostMaintenance"}, Want: fault(cloud.KindTransient, zone)},
		{Name: "host maintenance in our words", Err: &fleet.MachineError{Reason: "host maintenance"}, Want: fault(cloud.KindTransient, zone)},
		{Name: "no reason", Err: &fleet.MachineError{}, Want: fault(cloud.KindUnknown, zone)},
		{Name: "configuration", Err: fleet.ConfigErrorf(cloud.ScopeCloud, "no"), Want: fault(cloud.KindConfig, whole)},
		{Name: "configuration of a region", Err: fleet.ConfigErrorf(region, "no"), Want: fault(cloud.KindConfig, region)},
		{Name: "no credentials", Err: &fleet.AuthError{Advice: "log in", Err: errors.New("none")}, Want: fault(cloud.KindAuth, whole)},
		{
			Name: "a token refused", Want: fault(cloud.KindAuth, whole),
			Err: &url.Error{Op: "Get", URL: "http://x", Err: &auth.Error{Response: &http.Response{StatusCode: 400}}},
		},
		{
			Name: "a token not to be had now", Want: fault(cloud.KindTransient, zone),
			Err: &url.Error{Op: "Get", URL: "http://x", Err: &auth.Error{Response: &http.Response{StatusCode: 503}}},
		},
		{Name: "spent", Err: cloud.ErrSpent, Want: fault(cloud.KindUnknown, zone)},
		{
			Name: "no connection", Want: fault(cloud.KindTransient, whole),
			Err: &url.Error{Op: "Post", URL: "http://x", Err: &net.OpError{Op: "dial", Err: errors.New("refused")}},
		},
		{Name: "a zone does not answer", Err: &unreachableError{scope: "zones/x"}, Want: fault(cloud.KindTransient, zone)},
		{Name: "lost answer", Err: &url.Error{Op: "Post", URL: "http://x", Err: io.EOF}, Want: fault(cloud.KindTransient, zone)},
		{Name: "timeout", Err: context.DeadlineExceeded, Want: fault(cloud.KindTransient, zone)},
	}...)
}

// wantOf is what issue 8 and the reference say of a code, told apart from the
// table so that a slip in one of the two shows.
func wantOf(code, message string) cloud.Fault {
	low := strings.ToLower(code)
	text := strings.ToLower(message)
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(low, strings.ToLower(p)) {
				return true
			}
		}
		return false
	}
	switch {
	case has("IP_SPACE", "REGION_RESOURCE_POOL"):
		return fault(cloud.KindCapacity, cloud.ScopeRegion)
	case has("POOL_EXHAUSTED", "poolExhausted", "insufficientCapacity", "MIN_COUNT"), code == "UNSUPPORTED_OPERATION" && strings.Contains(text, "preempted"):
		return fault(cloud.KindCapacity, cloud.ScopeZone)
	case has("quota") && (strings.Contains(text, "all_regions") || strings.Contains(text, "globally")):
		return fault(cloud.KindQuota, cloud.ScopeCloud)
	case has("quota") || low == "limitexceeded" || low == "limit_exceeded":
		return fault(cloud.KindQuota, cloud.ScopeRegion)
	case has("rate", "operation_canceled") && !has("operation_not") || has("backend", "internal", "not_ready", "notready", "timeout", "unavailable", "inProgress"):
		return fault(cloud.KindTransient, cloud.ScopeZone)
	case strings.Contains(text, "fingerprint"):
		return fault(cloud.KindTransient, cloud.ScopeZone)
	case has("inUseByAnother", "in_use_by_another"):
		return fault(cloud.KindTransient, cloud.ScopeRegion)
	case has("exists"):
		return fault(cloud.KindUnknown, cloud.ScopeZone)
	case has("auth", "required", "expired", "forbidden", "permission", "access", "credentials", "service_disabled", "billing", "project"):
		return fault(cloud.KindAuth, cloud.ScopeCloud)
	case strings.Contains(text, "type"):
		return fault(cloud.KindConfig, cloud.ScopeZone)
	case strings.Contains(text, "not compatible"):
		return fault(cloud.KindConfig, cloud.ScopeRegion)
	case has("notfound", "not_found", "unsupported_operation") && !has("vpc_not_found"):
		return fault(cloud.KindConfig, cloud.ScopeRegion)
	case has("SUBNET_NOT_FOUND"):
		return fault(cloud.KindConfig, cloud.ScopeRegion)
	default:
		return fault(cloud.KindConfig, cloud.ScopeCloud)
	}
}

func TestClassify(t *testing.T) {
	for _, row := range errorRows() {
		if got := classify(row.Err); got != row.Want {
			t.Errorf("%s: classify(%v) = %s, want %s", row.Name, row.Err, got, row.Want)
		}
	}
}

// TestEveryFaultRowCounts: a row hidden by one above is dead.
func TestEveryFaultRowCounts(t *testing.T) {
	for _, row := range table().Rows {
		if got, ok := table().Row(refused(row.Status, row.Code, row.Text)); !ok || got != row {
			t.Errorf("row %+v is hidden by %+v", row, got)
		}
	}
}

// TestCapacityWins: of several causes the most telling counts.
func TestCapacityWins(t *testing.T) {
	err := operationFailure(&compute.Operation{Error: &compute.OperationError{Errors: []*compute.OperationErrorErrors{
		{Code: "RESOURCE_NOT_READY"}, {Code: "ZONE_RESOURCE_POOL_EXHAUSTED"},
	}}})
	if got := classify(err); got != fault(cloud.KindCapacity, cloud.ScopeZone) {
		t.Errorf("classify = %s", got)
	}
}

func TestOperationErrorText(t *testing.T) {
	err := operationFailure(&compute.Operation{
		Name: "operation-7", OperationType: "insert", TargetLink: "https://x/zones/z/instances/sky-c-0",
		Error: &compute.OperationError{Errors: []*compute.OperationErrorErrors{{
			Code: "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", Message: "no room",
			ErrorDetails: []*compute.OperationErrorErrorsErrorDetails{{LocalizedMessage: &compute.LocalizedMessage{Message: "try us-central1-f"}}},
		}}},
	})
	want := "insert of sky-c-0 failed: ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS: no room (try us-central1-f) [operation operation-7]"
	if err == nil || err.Error() != want {
		t.Errorf("Error() = %v, want %q", err, want)
	}
	if operationFailure(&compute.Operation{Status: "DONE"}) != nil {
		t.Error("a success is a failure")
	}
}

func TestNotFoundNeedsTheReason(t *testing.T) {
	if !isNotFound(fmt.Errorf("get: %w", refused(404, "notFound", ""))) || !isNotFound(ended("RESOURCE_NOT_FOUND", "")) {
		t.Error("notFound is not recognized")
	}
	if isNotFound(&googleapi.Error{Code: 404, Body: "<html>"}) || isNotFound(nil) || isNotFound(refused(403, "forbidden", "")) {
		t.Error("what is not Compute Engine's own is taken as proof that something is gone")
	}
}
