// SPDX-License-Identifier: MPL-2.0

// Package gcp is the driver of Google Compute Engine. One machine is one
// insert, made idempotent by a request id and a name that both derive from its
// identity; what belongs to a cluster is known by labels, and what labels
// cannot hold is in the metadata beside them.
package gcp

import (
	"context"
	"net/http"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Name is the cloud's name in configurations, catalogs and templates.
const Name = "gcp"

// The options of the provider block. Those of the network can be set for one
// cluster as well, in its template's node_config.
const (
	optionProject        = "project"
	optionCredentials    = "credentials"
	optionAccessToken    = "access_token"
	optionImpersonate    = "impersonate_service_account"
	optionEndpoint       = "endpoint_url"
	optionNetwork        = "network"
	optionSubnetwork     = "subnetwork"
	optionInternal       = "use_internal_ips"
	optionServiceAccount = "service_account"
	optionSelfDelete     = "self_delete"
	optionDiskTier       = "disk_tier"
	optionSecureBoot     = "secure_boot"
	optionSpotAction     = "spot_termination_action"
	optionMaxRun         = "max_run_duration"
)

// Bounds of Compute Engine.
const (
	maxNameLength  = 63
	maxUserLabels  = 50
	maxMetadata    = 256 << 10
	defaultDiskGiB = 100
	maxDiskGiB     = 65536
	sshPort        = 22
)

// Factory opens Compute Engine. Its zero value is ready for use.
type Factory struct {
	// tune adjusts a new driver; tests hurry it.
	tune func(*driver)
	// http fetches tokens in place of the libraries' own client; for tests.
	http *http.Client
}

var (
	_ cloud.Factory      = Factory{}
	_ cloud.Keyless      = Factory{}
	_ cloud.Configurable = Factory{}
)

// Name implements cloud.Factory.
func (Factory) Name() string { return Name }

// selfDeleteNeeds is what machines that remove themselves take.
const selfDeleteNeeds = "clouds.gcp sets service_account to one with the permission compute.instances.delete, and self_delete to \"true\""

// Capabilities implements cloud.Factory. A power-off stops a machine, which ends
// the charge for the machine but not for its disk; only its own service account
// lets it remove itself, so that without one a machine that was not committed
// stops at its deadline. Compute Engine's limit of a run (maxRunDuration) would
// remove it, but cannot be lifted from a machine that runs.
func (Factory) Capabilities() cloud.Capabilities {
	return cloud.Capabilities{
		Stop:          true,
		StopSpot:      true,
		Spot:          true,
		MultiNode:     true,
		PortsLater:    true,
		PortsLaunch:   true,
		UserData:      true,
		CustomImage:   true,
		CustomDisk:    true,
		Labels:        true,
		DeadManStops:  true,
		SelfStop:      true,
		MaxNameLength: maxNameLength,
		DiskTiers:     diskTierNames(),

		SelfTerminateIf: selfDeleteNeeds,
	}
}

// CapabilitiesWith implements cloud.Configurable: what the user says of the
// machines' service account decides whether they remove themselves.
func (f Factory) CapabilitiesWith(creds cloud.Credentials) cloud.Capabilities {
	caps := f.Capabilities()
	if s, err := settingsFromOptions(creds.Values); err == nil && s.selfDelete {
		caps.DeadMan, caps.SelfTerminate, caps.SelfTerminateIf = true, true, ""
	}
	return caps
}

// Options implements cloud.Factory.
func (Factory) Options() []cloud.Option {
	return []cloud.Option{
		{
			Name:        optionProject,
			Description: "Project that owns and pays for the machines; by default that of the credentials.",
			Env:         []string{"GOOGLE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"},
		},
		{
			Name: optionCredentials,
			Description: "Path or content of a credentials file: a service account's key, or a configuration of workload identity federation. " +
				"By default Application Default Credentials apply.",
			Env:       []string{"GOOGLE_CREDENTIALS"},
			Sensitive: true,
		},
		{
			Name:        optionAccessToken,
			Description: "OAuth 2.0 access token to use instead of credentials. It is not renewed.",
			Env:         []string{"GOOGLE_OAUTH_ACCESS_TOKEN"},
			Sensitive:   true,
		},
		{
			Name:        optionImpersonate,
			Description: "E-mail address of a service account to act as, with the credentials found.",
			Env:         []string{"GOOGLE_IMPERSONATE_SERVICE_ACCOUNT"},
		},
		{Name: optionEndpoint, Description: "URL that stands in for https://compute.googleapis.com, for emulators and private endpoints."},
		{Name: optionNetwork, Description: "VPC network to launch in, as a name or projects/<project>/global/networks/<name>; by default that of subnetwork, else \"default\"."},
		{Name: optionSubnetwork, Description: "Subnetwork to launch in, as a name that is the same in every region, or projects/<project>/regions/<region>/subnetworks/<name>."},
		{Name: optionInternal, Description: "\"true\" launches machines without external addresses and reaches them by their internal ones."},
		{
			Name:        optionServiceAccount,
			Description: "E-mail address of a service account for the machines; by default they have none. Its rights are IAM's alone: the machines' scope is cloud-platform.",
		},
		{
			Name: optionSelfDelete,
			Description: "\"true\" says that service_account has the permission compute.instances.delete, so that machines remove themselves, disk and all: " +
				"when autostop is to remove them, and where a launch was cut off for good. By default they only shut down, and their disks are charged for.",
		},
	}
}

// Open implements cloud.Factory: it finds credentials and looks at the project.
func (f Factory) Open(ctx context.Context, creds cloud.Credentials) (cloud.Session, error) {
	defaults, err := settingsFromOptions(creds.Values)
	if err != nil {
		return cloud.Session{}, err
	}
	c, err := newClient(ctx, creds.Values, f.http)
	if err != nil {
		return cloud.Session{}, err
	}
	account, err := c.account(ctx)
	if err != nil {
		return cloud.Session{}, err
	}
	d := newDriver(c, defaults)
	if f.tune != nil {
		f.tune(d)
	}
	return cloud.Session{Provisioner: d, Account: account, Identity: c.identity}, nil
}
