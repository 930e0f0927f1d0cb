// SPDX-License-Identifier: MPL-2.0

package runpod

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// TestConformance runs the suite over HTTP, each case on a RunPod of its own.
func TestConformance(t *testing.T) {
	cloudtest.RunEach(t, func(t *testing.T) cloudtest.Harness { return account{startFake(t, 0)} })
}

// TestConformanceWhenLate does so on a RunPod whose list lags.
func TestConformanceWhenLate(t *testing.T) {
	cloudtest.RunEach(t, func(t *testing.T) cloudtest.Harness { return account{startFake(t, 20*time.Millisecond)} })
}

// account is the harness: an account on a RunPod of the test's own.
type account struct{ *fake }

// hurry lets a driver look often and give up soon.
func hurry(d *driver) {
	d.Poll = retry.Policy{Initial: time.Millisecond, Max: 4 * time.Millisecond}
	d.Settle, d.Granularity = 50*time.Millisecond, time.Millisecond
	d.c.Tries = retry.Policy{Initial: time.Millisecond, Max: 2 * time.Millisecond, Attempts: 4}
	d.c.MaxRetryAfter = time.Millisecond
	d.patience = map[string]time.Duration{statusProvisioning: 300 * time.Millisecond, statusStarting: 300 * time.Millisecond, statusRunning: 2 * time.Second}
}

func (a account) Factory() cloud.Factory { return Factory{tune: hurry} }

func (a account) Credentials() cloud.Credentials { return a.credentials(fakeKey) }

func (a account) BadCredentials() cloud.Credentials { return a.credentials("rpa_WRONG") }

func (a account) credentials(key string) cloud.Credentials {
	return cloud.Credentials{Values: map[string]string{optionKey: key, optionEndpoint: a.URL}}
}

func (account) Placement(nodes int, market cloud.Market) cloud.Placement {
	return cloud.Placement{Nodes: nodes, Offer: cloud.Offer{
		Cloud: Name, Region: "US", Market: market, HourlyUSD: 0.44,
		InstanceType: cloud.InstanceType{Name: "1x_A40_SECURE", VCPUs: 9, MemoryGiB: 50, Accelerator: cloud.Accelerator{Name: "A40", Count: 1}},
	}}
}

func (account) Spec(base cloud.ClusterSpec) cloud.ClusterSpec {
	base.SSHUser = "root"
	base.AuthorizedKeys = []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFhu4ZsCQ4yHoSi5HzZ6sNEJTZ0CWkNCDNqmnLTGmpDE conformance"}
	for i, n := range base.Nodes {
		if n.UserData == nil {
			base.Nodes[i].UserData = fmt.Appendf(nil, "#!/bin/sh\n# rank %d\necho %q >~/.ssh/authorized_keys\n", n.Identity.Rank, base.AuthorizedKeys[0])
		}
	}
	return base
}

// OutOfReach implements cloudtest.Limited; see "image not pulled" in TestAttemptsEnd.
func (account) OutOfReach() map[string]string {
	return map[string]string{"sent/unknown image": "RunPod takes the name of any image, and pulls it later"}
}

