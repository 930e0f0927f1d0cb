// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// TestFaults states the meaning of codes apart from the table, so that a slip
// in the table shows.
func TestFaults(t *testing.T) {
	fault := func(k cloud.Kind, s cloud.Scope) cloud.Fault { return cloud.Fault{Kind: k, Scope: s} }
	for code, want := range map[string]cloud.Fault{
		"InsufficientInstanceCapacity": fault(cloud.KindCapacity, cloud.ScopeZone),
		"SpotMaxPriceTooLow":           fault(cloud.KindCapacity, cloud.ScopeZone),
		"UnfulfillableCapacity":        fault(cloud.KindCapacity, cloud.ScopeZone),
		"Unsupported":                  fault(cloud.KindCapacity, cloud.ScopeZone),
		"VcpuLimitExceeded":            fault(cloud.KindQuota, cloud.ScopeRegion),
		"MaxSpotInstanceCountExceeded": fault(cloud.KindQuota, cloud.ScopeRegion),
		"InstanceLimitExceeded":        fault(cloud.KindQuota, cloud.ScopeRegion),
		"UnauthorizedOperation":        fault(cloud.KindAuth, cloud.ScopeCloud),
		"AuthFailure":                  fault(cloud.KindAuth, cloud.ScopeCloud),
		"ExpiredToken":                 fault(cloud.KindAuth, cloud.ScopeCloud),
		"InvalidAMIID.NotFound":        fault(cloud.KindConfig, cloud.ScopeRegion),
		"InvalidParameterValue":        fault(cloud.KindConfig, cloud.ScopeCloud),
		"OptInRequired":                fault(cloud.KindConfig, cloud.ScopeRegion),
		"RequestLimitExceeded":         fault(cloud.KindTransient, cloud.ScopeZone),
		"InternalError":                fault(cloud.KindTransient, cloud.ScopeZone),
		"DependencyViolation":          fault(cloud.KindTransient, cloud.ScopeRegion),
		"InvalidThing.NotFound":        fault(cloud.KindConfig, cloud.ScopeRegion),
		"IdempotentParameterMismatch":  fault(cloud.KindUnknown, cloud.ScopeZone),
		"NeverHeardOf":                 fault(cloud.KindUnknown, cloud.ScopeZone),
		"VolumeTypeNotAvailableInZone": fault(cloud.KindCapacity, cloud.ScopeZone),
		"SomethingNewLimitExceeded":    fault(cloud.KindQuota, cloud.ScopeRegion),
	} {
		if got := classify(fmt.Errorf("launch: %w", apiError(code, "text"))); got != want {
			t.Errorf("%s is %s, want %s", code, got, want)
		}
	}
}

// TestFaultsOfTypesAndZones: what one type or zone cannot do must not end the
// search in the whole cloud.
func TestFaultsOfTypesAndZones(t *testing.T) {
	for message, want := range map[string]cloud.Scope{
		"The architecture 'x86_64' of the specified instance type does not match the architecture 'arm64' of the specified AMI.": cloud.ScopeRegion,
		"The specified instance type is not eligible for Free Tier.":                                                             cloud.ScopeRegion,
		"Enhanced networking with the Elastic Network Adapter (ENA) is required for the 'm7i.large' instance type.":              cloud.ScopeRegion,
		"Value (us-east-1e) for parameter availabilityZone is invalid.":                                                          cloud.ScopeZone,
		"The requested Availability Zone is currently constrained.":                                                              cloud.ScopeZone,
		"Value (x) for parameter iamInstanceProfile.name is invalid.":                                                            cloud.ScopeCloud,
	} {
		for _, code := range []string{"InvalidParameterValue", "InvalidParameterCombination"} {
			if got := classify(apiError(code, message)); got != (cloud.Fault{Kind: cloud.KindConfig, Scope: want}) {
				t.Errorf("%s, %q: %s, want config (%s)", code, message, got, want)
			}
		}
	}
}

// TestThrottling: whatever the SDK takes for throttling or a timeout is passing.
func TestThrottling(t *testing.T) {
	ofOtherServices := []string{"LimitExceededException", "ProvisionedThroughputExceededException", "TransactionInProgressException", "PriorRequestNotComplete"}
	for _, codes := range []map[string]struct{}{retry.DefaultThrottleErrorCodes, retry.DefaultRetryableErrorCodes} {
		for code := range codes {
			if kind := classify(apiError(code, "")).Kind; kind != cloud.KindTransient && !slices.Contains(ofOtherServices, code) {
				t.Errorf("%s is %s", code, kind)
			}
		}
	}
}

// TestTableIsSound: a code that came twice would hide its second meaning, and a
// row with a text must come before the one without.
func TestTableIsSound(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range faultTable() {
		if seen[r.Code] {
			t.Errorf("%s comes again after a row that takes all of it", r.Code)
		}
		seen[r.Code] = r.Text == ""
	}
}

// TestRetryable: refusals are never repeated, whatever their HTTP status.
func TestRetryable(t *testing.T) {
	for _, r := range faultTable() {
		want := aws.FalseTernary
		if r.Fault.Kind == cloud.KindTransient && !r.Wait {
			want = aws.TrueTernary
		}
		if got := retryable(apiError(r.Code, r.Text)); got != want {
			t.Errorf("%s: %v, want %v", r.Code, got, want)
		}
	}
	if got := retryable(errors.New("connection reset")); got != aws.UnknownTernary {
		t.Errorf("no API error: %v", got)
	}
}

func TestRefusalsLeaveNothingBehind(t *testing.T) {
	for code, want := range map[string]bool{
		"InsufficientInstanceCapacity": true, "VcpuLimitExceeded": true, "InvalidParameterValue": true, "UnauthorizedOperation": true,
		"RequestLimitExceeded": false, "InternalError": false, "IdempotentParameterMismatch": false, "NeverHeardOf": false,
	} {
		if got := newDriver(nil, settings{}).Refused(apiError(code, "")); got != want {
			t.Errorf("%s: refused %t, want %t", code, got, want)
		}
	}
	if newDriver(nil, settings{}).Refused(errors.New("timeout")) {
		t.Error("a lost connection counts as a refusal")
	}
}
