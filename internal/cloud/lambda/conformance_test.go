// SPDX-License-Identifier: MPL-2.0

package lambda

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
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/injected"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/lambda/lambdafake"
)

// slowAccount has the times that are reported of Lambda, and its limits.
func slowAccount() lambdafake.Options {
	return lambdafake.Options{
		InMemory: true, Limits: true, EndTime: 40 * time.Second,
		BootTime: func(instanceType string) time.Duration {
			if instanceType == "gpu_8x_h100_sxm5" {
				return 25 * time.Minute
			}
			return 4 * time.Minute
		},
	}
}

// TestConformance runs the suite over HTTP within Lambda's limits, each case on a
// Lambda of its own, on injected time.
func TestConformance(t *testing.T) {
	injected.Run(t, func(t *testing.T) cloudtest.Harness { return newAccount(t, slowAccount()) })
}

// TestConformanceWhenLate does so on a Lambda whose lists lag, and that lists what
// is gone for a while.
func TestConformanceWhenLate(t *testing.T) {
	injected.Run(t, func(t *testing.T) cloudtest.Harness {
		opts := slowAccount()
		opts.VisibleAfter, opts.Remembered = 20*time.Second, 10*time.Minute
		return newAccount(t, opts)
	})
}

// account is the harness: an account on a Lambda of the test's own. Its factories
// have a pace each, as processes do that share an account.
type account struct{ *lambdafake.Cloud }

func newAccount(t *testing.T, opts lambdafake.Options) account {
	return account{lambdafake.Start(t, opts)}
}

var _ interface {
	cloudtest.Harness
	cloudtest.Impostor
	cloudtest.Neighbour
	cloudtest.Killer
	cloudtest.Renamer
	cloudtest.Saboteur
	cloudtest.Counter
	cloudtest.Gatekeeper
	cloudtest.Inspector
	cloudtest.Lagger
	cloudtest.Patient
} = account{}

func (a account) Factory() cloud.Factory {
	f := New()
	f.tune = func(d *driver) { d.c.Transport, d.launching.Transport = a.Transport(), a.Transport() }
	return f
}

// Patience is injected time.
func (account) Patience() time.Duration { return 24 * time.Hour }

func (a account) Credentials() cloud.Credentials {
	return cloud.Credentials{Values: map[string]string{optionKey: lambdafake.Key, optionEndpoint: a.URL}}
}

func (a account) BadCredentials() cloud.Credentials {
	return cloud.Credentials{Values: map[string]string{optionKey: "secret_but_wrong", optionEndpoint: a.URL}}
}

func (account) Placement(nodes int, market cloud.Market) cloud.Placement {
	return cloud.Placement{Nodes: nodes, Offer: cloud.Offer{
		Cloud: Name, Region: "us-east-1", Market: market, HourlyUSD: 1.29,
		InstanceType: cloud.InstanceType{Name: "gpu_1x_a10", VCPUs: 30, MemoryGiB: 226, Arch: "x86_64"},
	}}
}

func (account) Spec(base cloud.ClusterSpec) cloud.ClusterSpec {
	base.SSHUser = "ubuntu"
	base.AuthorizedKeys = []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFhu4ZsCQ4yHoSi5HzZ6sNEJTZ0CWkNCDNqmnLTGmpDE conformance"}
	for i, n := range base.Nodes {
		if n.UserData == nil {
			base.Nodes[i].UserData = fmt.Appendf(nil, "#cloud-config\n# rank %d\nssh_authorized_keys: [%q]\n", n.Identity.Rank, base.AuthorizedKeys[0])
		}
	}
	return base
}

func (a account) Errors() []cloudtest.ErrorRow { return errorRows() }

