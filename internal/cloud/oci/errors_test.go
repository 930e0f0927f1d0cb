// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// errorRows is the table of errors, each row of it.
func errorRows() []cloudtest.ErrorRow {
	row := func(status int, code, message string, kind cloud.Kind, scope cloud.Scope) cloudtest.ErrorRow {
		return cloudtest.ErrorRow{
			Name: fmt.Sprint(status, " ", code, ": ", message), Err: fmt.Errorf("launch: %w", &apiError{status: status, code: code, message: message}),
			Want: cloud.Fault{Kind: kind, Scope: scope},
		}
	}
	ended := func(reason string, kind cloud.Kind, scope cloud.Scope) cloudtest.ErrorRow {
		return cloudtest.ErrorRow{
			Name: "a machine ended: " + reason, Err: &fleet.MachineError{ID: "m", State: cloud.StateTerminated, Reason: reason}, Want: cloud.Fault{Kind: kind, Scope: scope},
		}
	}
	return []cloudtest.ErrorRow{
		row(500, "InternalError", "Out of host capacity.", cloud.KindCapacity, cloud.ScopeZone),
		row(500, "OutOfHostCapacity", "m", cloud.KindCapacity, cloud.ScopeZone),
		row(429, "OutOfCapacity", "m", cloud.KindCapacity, cloud.ScopeZone),
		row(400, "LimitExceeded", "The following service limits were exceeded: standard-e4-core-count.", cloud.KindQuota, cloud.ScopeZone),
		row(400, "LimitExceeded", "The following service limits were exceeded: standard-a1-core-regional-count.", cloud.KindQuota, cloud.ScopeRegion),
		row(400, "QuotaExceeded", "m", cloud.KindQuota, cloud.ScopeRegion),
		row(401, "NotAuthenticated", "m", cloud.KindAuth, cloud.ScopeCloud),
		row(403, "NotAuthorized", "m", cloud.KindAuth, cloud.ScopeCloud),
		row(402, "SignUpRequired", "m", cloud.KindAuth, cloud.ScopeCloud),
		row(404, "NotAuthorizedOrNotFound", "shape VM.Standard.E9.Flex not found", cloud.KindCapacity, cloud.ScopeZone),
		row(404, "NotFound", "Shape VM.GPU9.1 not found", cloud.KindCapacity, cloud.ScopeZone),
		row(404, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found.", cloud.KindAuth, cloud.ScopeRegion),
		row(404, "NotFound", "m", cloud.KindAuth, cloud.ScopeRegion),
		row(409, "IncorrectState", "m", cloud.KindTransient, cloud.ScopeZone),
		row(409, "LockConflict", "m", cloud.KindTransient, cloud.ScopeZone),
		row(409, "Conflict", "m", cloud.KindTransient, cloud.ScopeZone),
		row(409, "ExternalServerIncorrectState", "m", cloud.KindTransient, cloud.ScopeZone),
		row(412, "NoEtagMatch", "m", cloud.KindTransient, cloud.ScopeZone),
		row(429, "TooManyRequests", "m", cloud.KindTransient, cloud.ScopeZone),
		row(500, "InternalError", "An internal error occurred.", cloud.KindTransient, cloud.ScopeZone),
		row(503, "ServiceUnavailable", "m", cloud.KindTransient, cloud.ScopeZone),
		row(400, "InvalidParameter", "Shape VM.GPU.A10.1 is not compatible with the rest", cloud.KindConfig, cloud.ScopeRegion),
		row(400, "InvalidParameter", "the image is for another architecture", cloud.KindConfig, cloud.ScopeRegion),
		row(400, "InvalidParameter", "m", cloud.KindConfig, cloud.ScopeCloud),
		row(400, "CannotParseRequest", "m", cloud.KindConfig, cloud.ScopeCloud),
		row(400, "MissingParameter", "m", cloud.KindConfig, cloud.ScopeCloud),
		row(418, "Teapot", "m", cloud.KindUnknown, cloud.ScopeZone),
		ended("InternalError: Out of host capacity.", cloud.KindCapacity, cloud.ScopeZone),
		ended("OutOfHostCapacity: no", cloud.KindCapacity, cloud.ScopeZone),
		ended("LimitExceeded: m", cloud.KindQuota, cloud.ScopeZone),
		ended("QuotaExceeded: m", cloud.KindQuota, cloud.ScopeRegion),
		ended("", cloud.KindUnknown, cloud.ScopeZone),
		{Name: "refused after an unknown answer", Err: &unsettledError{&apiError{}, &apiError{status: 401, code: "NotAuthenticated"}}, Want: cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}},
		{Name: "may see and not change", Err: &notAllowedError{&apiError{status: 404, code: codeNotFound}, "m"}, Want: cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}},
		{Name: "no room, it reports before", Err: &noRoomError{"m"}, Want: cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}},
	}
}
