// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// faultTable says what the error codes of EC2, STS and SSM mean.
func faultTable() []fleet.Row {
	return slices.Concat(capacityCodes(), quotaCodes(), authCodes(), configCodes(), transientCodes(), unknownCodes(), patterns())
}

// patterns are for codes that no row names.
func patterns() []fleet.Row {
	return slices.Concat(fleet.Rows(cloud.KindQuota, cloud.ScopeRegion, "*LimitExceeded"),
		fleet.Rows(cloud.KindConfig, cloud.ScopeRegion, "*.NotFound", "*.Malformed"))
}

func capacityCodes() []fleet.Row {
	rows := fleet.Rows(cloud.KindCapacity, cloud.ScopeZone,
		"InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity", "InsufficientReservedInstancesCapacity",
		"InsufficientCapacity", "InsufficientCapacityOnHost", "InsufficientVolumeCapacity", "InsufficientFreeAddressesInSubnet",
		"UnfulfillableCapacity", "SpotMaxPriceTooLow", "ReservationCapacityExceeded",
		// The type, or the disk, is not sold in this zone; others of the region may have it.
		"Unsupported", "VolumeTypeNotAvailableInZone")
	return append(rows, fleet.Rows(cloud.KindCapacity, cloud.ScopeRegion, "InsufficientAddressCapacity")...)
}

func quotaCodes() []fleet.Row {
	return fleet.Rows(cloud.KindQuota, cloud.ScopeRegion,
		"VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "MaxSpotFleetRequestCountExceeded",
		"VolumeLimitExceeded", "MaxIOPSLimitExceeded", "VolumeIOPSLimit", "ResourceCountExceeded", "ResourceCountLimitExceeded", "ResourceLimitExceeded", "NetworkInterfaceLimitExceeded",
		"SecurityGroupLimitExceeded", "RulesPerSecurityGroupLimitExceeded", "SecurityGroupsPerInterfaceLimitExceeded",
		"SecurityGroupsPerInstanceLimitExceeded", "PrivateIpAddressLimitExceeded", "AddressLimitExceeded",
		"PlacementGroupLimitExceeded", "CreditSpecificationLimitExceeded",
		// The account is new, or new to the region, and AWS still looks at it.
		"PendingVerification")
}

func authCodes() []fleet.Row {
	rows := fleet.Rows(cloud.KindAuth, cloud.ScopeCloud,
		"AuthFailure", "UnauthorizedOperation", "Blocked", "AccessDenied", "AccessDeniedException", "NotAuthorized",
		"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "MissingAuthenticationToken",
		"MissingAuthenticationTokenException", "ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidSecurity.RequestHasExpired",
		"SignatureDoesNotMatch", "IncompleteSignature",
		"AuthFailure.ServiceLinkedRoleCreationNotPermitted")
	return append(rows, fleet.Rows(cloud.KindAuth, cloud.ScopeRegion, "RegionDisabledException")...)
}

func configCodes() []fleet.Row {
	// The one code for both: not subscribed to the image, or to the region.
	rows := fleet.TextRows(cloud.KindConfig, cloud.ScopeCloud, "marketplace", "OptInRequired")
	// What one type cannot do, another may, and what one zone cannot, another zone.
	vague := []string{"InvalidParameterValue", "InvalidParameterCombination", "InvalidParameter"}
	rows = append(rows, fleet.TextRows(cloud.KindConfig, cloud.ScopeRegion, "instance type", vague...)...)
	for _, text := range []string{"availabilityzone", "availability zone"} {
		rows = append(rows, fleet.TextRows(cloud.KindConfig, cloud.ScopeZone, text, vague...)...)
	}
	rows = append(rows, fleet.Rows(cloud.KindConfig, cloud.ScopeRegion,
		"OptInRequired", "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidInstanceType", "InvalidInstanceType.NotFound",
		"DefaultVpcDoesNotExist", "VPCIdNotSpecified", "InvalidVpcID.NotFound", "VpcNotFound", "InvalidSubnet",
		"InvalidSubnetID.NotFound", "InvalidGroup.NotFound", "InvalidSecurityGroupID.NotFound",
		"InvalidZone.NotFound", "InvalidAvailabilityZone", "InvalidSnapshot.NotFound", "InvalidPlacementGroup.Unknown",
		"ParameterNotFound", "UnsupportedOperation", "UnsupportedTenancy", "UnsupportedInstanceAttribute", "BootForVolumeTypeUnsupported", "InvalidRegion",
		"UnsupportedHibernationConfiguration", "EncryptedVolumesNotSupported")...)
	return append(rows, fleet.Rows(cloud.KindConfig, cloud.ScopeCloud,
		"InvalidParameterValue", "InvalidParameter", "InvalidParameterCombination", "InvalidParameterDependency", "MissingParameter",
		"MissingInput", "UnknownParameter", "ValidationError", "ValidationException", "InvalidUserData.Malformed", "InvalidAMIID.Malformed",
		"InvalidSubnetID.Malformed", "InvalidVpcID.Malformed", "InvalidGroupId.Malformed", "InvalidBlockDeviceMapping",
		"InvalidIamInstanceProfile", "InvalidIamInstanceProfileArn.Malformed", "TagLimitExceeded", "InvalidTagKey.Malformed",
		"InvalidID", "InvalidRequest", "InvalidInput", "InvalidAttributeValue", "OperationNotPermitted", "RequestEntityTooLarge")...)
}

