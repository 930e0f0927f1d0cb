// SPDX-License-Identifier: MPL-2.0

// Package oci is the driver of Oracle Cloud Infrastructure. One machine is one
// launch with a retry token that derives from its identity; free-form tags say
// whose it is, and its name says whether it was recorded, since the name is all
// that can change on every kind of machine.
package oci

import (
	"context"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// Name is the cloud's name in configurations, catalogs and templates.
const Name = "oci"

// The options of the provider block. Those of the network can be set for one
// cluster as well, in its template's node_config.
const (
	optionConfigFile = "config_file"
	optionProfile    = "profile"
	optionTenancy    = "tenancy"
	optionUser       = "user"
	optionFinger     = "fingerprint"
	optionKey        = "private_key"
	optionPassword   = "private_key_password"
	optionTokenFile  = "security_token_file"
	optionRegion     = "region"
	optionCompart    = "compartment"
	optionTree       = "compartment_tree"
	optionSubnets    = "subnet_ids"
	optionInternal   = "use_internal_ips"
	optionEndpoint   = "endpoint_url"
)

// Bounds of Oracle's API.
const (
	maxName        = 255
	maxMetadata    = 32000
	minDiskGiB     = 50
	maxDiskGiB     = 32768
	defaultDiskGiB = 100
)

// Factory opens Oracle's cloud. Its zero value is ready for use.
type Factory struct {
	// tune adjusts a new driver; tests hurry it.
	tune func(*driver)
}

var (
	_ cloud.Factory      = Factory{}
	_ cloud.Keyless      = Factory{}
	_ cloud.Configurable = Factory{}
)

// Name implements cloud.Factory.
func (Factory) Name() string { return Name }

// Capabilities implements cloud.Factory. A machine that shuts down is billed as
// before; only the API ends the charge, and for some shapes not even that. So a
// machine ends itself only by a right of its own.
func (Factory) Capabilities() cloud.Capabilities {
	return cloud.Capabilities{
		Stop: true, Spot: true, MultiNode: true, PortsLater: true, PortsLaunch: true, UserData: true,
		CustomImage: true, CustomDisk: true, Labels: true,
		StopBilled: []string{"BM.*", "VM.GPU[0-9]*", "VM.DenseIO*", "*.HPC*"},
		// Bare metal is set up from scratch.
		SlowBoot:      bareMetalBoot(),
		MaxNameLength: maxName - len(unrecorded),
		DiskTiers:     diskTierNames(),
	}
}

// CapabilitiesWith implements cloud.Configurable: what a subnet of the user's lets in
// is not the provider's to change.
func (f Factory) CapabilitiesWith(creds cloud.Credentials) cloud.Capabilities {
	caps := f.Capabilities()
	if creds.Values[optionSubnets] != "" {
		caps.SourcesOpen = "the security lists of the subnets in subnet_ids add to a cluster's rules, and Oracle's default list lets everybody reach port 22 unless you change it"
	}
	return caps
}

// Options implements cloud.Factory.
func (Factory) Options() []cloud.Option {
	return []cloud.Option{
		{Name: optionConfigFile, Description: "Path of the configuration file with profiles; by default `~/.oci/config`.", Env: []string{"OCI_CONFIG_FILE", "OCI_CLI_CONFIG_FILE"}},
		{Name: optionProfile, Description: "Profile of that file, with an API key or a session token; by default `DEFAULT`. The settings below take the place of what it says.", Env: []string{"OCI_CLI_PROFILE"}},
		{Name: optionTenancy, Description: "OCID of the tenancy.", Env: []string{"OCI_CLI_TENANCY", "TF_VAR_tenancy_ocid"}},
		{Name: optionUser, Description: "OCID of the user whose API key is used.", Env: []string{"OCI_CLI_USER", "TF_VAR_user_ocid"}},
		{Name: optionFinger, Description: "Fingerprint of the API key.", Env: []string{"OCI_CLI_FINGERPRINT", "TF_VAR_fingerprint"}},
		{Name: optionKey, Description: "The API key's private half: PEM text, or the path of a file with it.", Env: []string{"OCI_CLI_KEY_CONTENT", "OCI_CLI_KEY_FILE", "TF_VAR_private_key_path"}, Sensitive: true},
		{Name: optionPassword, Description: "Pass phrase of an encrypted private key.", Env: []string{"OCI_CLI_PASSPHRASE", "TF_VAR_private_key_password"}, Sensitive: true},
		{Name: optionTokenFile, Description: "Path of a session token, as `oci session authenticate` makes it. It is read again at every call, so that one that was refreshed counts.", Env: []string{"OCI_CLI_SECURITY_TOKEN_FILE"}},
		{Name: optionRegion, Description: "Region that answers what concerns the whole tenancy. Where machines are launched is up to the catalog and `resources`.", Env: []string{"OCI_CLI_REGION", "OCI_REGION"}},
		{Name: optionCompart, Description: "OCID of the compartment that holds the machines; by default the tenancy's root. It is the account that clusters belong to: those of one compartment are not touched under another.", Env: []string{"OCI_CLI_COMPARTMENT", "TF_VAR_compartment_ocid"}},
		{Name: optionTree, Description: "\"true\" looks for machines in all compartments below that one as well, which others may have moved them to."},
		{Name: optionSubnets, Description: "OCIDs of subnets to launch in, one a region, separated by commas; in other regions, and by default everywhere, it is a subnet of a network that is made once a region and compartment and costs nothing."},
		{Name: optionInternal, Description: "\"true\" launches machines without public addresses and reaches them by their private ones, in subnets of your own."},
		{Name: optionEndpoint, Description: "URL that stands in for https://{service}.{region}.oraclecloud.com, in which {service} and {region} are replaced; for tests and private realms.", Env: []string{"OCI_CLI_ENDPOINT"}},
	}
}

// Open implements cloud.Factory: it finds credentials and asks which regions the
// tenancy has.
func (f Factory) Open(ctx context.Context, creds cloud.Credentials) (cloud.Session, error) {
	defaults, err := settingsFromOptions(creds.Values)
	if err != nil {
		return cloud.Session{}, err
	}
	found, err := findCredentials(creds.Values)
	if err != nil {
		return cloud.Session{}, err
	}
	c, err := newClient(found, creds.Values)
	if err != nil {
		return cloud.Session{}, err
	}
	d := newDriver(c, defaults)
	if f.tune != nil {
		f.tune(d)
	}
	if err := c.subscriptions(ctx); err != nil {
		switch fault := d.Classify(err); {
		case fault.Kind == cloud.KindAuth && found.tokenFile != "":
			err = &fleet.AuthError{Advice: "Oracle refuses the session token: run oci session refresh --profile " + found.profile + ", or oci session authenticate", Err: err}
		case fault.Kind == cloud.KindAuth:
			err = &fleet.AuthError{Advice: fmt.Sprintf("Oracle refuses the API key %s of %s: check that the user has this key, and this computer's clock", found.fingerprint, found.user), Err: err}
		}
		return cloud.Session{}, err
	}
	return cloud.Session{Provisioner: d, Account: c.compartment, Identity: found.user}, nil
}
