// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// driver implements cloud.Provisioner.
type driver struct {
	c        *clients
	defaults settings
	// poll is the pause between two looks at machines.
	poll retry.Policy
	// quietLooks is how many looks in a row must show nothing before nothing is
	// believed; missingLooks is the same for a machine known by its id.
	quietLooks, missingLooks int
	// settle is how long a machine that was launched may stay invisible.
	settle time.Duration
	recent recent
	facts  facts
	// callerSource tells the caller's public address.
	callerSource string
}

var _ cloud.Provisioner = (*driver)(nil)

func newDriver(c *clients, defaults settings) *driver {
	return &driver{
		c:            c,
		defaults:     defaults,
		poll:         retry.Policy{Initial: 500 * time.Millisecond, Max: 5 * time.Second, Factor: 1.5, Jitter: 0.2},
		quietLooks:   3,
		missingLooks: 5,
		settle:       time.Minute,
		callerSource: fleet.CallerAddressSource,
	}
}

// maxPages bounds a listing that never ends.
const maxPages = 1000

// pages reads all pages of a listing.
func pages[T any](what string, fetch func(token *string) ([]T, *string, error)) ([]T, error) {
	var all []T
	var token *string
	seen := map[string]bool{}
	for range maxPages {
		items, next, err := fetch(token)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", what, err)
		}
		all = append(all, items...)
		if aws.ToString(next) == "" {
			return all, nil
		}
		if seen[*next] {
			return nil, fmt.Errorf("list %s: the page token %q came twice", what, *next)
		}
		seen[*next] = true
		token = next
	}
	return nil, fmt.Errorf("list %s: more than %d pages", what, maxPages)
}

// each runs f for every item, a few at a time, and joins the errors.
func each[T any](items []T, f func(T) error) error { return fleet.Each(parallel, items, f) }

// chunks cuts ids into calls that AWS takes.
func chunks(ids []string, size int) [][]string {
	var out [][]string
	for len(ids) > size {
		out = append(out, ids[:size])
		ids = ids[size:]
	}
	return append(out, ids)
}

// cache holds what was found once for a key, for as long as the process lives.
type cache[T any] struct {
	mu    sync.Mutex
	known map[string]T
}

func (c *cache[T]) get(key string, find func() (T, error)) (T, error) {
	c.mu.Lock()
	v, ok := c.known[key]
	c.mu.Unlock()
	if ok {
		return v, nil
	}
	v, err := find()
	if err != nil {
		return v, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[string]T{}
	}
	c.known[key] = v
	return v, nil
}
