// SPDX-License-Identifier: MPL-2.0

// Package aws is the driver of Amazon EC2. One machine is one call of
// RunInstances, made idempotent by its identity; what belongs to a cluster is
// known by tags; nothing but the account's owner pays for is left behind.
package aws

import (
	"context"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Name is the cloud's name in configurations, catalogs and templates.
const Name = "aws"

// The options of the provider block, and of a cluster template's node_config.
const (
	optionProfile      = "profile"
	optionRegion       = "region"
	optionRegions      = "regions"
	optionAccessKey    = "access_key_id"
	optionSecretKey    = "secret_access_key"
	optionSessionToken = "session_token"
	optionRole         = "assume_role_arn"
	optionExternalID   = "assume_role_external_id"
	optionEndpoint     = "endpoint_url"
	optionVPC          = "vpc_id"
	optionSubnets      = "subnet_ids"
	optionGroups       = "security_group_ids"
	optionInternal     = "use_internal_ips"
	optionInstanceRole = "iam_instance_profile"
	optionPlacement    = "placement_group"
	optionDiskTier     = "disk_tier"
	optionVPCTags      = "vpc_tags"
	optionSubnetTags   = "subnet_tags"
	optionEFA          = "efa"
	optionCredits      = "cpu_credits"
)

// Bounds of EC2.
const (
	maxTagValue   = 256
	maxTagKey     = 128
	maxLabels     = 40
	maxUserData   = 16 << 10
	maxNameLength = 255
)

// The tags of a machine beside those of its identity, and their values.
const (
	committed = "true"
	tagName   = "Name"
	// tagCreated says when a group was made, which AWS does not.
	tagCreated     = cloud.TagPrefix + "created"
	tagDeadline    = cloud.TagPrefix + "deadline"
	tagSSHUser     = cloud.TagPrefix + "ssh-user"
	tagNetwork     = cloud.TagPrefix + "network"
	tagOnShutdown  = cloud.TagPrefix + "on-shutdown"
	networkPrivate = "private"
)

const (
	defaultRegion  = "us-east-1"
	sshPort        = 22
	defaultDiskGiB = 100
	// parallel bounds the calls under way at once.
	parallel = 8
)

// Factory opens AWS. Its zero value is ready for use.
type Factory struct {
	// tune adjusts a new driver; tests hurry it.
	tune func(*driver)
}

var (
	_ cloud.Factory = Factory{}
	_ cloud.Keyless = Factory{}
)

// Name implements cloud.Factory.
func (Factory) Name() string { return Name }

// Capabilities implements cloud.Factory.
func (Factory) Capabilities() cloud.Capabilities {
	return cloud.Capabilities{
		Stop:          true,
		Spot:          true,
		MultiNode:     true,
		PortsLater:    true,
		PortsLaunch:   true,
		UserData:      true,
		CustomImage:   true,
		CustomDisk:    true,
		Labels:        true,
		DeadMan:       true,
		SelfStop:      true,
		SelfTerminate: true,
		MaxNameLength: maxNameLength,
		MaxLabels:     maxLabels,
		MaxUserData:   maxUserData,
		DiskTiers:     diskTierNames(),
	}
}

// Options implements cloud.Factory. Where an option of the credentials is
// absent, the SDK's own chain looks for it: environment, shared files, SSO,
// container and instance roles.
func (Factory) Options() []cloud.Option {
	return []cloud.Option{
		{Name: optionProfile, Description: "Profile of the shared AWS configuration and credentials files."},
		{Name: optionRegion, Description: "Region for calls that concern no region in particular; by default that of the profile or the environment, else us-east-1."},
		{Name: optionRegions, Description: "Comma-separated regions to launch and look for machines in; by default all that are enabled for the account. Needed where a policy forbids some of them."},
		{Name: optionAccessKey, Description: "Access key. Needed together with secret_access_key; by default the AWS SDK's credential chain applies.", Sensitive: true},
		{Name: optionSecretKey, Description: "Secret of access_key_id.", Sensitive: true},
		{Name: optionSessionToken, Description: "Session token of temporary keys.", Sensitive: true},
		{Name: optionRole, Description: "ARN of a role to assume with the credentials found."},
		{Name: optionExternalID, Description: "External id that the role asks for.", Sensitive: true},
		{Name: optionEndpoint, Description: "URL that stands in for the AWS endpoints, for emulators."},
		{Name: optionVPC, Description: "VPC to launch in; by default that of subnet_ids, else the region's default VPC."},
		{Name: optionSubnets, Description: "Comma-separated subnets to launch in, of one or several regions; by default the suitable ones of the VPC."},
		{Name: optionGroups, Description: "Comma-separated security groups to attach beside the cluster's own. They are never changed or deleted."},
		{Name: optionInternal, Description: "\"true\" launches in private subnets and reaches machines by their private addresses."},
		{Name: optionInstanceRole, Description: "Name or ARN of an IAM instance profile for the machines; by default they have none."},
	}
}

// Open implements cloud.Factory: it finds credentials and asks STS whose they are.
func (f Factory) Open(ctx context.Context, creds cloud.Credentials) (cloud.Session, error) {
	defaults, err := settingsFromOptions(creds.Values)
	if err != nil {
		return cloud.Session{}, err
	}
	c, err := newClients(ctx, creds.Values)
	if err != nil {
		return cloud.Session{}, err
	}
	account, identity, err := c.account(ctx)
	if err != nil {
		return cloud.Session{}, err
	}
	d := newDriver(c, defaults)
	if f.tune != nil {
		f.tune(d)
	}
	return cloud.Session{Provisioner: d, Account: account, Identity: identity}, nil
}
