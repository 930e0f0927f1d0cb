// SPDX-License-Identifier: MPL-2.0

package ibm

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
	"github.com/skybroker/terraform-provider-sky/internal/cloud/ibm/ibmfake"
)

// slowAccount takes its time, on injected time.
func slowAccount() ibmfake.Options {
	return ibmfake.Options{InMemory: true, BootTime: 40 * time.Second, EndTime: 15 * time.Second}
}

// TestConformance runs the suite over HTTP, each case on an IBM Cloud of its own.
func TestConformance(t *testing.T) {
	injected.Run(t, func(t *testing.T) cloudtest.Harness { return newAccount(t, slowAccount()) })
}

// TestConformanceWhenLate does so on one whose lists lag, and whose tokens are short.
func TestConformanceWhenLate(t *testing.T) {
	injected.Run(t, func(t *testing.T) cloudtest.Harness {
		opts := slowAccount()
		opts.VisibleAfter, opts.TokenTime = 20*time.Second, 30*time.Second
		return newAccount(t, opts)
	})
}

// account is the harness: an account on an IBM Cloud of the test's own.
type account struct{ *ibmfake.Cloud }

func newAccount(t *testing.T, opts ibmfake.Options) account {
	return account{ibmfake.Start(t, opts)}
}

var _ interface {
	cloudtest.Harness
	cloudtest.Impostor
	cloudtest.Neighbour
	cloudtest.Killer
	cloudtest.Saboteur
	cloudtest.Counter
	cloudtest.Gatekeeper
	cloudtest.Inspector
	cloudtest.Lagger
	cloudtest.Patient
} = account{}

func (a account) Factory() cloud.Factory {
	f := New().Over(a.Transport())
	// Injected time stands still while a port of this computer is asked.
	f.tune = func(d *driver) {
		d.Hooks.Callers = func(context.Context, cloud.ClusterSpec, fleet.Firewall) ([]netip.Prefix, error) {
			return []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}, nil
		}
	}
	return f
}

// Patience is injected time.
func (account) Patience() time.Duration { return 24 * time.Hour }

func (a account) with(key string) cloud.Credentials {
	return cloud.Credentials{Values: map[string]string{optionKey: key, optionEndpoint: a.Endpoint(), optionIAM: a.URL}}
}

func (a account) Credentials() cloud.Credentials    { return a.with(ibmfake.Key) }
func (a account) BadCredentials() cloud.Credentials { return a.with("secret_but_wrong") }

func (account) Placement(nodes int, market cloud.Market) cloud.Placement {
	return cloud.Placement{Nodes: nodes, Offer: cloud.Offer{
		Cloud: Name, Region: "us-south", Zone: "us-south-1", Market: market, HourlyUSD: 0.1,
		InstanceType: cloud.InstanceType{Name: "bx2-2x8", VCPUs: 2, MemoryGiB: 8, Arch: "x86_64"},
	}}
}

func (account) Spec(base cloud.ClusterSpec) cloud.ClusterSpec {
	base.SSHUser = sshUser
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
	words, err := tagWords(kind.Tags(like))
	if err != nil {
		return "", err
	}
	return a.Add(fmt.Sprintf("neighbour-%d", len(a.Machines())), at.Offer.Region, at.Offer.Zone, at.Offer.InstanceType.Name, words), nil
}

func (a account) one(id string) (ibmfake.Machine, bool) {
	all := a.Machines()
	i := slices.IndexFunc(all, func(m ibmfake.Machine) bool { return m.ID == id })
	if i < 0 {
		return ibmfake.Machine{}, false
	}
	return all[i], true
}

func (a account) Running(_ context.Context, id string) (bool, error) {
	m, ok := a.one(id)
	return ok && m.Status == "running", nil
}

func (a account) Remove(_ context.Context, id string) error { a.Kill(id); return nil }

func (a account) KillMachine(_ context.Context, id string) error { a.Kill(id); return nil }

