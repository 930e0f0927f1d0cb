// SPDX-License-Identifier: MPL-2.0

package pond

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
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
		d.Settle = 50 * time.Millisecond
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
		base.Nodes[i].UserData = fmt.Appendf(nil, "#cloud-config\n# rank %d\n{}\n", n.Identity.Rank)
	}
	return base
}

func (account) Errors() []cloudtest.ErrorRow {
	says := func(status int, id, message string) error {
		return fmt.Errorf("launch: %w", &apiError{Status: status, ID: id, Message: message})
	}
	general := "unprocessable_entity"
	return []cloudtest.ErrorRow{
		{Name: "full", Err: says(422, general, full), Want: cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}},
		{Name: "limit", Err: says(422, general, "creating this will exceed your droplet limit"), Want: cloud.Fault{Kind: cloud.KindQuota, Scope: cloud.ScopeRegion}},
		{Name: "token", Err: says(401, "unauthorized", "Unable to authenticate you"), Want: cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}},
		{Name: "image", Err: says(422, general, "You specified an invalid image"), Want: cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}},
		{Name: "pace", Err: says(429, "too_many_requests", "API rate limit exceeded"), Want: cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}},
		{Name: "trouble", Err: says(503, "", "Service Unavailable"), Want: cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}},
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
		id = fmt.Sprint(a.add(fakeOrder{Name: "neighbour", Region: at.Offer.Region, Size: at.Offer.InstanceType.Name, Tags: words}).ID)
		a.settleAll()
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

func (a account) InjectLaunchFault(_ context.Context, kind cloudtest.LaunchFault, skip int) (func(context.Context) error, error) {
	f := fakekit.Fault{Call: "POST /v2/droplets", Skip: skip}
	switch kind {
	case cloudtest.NoCapacity:
		f.Refuse = fakekit.Refusef(http.StatusUnprocessableEntity, "unprocessable_entity", full)
	case cloudtest.LostAnswer:
		f.Lose, f.Times = true, 1
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
			if _, err := netip.ParsePrefix(o.From); err != nil {
				return gate, err
			}
			if o.Ports.First == 22 {
				gate.SSH = true
			} else {
				gate.Ports = append(gate.Ports, o.Ports)
			}
		}
	}
	return gate, nil
}
