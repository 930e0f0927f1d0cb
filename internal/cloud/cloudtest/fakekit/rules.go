// SPDX-License-Identifier: MPL-2.0

package fakekit

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault makes calls go wrong.
type Fault struct {
	// Call is the name of the calls it strikes; "*" is any.
	Call string
	// Match, where set, must be part of the path, the query or the body.
	Match string
	// Skip calls pass before the first that it strikes; Times are struck, 0 is all.
	Skip, Times int
	// Refuse is the answer. The call has no effect, unless Late is set.
	Refuse *Refusal
	Late   bool
	// Lose does what was asked and cuts the connection.
	Lose bool
	// After is called under the lock once the call had its effect.
	After func()
	// Answer answers whatever it likes instead; nothing else happens.
	Answer http.HandlerFunc

	spent bool
}

// Inject adds a fault; the function takes it back. Of several that strike the
// same call, the first counts.
func (k *Kit) Inject(f Fault) (remove func()) {
	k.Lock()
	defer k.Unlock()
	kept := &f
	k.faults = append(k.faults, kept)
	return func() {
		k.Lock()
		defer k.Unlock()
		k.faults = slices.DeleteFunc(k.faults, func(have *Fault) bool { return have == kept })
	}
}

// strike returns what is to go wrong with a call, nil for nothing.
func (k *Kit) strike(c *Call) *Fault {
	for _, f := range k.faults {
		if f.spent || (f.Call != "*" && f.Call != c.Name) || !f.matches(c) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times > 0 {
			f.Times--
			f.spent = f.Times == 0
		}
		return f
	}
	return nil
}

func (f *Fault) matches(c *Call) bool {
	return strings.Contains(c.Path, f.Match) || strings.Contains(c.request.URL.RawQuery, f.Match) || strings.Contains(string(c.Body), f.Match)
}

// limit is a bound on the pace of calls.
type limit struct {
	call  string
	calls int
	per   time.Duration
	past  []time.Time
}

// Limit refuses with 429 what goes beyond so many calls in so long a time, by
// the cloud's clock; "*" is all calls together.
func (k *Kit) Limit(call string, calls int, per time.Duration) {
	k.Lock()
	defer k.Unlock()
	k.limits = append(k.limits, &limit{call: call, calls: calls, per: per})
}

func (k *Kit) limited(c *Call) *Refusal {
	now := k.Now()
	for _, l := range k.limits {
		if l.call != "*" && l.call != c.Name {
			continue
		}
		l.past = slices.DeleteFunc(l.past, func(t time.Time) bool { return now.Sub(t) >= l.per })
		if len(l.past) >= l.calls {
			r := Refusef(http.StatusTooManyRequests, "rate_limited", "at most %d calls in %s", l.calls, l.per)
			r.RetryAfter = l.per - now.Sub(l.past[0])
			return r
		}
		l.past = append(l.past, now)
	}
	return nil
}

// Now is the cloud's time.
func (k *Kit) Now() time.Time { return time.Now().Add(time.Duration(k.offset.Load())) }

// Advance moves the cloud's clock, and lets happen what is due by then.
func (k *Kit) Advance(by time.Duration) {
	k.offset.Add(int64(by))
	k.Locked(func() {})
}

// Locked runs f under the lock, once all has happened that is due.
func (k *Kit) Locked(f func()) {
	k.Lock()
	defer k.Unlock()
	k.opts.Settle()
	f()
}

// Calls is how often a call was made, those that were refused included; "*" is
// all calls.
func (k *Kit) Calls(name string) int {
	return len(slices.DeleteFunc(k.Log(), func(c Call) bool { return name != "*" && c.Name != name }))
}

// Log are the calls made, in the order of their answers.
func (k *Kit) Log() []Call {
	k.Lock()
	defer k.Unlock()
	return slices.Clone(k.log)
}

// Client returns an HTTP client that reaches the fake under every name, for
// libraries that have their own idea of the address.
func (k *Kit) Client() *http.Client {
	return &http.Client{Transport: redirect{scheme: k.URL[:strings.Index(k.URL, ":")], address: k.server.Listener.Addr().String(), base: k.Transport()}}
}

// Transport makes the connections to the fake.
func (k *Kit) Transport() http.RoundTripper {
	if k.memory != nil {
		return &http.Transport{DialContext: k.memory.dial, DisableKeepAlives: true}
	}
	return k.server.Client().Transport
}

// ClientOf is Client, from another process; not for TLS.
func ClientOf(address string) *http.Client {
	return &http.Client{Transport: redirect{scheme: "http", address: address, base: http.DefaultTransport}}
}

type redirect struct {
	scheme, address string
	base            http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (to redirect) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = to.scheme, to.address
	return to.base.RoundTrip(r) //nolint:wrapcheck // the transport's own error
}

// Page cuts a listing: the items of a page of that size, from a token on, and
// the token of the next one; empty is the last.
func Page[T any](all []T, token string, size int) (items []T, next string) {
	from, _ := strconv.Atoi(token)
	from = min(max(from, 0), len(all))
	to := min(from+size, len(all))
	if to < len(all) {
		next = strconv.Itoa(to)
	}
	return all[from:to], next
}
