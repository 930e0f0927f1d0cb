// SPDX-License-Identifier: MPL-2.0

// Package runpod is the driver of RunPod, by its API v2. A machine is a pod: a
// container whose start command brings what user data brings elsewhere, whose
// environment says whose it is, and whose ports are mapped.
package runpod

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Name is the cloud's name in configurations, catalogs and templates.
const Name = "runpod"

// The options of the provider block.
const (
	optionKey      = "api_key"
	optionAccount  = "account"
	optionEndpoint = "endpoint_url"

	envKey = "RUNPOD_API_KEY"
)

const defaultEndpoint = "https://api.runpod.io"

// maxName bounds the names of pods; 60 characters are known to work.
const (
	maxName = 60
	// unrecorded ends the name of a pod that no state holds yet. It is taken away
	// once one does, so that who renames a pod later puts it in no danger.
	unrecorded = "-new"
)

// Factory opens RunPod. New makes one.
type Factory struct {
	// pace is that of all sessions of the process.
	pace *fleet.Pace
	// tune changes a driver before its first call; for tests.
	tune func(*driver)
}

var (
	_ cloud.Factory = Factory{}
	_ cloud.Keyless = Factory{}
)

// New returns the factory of a process. RunPod lets an account make 60 calls a
// minute, 3,000 an hour and 50,000 a day, and this keeps to all three.
func New() Factory {
	return Factory{pace: &fleet.Pace{Every: 1730 * time.Millisecond, Burst: 25}}
}

// Name implements cloud.Factory.
func (Factory) Name() string { return Name }

// Capabilities implements cloud.Factory. A pod that is stopped loses its disk and
// may find no device when it starts again, so pods cannot stop; what a pod may do
// with the key that RunPod gives it is not dependable, so none ends itself. Pods
// reach one another slowly or not at all, so a cluster is one pod.
func (Factory) Capabilities() cloud.Capabilities {
	return cloud.Capabilities{
		StartCommand: true, BirthShown: true,
		CustomImage: true, CustomDisk: true, PortsLaunch: true,
		SourcesOpen: "RunPod maps ports for everybody and knows no sources",
		Labels:      true, LabelsFixed: true,
		MaxNameLength: maxName - len(unrecorded), MaxUserData: 48 << 10,
	}
}

// Options implements cloud.Factory.
func (Factory) Options() []cloud.Option {
	return []cloud.Option{
		{
			Name: optionKey, Env: []string{envKey}, Sensitive: true,
			Description: "API key that may read and write pods; by default that of RunPod's own tools, in ~/.runpod/config.toml.",
		},
		{
			Name: optionAccount,
			Description: "Name of the account, for people and for telling accounts apart, since the API names none. By default it is made of the API key, " +
				"so that after the key was exchanged the clusters launched with the old one look like another account's: then set this to the account that they have in the state.",
		},
		{Name: optionEndpoint, Description: "URL that stands in for https://api.runpod.io, for tests."},
	}
}

// Open implements cloud.Factory. It looks at the pods, which is all that the key
// must be allowed for.
func (f Factory) Open(ctx context.Context, creds cloud.Credentials) (cloud.Session, error) {
	key, err := findKey(creds.Values)
	if err != nil {
		return cloud.Session{}, err
	}
	at, err := fleet.ParseEndpoint(optionEndpoint, cmp.Or(creds.Values[optionEndpoint], defaultEndpoint), defaultEndpoint, "the API key")
	if err != nil {
		return cloud.Session{}, err
	}
	d := newDriver(&fleet.REST{
		Base: strings.TrimSuffix(at.String(), "/"), Token: key, Pace: f.pace, Read: readProblem, MaxRetryAfter: 90 * time.Second,
		Tries: retry.Policy{Initial: 2 * time.Second, Max: 30 * time.Second, Factor: 2, Jitter: 0.2, Attempts: 5},
	})
	if f.tune != nil {
		f.tune(d)
	}
	if _, err := d.List(ctx, cloud.ClusterRef{}); err != nil {
		if d.Classify(err).Kind == cloud.KindAuth {
			return cloud.Session{}, &fleet.AuthError{Advice: "RunPod refuses the API key: " + adviceKey, Err: err}
		}
		return cloud.Session{}, fmt.Errorf("ask RunPod for its pods: %w", err)
	}
	return cloud.Session{Provisioner: d, Account: cmp.Or(creds.Values[optionAccount], fleet.KeyAccount(key))}, nil
}

// adviceKey is where a key may stand.
const adviceKey = "set api_key in clouds.runpod or RUNPOD_API_KEY to one that may read and write pods"

var (
	errNoKey  = errors.New("neither is there a key in ~/.runpod/config.toml")
	errPodKey = errors.New("this is a RunPod pod, and the key in RUNPOD_API_KEY is the pod's own, by which no other pod can be managed dependably")
)
