// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

const (
	// maxBody bounds an answer; a page of 100 machines is some 100 kB.
	maxBody = 8 << 20
	// maxMessage bounds what is quoted of an answer that is not the API's.
	maxMessage = 300
)

// client calls the API. Every request of the driver is safe to repeat: by its
// nature, by a client token, or because a name is unique.
type client struct {
	apiServer
	// renew finds or starts the provider's own server, after the one it had is
	// gone; nil for a server that the user runs. renewing is held meanwhile, and
	// for reading apiServer.
	renew    func(context.Context) (apiServer, error)
	renewing chan struct{}
	// policy bounds the tries of one call, tryTimeout each of them.
	policy     retry.Policy
	tryTimeout time.Duration
	// maxRetryAfter caps what a server may ask to wait.
	maxRetryAfter time.Duration
}

func newClient(endpoint, key string) (*client, error) {
	s, err := newServer(endpoint, key)
	if err != nil {
		return nil, err
	}
	return s.client(), nil
}

// client returns a client of the server, and of no other.
func (s apiServer) client() *client {
	return &client{
		apiServer:     s,
		renewing:      make(chan struct{}, 1),
		policy:        retry.Policy{Initial: 200 * time.Millisecond, Max: 5 * time.Second, Jitter: 0.3, Attempts: 6},
		tryTimeout:    30 * time.Second,
		maxRetryAfter: 20 * time.Second,
	}
}

// call sends in as JSON and decodes the answer into out; either may be nil. It
// repeats what failed in passing.
func (c *client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("%s %s: encode the request: %w", method, path, err)
		}
	}
	left := c.policy.Attempts
	return retry.Do(ctx, c.policy, func(ctx context.Context) error {
		left--
		at, err := c.current(ctx)
		if err != nil {
			return err
		}
		retryAfter, err := c.try(ctx, at, method, path, query, body, out)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return err
		case c.renew != nil && isUnproven(err):
			if err := c.replace(ctx, at); err != nil {
				return err
			}
			return err
		case !isTransient(err) || hasCode(err, codeInUse):
			return retry.Stop(err)
		}
		if left > 0 {
			_ = retry.Pause(ctx, min(retryAfter, c.maxRetryAfter)) // the next try sees that ctx has ended
		}
		return err
	})
}

// current returns the server to ask.
func (c *client) current(ctx context.Context) (apiServer, error) {
	select {
	case c.renewing <- struct{}{}:
		defer func() { <-c.renewing }()
		return c.apiServer, nil
	case <-ctx.Done():
		return apiServer{}, context.Cause(ctx)
	}
}

// replace finds the successor of a server that is gone, unless another call has
// done so. The machines run on, so the next server of the folder knows them.
func (c *client) replace(ctx context.Context, gone apiServer) error {
	select {
	case c.renewing <- struct{}{}:
		defer func() { <-c.renewing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if c.apiServer != gone {
		return nil
	}
	next, err := c.renew(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
		return retry.Stop(&goneError{fmt.Errorf("the FluffyCloud server at %s is gone, and no other could be started: %w", gone.base, err)})
	case next.account != gone.account:
		return retry.Stop(&goneError{fmt.Errorf("the FluffyCloud server at %s is gone, and the one at %s has another account (%s, not %s)",
			gone.base, next.base, next.account, gone.account)})
	}
	c.apiServer = next
	return nil
}

func (c *client) try(ctx context.Context, at apiServer, method, path string, query url.Values, body []byte, out any) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, c.tryTimeout)
	defer cancel()
	target := at.base.JoinPath(path)
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return 0, fleet.ConfigErrorf(cloud.ScopeCloud, "%s %s: %v", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+at.key)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := at.http.Do(req)
	if err != nil {
		return 0, err //nolint:wrapcheck // *url.Error names method and URL already
	}
	defer resp.Body.Close()
	call := method + " " + path
	data, err := readBody(call, resp.Body)
	if err != nil {
		return 0, err
	}
	return retry.After(resp.Header.Get("Retry-After")), decode(call, resp.StatusCode, data, out)
}

func readBody(call string, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: read the answer: %w", call, &url.Error{Op: "read", URL: call, Err: err})
	case len(data) > maxBody:
		return nil, &protocolError{call, fmt.Sprintf("longer than %d bytes", maxBody)}
	case !utf8.Valid(data):
		return nil, &protocolError{call, "invalid UTF-8"}
	}
	return data, nil
}

// decode reads an answer. An error object counts as an error under any status.
func decode(call string, status int, data []byte, out any) error {
	var envelope struct {
		Error *struct {
			Code      string `json:"code"`
			Message   string `json:"message"`
			RequestID string `json:"request_id"`
		} `json:"error"`
	}
	jsonErr := json.Unmarshal(data, &envelope)
	switch {
	case jsonErr == nil && envelope.Error != nil:
		e := envelope.Error
		return &apiError{Status: status, Code: e.Code, Message: e.Message, RequestID: e.RequestID, Call: call}
	case status < 200 || status > 299:
		return &apiError{Status: status, Message: quote(data), Call: call}
	case out == nil:
		return nil
	case jsonErr != nil:
		return &protocolError{call, jsonErr.Error() + ": " + quote(data)}
	}
	if err := json.Unmarshal(data, out); err != nil {
		return &protocolError{call, err.Error()}
	}
	return nil
}

// quote returns the beginning of an answer, fit for an error text.
func quote(data []byte) string {
	if len(data) > maxMessage {
		data = bytes.ToValidUTF8(data[:maxMessage], nil)
	}
	return strconv.QuoteToGraphic(string(data))
}

// list reads all pages of a listing. An answer without the field is an error,
// not an empty list.
func list[T any](ctx context.Context, c *client, path, field string, query url.Values) ([]T, error) {
	params := maps.Clone(query)
	if params == nil {
		params = url.Values{}
	}
	return fleet.Pages(path, func(token string) ([]T, string, error) { //nolint:wrapcheck // it says what was listed
		if token != "" {
			params.Set("page_token", token)
		}
		var page map[string]json.RawMessage
		if err := c.call(ctx, http.MethodGet, path, params, nil, &page); err != nil {
			return nil, "", err
		}
		return decodePage[T](path, field, page)
	})
}

func decodePage[T any](path, field string, page map[string]json.RawMessage) ([]T, string, error) {
	raw, ok := page[field]
	if !ok {
		return nil, "", &protocolError{"GET " + path, "no " + field}
	}
	var items []T
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, "", &protocolError{"GET " + path, err.Error()}
	}
	var next string
	if token, ok := page["next_page_token"]; ok {
		if err := json.Unmarshal(token, &next); err != nil {
			return nil, "", &protocolError{"GET " + path, err.Error()}
		}
	}
	return items, next, nil
}
