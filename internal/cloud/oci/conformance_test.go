// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/oci/ocifake"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// TestConformance runs the suite over HTTP, each case on a tenancy of its own.
func TestConformance(t *testing.T) {
	cloudtest.RunEach(t, func(t *testing.T) cloudtest.Harness { return account{ocifake.Start(t, ocifake.Options{})} })
}

// TestConformanceWhenLate does so on a cloud whose lists lag, whose machines and
// networks take their time, and whose pages are small and often empty.
func TestConformanceWhenLate(t *testing.T) {
	const late = 20 * time.Millisecond
	cloudtest.RunEach(t, func(t *testing.T) cloudtest.Harness {
		return account{ocifake.Start(t, ocifake.Options{
			BootTime: late, StopTime: late, EndTime: late, VisibleAfter: late, MakeTime: late, PageSize: 2, EmptyPages: true,
		})}
	})
}

// account is the harness: a tenancy on a cloud of the test's own.
type account struct{ *ocifake.Cloud }

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
} = account{}

// hurry makes a driver wait milliseconds where a real one waits seconds.
func hurry(d *driver) {
	d.Poll = retry.Policy{Initial: 2 * time.Millisecond, Max: 10 * time.Millisecond}
	d.Settle = 50 * time.Millisecond
	d.c.policy = retry.Policy{Initial: time.Millisecond, Max: 2 * time.Millisecond, Attempts: 4}
}

func (a account) Factory() cloud.Factory {
	return Factory{tune: func(d *driver) {
		hurry(d)
		d.CallerSource = a.URL + ocifake.CallerPath
	}}
}

func (a account) Credentials() cloud.Credentials {
	return cloud.Credentials{Values: map[string]string{
		optionTenancy: ocifake.Tenancy, optionUser: ocifake.User, optionFinger: ocifake.Fingerprint(), optionKey: ocifake.KeyPEM(), optionRegion: ocifake.Home,
		optionCompart: ocifake.Compartment, optionEndpoint: a.Endpoint(), optionConfigFile: "",
	}}
}

func (a account) BadCredentials() cloud.Credentials {
	creds := a.Credentials()
	creds.Values[optionFinger] = "00:11:22"
	return creds
}

const testRegion = "us-phoenix-1"

func (account) Placement(nodes int, market cloud.Market) cloud.Placement {
	return cloud.Placement{Nodes: nodes, Offer: cloud.Offer{
		Cloud: Name, Region: testRegion, Zone: "US-PHOENIX-1-AD-2", Market: market, HourlyUSD: 0.062,
		InstanceType: cloud.InstanceType{Name: "VM.Standard.E4.Flex$_2_8", VCPUs: 4, MemoryGiB: 8, Arch: "x86_64"},
	}}
}

func (account) Spec(base cloud.ClusterSpec) cloud.ClusterSpec {
	base.SSHUser = sshUser
	base.AuthorizedKeys = []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFhu4ZsCQ4yHoSi5HzZ6sNEJTZ0CWkNCDNqmnLTGmpDE conformance"}
	for i := range base.Nodes {
		base.Nodes[i].UserData = []byte("#cloud-config\n{}\n")
	}
	return base
}

func (account) Errors() []cloudtest.ErrorRow { return errorRows() }

func (a account) LaunchForeign(_ context.Context, at cloud.Placement, kind cloudtest.Foreign, like cloud.Identity) (string, error) {
	held, err := encodeTags(kind.Tags(like))
	return a.Add(ocifake.Order{
		Name: "neighbour", Compartment: ocifake.Compartment, Domain: ocifake.Domains(at.Offer.Region)[0], Shape: "VM.GPU.A10.1", Tags: held,
	}, at.Offer.Region), err
}

func (a account) one(id string) (ocifake.Machine, bool) {
	all := a.Machines()
	i := slices.IndexFunc(all, func(m ocifake.Machine) bool { return m.ID == id })
	if i < 0 {
		return ocifake.Machine{}, false
	}
	return all[i], true
}

func (a account) Running(_ context.Context, id string) (bool, error) {
	m, ok := a.one(id)
	return ok && m.State == "RUNNING", nil
}

func (a account) Remove(_ context.Context, id string) error { a.Cloud.Remove(id); return nil }

func (a account) KillMachine(ctx context.Context, id string) error { return a.Remove(ctx, id) }

const callLaunch = "POST /instances"

