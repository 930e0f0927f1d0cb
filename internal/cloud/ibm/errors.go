// SPDX-License-Identifier: MPL-2.0

package ibm

import (
	"errors"
	"net/http"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// table says what the errors of IBM Cloud mean. Few codes are documented, so that
// texts decide between a quota and a fault of the
// request. IAM's codes begin with BXNIM: what it refuses is the key or its user.
func table() fleet.Table {
	passes := cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}
	return fleet.Table{
		Rows: slices.Concat(
			fleet.Rows(cloud.KindCapacity, cloud.ScopeZone, "cannot_start*"),
			fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, "capacity is unavailable", ""),
			// An account may have so many floating addresses in a zone; all else is counted
			// by region.
			fleet.TextRows(cloud.KindQuota, cloud.ScopeZone, "floating ip", "over_quota", "*quota_exceeded"),
			fleet.Rows(cloud.KindQuota, cloud.ScopeRegion, "over_quota", "*quota_exceeded"),
			fleet.TextRows(cloud.KindQuota, cloud.ScopeRegion, "over quota", ""),
			[]fleet.Row{{Code: "BXNIM*", Status: http.StatusBadRequest, Fault: cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}}},
			[]fleet.Row{
				{Status: http.StatusForbidden, Fault: cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeRegion}},
				{Status: http.StatusConflict, Fault: passes},
				{Status: http.StatusPreconditionFailed, Fault: passes},
			},
			fleet.TextRows(cloud.KindTransient, cloud.ScopeZone, "not supported at the current status", ""),
			[]fleet.Row{
				{Status: http.StatusBadRequest, Fault: cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}},
				{Status: http.StatusNotFound, Fault: cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}},
			},
		),
		// Why a launch failed that was taken at first. What a place cannot give, another
		// place may.
		Reasons: slices.Concat(
			fleet.TextRows(cloud.KindConfig, cloud.ScopeCloud, "encryption_key_deleted", ""),
			fleet.TextRows(cloud.KindConfig, cloud.ScopeRegion, "cannot_start_reservation_expired", ""),
			fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, "cannot_start", ""),
			fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, "capacity is unavailable", ""),
			fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, "stopped_by_preemption", ""),
			fleet.TextRows(cloud.KindTransient, cloud.ScopeZone, "stopped_by_host_failure", ""),
		),
		Read:        fleet.ReadAPIError,
		Unreachable: cloud.ScopeRegion,
	}
}

// Classify implements fleet.Calls.
func (*driver) Classify(err error) cloud.Fault { return table().Classify(err) }

// hasStatus reports whether the API answered with one of the statuses.
func hasStatus(err error, statuses ...int) bool {
	var e *fleet.APIError
	return errors.As(err, &e) && slices.Contains(statuses, e.Status)
}
