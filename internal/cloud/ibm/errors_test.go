// SPDX-License-Identifier: MPL-2.0

package ibm

import (
	"fmt"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// errorRows is the table of errors, each row of it.
func errorRows() []cloudtest.ErrorRow {
	row := func(status int, code, message string, kind cloud.Kind, scope cloud.Scope) cloudtest.ErrorRow {
		err := fmt.Errorf("in us-south: %w", &fleet.APIError{Call: "POST /instances", Status: status, Code: code, Message: message})
		return cloudtest.ErrorRow{Name: fmt.Sprint(status, " ", code, " ", message), Err: err, Want: cloud.Fault{Kind: kind, Scope: scope}}
	}
	ended := func(reason string, kind cloud.Kind, scope cloud.Scope) cloudtest.ErrorRow {
		err := &fleet.MachineError{ID: "m", State: cloud.StateStopped, Reason: reason}
		return cloudtest.ErrorRow{Name: "ended: " + reason, Err: err, Want: cloud.Fault{Kind: kind, Scope: scope}}
	}
	const full = "The instance cannot be started because the requested resource capacity is unavailable."
	return []cloudtest.ErrorRow{
		row(400, "cannot_start_capacity", full, cloud.KindCapacity, cloud.ScopeZone),
		row(500, "internal_error", full, cloud.KindCapacity, cloud.ScopeZone),
		row(400, "over_quota", "Creating a new virtual server instance will put user over quota. Allocated to instances: 200, Requested: 4, Quota: 200", cloud.KindQuota, cloud.ScopeRegion),
		row(400, "instances_quota_exceeded", "m", cloud.KindQuota, cloud.ScopeRegion),
		row(400, "bad_field", "Creating it will put the user over quota.", cloud.KindQuota, cloud.ScopeRegion),
		row(400, "over_quota", "Creating a floating IP will put the user over quota.", cloud.KindQuota, cloud.ScopeZone),
		row(400, "floating_ips_quota_exceeded", "The quota of floating IPs of the zone is exceeded.", cloud.KindQuota, cloud.ScopeZone),
		row(400, "BXNIM0415E", "Provided API key could not be found.", cloud.KindAuth, cloud.ScopeCloud),
		row(400, "BXNIM0409E", "User is not active.", cloud.KindAuth, cloud.ScopeCloud),
		row(401, "not_authorized", "The token is expired or otherwise invalid.", cloud.KindAuth, cloud.ScopeCloud),
		row(403, "not_authorized", "The request is not authorized.", cloud.KindAuth, cloud.ScopeRegion),
		row(404, "not_found", "Instance profile x not found", cloud.KindConfig, cloud.ScopeRegion),
		row(404, "instance_profile_not_found", "m", cloud.KindConfig, cloud.ScopeRegion),
		row(400, "validation_failed", "m", cloud.KindConfig, cloud.ScopeRegion),
		row(400, "bad_field", "m", cloud.KindConfig, cloud.ScopeRegion),
		row(400, "what_nobody_knows", "m", cloud.KindConfig, cloud.ScopeRegion),
		row(400, "bad_request", "An action was requested on a resource which is not supported at the current status of the resource", cloud.KindTransient, cloud.ScopeZone),
		row(409, "security_group_in_use", "m", cloud.KindTransient, cloud.ScopeZone),
		row(412, "precondition_failed", "m", cloud.KindTransient, cloud.ScopeZone),
		row(429, "too_many_requests", "m", cloud.KindTransient, cloud.ScopeZone),
		row(500, "internal_error", "m", cloud.KindTransient, cloud.ScopeZone),
		row(503, "", "m", cloud.KindTransient, cloud.ScopeZone),
		row(500, "BXNIM0513E", "Internal error of IAM", cloud.KindTransient, cloud.ScopeZone),
		row(418, "", "m", cloud.KindUnknown, cloud.ScopeZone),
		ended("cannot_start_capacity: "+full, cloud.KindCapacity, cloud.ScopeZone),
		ended("cannot_start_placement_group: m", cloud.KindCapacity, cloud.ScopeZone),
		ended("cannot_start_reservation_capacity: m", cloud.KindCapacity, cloud.ScopeZone),
		ended("cannot_start_reservation_expired: m", cloud.KindConfig, cloud.ScopeRegion),
		ended("cannot_start_storage: m", cloud.KindCapacity, cloud.ScopeZone),
		ended("cannot_start_network: m", cloud.KindCapacity, cloud.ScopeZone),
		ended("cannot_start_ip_address: m", cloud.KindCapacity, cloud.ScopeZone),
		ended("cannot_start_compute: m", cloud.KindCapacity, cloud.ScopeZone),
		ended("cannot_start: m", cloud.KindCapacity, cloud.ScopeZone),
		ended("stopped_by_preemption: m", cloud.KindCapacity, cloud.ScopeZone),
		ended("stopped_by_host_failure: m", cloud.KindTransient, cloud.ScopeZone),
		ended("encryption_key_deleted: m", cloud.KindConfig, cloud.ScopeCloud),
		ended("its launch failed", cloud.KindUnknown, cloud.ScopeZone),
	}
}

// TestErrorTable: each row means what it says.
func TestErrorTable(t *testing.T) {
	for _, r := range errorRows() {
		t.Run(r.Name, func(t *testing.T) {
			if got := (*driver)(nil).Classify(r.Err); got != r.Want {
				t.Errorf("it means %v, want %v", got, r.Want)
			}
		})
	}
}
