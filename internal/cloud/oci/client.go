// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/core"
	"github.com/oracle/oci-go-sdk/v65/identity"
	"github.com/oracle/oci-go-sdk/v65/workrequests"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// client is one compartment of one tenancy, in all regions.
type client struct {
	creds       *credentials
	compartment string
	// tree looks into the compartments below as well.
	tree     bool
	endpoint string
	http     *http.Client
	// policy is how a call is repeated that failed in passing, tryTimeout the bound
	// of one try.
	policy     retry.Policy
	tryTimeout time.Duration

	mu         sync.Mutex
	clients    map[string]*regional
	subscribed []string
	compartIDs []string
	domains    map[string][]string
}

func newClient(creds *credentials, values map[string]string) (*client, error) {
	tree, err := fleet.BoolOption(values, optionTree)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the option
	}
	c := &client{
		creds: creds, compartment: cmp.Or(values[optionCompart], creds.tenancy), tree: tree,
		policy:     retry.Policy{Initial: 500 * time.Millisecond, Max: 8 * time.Second, Factor: 2, Jitter: 0.5, Attempts: 5},
		tryTimeout: time.Minute, clients: map[string]*regional{}, domains: map[string][]string{},
		// A redirect would carry a change to who knows where.
		http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	if c.endpoint = values[optionEndpoint]; c.endpoint != "" {
		const example = "https://{service}.{region}.oci.example.com"
		named := strings.NewReplacer("{region}", "region", "{service}", "service").Replace(c.endpoint)
		if _, err := fleet.ParseEndpoint(optionEndpoint, named, example, "machines' user data"); err != nil {
			return nil, err //nolint:wrapcheck // it names the option
		}
	}
	return c, nil
}

// in is the client of a region. Nothing is repeated but by call, and no circuit
// breaker keeps launches back because others failed.
func (c *client) in(region string) (*regional, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.clients[region]; r != nil {
		return r, nil
	}
	r, err := c.connect(region)
	if err != nil {
		return nil, &fleet.AuthError{Advice: "Oracle's client cannot use the credentials", Err: err}
	}
	c.clients[region] = r
	return r, nil
}

func (c *client) connect(region string) (*regional, error) {
	compute, err := core.NewComputeClientWithConfigurationProvider(c.creds)
	if err != nil {
		return nil, err //nolint:wrapcheck // in says what was tried
	}
	network, err := core.NewVirtualNetworkClientWithConfigurationProvider(c.creds)
	if err != nil {
		return nil, err //nolint:wrapcheck // in says what was tried
	}
	ident, err := identity.NewIdentityClientWithConfigurationProvider(c.creds)
	if err != nil {
		return nil, err //nolint:wrapcheck // in says what was tried
	}
	work, err := workrequests.NewWorkRequestClientWithConfigurationProvider(c.creds)
	if err != nil {
		return nil, err //nolint:wrapcheck // in says what was tried
	}
	compute.SetRegion(region)
	network.SetRegion(region)
	ident.SetRegion(region)
	work.SetRegion(region)
	for service, base := range map[string]*common.BaseClient{
		"iaas": &compute.BaseClient, "iaas/": &network.BaseClient, "identity": &ident.BaseClient, "iaas//": &work.BaseClient,
	} {
		base.HTTPClient, base.UserAgent = c.http, "terraform-provider-sky"
		base.Configuration.RetryPolicy, base.Configuration.CircuitBreaker = nil, nil
		if c.endpoint != "" {
			at := strings.NewReplacer("{region}", region, "{service}", strings.Trim(service, "/")).Replace(c.endpoint)
			scheme, rest, _ := strings.Cut(at, "://")
			host, path, _ := strings.Cut(rest, "/")
			base.Host, base.BasePath = scheme+"://"+host, strings.Trim(path+"/"+strings.Trim(base.BasePath, "/"), "/")
		}
	}
	// From here on they are as they stay: a call holds a copy of its client.
	return &regional{newComputeCalls(compute), newNetworkCalls(network), newIdentCalls(ident), newWorkCalls(work)}, nil
}

// call makes a call that is safe to repeat, as all here are: those that make
// something have a retry token. It repeats it while it fails in passing.
func call[T any](ctx context.Context, c *client, what, region string, f func(context.Context, *regional) (T, error)) (T, error) {
	var out T
	r, err := c.in(region)
	if err != nil {
		return out, err
	}
	err = retry.Do(ctx, c.policy, func(ctx context.Context) error {
		trying, cancel := context.WithTimeout(ctx, c.tryTimeout)
		defer cancel()
		var err error
		out, err = f(trying, r)
		if err = plain(err); err != nil && (ctx.Err() != nil || !isPassing(err)) {
			return retry.Stop(err)
		}
		return err
	})
	if err != nil {
		return out, fmt.Errorf("%s in %s: %w", what, region, err)
	}
	return out, nil
}

