// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"errors"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// Codes that the driver itself handles.
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

// table says what the errors of EC2, STS and SSM mean.
func table() fleet.Table {
	return fleet.Table{Rows: faultTable(), Reasons: reasonTable(), Read: answers, Unreachable: cloud.ScopeRegion}
}

// answers takes an error of the SDK apart.
func answers(err error) []fleet.Answer {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return nil
	}
	return []fleet.Answer{{Code: api.ErrorCode(), Message: api.ErrorMessage(), Status: statusOf(err)}}
}

// Classify implements fleet.Calls.
func (*driver) Classify(err error) cloud.Fault { return classify(err) }

func classify(err error) cloud.Fault {
	if isUnsigned(err) {
		return cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}
	}
	return table().Classify(err)
}

func statusOf(err error) int {
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}

func hasCode(err error, codes ...string) bool { return table().HasCode(err, codes...) }

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