func (a account) LaunchForeign(_ context.Context, at cloud.Placement, kind cloudtest.Foreign, like cloud.Identity) (string, error) {
	in := lambdafake.Order{Name: "neighbour", Region: at.Offer.Region, Type: at.Offer.InstanceType.Name, Keys: []string{"somebody's"}}
	for k, v := range kind.Tags(like) {
		in.Tags = append(in.Tags, lambdafake.Tag{Key: k, Value: v})
	}
	return a.Add(in), nil
}

func (a account) one(id string) (lambdafake.Machine, bool) {
	all := a.Machines()
	i := slices.IndexFunc(all, func(m lambdafake.Machine) bool { return m.ID == id })
	if i < 0 {
		return lambdafake.Machine{}, false
	}
	return all[i], true
}

func (a account) Running(_ context.Context, id string) (bool, error) {
	m, ok := a.one(id)
	return ok && m.Status == "active", nil
}

func (a account) Remove(_ context.Context, id string) error { a.Cloud.Remove(id); return nil }

// Rename implements cloudtest.Renamer, by the call of the console.
func (a account) Rename(ctx context.Context, id, name string) error {
	api := fleet.REST{Base: a.URL + "/api/v1", Token: lambdafake.Key, Transport: a.Transport()}
	return api.Do(ctx, http.MethodPost, "/instances/"+id, nil, map[string]string{"name": name}, nil) //nolint:wrapcheck // it names the call
}

func (a account) KillMachine(ctx context.Context, id string) error { return a.Remove(ctx, id) }

// InjectLaunchFault implements cloudtest.Saboteur.
func (a account) InjectLaunchFault(_ context.Context, kind cloudtest.LaunchFault, skip int) (func(context.Context) error, error) {
	f := fakekit.Fault{Call: lambdafake.CallLaunch, Skip: skip}
	switch kind {
	case cloudtest.NoCapacity:
		f.Refuse = lambdafake.NoRoom()
	case cloudtest.LostAnswer:
		f.Lose, f.Times = true, 1
	case cloudtest.LateCapacity:
		f.After = a.LateCapacity()
	case cloudtest.LateAddress:
		f.After = a.LateAddress(20 * time.Second)
	case cloudtest.OneAtATime:
		f.Skip, f.Times, f.Refuse = 1, 2, fakekit.Refusef(http.StatusTooManyRequests, "", "")
	case cloudtest.LostMark:
		remove := a.LoseRenaming()
		return func(context.Context) error { remove(); return nil }, nil
	default:
		return nil, fmt.Errorf("there is no fault %q here", kind)
	}
	remove := a.Inject(f)
	return func(context.Context) error { remove(); return nil }, nil
}

func (a account) Count(context.Context) (cloudtest.Counts, error) {
	return cloudtest.Counts{Machines: len(a.Machines()), Firewalls: len(a.Rulesets()), Keys: len(a.Keys())}, nil
}

// rulesOf are the rules in front of a machine, the global ones aside.
func (a account) rulesOf(id string) (rules []lambdafake.Rule) {
	m, _ := a.one(id)
	for _, r := range a.Rulesets() {
		if slices.Contains(m.Rulesets, lambdafake.Reference{ID: r.ID}) {
			rules = append(rules, r.Rules...)
		}
	}
	return rules
}

func (a account) OpenPorts(_ context.Context, id string) (cloudtest.Gate, error) {
	var gate cloudtest.Gate
	for _, r := range a.rulesOf(id) {
		if r.Protocol != "tcp" {
			continue
		}
		from, err := netip.ParsePrefix(r.Source)
		if err != nil {
			return gate, err
		}
		gate.Openings = append(gate.Openings, cloudtest.Opening{Ports: cloud.PortRange{First: uint16(r.Ports[0]), Last: uint16(r.Ports[1])}, From: from})
	}
	return gate, nil
}

func (a account) Reaches(_ context.Context, from, to string) (bool, error) {
	m, ok := a.one(from)
	return ok && slices.ContainsFunc(a.rulesOf(to), func(r lambdafake.Rule) bool {
		return r.Protocol == "all" && r.Source == m.PrivateIP+"/32" && slices.Equal(r.Ports, []int{1, 65535})
	}), nil
}

