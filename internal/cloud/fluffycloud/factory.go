// SPDX-License-Identifier: MPL-2.0

// Package fluffycloud is the driver of FluffyCloud, the embedded cloud. It
// talks to the server over its HTTP API as any customer would, and starts the
// server on first use when no endpoint is given.
package fluffycloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// Name is the cloud's name in configurations, catalogs and templates.
const Name = "fluffycloud"

const (
	optionEndpoint = "endpoint"
	optionAPIKey   = "api_key"

	maxNameLength = 63
	startTimeout  = 30 * time.Second
)

// Factory opens FluffyCloud. Its zero value is ready for use.
type Factory struct{}

var _ cloud.Factory = Factory{}

// Name implements cloud.Factory.
func (Factory) Name() string { return Name }

// Capabilities implements cloud.Factory.
func (Factory) Capabilities() cloud.Capabilities {
	return cloud.Capabilities{
		OptIn:         true, // its machines are simulated
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
	}
}

// Options implements cloud.Factory.
func (Factory) Options() []cloud.Option {
	return []cloud.Option{
		{
			Name: optionEndpoint,
			Description: "URL of a running FluffyCloud server, `https://...`. Without it the provider starts one of its own " +
				"and keeps its state in the provider's state folder.",
			Env: []string{"FLUFFYCLOUD_ENDPOINT"},
		},
		{
			Name: optionAPIKey,
			Description: "API key for endpoint. Needed together with it. A server makes a new one at each start, in the file `api_key` of its folder; " +
				"it names the server's certificate, and is sent to no other server.",
			Env:       []string{"FLUFFYCLOUD_API_KEY"},
			Sensitive: true,
		},
	}
}

// Open implements cloud.Factory. Without an endpoint it finds the server in
// the state folder, or starts it and waits until it answers.
func (Factory) Open(ctx context.Context, creds cloud.Credentials) (cloud.Session, error) {
	endpoint, key := creds.Values[optionEndpoint], creds.Values[optionAPIKey]
	switch {
	case endpoint == "" && key != "":
		return cloud.Session{}, fleet.ConfigErrorf(cloud.ScopeCloud, "api_key is set but endpoint is not: set both to use a server of your own, or neither")
	case endpoint != "" && key == "":
		return cloud.Session{}, fleet.ConfigErrorf(cloud.ScopeCloud, "endpoint is set but api_key is not: set both to use a server of your own, or neither")
	case endpoint == "":
		return openOwn(ctx, creds)
	}
	c, err := newClient(endpoint, key)
	if err != nil {
		return cloud.Session{}, err
	}
	return open(ctx, c)
}

func openOwn(ctx context.Context, creds cloud.Credentials) (cloud.Session, error) {
	if creds.StateDir == "" {
		return cloud.Session{}, fleet.ConfigErrorf(cloud.ScopeCloud, "neither an endpoint nor a state folder is given")
	}
	stateDir, err := filepath.Abs(creds.StateDir)
	if err != nil {
		return cloud.Session{}, fmt.Errorf("find the state folder: %w", err)
	}
	s := starter{
		stateDir:   stateDir,
		executable: creds.Executable,
		timeout:    startTimeout,
	}
	found, err := s.ensure(ctx)
	if err != nil {
		return cloud.Session{}, fmt.Errorf("start the FluffyCloud server: %w", err)
	}
	c := found.client()
	c.renew = s.ensure
	return open(ctx, c)
}

func open(ctx context.Context, c *client) (cloud.Session, error) {
	account, err := c.accountID(ctx)
	if err != nil {
		if refusesKey(err) {
			return cloud.Session{}, fmt.Errorf("the FluffyCloud server at %s refuses the api_key: %w", c.base, err)
		}
		return cloud.Session{}, fmt.Errorf("ask the FluffyCloud server at %s for the account: %w", c.base, err)
	}
	return cloud.Session{Provisioner: newDriver(c), Account: account}, nil
}

// refusesKey says whether a server answered that it does not know the API key.
func refusesKey(err error) bool {
	var api *apiError
	return errors.As(err, &api) && api.Status == http.StatusUnauthorized
}