// InjectLaunchFault implements cloudtest.Saboteur.
func (a account) InjectLaunchFault(_ context.Context, kind cloudtest.LaunchFault, skip int) (func(context.Context) error, error) {
	f := fakekit.Fault{Call: ibmfake.CallCreate, Skip: skip}
	switch kind {
	case cloudtest.NoCapacity:
		f.Refuse = ibmfake.NoRoom()
	case cloudtest.LostAnswer:
		f.Lose, f.Times = true, 1
	case cloudtest.LateCapacity:
		f.After = a.LateCapacity()
	case cloudtest.LateAddress:
		f.After = a.LateAddress(30 * time.Second)
	case cloudtest.OneAtATime:
		f.Skip, f.Times, f.Refuse = 1, 2, fakekit.Refusef(http.StatusTooManyRequests, "too_many_requests", "Too many requests.")
	case cloudtest.LostMark:
		remove := a.LoseMark()
		return func(context.Context) error { remove(); return nil }, nil
	default:
		return nil, fmt.Errorf("there is no fault %q here", kind)
	}
	remove := a.Inject(f)
	return func(context.Context) error { remove(); return nil }, nil
}

// Count leaves out the network, which serves all clusters and stays.
func (a account) Count(context.Context) (cloudtest.Counts, error) {
	return cloudtest.Counts{
		Machines: len(a.Machines()), Disks: len(a.Volumes()), Addresses: len(a.Addresses()), Firewalls: len(a.SecurityGroups()), Others: len(a.Interfaces()),
	}, nil
}

// rulesOf are the rules in front of a machine, and the groups that it is in.
func (a account) rulesOf(id string) (rules []ibmfake.Rule, groups []string) {
	m, _ := a.one(id)
	for _, n := range a.Interfaces() {
		if n.ID == m.NIC {
			groups = n.Groups
		}
	}
	for _, g := range a.SecurityGroups() {
		if slices.Contains(groups, g.ID) {
			rules = append(rules, g.Rules...)
		}
	}
	return rules, groups
}

func (a account) OpenPorts(_ context.Context, id string) (cloudtest.Gate, error) {
	var gate cloudtest.Gate
	rules, _ := a.rulesOf(id)
	for _, r := range rules {
		if r.Direction != "inbound" || r.Remote.ID != "" {
			continue
		}
		from, err := netip.ParsePrefix(r.Remote.CIDR)
		if err != nil || r.First == nil {
			return gate, fmt.Errorf("rule %+v: %w", r, err)
		}
		gate.Openings = append(gate.Openings, cloudtest.Opening{Ports: cloud.PortRange{First: *r.First, Last: *r.Last}, From: from})
	}
	return gate, nil
}

func (a account) Reaches(_ context.Context, from, to string) (bool, error) {
	rules, _ := a.rulesOf(to)
	_, groups := a.rulesOf(from)
	return slices.ContainsFunc(rules, func(r ibmfake.Rule) bool {
		return r.Direction == "inbound" && r.Protocol == "any" && slices.Contains(groups, r.Remote.ID)
	}), nil
}

func (a account) ReachesOut(_ context.Context, id string) (bool, error) {
	rules, _ := a.rulesOf(id)
	return slices.ContainsFunc(rules, func(r ibmfake.Rule) bool {
		return r.Direction == "outbound" && r.Protocol == "any" && r.Remote.CIDR == "0.0.0.0/0"
	}), nil
}

func (a account) Sent(_ context.Context, id string) (cloudtest.Sent, error) {
	m, _ := a.one(id)
	return cloudtest.Sent{UserData: []byte(m.Order.UserData), Image: m.Order.Image.ID, DiskGiB: m.Order.Boot.Volume.Capacity}, nil
}

func (account) Images() (other, missing string) {
	return ibmfake.Ubuntu24, "r006-11111111-aaaa-4aaa-8aaa-000000009999"
}

func (a account) Lag(context.Context) (func(context.Context) error, error) {
	a.Kit.Lag(30 * time.Second)
	return func(context.Context) error { a.Kit.Lag(0); return nil }, nil
}