// InjectLaunchFault implements cloudtest.Saboteur.
func (a account) InjectLaunchFault(_ context.Context, kind cloudtest.LaunchFault, skip int) (func(context.Context) error, error) {
	f := fakekit.Fault{Call: callLaunch, Skip: skip}
	switch kind {
	case cloudtest.NoCapacity:
		f.Refuse = ocifake.NoRoom()
	case cloudtest.LostAnswer:
		f.Lose, f.Times = true, 1
	case cloudtest.LateCapacity:
		f.After = a.LateCapacity(skip%2 == 1)
	case cloudtest.LateAddress:
		f.After = a.LateAddress(100 * time.Millisecond)
	case cloudtest.OneAtATime:
		f.Skip, f.Times, f.Refuse = 1, 2, ocifake.TooMany()
	case cloudtest.LostMark:
		remove := a.LoseRenaming(1)
		return func(context.Context) error { remove(); return nil }, nil
	case cloudtest.LostDisarm: // one call is both
		remove := a.LoseRenaming(2)
		return func(context.Context) error { remove(); return nil }, nil
	default:
		return nil, fmt.Errorf("there is no fault %q here", kind)
	}
	remove := a.Inject(f)
	return func(context.Context) error { remove(); return nil }, nil
}

// Count implements cloudtest.Counter. The one network of a compartment and region
// stays; a second one would be left over.
func (a account) Count(context.Context) (cloudtest.Counts, error) {
	networks := 0
	for _, vcn := range a.Parts("vcns") {
		if vcn.Tags[tagNetwork] != "" {
			networks++
		}
	}
	return cloudtest.Counts{Machines: len(a.Machines()), Disks: a.Volumes(), Firewalls: len(a.Parts("networkSecurityGroups")), Others: max(0, networks-1)}, nil
}

// rulesOf are the rules of the groups that a machine is in.
func (a account) rulesOf(id string) (rules []ocifake.Rule) {
	m, _ := a.one(id)
	for _, g := range a.Parts("networkSecurityGroups") {
		if slices.Contains(m.Order.Interface.Groups, g.ID) {
			rules = append(rules, g.Rules...)
		}
	}
	return rules
}

func (a account) OpenPorts(_ context.Context, id string) (cloudtest.Gate, error) {
	var gate cloudtest.Gate
	for _, r := range a.rulesOf(id) {
		if r.Direction != "INGRESS" || r.Protocol != "6" {
			continue
		}
		from, err := netip.ParsePrefix(r.Source)
		if err != nil {
			return gate, err
		}
		gate.Openings = append(gate.Openings, cloudtest.Opening{
			Ports: cloud.PortRange{First: uint16(r.TCP.Destination.Min), Last: uint16(r.TCP.Destination.Max)}, From: from,
		})
	}
	return gate, nil
}

func (a account) Reaches(_ context.Context, from, to string) (bool, error) {
	m, ok := a.one(from)
	return ok && slices.ContainsFunc(a.rulesOf(to), func(r ocifake.Rule) bool {
		return r.Direction == "INGRESS" && r.Protocol == "all" && slices.Contains(m.Order.Interface.Groups, r.Source)
	}), nil
}

// ReachesOut: the group lets it, the subnet's list does, and its table leads to a
// gateway.
func (a account) ReachesOut(_ context.Context, id string) (bool, error) {
	m, _ := a.one(id)
	group := slices.ContainsFunc(a.rulesOf(id), func(r ocifake.Rule) bool {
		return r.Direction == "EGRESS" && r.Protocol == "all" && r.Destination == anywhere
	})
	list, table := false, false
	for _, s := range a.Parts("subnets") {
		if s.ID != m.Order.Interface.Subnet {
			continue
		}
		for _, l := range a.Parts("securityLists") {
			list = list || slices.Contains(s.Lists, l.ID) && len(l.Egress) == 1 && l.Egress[0]["destination"] == anywhere
		}
		for _, r := range a.Parts("routeTables") {
			table = table || r.ID == s.Table && len(r.Routes) == 1 && r.Routes[0]["networkEntityId"] == a.Parts("internetGateways")[0].ID
		}
	}
	return group && list && table && m.PublicIP != "", nil
}

func (a account) Sent(_ context.Context, id string) (cloudtest.Sent, error) {
	m, _ := a.one(id)
	sent := cloudtest.Sent{UserData: []byte(m.UserData()), AuthorizedKeys: strings.Split(m.Metadata["ssh_authorized_keys"], "\n")}
	if m.Source != nil {
		sent.Image, sent.DiskGiB = m.Source.Image, int(m.Source.Size)
	}
	return sent, nil
}

func (account) Images() (other, missing string) {
	return ocifake.ImageID("ubuntu2404", testRegion), ocifake.ImageID("none", testRegion)
}

func (a account) Lag(context.Context) (func(context.Context) error, error) {
	a.Kit.Lag(30 * time.Millisecond)
	return func(context.Context) error { a.Kit.Lag(0); return nil }, nil
}