func transientCodes() []fleet.Row {
	rows := fleet.Rows(cloud.KindTransient, cloud.ScopeZone,
		"RequestLimitExceeded", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
		"RequestThrottledException", "TooManyRequestsException", "EC2ThrottledException", "SlowDown", "BandwidthLimitExceeded",
		"InternalError", "InternalFailure", "InternalServerError", "ServerInternal", "ServiceUnavailable", "ServiceUnavailableException",
		"Unavailable", "RequestTimeout", "RequestTimeoutException", "ConcurrentTagAccess", "ConcurrentCreatePlacementGroup")
	waits := fleet.Rows(cloud.KindTransient, cloud.ScopeRegion,
		codeDependency, codePlacementInUse, "InvalidInstanceID.NotFound", codeWrongState, codeWrongStateShort,
		"IncorrectSpotRequestState", "VolumeInUse", "InvalidNetworkInterface.InUse", "ResourceInUse")
	for i := range waits {
		waits[i].Wait = true
	}
	return append(rows, waits...)
}

func unknownCodes() []fleet.Row {
	return fleet.Rows(cloud.KindUnknown, cloud.ScopeZone,
		// The token was used for another request: some machine may be there.
		"IdempotentParameterMismatch", "IdempotentInstanceTerminated", "InvalidClientToken")
}

// ends says what the end of a machine means, by AWS's state reason: for a launch
// that it breaks, and for who did it.
func ends() []struct {
	code   string
	fault  cloud.Fault
	ending cloud.Ending
} {
	capacity := cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}
	none := cloud.Fault{}
	return []struct {
		code   string
		fault  cloud.Fault
		ending cloud.Ending
	}{
		{"Server.InsufficientInstanceCapacity", capacity, cloud.EndedFailed},
		{"Server.SpotInstanceTermination", capacity, cloud.EndedPreempted},
		{"Server.SpotInstanceShutdown", capacity, cloud.EndedPreempted},
		{"Server.ScheduledStop", capacity, cloud.EndedFailed},
		{"Client.VolumeLimitExceeded", cloud.Fault{Kind: cloud.KindQuota, Scope: cloud.ScopeRegion}, cloud.EndedFailed},
		{"Client.InvalidSnapshot.NotFound", cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}, cloud.EndedFailed},
		// Mostly an encrypted image or volume whose key the account may not use.
		{"Client.InternalError", cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}, cloud.EndedFailed},
		{"Server.InternalError", cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}, cloud.EndedFailed},
		{"Client.InstanceInitiatedShutdown", none, cloud.EndedItself},
		{"Client.UserInitiatedShutdown", none, cloud.EndedByUser},
		{"User initiated", none, cloud.EndedByUser}, // where only the transition is told
	}
}

func reasonTable() []fleet.Row {
	var rows []fleet.Row
	for _, e := range ends() {
		if e.fault != (cloud.Fault{}) {
			rows = append(rows, fleet.Row{Text: strings.ToLower(e.code), Fault: e.fault})
		}
	}
	return rows
}

// endingOf reads a machine's reason; what it does not know stays unknown.
func endingOf(reason string) cloud.Ending {
	for _, e := range ends() {
		if strings.Contains(reason, e.code) {
			return e.ending
		}
	}
	return ""
}
