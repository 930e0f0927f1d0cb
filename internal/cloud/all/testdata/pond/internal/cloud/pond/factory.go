// SPDX-License-Identifier: MPL-2.0

// Package pond is the driver of Pond, a small REST cloud that does not exist. It
// is the example of docs/guides/adding-a-cloud.md.
package pond

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Name is the cloud's name in configurations, and of its catalog and template.
const Name = "pond"

// Factory implements cloud.Factory.
type Factory struct {
	// tune changes a driver before its first call; for tests.
	tune func(*driver)
}

// Name implements cloud.Factory.
func (Factory) Name() string { return Name }

// guide: capabilities

// Capabilities implements cloud.Factory. What is not said here is not asked of
// the driver: a droplet that is powered off is billed as before, so Pond cannot
// stop machines; a droplet has no right of its own, so none ends itself.
func (Factory) Capabilities() cloud.Capabilities {
	return cloud.Capabilities{
		MultiNode: true, UserData: true, CustomImage: true, Labels: true,
		PortsLaunch: true, PortsLater: true, MaxNameLength: 63,
	}
}

// guide: end

// Options implements cloud.Factory.
func (Factory) Options() []cloud.Option {
	return []cloud.Option{
		{Name: "token", Description: "API token.", Env: []string{"POND_TOKEN"}, Sensitive: true},
		{Name: "endpoint", Description: "URL that stands in for Pond's API, for tests.", Env: []string{"POND_ENDPOINT"}},
	}
}

// guide: open

// Open implements cloud.Factory.
func (f Factory) Open(ctx context.Context, creds cloud.Credentials) (cloud.Session, error) {
	token := creds.Values["token"]
	if token == "" {
		return cloud.Session{}, &fleet.AuthError{Advice: "set token in clouds.pond or POND_TOKEN", Err: errors.New("there is no API token")}
	}
	at, err := fleet.ParseEndpoint("endpoint", cmp.Or(creds.Values["endpoint"], "https://api.pond.example"), "https://api.pond.example", "the API token")
	if err != nil {
		return cloud.Session{}, err
	}
	d := newDriver(&fleet.REST{
		Base: at.String(), Token: token, Read: readRefusal, Pace: pace, MaxRetryAfter: time.Minute,
		Tries: retry.Policy{Initial: time.Second, Max: 30 * time.Second, Factor: 2, Jitter: 0.2, Attempts: 8},
	})
	if f.tune != nil {
		f.tune(d)
	}
	var out struct {
		Account struct{ UUID, Email string }
	}
	if err := d.c.Do(ctx, http.MethodGet, "/v2/account", nil, nil, &out); err != nil {
		return cloud.Session{}, err
	}
	return cloud.Session{Provisioner: d, Account: out.Account.UUID, Identity: out.Account.Email}, nil
}

// guide: end

// guide: client

// pace keeps all sessions together below what Pond lets pass: 250 calls a minute.
var pace = &fleet.Pace{Every: 250 * time.Millisecond, Burst: 20}

// readRefusal takes an answer apart that says no.
func readRefusal(body []byte) (code, message string) {
	var refusal struct{ ID, Message string }
	if json.Unmarshal(body, &refusal) != nil {
		return "", ""
	}
	return refusal.ID, refusal.Message
}

// guide: end
