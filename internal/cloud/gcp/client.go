// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/option"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// client is one project.
type client struct {
	api     api
	project string
	// identity is the e-mail address that the calls are made as, where the
	// credentials tell it.
	identity string
	// policy is how a call is repeated that failed in passing.
	policy retry.Policy
	// tryTimeout bounds one try of one call.
	tryTimeout time.Duration
}

func newClient(ctx context.Context, values map[string]string, tokens *http.Client) (*client, error) {
	found, err := findCredentials(values, tokens)
	if err != nil {
		return nil, err
	}
	c := &client{
		project:    values[optionProject],
		identity:   found.identity,
		policy:     retry.Policy{Initial: 500 * time.Millisecond, Max: 8 * time.Second, Factor: 2, Jitter: 0.5, Attempts: 5},
		tryTimeout: time.Minute,
	}
	if c.project == "" {
		if c.project, err = found.creds.ProjectID(ctx); err != nil || c.project == "" {
			return nil, fleet.ConfigErrorf(cloud.ScopeCloud, "the credentials name no project: set project, or GOOGLE_CLOUD_PROJECT")
		}
	}
	opts := []option.ClientOption{
		option.WithAuthCredentials(found.creds), option.WithUserAgent("terraform-provider-sky"), option.WithTelemetryDisabled(),
	}
	if endpoint := values[optionEndpoint]; endpoint != "" {
		if _, err := fleet.ParseEndpoint(optionEndpoint, endpoint, "https://compute.googleapis.com", "tokens"); err != nil {
			return nil, err //nolint:wrapcheck // it names the option
		}
		opts = append(opts, option.WithEndpoint(strings.TrimRight(endpoint, "/")+"/compute/v1/"))
	}
	svc, err := compute.NewService(ctx, opts...)
	if err != nil {
		return nil, &fleet.AuthError{Advice: "the Google Cloud client cannot use the credentials", Err: err}
	}
	c.api = newAPI(svc, c.project)
	return c, nil
}

// account looks at the project, which needs valid credentials, the API enabled
// and the permission compute.projects.get.
func (c *client) account(ctx context.Context) (string, error) {
	p, err := call(ctx, c, "look at project "+c.project, c.api.getProject)
	switch {
	case err == nil && p.Name == "":
		return "", errors.New("look at project " + c.project + ": the answer has no name")
	case err == nil:
		// The project pays, whoever asks: colleagues share clusters.
		return p.Name, nil
	case isNotFound(err):
		return "", &fleet.AuthError{Advice: fmt.Sprintf("there is no project %q that %s can see: check project", c.project, c.who()), Err: err}
	case table().HasCode(err, "accessNotConfigured", "SERVICE_DISABLED"):
		return "", &fleet.AuthError{Advice: fmt.Sprintf("the Compute Engine API is not enabled: gcloud services enable compute.googleapis.com --project %s", c.project), Err: err}
	case statusOf(err) == http.StatusForbidden:
		return "", &fleet.AuthError{Advice: fmt.Sprintf("%s may not look at project %q: grant roles/compute.instanceAdmin.v1 and roles/compute.securityAdmin", c.who(), c.project), Err: err}
	case classify(err).Kind == cloud.KindAuth:
		var known *fleet.AuthError
		if errors.As(err, &known) {
			return "", known
		}
		return "", &fleet.AuthError{Advice: refusedAdvice, Err: err}
	}
	return "", err
}

func (c *client) who() string {
	if c.identity != "" {
		return c.identity
	}
	return "the identity of the credentials"
}

// call makes a call that is safe to repeat, and repeats it while it fails in
// passing.
func call[T any](ctx context.Context, c *client, what string, f func(context.Context) (T, error)) (T, error) {
	var out T
	err := retry.Do(ctx, c.policy, func(ctx context.Context) error {
		trying, cancel := context.WithTimeout(ctx, c.tryTimeout)
		defer cancel()
		var err error
		if out, err = f(trying); err != nil && (ctx.Err() != nil || !isPassing(err)) {
			return retry.Stop(err)
		}
		return err
	})
	if err != nil {
		return out, fmt.Errorf("%s: %w", what, err)
	}
	return out, nil
}

// do makes a call that answers with an operation, and sees the operation end.
func (c *client) do(ctx context.Context, what string, f func(context.Context) (*compute.Operation, error)) error {
	op, err := call(ctx, c, what, f)
	if err == nil {
		err = c.await(ctx, op)
	}
	if err != nil && !strings.HasPrefix(err.Error(), what) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return err
}

// longestWait is how long Compute Engine holds back the answer to a wait for an
// operation that is not done yet.
const longestWait = 2 * time.Minute

// await blocks until the operation is done, and returns its own error.
func (c *client) await(ctx context.Context, op *compute.Operation) error {
	polls := retry.Policy{Initial: c.policy.Initial / 5, Max: c.policy.Max / 4, Factor: 1.5}
	waiting := *c
	waiting.tryTimeout += longestWait
	return retry.Poll(ctx, polls, func(ctx context.Context) (bool, error) {
		if op.Status == "DONE" {
			if err := operationFailure(op); err != nil {
				return false, retry.Stop(err)
			}
			return true, nil
		}
		next, err := call(ctx, &waiting, "wait for operation "+op.Name, func(ctx context.Context) (*compute.Operation, error) {
			if op.Zone != "" {
				return c.api.waitZoneOperation(ctx, lastPart(op.Zone), op.Name)
			}
			return c.api.waitOperation(ctx, op.Name)
		})
		if err != nil {
			return false, retry.Stop(err)
		}
		op = next
		return false, nil
	})
}

// lastPart is the name at the end of a resource's URL.
func lastPart(link string) string { return link[strings.LastIndexByte(link, '/')+1:] }

// staticToken is a token that somebody else renews.
type staticToken string

func (t staticToken) Token(context.Context) (*auth.Token, error) {
	return &auth.Token{Value: string(t), Type: "Bearer", Expiry: time.Now().Add(time.Hour)}, nil
}
