// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// Codes that the driver itself acts upon.
const (
	codeDependency        = "DependencyViolation"
	codeGroupDuplicate    = "InvalidGroup.Duplicate"
	codeRuleDuplicate     = "InvalidPermission.Duplicate"
	codeRuleNotFound      = "InvalidPermission.NotFound"
	codePlacementExists   = "InvalidPlacementGroup.Duplicate"
	codePlacementInUse    = "InvalidPlacementGroup.InUse"
	codePlacementUnknown  = "InvalidPlacementGroup.Unknown"
	codeWrongState        = "IncorrectInstanceState"
	codeWrongStateShort   = "IncorrectState"
	codeMalformedInstance = "InvalidInstanceID.Malformed"
)

// faultRow gives the meaning of an error code. A row with a text applies only
// where the lower-case message holds it, and comes before the one without.
type faultRow struct {
	code  string
	text  string
	fault cloud.Fault
	// wait says that repeating the call helps only after something else has
	// happened, which the driver waits for.
	wait bool
}

// rowFor returns the first row that matches.
func rowFor(code, message string) (faultRow, bool) {
	message = strings.ToLower(message)
	for _, row := range faultTable() {
		if row.code == code && strings.Contains(message, row.text) {
			return row, true
		}
	}
	return faultRow{}, false
}

// reasonRow gives the meaning of the reason for a machine's end.
type reasonRow struct {
	code  string // part of AWS's state reason
	fault cloud.Fault
}

func reasonFault(reason string) (cloud.Fault, bool) {
	for _, row := range reasonTable() {
		if strings.Contains(reason, row.code) {
			return row.fault, true
		}
	}
	return cloud.Fault{}, false
}

// Classify implements cloud.Provisioner.
func (*driver) Classify(err error) cloud.Fault { return classify(err) }

func classify(err error) cloud.Fault {
	var (
		auth    *fleet.AuthError
		config  *fleet.ConfigError
		machine *fleet.MachineError
		api     smithy.APIError
	)
	switch {
	case errors.As(err, &auth):
		return auth.Fault()
	case errors.As(err, &config):
		return config.Fault()
	case errors.As(err, &machine):
		if fault, ok := reasonFault(machine.Reason); ok {
			return fault
		}
	case errors.As(err, &api):
		return classifyAPI(api, err)
	case isUnsigned(err):
		return cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}
	case fleet.IsUnreachable(err):
		return cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeRegion}
	case fleet.IsTransport(err):
		return cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}
	}
	return cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
}

// classifyAPI reads the table, and for codes it does not know the HTTP status.
func classifyAPI(api smithy.APIError, err error) cloud.Fault {
	if row, ok := rowFor(api.ErrorCode(), api.ErrorMessage()); ok {
		return row.fault
	}
	switch status := statusOf(err); {
	case strings.HasSuffix(api.ErrorCode(), "LimitExceeded"):
		return cloud.Fault{Kind: cloud.KindQuota, Scope: cloud.ScopeRegion}
	case strings.HasSuffix(api.ErrorCode(), ".NotFound"), strings.HasSuffix(api.ErrorCode(), ".Malformed"):
		return cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}
	case status >= http.StatusInternalServerError || status == http.StatusTooManyRequests:
		return cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}
	}
	return cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
}

func statusOf(err error) int {
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}

func hasCode(err error, codes ...string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && slices.Contains(codes, api.ErrorCode())
}

// isNotFound reports whether AWS says that the thing is not there.
func isNotFound(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) &&
		(strings.HasSuffix(api.ErrorCode(), ".NotFound") || api.ErrorCode() == codePlacementUnknown || api.ErrorCode() == codeMalformedInstance)
}

// isUnsigned reports that a call never left for lack of credentials, such as
// an expired login. The SDK has no type for it.
func isUnsigned(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var op *smithy.OperationError
	return errors.As(err, &op) && strings.Contains(op.Err.Error(), "get identity: get credentials")
}

// isTransient reports whether a later call may fare better.
func isTransient(err error) bool { return classify(err).Kind == cloud.KindTransient }

// isRefused reports that a launch definitely made nothing.
func isRefused(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	kind := classify(err).Kind
	return kind != cloud.KindTransient && kind != cloud.KindUnknown
}