// ReachesOut is so: Lambda's rules guard what comes in.
func (account) ReachesOut(context.Context, string) (bool, error) { return true, nil }

func (a account) Sent(_ context.Context, id string) (cloudtest.Sent, error) {
	m, _ := a.one(id)
	sent := cloudtest.Sent{UserData: []byte(m.Order.UserData)}
	if m.Order.Image != nil {
		sent.Image = m.Order.Image.ID
	}
	return sent, nil
}

func (account) Images() (other, missing string) { return lambdafake.Base, "img-none" }

func (a account) Lag(context.Context) (func(context.Context) error, error) {
	a.Kit.Lag(30 * time.Second)
	return func(context.Context) error { a.Kit.Lag(0); return nil }, nil
}

// errorRows is the table of errors, each row of it.
func errorRows() []cloudtest.ErrorRow {
	says := func(status int, code string) error {
		return fmt.Errorf("launch: %w", &fleet.APIError{Call: "POST /launch", Status: status, Code: code, Message: "m"})
	}
	row := func(status int, code string, kind cloud.Kind, scope cloud.Scope) cloudtest.ErrorRow {
		return cloudtest.ErrorRow{Name: fmt.Sprint(status, " ", code), Err: says(status, code), Want: cloud.Fault{Kind: kind, Scope: scope}}
	}
	return []cloudtest.ErrorRow{
		row(400, "instance-operations/launch/insufficient-capacity", cloud.KindCapacity, cloud.ScopeRegion),
		row(400, "global/quota-exceeded", cloud.KindQuota, cloud.ScopeCloud),
		row(401, "global/invalid-api-key", cloud.KindAuth, cloud.ScopeCloud),
		row(403, "global/forbidden", cloud.KindAuth, cloud.ScopeCloud),
		row(403, "global/account-inactive", cloud.KindAuth, cloud.ScopeCloud),
		row(403, "global/invalid-address", cloud.KindAuth, cloud.ScopeCloud),
		row(403, "", cloud.KindAuth, cloud.ScopeCloud),
		row(400, "global/invalid-parameters", cloud.KindConfig, cloud.ScopeRegion),
		row(400, "instance-operations/launch/file-system-in-wrong-region", cloud.KindConfig, cloud.ScopeRegion),
		row(404, "global/object-does-not-exist", cloud.KindConfig, cloud.ScopeRegion),
		row(429, "", cloud.KindTransient, cloud.ScopeZone),
		row(500, "global/internal-error", cloud.KindTransient, cloud.ScopeZone),
		row(409, "global/internal-error", cloud.KindTransient, cloud.ScopeZone),
		row(409, "global/conflict", cloud.KindTransient, cloud.ScopeZone),
		row(400, "global/duplicate", cloud.KindTransient, cloud.ScopeZone),
		row(503, "", cloud.KindTransient, cloud.ScopeZone),
		row(400, "firewall-rulesets/firewall-ruleset-in-use", cloud.KindTransient, cloud.ScopeZone),
		row(500, "provider/internal-unavailable", cloud.KindUnknown, cloud.ScopeRegion),
		row(500, "global/unknown", cloud.KindUnknown, cloud.ScopeRegion),
		row(418, "", cloud.KindUnknown, cloud.ScopeZone),
		{Name: "no room, it says before", Err: &noRoomError{scope: cloud.ScopeCloud}, Want: cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeCloud}},
		{
			Name: "taken back", Err: &fleet.MachineError{ID: "m", State: cloud.StateTerminated, Reason: "preempted: Lambda took it back"},
			Want: cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeRegion},
		},
		{
			Name: "unhealthy", Err: &fleet.MachineError{ID: "m", State: cloud.StateUnknown, Reason: "it is unhealthy: Lambda's checks of it fail"},
			Want: cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone},
		},
	}
}