// pages reads all pages of a list; a page may be empty with more to come.
func pages[T any](ctx context.Context, c *client, what, region string, fetch func(ctx context.Context, r *regional, page *string) ([]T, *string, error)) ([]T, error) {
	return fleet.Pages(what, func(token string) ([]T, string, error) { //nolint:wrapcheck // it names the list
		var page *string
		if token != "" {
			page = &token
		}
		type answer struct {
			items []T
			next  string
		}
		got, err := call(ctx, c, "list "+what, region, func(ctx context.Context, r *regional) (answer, error) {
			items, next, err := fetch(ctx, r, page)
			return answer{items, value(next)}, err
		})
		return got.items, got.next, err
	})
}

// subscriptions asks which regions the tenancy has. Others are never asked for
// anything: they refuse, in words that mean something else.
func (c *client) subscriptions(ctx context.Context) error {
	found, err := call(ctx, c, "list the tenancy's regions", c.creds.where, func(ctx context.Context, r *regional) (identity.ListRegionSubscriptionsResponse, error) {
		return r.ident.ListRegionSubscriptions(ctx, identity.ListRegionSubscriptionsRequest{TenancyId: &c.creds.tenancy})
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscribed = nil
	for _, s := range found.Items {
		if s.Status == identity.RegionSubscriptionStatusReady {
			c.subscribed = append(c.subscribed, value(s.RegionName))
		}
	}
	slices.Sort(c.subscribed)
	if len(c.subscribed) == 0 { // it has its home at least; nowhere to look must not mean that nothing is there
		return errors.New("list the tenancy's regions: the answer names none that is ready")
	}
	return nil
}

// regions are those to look in: one, or all that the tenancy has; none is one that it
// does not have.
func (c *client) regions(region string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if region == "" {
		return slices.Clone(c.subscribed)
	}
	if slices.Contains(c.subscribed, region) {
		return []string{region}
	}
	return nil
}

// compartments are those to look in. One that the user may not look into is among
// them, so that its list is an error: what is in it must not be taken for gone.
func (c *client) compartments(ctx context.Context) ([]string, error) {
	c.mu.Lock()
	known := c.compartIDs
	c.mu.Unlock()
	if !c.tree {
		return []string{c.compartment}, nil
	}
	if known != nil {
		return known, nil
	}
	all, err := pages(ctx, c, "compartments", c.creds.where, func(ctx context.Context, r *regional, page *string) ([]identity.Compartment, *string, error) {
		out, err := r.ident.ListCompartments(ctx, identity.ListCompartmentsRequest{
			CompartmentId: &c.creds.tenancy, CompartmentIdInSubtree: common.Bool(true), AccessLevel: identity.ListCompartmentsAccessLevelAny, Page: page,
		})
		return out.Items, out.OpcNextPage, err //nolint:wrapcheck // pages does
	})
	if err != nil {
		return nil, err
	}
	found := []string{c.compartment}
	for grown := true; grown; { // parents may come after their children
		grown = false
		for _, one := range all {
			if id := value(one.Id); one.LifecycleState != identity.CompartmentLifecycleStateDeleted && slices.Contains(found, value(one.CompartmentId)) && !slices.Contains(found, id) {
				found, grown = append(found, id), true
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.compartIDs = found
	return found, nil
}

// notSubscribed is the error of a region that the tenancy does not have: what is
// there cannot be told.
func notSubscribed(region string) error {
	return fleet.ConfigErrorf(cloud.ScopeRegion, "the tenancy is not subscribed to region %s: subscribe to it in Oracle's console, or choose another", region)
}

// place is a compartment in a region.
type place struct{ region, compartment string }

// everywhere lists what is in all compartments of a region, or of all regions.
func everywhere[T any](ctx context.Context, c *client, region string, list func(place) ([]T, error)) ([]T, error) {
	compartments, err := c.compartments(ctx)
	if err != nil {
		return nil, err
	}
	regions := c.regions(region)
	if len(regions) == 0 {
		return nil, notSubscribed(region)
	}
	var places []place
	for _, region := range regions {
		for _, compartment := range compartments {
			places = append(places, place{region, compartment})
		}
	}
	return fleet.Across(parallel, places, list) //nolint:wrapcheck // it names the list
}

// value is what a pointer points to, or nothing.
func value[T any](p *T) T {
	if p == nil {
		var none T
		return none
	}
	return *p
}
