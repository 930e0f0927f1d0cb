// SPDX-License-Identifier: MPL-2.0

package lambda

import (
	"errors"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// Codes that the driver acts upon. Only codes are stable; texts are not.
const (
	codeNoRoom  = "instance-operations/launch/insufficient-capacity"
	codeInUse   = "firewall-rulesets/firewall-ruleset-in-use"
	codeUnknown = "global/unknown"
)

var errNoKey = errors.New("there is no line api_key in " + keyFile)

// answerError is an answer without data.
type answerError struct{ call string }

func (e *answerError) Error() string { return e.call + ": the answer has no data" }

// noRoomError says that Lambda has no room, by what it says before a launch.
type noRoomError struct {
	text  string
	scope cloud.Scope
}

func (e *noRoomError) Error() string { return e.text }

// Fault is what it means.
func (e *noRoomError) Fault() cloud.Fault {
	return cloud.Fault{Kind: cloud.KindCapacity, Scope: e.scope}
}

// table says what Lambda's errors mean. Statuses that all clouds share, such as
// 429, fleet knows.
func table() fleet.Table {
	return fleet.Table{
		Rows: slices.Concat(
			fleet.Rows(cloud.KindCapacity, cloud.ScopeRegion, codeNoRoom),
			fleet.Rows(cloud.KindQuota, cloud.ScopeCloud, "global/quota-exceeded"),
			fleet.Rows(cloud.KindAuth, cloud.ScopeCloud, "global/invalid-api-key", "global/forbidden", "global/account-inactive", "global/invalid-address"),
			fleet.Rows(cloud.KindTransient, cloud.ScopeZone, "global/internal-error", "global/conflict", "global/duplicate", codeInUse),
			fleet.Rows(cloud.KindUnknown, cloud.ScopeRegion, "provider/*", codeUnknown),
			fleet.Rows(cloud.KindConfig, cloud.ScopeRegion, "global/invalid-parameters", "*/file-system-in-wrong-region", "global/object-does-not-exist"),
		),
		Reasons:     fleet.TextRows(cloud.KindCapacity, cloud.ScopeRegion, statusPreempted, ""),
		Read:        fleet.ReadAPIError,
		Unreachable: cloud.ScopeCloud,
	}
}

// Classify implements fleet.Calls.
func (*driver) Classify(err error) cloud.Fault { return table().Classify(err) }
