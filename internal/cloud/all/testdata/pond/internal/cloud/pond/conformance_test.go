// SPDX-License-Identifier: MPL-2.0

package pond

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// guide: conformance

// TestConformance runs the suite over HTTP, each case on a Pond of its own.
func TestConformance(t *testing.T) {
	cloudtest.RunEach(t, func(t *testing.T) cloudtest.Harness { return account{startPond(t, 0)} })
}

// TestConformanceWhenLate does so on a Pond whose lists lag.
func TestConformanceWhenLate(t *testing.T) {
	cloudtest.RunEach(t, func(t *testing.T) cloudtest.Harness { return account{startPond(t, 20*time.Millisecond)} })
}

// guide: end

// account is the harness: an account on a Pond of the test's own.
type account struct{ *pond }

func (a account) Factory() cloud.Factory {
	return Factory{tune: func(d *driver) {
		d.Poll = retry.Policy{Initial: time.Millisecond, Max: 4 * time.Millisecond}
		d.Settle, d.Granularity = 50*time.Millisecond, time.Millisecond
		d.c.Pace, d.c.Tries = nil, retry.Policy{Initial: time.Millisecond, Max: 2 * time.Millisecond, Attempts: 4}
		d.CallerSource = a.URL + "/caller"
	}}
}

func (a account) Credentials() cloud.Credentials {
	return cloud.Credentials{Values: map[string]string{"token": "good", "endpoint": a.URL}}
}

func (a account) BadCredentials() cloud.Credentials {
	return cloud.Credentials{Values: map[string]string{"token": "token-but-wrong", "endpoint": a.URL}}
}

func (account) Placement(nodes int, market cloud.Market) cloud.Placement {
	return cloud.Placement{Nodes: nodes, Offer: cloud.Offer{
		Cloud: Name, Region: "nyc3", Market: market, HourlyUSD: 0.03,
		InstanceType: cloud.InstanceType{Name: "s-2vcpu-4gb", VCPUs: 2, MemoryGiB: 4},
	}}
}

func (account) Spec(base cloud.ClusterSpec) cloud.ClusterSpec {
	base.SSHUser = "root"
	base.AuthorizedKeys = []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFhu4ZsCQ4yHoSi5HzZ6sNEJTZ0CWkNCDNqmnLTGmpDE conformance"}
	for i, n := range base.Nodes {
		if n.UserData != nil {
			continue
		}
		base.Nodes[i].UserData = fmt.Appendf(nil, "#cloud-config\n# rank %d\nssh_authorized_keys: [%q]\n", n.Identity.Rank, base.AuthorizedKeys[0])
	}
	return base
}

func (account) Errors() []cloudtest.ErrorRow {
	says := func(status int, id, message string) error {
		return fmt.Errorf("launch: %w", &fleet.APIError{Status: status, Code: id, Message: message})
	}
	general := "unprocessable_entity"
	return []cloudtest.ErrorRow{
		{Name: "full", Err: says(422, general, full), Want: cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}},
		{Name: "limit", Err: says(422, general, "creating this will exceed your droplet limit"), Want: cloud.Fault{Kind: cloud.KindQuota, Scope: cloud.ScopeRegion}},
		{Name: "token", Err: says(401, "unauthorized", "Unable to authenticate you"), Want: cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}},
		{Name: "image", Err: says(422, general, "You specified an invalid image"), Want: cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}},
		{Name: "pace", Err: says(429, "too_many_requests", "API rate limit exceeded"), Want: cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}},
		{Name: "trouble", Err: says(503, "", "Service Unavailable"), Want: cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}},
		{Name: "no room, told late", Err: &fleet.MachineError{ID: "1", State: cloud.StateUnknown, Reason: full}, Want: cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}},
		{Name: "riddle", Err: says(418, "teapot", "?"), Want: cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}},
	}
}

