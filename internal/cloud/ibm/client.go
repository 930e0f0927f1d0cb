// SPDX-License-Identifier: MPL-2.0

package ibm

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// apiVersion is the date of the API that this driver speaks.
const apiVersion = "2026-10-06"

// client makes the calls. Each region has an API of its own.
type client struct {
	endpoint func(region string) string
	tokens   *tokenSource
	pace     *fleet.Pace
	tries    retry.Policy

	mu    sync.Mutex
	known []string
}

// do makes a call in a region. A call that names no thing of its own is quoted
// with the region, since the same is made in several.
func (c *client) do(ctx context.Context, region, method, path string, query url.Values, in, out any) error {
	api := fleet.REST{
		Base: strings.TrimSuffix(c.endpoint(region), "/") + "/v1", Pace: c.pace, Tries: c.tries, MaxRetryAfter: time.Minute,
		Read: c.refusal, Transport: c.tokens,
	}
	all := url.Values{"version": {apiVersion}, "generation": {"2"}}
	maps.Copy(all, query)
	if err := api.Do(ctx, method, path, all, in, out); err != nil {
		return fmt.Errorf("in %s: %w", region, err)
	}
	return nil
}

// refusal is readRefusal without the token, which no API should quote.
func (c *client) refusal(body []byte) (code, message string) {
	code, message = readRefusal(body)
	return code, c.tokens.hide(message)
}

// readRefusal takes apart how the API says no.
func readRefusal(body []byte) (code, message string) {
	var out struct {
		Errors []struct {
			Code, Message string
			Target        struct{ Name string }
		}
	}
	if json.Unmarshal(body, &out) != nil || len(out.Errors) == 0 {
		return "", ""
	}
	e := out.Errors[0]
	if e.Target.Name != "" {
		e.Message += " (" + e.Target.Name + ")"
	}
	return e.Code, e.Message
}

// listed reads all pages of a list, each item as T.
func listed[T any](ctx context.Context, c *client, region, what string, query url.Values) ([]T, error) {
	return listedFrom[T](ctx, c, region, "/"+what, what, query)
}

// listedAt is listed of a list that belongs to a thing.
func listedAt[T any](ctx context.Context, c *client, region, path, what string) ([]T, error) {
	return listedFrom[T](ctx, c, region, path, what, nil)
}

func listedFrom[T any](ctx context.Context, c *client, region, path, what string, query url.Values) ([]T, error) {
	return fleet.Pages(what, func(start string) ([]T, string, error) { //nolint:wrapcheck // it names the list
		q := url.Values{"limit": {"100"}}
		maps.Copy(q, query)
		if start != "" {
			q.Set("start", start)
		}
		var page map[string]json.RawMessage
		if err := c.do(ctx, region, http.MethodGet, path, q, nil, &page); err != nil {
			return nil, "", err
		}
		var items []T
		if page[what] == nil { // an answer without the list is an error, never an empty list
			return nil, "", fmt.Errorf("in %s: GET %s: the answer has no %s", region, path, what)
		}
		if err := json.Unmarshal(page[what], &items); err != nil {
			return nil, "", fmt.Errorf("in %s: GET %s: the answer is not what the API promises: %w", region, path, err)
		}
		next, err := startOf(page["next"])
		return items, next, err
	})
}

// startOf is the token of the next page, empty at the end.
func startOf(next json.RawMessage) (string, error) {
	var out struct{ Href string }
	if next == nil || string(next) == "null" {
		return "", nil
	}
	if err := json.Unmarshal(next, &out); err != nil {
		return "", fmt.Errorf("the next page: %w", err)
	}
	u, err := url.Parse(out.Href)
	if err != nil || u.Query().Get("start") == "" {
		return "", fmt.Errorf("the next page has no start: %q", out.Href)
	}
	return u.Query().Get("start"), nil
}

// regions are those of IBM Cloud.
func (c *client) regions(ctx context.Context) ([]string, error) {
	c.mu.Lock()
	known := c.known
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	var out struct {
		Regions []struct{ Name string }
	}
	if err := c.do(ctx, firstRegion, http.MethodGet, "/regions", nil, nil, &out); err != nil {
		return nil, err
	}
	for _, r := range out.Regions {
		known = append(known, r.Name)
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("in %s: GET /regions: the answer has none", firstRegion)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = known
	return known, nil
}

// regionsOf are the regions where things of a ref can be.
func (c *client) regionsOf(ctx context.Context, ref cloud.ClusterRef) ([]string, error) {
	all, err := c.regions(ctx)
	switch {
	case err != nil:
		return nil, err
	case ref.Region == "":
		return all, nil
	case !slices.Contains(all, ref.Region):
		return nil, fleet.ConfigErrorf(cloud.ScopeRegion, "IBM Cloud has no region %q; there are %s", ref.Region, strings.Join(all, ", "))
	}
	return []string{ref.Region}, nil
}