func (account) Errors() []cloudtest.ErrorRow {
	says := func(status int, message string) error {
		return fmt.Errorf("launch: %w", &fleet.APIError{Call: "POST /v2/pods", Status: status, Message: message})
	}
	fault := func(kind cloud.Kind, scope cloud.Scope) cloud.Fault { return cloud.Fault{Kind: kind, Scope: scope} }
	return []cloudtest.ErrorRow{
		{Name: "full", Err: says(400, full), Want: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{Name: "no room for the disk", Err: says(400, "There are no longer any instances available with enough disk space."), Want: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{Name: "the catalog says none", Err: &fullError{"US", "A40", "NONE"}, Want: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{Name: "start without devices", Err: says(400, "There are not enough free GPUs on the host machine to start this pod."), Want: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{Name: "a rule is broken", Err: says(400, "exactly one of gpu or cpu must be set"), Want: fault(cloud.KindConfig, cloud.ScopeZone)},
		{Name: "not to be placed", Err: says(400, "this GPU and data center combination could not be placed"), Want: fault(cloud.KindConfig, cloud.ScopeZone)},
		{Name: "resources", Err: says(400, "Insufficient resources"), Want: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{Name: "form", Err: says(422, "Request validation failed."), Want: fault(cloud.KindConfig, cloud.ScopeCloud)},
		{Name: "no such volume", Err: says(404, "resource not found"), Want: fault(cloud.KindConfig, cloud.ScopeCloud)},
		{Name: "balance", Err: says(402, "Insufficient balance"), Want: fault(cloud.KindQuota, cloud.ScopeCloud)},
		{Name: "spend limit", Err: says(400, "You have reached your spend limit"), Want: fault(cloud.KindQuota, cloud.ScopeCloud)},
		{Name: "spending limit", Err: says(400, "Your spending limit is reached"), Want: fault(cloud.KindQuota, cloud.ScopeCloud)},
		{Name: "balance, as a rule", Err: says(400, "Insufficient balance for one hour"), Want: fault(cloud.KindQuota, cloud.ScopeCloud)},
		{Name: "key", Err: says(401, "missing bearer token"), Want: fault(cloud.KindAuth, cloud.ScopeCloud)},
		{Name: "right", Err: says(403, "access denied"), Want: fault(cloud.KindAuth, cloud.ScopeCloud)},
		{Name: "pool", Err: says(403, "no access to pool AMPERE_48"), Want: fault(cloud.KindCapacity, cloud.ScopeRegion)},
		{Name: "state", Err: says(409, "action not allowed in this state"), Want: fault(cloud.KindTransient, cloud.ScopeZone)},
		{Name: "pace", Err: says(429, "rate limited"), Want: fault(cloud.KindTransient, cloud.ScopeZone)},
		{Name: "trouble", Err: says(502, "Bad Gateway"), Want: fault(cloud.KindTransient, cloud.ScopeZone)},
		{Name: "no host, told late", Err: &fleet.MachineError{ID: "p", Reason: reasonNoHost + " within 5m"}, Want: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{Name: "put elsewhere", Err: &fleet.MachineError{ID: "p", Reason: "RunPod put it into EU-RO-1, where US was asked for"}, Want: fault(cloud.KindCapacity, cloud.ScopeZone)},
		{Name: "ports", Err: &fleet.MachineError{ID: "p", Reason: reasonNoPorts}, Want: fault(cloud.KindUnknown, cloud.ScopeZone)},
		{Name: "riddle", Err: says(418, "?"), Want: fault(cloud.KindUnknown, cloud.ScopeZone)},
	}
}

func (a account) LaunchForeign(_ context.Context, _ cloud.Placement, kind cloudtest.Foreign, like cloud.Identity) (string, error) {
	var id string
	a.Locked(func() {
		p := a.add(fakeOrder{Name: like.Name(maxName), Image: "neighbour", Env: tagged(kind.Tags(like)), Cloud: cloudSecure})
		id, p.Status = p.ID, statusRunning
	})
	return id, nil
}

func (a account) Running(_ context.Context, id string) (running bool, err error) {
	a.Locked(func() { p := a.pods.Get(id); running = p != nil && p.Status == statusRunning })
	return running, nil
}

func (a account) Remove(_ context.Context, id string) error {
	a.Locked(func() { a.pods.Delete(id) })
	return nil
}

func (a account) Rename(_ context.Context, id, name string) error {
	a.Locked(func() { a.pods.Get(id).Name = name })
	return nil
}

func (a account) KillMachine(ctx context.Context, id string) error { return a.Remove(ctx, id) }

// InjectLaunchFault implements cloudtest.Saboteur.
func (a account) InjectLaunchFault(_ context.Context, kind cloudtest.LaunchFault, skip int) (func(context.Context) error, error) {
	f := fakekit.Fault{Call: "POST /v2/pods", Skip: skip}
	switch kind {
	case cloudtest.NoCapacity:
		f.Refuse = fakekit.Refusef(http.StatusBadRequest, "", "%s", full)
	case cloudtest.LostAnswer:
		f.Lose, f.Times = true, 1
	case cloudtest.LateCapacity:
		f.After = func() { a.newest().stays = statusProvisioning }
	case cloudtest.LateAddress:
		f.After = func() { a.newest().mapped = a.Now().Add(100 * time.Millisecond) }
	case cloudtest.LostMark:
		f = fakekit.Fault{Call: "PATCH /v2/pods/{id}", Times: 1, After: func() { a.newest().Name += unrecorded }}
	default:
		return nil, fmt.Errorf("there is no fault %q here", kind)
	}
	remove := a.Inject(f)
	return func(context.Context) error { remove(); return nil }, nil
}

func (a account) Count(context.Context) (c cloudtest.Counts, err error) {
	a.Locked(func() { c.Machines = len(a.pods.All()) })
	return c, nil
}

func (a account) OpenPorts(_ context.Context, id string) (gate cloudtest.Gate, err error) {
	a.Locked(func() {
		p := a.pods.Get(id)
		if p == nil || p.Runtime == nil {
			err = errors.New("there is no such pod, or it does not run")
			return
		}
		for _, at := range p.Runtime.Ports {
			gate.Openings = joined(gate.Openings, uint16(at.Private))
		}
	})
	return gate, err
}

// joined adds a port, to a range that it ends where there is one.
func joined(all []cloudtest.Opening, port uint16) []cloudtest.Opening {
	if n := len(all); n > 0 && all[n-1].Ports.Last+1 == port {
		all[n-1].Ports.Last = port
		return all
	}
	return append(all, cloudtest.Opening{Ports: cloud.PortRange{First: port, Last: port}, From: netip.MustParsePrefix("0.0.0.0/0")})
}

// Reaches is asked for by no cluster of one pod.
func (account) Reaches(context.Context, string, string) (bool, error) { return false, nil }

// ReachesOut is so: RunPod guards nothing that goes out.
func (account) ReachesOut(context.Context, string) (bool, error) { return true, nil }

func (a account) Sent(_ context.Context, id string) (sent cloudtest.Sent, err error) {
	a.Locked(func() {
		if p := a.pods.Get(id); p != nil {
			sent = cloudtest.Sent{UserData: started(p.order.Args), Image: p.order.Image, DiskGiB: p.order.Disk}
		}
	})
	return sent, nil
}

func (account) Images() (other, missing string) {
	return "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404", "runpod/none:1"
}

func (a account) Lag(context.Context) (func(context.Context) error, error) {
	a.Kit.Lag(30 * time.Millisecond)
	return func(context.Context) error { a.Kit.Lag(0); return nil }, nil
}

// TestReachOfTheWorld: what is said to be out of reach is one case, and it is.
func TestReachOfTheWorld(t *testing.T) {
	out := account{}.OutOfReach()
	for _, c := range cloudtest.Cases() {
		if out[c.Name] != "" && c.Run(t.Context(), account{startFake(t, 0)}) == nil {
			t.Errorf("%s passes", c.Name)
		}
	}
	if len(out) != 1 {
		t.Errorf("%d cases are out of reach", len(out))
	}
}
