// SPDX-License-Identifier: MPL-2.0

// Package lambda is the driver of Lambda Cloud: plain machines with GPUs, one a
// call and one in twelve seconds. A machine's tags are those of its launch and
// say whose it is; that it was recorded is said by its name, which can change.
package lambda

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/localfile"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Name is the cloud's name in configurations, catalogs and templates.
const Name = "lambda"

// The options of the provider block.
const (
	optionKey      = "api_key"
	optionAccount  = "account"
	optionEndpoint = "endpoint_url"
)

const defaultEndpoint = "https://cloud.lambda.ai"

// Factory opens Lambda Cloud. All that it opens share one pace.
type Factory struct {
	calls, launches *fleet.Pace
	// tune adjusts a new driver; for tests.
	tune func(*driver)
}

// launchEvery is the pace of launches.
const launchEvery = 12500 * time.Millisecond

// New returns the factory of this process. Lambda takes one call a second, and a
// launch in twelve; both are a little less here, since calls overtake one another
// on the way.
func New() Factory {
	calls := &fleet.Pace{Every: 1100 * time.Millisecond}
	return Factory{calls: calls, launches: &fleet.Pace{Every: launchEvery, Also: calls}}
}

var (
	_ cloud.Factory = Factory{}
	_ cloud.Keyless = Factory{}
)

// Name implements cloud.Factory.
func (Factory) Name() string { return Name }

// Capabilities implements cloud.Factory. A machine has no right of its own, and
// one that shuts down is billed as before, so that none stops or ends itself.
func (Factory) Capabilities() cloud.Capabilities {
	return cloud.Capabilities{
		MultiNode: true, UserData: true, CustomImage: true, PortsLaunch: true, PortsLater: true,
		Labels: true, LabelsFixed: true,
		SourcesOpen: "the account's global firewall rules add to a cluster's, and let everybody reach port 22 unless you change them; " +
			"in " + unguarded + " no rules apply, so that all ports are open",
		// Machines with 8 GPUs need some 25 minutes until they run.
		SlowBoot:      map[string]time.Duration{"gpu_8x_*": 45 * time.Minute, "gpu_4x_*": 25 * time.Minute},
		LaunchEvery:   launchEvery,
		MaxNameLength: longestName, MaxUserData: 1 << 20,
	}
}

// Options implements cloud.Factory.
func (Factory) Options() []cloud.Option {
	return []cloud.Option{
		{
			Name:        optionKey,
			Description: "API key. By default that of `~/.lambda_cloud/lambda_keys`, where SkyPilot has it, a line `api_key = ...`.",
			Env:         []string{"LAMBDA_API_KEY", "LAMBDALABS_API_KEY", "LAMBDA_CLOUD_API_TOKEN"},
			Sensitive:   true,
		},
		{
			Name: optionAccount,
			Description: "Name of the account, by which clusters know whose they are. Lambda's API tells none, so that by default it is a digest of the API key; " +
				"set it to what `account` of your clusters says before you change the key.",
			Env: []string{"LAMBDA_ACCOUNT"},
		},
		{Name: optionEndpoint, Description: "URL that stands in for " + defaultEndpoint + ", for tests and older accounts.", Env: []string{"LAMBDA_ENDPOINT_URL"}},
	}
}

// keyFile is where SkyPilot keeps the key.
const keyFile = ".lambda_cloud/lambda_keys"

// advice says what enables the cloud.
const advice = "set api_key in clouds.lambda or LAMBDA_API_KEY, or put a line \"api_key = ...\" into ~/" + keyFile

// findKey is the API key, and why there is none.
func findKey(creds cloud.Credentials) (string, error) {
	if key := strings.TrimSpace(creds.Values[optionKey]); key != "" {
		return key, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", &fleet.AuthError{Advice: advice, Err: err}
	}
	text, err := localfile.Read(filepath.Join(home, filepath.FromSlash(keyFile)), 64<<10)
	if err != nil {
		return "", &fleet.AuthError{Advice: advice, Err: err}
	}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(line, "=")
		if value = strings.Trim(strings.TrimSpace(value), `"'`); ok && strings.TrimSpace(name) == "api_key" && value != "" {
			return value, nil
		}
	}
	return "", &fleet.AuthError{Advice: advice, Err: errNoKey}
}

// MissingCredentials implements cloud.Keyless.
func (Factory) MissingCredentials(creds cloud.Credentials) string {
	if _, err := findKey(creds); err != nil {
		return "no API key: " + advice
	}
	return ""
}

// Open implements cloud.Factory.
func (f Factory) Open(ctx context.Context, creds cloud.Credentials) (cloud.Session, error) {
	key, err := findKey(creds)
	if err != nil {
		return cloud.Session{}, err
	}
	at, err := fleet.ParseEndpoint(optionEndpoint, cmp.Or(creds.Values[optionEndpoint], defaultEndpoint), defaultEndpoint, "the API key")
	if err != nil {
		return cloud.Session{}, err //nolint:wrapcheck // it names the option
	}
	d := newDriver(fleet.REST{
		Base: strings.TrimSuffix(at.String(), "/") + "/api/v1", Token: key, Pace: f.calls, Read: readRefusal, MaxRetryAfter: time.Minute,
		// Others of the account call at the same time, so that a few refusals are usual.
		Tries: retry.Policy{Initial: time.Second, Max: 15 * time.Second, Factor: 1.6, Jitter: 0.4, Attempts: 12},
	}, f.launches)
	if f.tune != nil {
		f.tune(d)
	}
	if _, err := d.types(ctx); err != nil {
		if d.Classify(err).Kind == cloud.KindAuth {
			err = &fleet.AuthError{Advice: "Lambda refuses the API key: " + advice, Err: err}
		}
		return cloud.Session{}, err
	}
	return cloud.Session{Provisioner: d, Account: cmp.Or(creds.Values[optionAccount], fleet.KeyAccount(key))}, nil
}

// readRefusal takes apart how Lambda says no.
func readRefusal(body []byte) (code, message string) {
	var out struct {
		Error struct{ Code, Message, Suggestion string }
	}
	if json.Unmarshal(body, &out) != nil {
		return "", ""
	}
	if out.Error.Suggestion != "" {
		out.Error.Message += " (" + out.Error.Suggestion + ")"
	}
	return out.Error.Code, out.Error.Message
}

// instanceType is what Lambda says of a type, and where it has room at the moment.
type instanceType struct {
	Regions []struct{ Name string } `json:"regions_with_capacity_available"`
}

// types are Lambda's instance types. To ask is free.
func (d *driver) types(ctx context.Context) (map[string]instanceType, error) {
	return get[map[string]instanceType](ctx, d, "/instance-types")
}

// get asks for what an answer holds as its data. An answer without is an error,
// never an empty list.
func get[T any](ctx context.Context, d *driver, path string) (T, error) {
	return call[T](ctx, &d.c, http.MethodGet, path, nil)
}

func call[T any](ctx context.Context, c *fleet.REST, method, path string, in any) (T, error) {
	var out struct{ Data *T }
	err := c.Do(ctx, method, path, nil, in, &out)
	if err == nil && out.Data == nil {
		err = &answerError{method + " " + path}
	}
	if err != nil {
		var none T
		return none, err //nolint:wrapcheck // it names the call
	}
	return *out.Data, nil
}
