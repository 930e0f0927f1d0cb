// SPDX-License-Identifier: MPL-2.0

package aws

import "github.com/skybroker/terraform-provider-sky/internal/cloud"

// codes makes rows of one meaning.
func codes(kind cloud.Kind, scope cloud.Scope, names ...string) []faultRow {
	rows := make([]faultRow, 0, len(names))
	for _, n := range names {
		rows = append(rows, faultRow{code: n, fault: cloud.Fault{Kind: kind, Scope: scope}})
	}
	return rows
}

// faultTable says what the error codes of EC2, STS and SSM mean.
func faultTable() []faultRow {
	var all []faultRow
	for _, rows := range [][]faultRow{capacityCodes(), quotaCodes(), authCodes(), configCodes(), transientCodes(), unknownCodes()} {
		all = append(all, rows...)
	}
	return all
}

func capacityCodes() []faultRow {
	rows := codes(cloud.KindCapacity, cloud.ScopeZone,
		"InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity", "InsufficientReservedInstancesCapacity",
		"InsufficientCapacity", "InsufficientCapacityOnHost", "InsufficientVolumeCapacity", "InsufficientFreeAddressesInSubnet",
		"UnfulfillableCapacity", "SpotMaxPriceTooLow", "ReservationCapacityExceeded",
		// The type, or the disk, is not sold in this zone; others of the region may have it.
		"Unsupported", "VolumeTypeNotAvailableInZone")
	return append(rows, codes(cloud.KindCapacity, cloud.ScopeRegion, "InsufficientAddressCapacity")...)
}

func quotaCodes() []faultRow {
	return codes(cloud.KindQuota, cloud.ScopeRegion,
		"VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "MaxSpotFleetRequestCountExceeded",
		"VolumeLimitExceeded", "MaxIOPSLimitExceeded", "VolumeIOPSLimit", "ResourceCountExceeded", "ResourceCountLimitExceeded", "ResourceLimitExceeded", "NetworkInterfaceLimitExceeded",
		"SecurityGroupLimitExceeded", "RulesPerSecurityGroupLimitExceeded", "SecurityGroupsPerInterfaceLimitExceeded",
		"SecurityGroupsPerInstanceLimitExceeded", "PrivateIpAddressLimitExceeded", "AddressLimitExceeded",
		"PlacementGroupLimitExceeded", "CreditSpecificationLimitExceeded",
		// The account is new, or new to the region, and AWS still looks at it.
		"PendingVerification")
}

func authCodes() []faultRow {
	rows := codes(cloud.KindAuth, cloud.ScopeCloud,
		"AuthFailure", "UnauthorizedOperation", "Blocked", "AccessDenied", "AccessDeniedException", "NotAuthorized",
		"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "MissingAuthenticationToken",
		"MissingAuthenticationTokenException", "ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidSecurity.RequestHasExpired",
		"SignatureDoesNotMatch", "IncompleteSignature",
		"AuthFailure.ServiceLinkedRoleCreationNotPermitted")
	return append(rows, codes(cloud.KindAuth, cloud.ScopeRegion, "RegionDisabledException")...)
}

func configCodes() []faultRow {
	rows := []faultRow{{
		// The one code for both: not subscribed to the image, or to the region.
		code: "OptInRequired", text: "marketplace", fault: cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeCloud},
	}}
	for _, code := range []string{"InvalidParameterValue", "InvalidParameterCombination", "InvalidParameter"} {
		// What one type cannot do, another may, and what one zone cannot, another zone.
		rows = append(rows,
			faultRow{code: code, text: "instance type", fault: cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}},
			faultRow{code: code, text: "availabilityzone", fault: cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeZone}},
			faultRow{code: code, text: "availability zone", fault: cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeZone}})
	}
	rows = append(rows, codes(cloud.KindConfig, cloud.ScopeRegion,
		"OptInRequired", "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidInstanceType", "InvalidInstanceType.NotFound",
		"DefaultVpcDoesNotExist", "VPCIdNotSpecified", "InvalidVpcID.NotFound", "VpcNotFound", "InvalidSubnet",
		"InvalidSubnetID.NotFound", "InvalidGroup.NotFound", "InvalidSecurityGroupID.NotFound",
		"InvalidZone.NotFound", "InvalidAvailabilityZone", "InvalidSnapshot.NotFound", "InvalidPlacementGroup.Unknown",
		"ParameterNotFound", "UnsupportedOperation", "UnsupportedTenancy", "UnsupportedInstanceAttribute", "BootForVolumeTypeUnsupported", "InvalidRegion",
		"UnsupportedHibernationConfiguration", "EncryptedVolumesNotSupported")...)
	return append(rows, codes(cloud.KindConfig, cloud.ScopeCloud,
		"InvalidParameterValue", "InvalidParameter", "InvalidParameterCombination", "InvalidParameterDependency", "MissingParameter",
		"MissingInput", "UnknownParameter", "ValidationError", "ValidationException", "InvalidUserData.Malformed", "InvalidAMIID.Malformed",
		"InvalidSubnetID.Malformed", "InvalidVpcID.Malformed", "InvalidGroupId.Malformed", "InvalidBlockDeviceMapping",
		"InvalidIamInstanceProfile", "InvalidIamInstanceProfileArn.Malformed", "TagLimitExceeded", "InvalidTagKey.Malformed",
		"InvalidID", "InvalidRequest", "InvalidInput", "InvalidAttributeValue", "OperationNotPermitted", "RequestEntityTooLarge")...)
}

func transientCodes() []faultRow {
	rows := codes(cloud.KindTransient, cloud.ScopeZone,
		"RequestLimitExceeded", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
		"RequestThrottledException", "TooManyRequestsException", "EC2ThrottledException", "SlowDown", "BandwidthLimitExceeded",
		"InternalError", "InternalFailure", "InternalServerError", "ServerInternal", "ServiceUnavailable", "ServiceUnavailableException",
		"Unavailable", "RequestTimeout", "RequestTimeoutException", "ConcurrentTagAccess", "ConcurrentCreatePlacementGroup")
	waits := codes(cloud.KindTransient, cloud.ScopeRegion,
		codeDependency, codePlacementInUse, "InvalidInstanceID.NotFound", codeWrongState, codeWrongStateShort,
		"IncorrectSpotRequestState", "VolumeInUse", "InvalidNetworkInterface.InUse", "ResourceInUse")
	for i := range waits {
		waits[i].wait = true
	}
	return append(rows, waits...)
}

func unknownCodes() []faultRow {
	return codes(cloud.KindUnknown, cloud.ScopeZone,
		// The token was used for another request: some machine may be there.
		"IdempotentParameterMismatch", "IdempotentInstanceTerminated", "InvalidClientToken")
}

// reasonTable says what the end of a machine means, by AWS's state reason.
func reasonTable() []reasonRow {
	capacity := cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}
	return []reasonRow{
		{"Server.InsufficientInstanceCapacity", capacity},
		{"Server.SpotInstanceTermination", capacity},
		{"Server.SpotInstanceShutdown", capacity},
		{"Server.ScheduledStop", capacity},
		{"Client.VolumeLimitExceeded", cloud.Fault{Kind: cloud.KindQuota, Scope: cloud.ScopeRegion}},
		{"Client.InvalidSnapshot.NotFound", cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}},
		// Mostly an encrypted image or volume whose key the account may not use.
		{"Client.InternalError", cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}},
		{"Server.InternalError", cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}},
	}
}
