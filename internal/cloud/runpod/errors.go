// SPDX-License-Identifier: MPL-2.0

package runpod

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// fullError says that RunPod was asked for room before a launch, and has none.
type fullError struct{ place, what, says string }

// Error implements error.
func (e *fullError) Error() string {
	return fmt.Sprintf("RunPod has no room for %s in %s now: %s", e.what, e.place, e.says)
}

// Fault is what it means.
func (*fullError) Fault() cloud.Fault {
	return cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}
}

// readProblem takes a refusal apart. It has no code beside its status; a request
// of the wrong form has all that is wrong with it.
func readProblem(body []byte) (code, message string) {
	var p struct {
		Title, Detail string
		Errors        []string
	}
	if json.Unmarshal(body, &p) != nil {
		return "", ""
	}
	return "", strings.TrimSuffix(strings.Join(append([]string{cmp.Or(p.Detail, p.Title)}, p.Errors...), "; "), "; ")
}

// table says what RunPod's errors mean. A 400 is said of a full place, of a device
// that a data center cannot place and of a request that breaks a rule, so that only
// its text tells; one that no text is known of blocks the place. A launch for which a
// pool of devices is closed to the account may do elsewhere; a pod whose container
// does not start may do so on another host.
func table() fleet.Table {
	status := func(kind cloud.Kind, scope cloud.Scope, status int, texts ...string) []fleet.Row {
		var rows []fleet.Row
		for _, text := range texts {
			rows = append(rows, fleet.Row{Status: status, Text: text, Fault: cloud.Fault{Kind: kind, Scope: scope}})
		}
		return rows
	}
	return fleet.Table{
		Rows: slices.Concat(
			status(cloud.KindCapacity, cloud.ScopeZone, 0, "no longer any instances available", "not enough free gpus", "insufficient resources"),
			status(cloud.KindQuota, cloud.ScopeCloud, http.StatusPaymentRequired, ""),
			status(cloud.KindQuota, cloud.ScopeCloud, http.StatusBadRequest, "insufficient balance", "spend limit", "spending limit"),
			status(cloud.KindCapacity, cloud.ScopeRegion, http.StatusForbidden, "pool"),
			status(cloud.KindConfig, cloud.ScopeZone, http.StatusBadRequest, ""),
			status(cloud.KindConfig, cloud.ScopeCloud, http.StatusUnprocessableEntity, ""),
			status(cloud.KindConfig, cloud.ScopeCloud, http.StatusNotFound, ""),
			status(cloud.KindTransient, cloud.ScopeZone, http.StatusConflict, ""),
		),
		Reasons: slices.Concat(
			fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, strings.ToLower(reasonNoHost), ""),
			fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, "runpod put it into", ""),
		),
		Unreachable: cloud.ScopeCloud,
		Read:        fleet.ReadAPIError,
	}
}

// Classify implements fleet.Calls.
func (*driver) Classify(err error) cloud.Fault { return table().Classify(err) }