func (a account) LaunchForeign(_ context.Context, at cloud.Placement, kind cloudtest.Foreign, like cloud.Identity) (string, error) {
	var words []string
	for k, v := range kind.Tags(like) {
		words = append(words, tag(k, v))
	}
	var id string
	a.Locked(func() {
		d := a.add(fakeOrder{Name: "neighbour", Region: at.Offer.Region, Size: at.Offer.InstanceType.Name, Tags: words})
		id, d.Status = fmt.Sprint(d.ID), "active"
	})
	return id, nil
}

func (a account) Running(_ context.Context, id string) (running bool, err error) {
	a.Locked(func() { d := a.droplets.Get(id); running = d != nil && d.Status == "active" })
	return running, nil
}

func (a account) Remove(_ context.Context, id string) error {
	a.Locked(func() { a.droplets.Delete(id) })
	return nil
}

func (a account) KillMachine(ctx context.Context, id string) error { return a.Remove(ctx, id) }

// InjectLaunchFault implements cloudtest.Saboteur.
func (a account) InjectLaunchFault(_ context.Context, kind cloudtest.LaunchFault, skip int) (func(context.Context) error, error) {
	f := fakekit.Fault{Call: "POST /v2/droplets", Skip: skip}
	switch kind {
	case cloudtest.NoCapacity:
		f.Refuse = fakekit.Refusef(http.StatusUnprocessableEntity, "unprocessable_entity", full)
	case cloudtest.LostAnswer:
		f.Lose, f.Times = true, 1
	case cloudtest.LateCapacity:
		f.After = func() { a.newest().fails = true }
	case cloudtest.LateAddress:
		f.After = func() { a.newest().addressed = a.Now().Add(100 * time.Millisecond) }
	case cloudtest.OneAtATime:
		f.Skip, f.Times, f.Refuse = 1, 2, fakekit.Refusef(http.StatusTooManyRequests, "too_many_requests", "API rate limit exceeded")
	case cloudtest.LostMark:
		f = fakekit.Fault{Call: "POST /v2/tags/{tag}/resources", Match: cloud.TagCommitted, Times: 1, Answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }}
	default:
		return nil, fmt.Errorf("there is no fault %q here", kind)
	}
	remove := a.Inject(f)
	return func(context.Context) error { remove(); return nil }, nil
}

func (a account) Count(context.Context) (c cloudtest.Counts, err error) {
	a.Locked(func() { c.Machines, c.Firewalls = len(a.droplets.All()), len(a.firewalls.All()) })
	return c, nil
}

func (a account) OpenPorts(_ context.Context, id string) (gate cloudtest.Gate, err error) {
	for _, rule := range a.rulesOf(id) {
		for _, o := range openings(firewall{Inbound: []inboundRule{rule}}) {
			from, err := netip.ParsePrefix(o.From)
			if err != nil {
				return gate, err
			}
			gate.Openings = append(gate.Openings, cloudtest.Opening{Ports: o.Ports, From: from})
		}
	}
	return gate, nil
}

func (a account) Reaches(_ context.Context, from, to string) (bool, error) {
	inside := func(rule inboundRule) bool { return rule.Protocol == "all" && a.carries(from, rule.FromTags) }
	return slices.ContainsFunc(a.rulesOf(to), inside), nil
}

// ReachesOut is so: Pond's firewalls guard what comes in.
func (account) ReachesOut(context.Context, string) (bool, error) { return true, nil }

func (a account) Sent(_ context.Context, id string) (sent cloudtest.Sent, err error) {
	a.Locked(func() {
		if d := a.droplets.Get(id); d != nil {
			sent = cloudtest.Sent{UserData: []byte(d.order.UserData), Image: d.order.Image}
		}
	})
	return sent, nil
}

func (account) Images() (other, missing string) { return "debian-13-x64", "debian-99-x64" }

func (a account) Lag(context.Context) (func(context.Context) error, error) {
	a.Kit.Lag(30 * time.Millisecond)
	return func(context.Context) error { a.Kit.Lag(0); return nil }, nil
}
