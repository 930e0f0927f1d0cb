// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

func fault(k cloud.Kind, s cloud.Scope) cloud.Fault { return cloud.Fault{Kind: k, Scope: s} }

// errorRows is what every answer of the API means, one row a code and status,
// and what goes wrong before there is an answer.
func errorRows() []cloudtest.ErrorRow {
	api := func(status int, code, message string) error {
		return &apiError{Status: status, Code: code, Message: message, Call: "POST /v1/instances"}
	}
	return []cloudtest.ErrorRow{
		{Name: "unauthorized", Err: api(401, "unauthorized", ""), Want: fault(cloud.KindAuth, cloud.ScopeCloud)},
		{Name: "forbidden", Err: api(403, "forbidden", ""), Want: fault(cloud.KindAuth, cloud.ScopeCloud)},
		{Name: "not found", Err: api(404, "not_found", ""), Want: fault(cloud.KindConfig, cloud.ScopeRegion)},
		{Name: "conflict", Err: api(409, "conflict", ""), Want: fault(cloud.KindUnknown, cloud.ScopeZone)},
		{Name: "in use", Err: api(409, "in_use", ""), Want: fault(cloud.KindTransient, cloud.ScopeRegion)},
		{Name: "mismatch", Err: api(409, "idempotency_mismatch", ""), Want: fault(cloud.KindUnknown, cloud.ScopeZone)},
		{Name: "invalid", Err: api(400, "invalid_parameter", "image: no"), Want: fault(cloud.KindConfig, cloud.ScopeRegion)},
		{Name: "capacity", Err: api(503, "insufficient_capacity", ""), Want: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{Name: "quota", Err: api(403, "quota_exceeded", ""), Want: fault(cloud.KindQuota, cloud.ScopeRegion)},
		{Name: "price", Err: api(400, "price_too_low", ""), Want: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{Name: "rate", Err: api(429, "rate_limited", ""), Want: fault(cloud.KindTransient, cloud.ScopeZone)},
		{Name: "internal", Err: api(500, "internal", ""), Want: fault(cloud.KindTransient, cloud.ScopeZone)},
		{Name: "unavailable", Err: api(503, "unavailable", ""), Want: fault(cloud.KindTransient, cloud.ScopeZone)},
		{Name: "capacity in a 500", Err: api(500, "internal", "Not enough Capacity"), Want: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{Name: "capacity in a 503", Err: api(503, "unavailable", "no capacity"), Want: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{Name: "capacity in a 400", Err: api(400, "invalid_parameter", "capacity"), Want: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{Name: "quota in a 500", Err: api(500, "internal", "quota and capacity"), Want: fault(cloud.KindQuota, cloud.ScopeRegion)},
		{Name: "quota in a 400", Err: api(400, "invalid_parameter", "over quota"), Want: fault(cloud.KindQuota, cloud.ScopeRegion)},
		{Name: "bare 401", Err: api(401, "", "<html>"), Want: fault(cloud.KindAuth, cloud.ScopeCloud)},
		{Name: "bare 403", Err: api(403, "", "<html>"), Want: fault(cloud.KindAuth, cloud.ScopeCloud)},
		{Name: "bare 404", Err: api(404, "", "<html>"), Want: fault(cloud.KindConfig, cloud.ScopeRegion)},
		{Name: "bare 408", Err: api(408, "", "<html>"), Want: fault(cloud.KindTransient, cloud.ScopeZone)},
		{Name: "bare 429", Err: api(429, "", "<html>"), Want: fault(cloud.KindTransient, cloud.ScopeZone)},
		{Name: "bare 500", Err: api(500, "", "<html>"), Want: fault(cloud.KindTransient, cloud.ScopeZone)},
		{Name: "bare 502", Err: api(502, "", "<html>"), Want: fault(cloud.KindTransient, cloud.ScopeZone)},
		{Name: "bare 503", Err: api(503, "", "<html>"), Want: fault(cloud.KindTransient, cloud.ScopeZone)},
		{Name: "bare 504", Err: api(504, "", "<html>"), Want: fault(cloud.KindTransient, cloud.ScopeZone)},
		{Name: "bare 599", Err: api(599, "", "<html>"), Want: fault(cloud.KindTransient, cloud.ScopeZone)},
		{Name: "bare 418", Err: api(418, "", "<html>"), Want: fault(cloud.KindUnknown, cloud.ScopeZone)},
		{Name: "code under 200", Err: api(200, "insufficient_capacity", ""), Want: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{Name: "preempted", Err: &fleet.MachineError{Reason: "preempted"}, Want: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{Name: "host failure", Err: &fleet.MachineError{Reason: "host_failure"}, Want: fault(cloud.KindTransient, cloud.ScopeZone)},
		{Name: "boot failure", Err: &fleet.MachineError{Reason: "boot_failed"}, Want: fault(cloud.KindUnknown, cloud.ScopeZone)},
		{Name: "no reason", Err: &fleet.MachineError{}, Want: fault(cloud.KindUnknown, cloud.ScopeZone)},
		{Name: "configuration", Err: fleet.ConfigErrorf(cloud.ScopeCloud, "no"), Want: fault(cloud.KindConfig, cloud.ScopeCloud)},
		{Name: "dear", Err: &priceError{}, Want: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{Name: "not the API", Err: &protocolError{}, Want: fault(cloud.KindUnknown, cloud.ScopeZone)},
		{Name: "spent", Err: cloud.ErrSpent, Want: fault(cloud.KindUnknown, cloud.ScopeZone)},
		{
			Name: "no connection",
			Err:  &url.Error{Op: "Post", URL: "http://x", Err: &net.OpError{Op: "dial", Err: errors.New("refused")}},
			Want: fault(cloud.KindTransient, cloud.ScopeCloud),
		},
		{Name: "lost answer", Err: &url.Error{Op: "Post", URL: "http://x", Err: io.EOF}, Want: fault(cloud.KindTransient, cloud.ScopeZone)},
		{Name: "timeout", Err: context.DeadlineExceeded, Want: fault(cloud.KindTransient, cloud.ScopeZone)},
	}
}

func TestClassify(t *testing.T) {
	for _, row := range errorRows() {
		if got := classify(row.Err); got != row.Want {
			t.Errorf("%s: classify(%v) = %s, want %s", row.Name, row.Err, got, row.Want)
		}
	}
}

// TestEveryFaultRowCounts: a row that no error reaches is dead, or hidden by one above.
func TestEveryFaultRowCounts(t *testing.T) {
	reached := map[fleet.Row]bool{}
	for _, row := range errorRows() {
		if got, ok := table().Row(row.Err); ok {
			reached[got] = true
		}
	}
	for _, r := range table().Rows {
		if !reached[r] {
			t.Errorf("no tested error reaches row %+v", r)
		}
	}
}

func TestAPIErrorText(t *testing.T) {
	err := error(&apiError{Status: 503, Code: "insufficient_capacity", Message: "no puff-1 in meadow-1a", RequestID: "req-7", Call: "POST /v1/instances"})
	want := "POST /v1/instances: insufficient_capacity (HTTP 503): no puff-1 in meadow-1a [request req-7]"
	if err.Error() != want {
		t.Errorf("Error() = %q, want %q", err, want)
	}
	if errors.Is(err, cloud.ErrNotFound) {
		t.Error("a lack of capacity is taken for ErrNotFound")
	}
	if gone := fmt.Errorf("get: %w", &apiError{Status: 404, Code: "not_found"}); !errors.Is(gone, cloud.ErrNotFound) {
		t.Error("not_found is not ErrNotFound")
	}
	if err := error(&apiError{Status: 404, Message: "<html>"}); errors.Is(err, cloud.ErrNotFound) {
		t.Error("a 404 that is not the API's is taken as proof that something is gone")
	}
}
