// SPDX-License-Identifier: MPL-2.0

// Package ibm is the driver of IBM Cloud VPC, by a small client of its own. A
// machine says whose it is by the tags of its boot volume, since instances can
// have none, and that it was recorded by the name of that volume's attachment,
// which can change. The address at which it is reached is a thing of its own,
// paid for and named after the machine.
package ibm

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Name is the cloud's name in configurations, catalogs and templates.
const Name = "ibm"

// The options of the provider block. Those of the network can be set for one
// cluster as well, in its template's node_config.
const (
	optionKey      = "api_key"
	optionGroup    = "resource_group"
	optionVPC      = "vpc"
	optionEndpoint = "endpoint_url"
	optionIAM      = "iam_endpoint_url"
)

const (
	defaultEndpoint = "https://{region}.iaas.cloud.ibm.com"
	defaultIAM      = "https://iam.cloud.ibm.com"
	// firstRegion is asked which regions there are.
	firstRegion = "us-south"
)

// Bounds of the API.
const (
	maxName        = 63
	maxUserData    = 64 << 10
	defaultDiskGiB = 100
	maxDiskGiB     = 250
)

// Factory opens IBM Cloud. All that one opens share a pace.
type Factory struct {
	pace *fleet.Pace
	// transport carries the calls; nil is the network.
	transport http.RoundTripper
	// tune adjusts a new driver; for tests.
	tune func(*driver)
}

// New returns the factory of this process. IBM names no limit of calls.
func New() Factory {
	return Factory{pace: &fleet.Pace{Every: 50 * time.Millisecond, Burst: 40}}
}

var (
	_ cloud.Factory = Factory{}
	_ cloud.Keyless = Factory{}
)

// Over is the factory with its calls over a transport: tests have clouds in memory.
func (f Factory) Over(transport http.RoundTripper) Factory {
	f.transport = transport
	return f
}

// Name implements cloud.Factory.
func (Factory) Name() string { return Name }

// Capabilities implements cloud.Factory. A machine that powers itself off may be
// billed as before, and has no right to stop or remove itself by the API.
func (Factory) Capabilities() cloud.Capabilities {
	return cloud.Capabilities{
		Stop: true, MultiNode: true, UserData: true, CustomImage: true, Containers: true, CustomDisk: true,
		PortsLaunch: true, PortsLater: true, Labels: true, DiskTiers: diskTierNames(),
		MaxNameLength: maxName, MaxUserData: maxUserData,
		// Machines with 8 devices of the third generation on boot slowly.
		SlowBoot: map[string]time.Duration{"gx3d-*x8*": 30 * time.Minute, "gx4d-*": 30 * time.Minute},
	}
}

// Options implements cloud.Factory.
func (Factory) Options() []cloud.Option {
	return []cloud.Option{
		{
			Name: optionKey, Env: []string{"IC_API_KEY", "IBMCLOUD_API_KEY"}, Sensitive: true,
			Description: "API key. By default that of `~/.ibm/credentials.yaml`, where SkyPilot has it, as `iam_api_key`.",
		},
		{
			Name: optionGroup, Env: []string{"IC_RESOURCE_GROUP", "IBMCLOUD_RESOURCE_GROUP"},
			Description: "Id of the resource group for all that is made; by default `resource_group_id` of `~/.ibm/credentials.yaml`, else the account's default group.",
		},
		{
			Name: optionVPC,
			Description: "Name of the VPC to launch in, the same in every region, with a subnet in each zone that is used; " +
				"by default one named `" + networkName + "`, which is made, with its subnets, where it is not there. It costs nothing, and stays.",
		},
		{
			Name:        optionEndpoint,
			Description: "URL that stands in for " + defaultEndpoint + ", with `{region}` for the name of the region, for private endpoints and tests.",
		},
		{Name: optionIAM, Env: []string{"IBMCLOUD_IAM_API_ENDPOINT"}, Description: "URL that stands in for " + defaultIAM + ", for private endpoints and tests."},
	}
}

// MissingCredentials implements cloud.Keyless.
func (Factory) MissingCredentials(creds cloud.Credentials) string {
	if _, err := findKey(creds); err != nil {
		return "no API key: " + advice
	}
	return ""
}

// Open implements cloud.Factory: it gets a token, which names the account, and asks
// which regions there are.
func (f Factory) Open(ctx context.Context, creds cloud.Credentials) (cloud.Session, error) {
	found, err := findKey(creds)
	if err != nil {
		return cloud.Session{}, err
	}
	endpoint := cmp.Or(creds.Values[optionEndpoint], defaultEndpoint)
	of := func(region string) string { return strings.ReplaceAll(endpoint, "{region}", region) }
	if _, err := fleet.ParseEndpoint(optionEndpoint, of(firstRegion), defaultEndpoint, "access tokens"); err != nil {
		return cloud.Session{}, err //nolint:wrapcheck // it names the option
	}
	login, err := fleet.ParseEndpoint(optionIAM, cmp.Or(creds.Values[optionIAM], defaultIAM), defaultIAM, "the API key")
	if err != nil {
		return cloud.Session{}, err //nolint:wrapcheck // it names the option
	}
	tries := retry.Policy{Initial: 500 * time.Millisecond, Max: 10 * time.Second, Factor: 2, Jitter: 0.3, Attempts: 8}
	tokens := newTokenSource(login.String(), found.key, f.transport, tries)
	d := newDriver(&client{endpoint: of, tokens: tokens, pace: f.pace, tries: tries})
	d.group, d.vpc = cmp.Or(creds.Values[optionGroup], found.group), creds.Values[optionVPC]
	if f.tune != nil {
		f.tune(d)
	}
	claims, err := tokens.claims(ctx)
	if err == nil {
		_, err = d.c.regions(ctx)
	}
	if err != nil {
		if d.Classify(err).Kind == cloud.KindAuth {
			err = &fleet.AuthError{Advice: "IBM Cloud refuses the API key: " + advice, Err: err}
		}
		return cloud.Session{}, err
	}
	return cloud.Session{Provisioner: d, Account: claims.Account.BSS, Identity: cmp.Or(claims.Email, claims.IAMID)}, nil
}
