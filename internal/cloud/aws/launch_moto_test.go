// SPDX-License-Identifier: MPL-2.0

//go:build aws

package aws

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// TestMotoLaunch goes the whole way from a request to machines with their setup
// done, over pinned SSH, past a zone without room, and back to nothing.
func TestMotoLaunch(t *testing.T) {
	m := newMachines(t)
	h := newMotoHarness(t, &ec2proxy.Proxy{Launched: m.boot, Address: m.address})
	h.proxy.Inject(ec2proxy.Fault{
		Action: "RunInstances", Match: map[string]string{"Placement.AvailabilityZone": testZone},
		Status: 500, Code: "InsufficientInstanceCapacity", Message: "no room here",
	})
	registry, err := cloud.NewRegistry(h.Factory())
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	if err := os.Chmod(state, 0o700); err != nil { //nolint:gosec // a folder needs its x
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{
		StateDir: state, Home: "test", Registry: registry, Credentials: func(string) cloud.Credentials { return h.Credentials() },
		Timeouts: broker.Timeouts{SSH: 2 * time.Minute, Gone: 100 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	before, err := h.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first, second := h.Placement(2, cloud.OnDemand).Offer, h.Placement(2, cloud.OnDemand).Offer
	second.Zone, second.HourlyUSD = "us-east-1c", 0.2
	launched, err := b.Launch(t.Context(), broker.Spec{
		Name:    "train",
		Request: optimizer.Request{Alternatives: []cloud.Requirement{{Cloud: Name, CPUs: cloud.Quantity{Value: 2}}}, Nodes: 2},
		Offers:  []cloud.Offer{first, second}, AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Setup: "echo rank $SKYPILOT_SETUP_NODE_RANK of $SKYPILOT_NUM_NODES >~/done",
	})
	if err != nil {
		t.Fatal(err)
	}
	if launched.Zone != "us-east-1c" || launched.Account != fakeAccount || len(launched.Nodes) != 2 {
		t.Errorf("the cluster is %+v", launched)
	}
	for _, n := range launched.Nodes {
		text, err := os.ReadFile(filepath.Join(m.dir, n.InstanceID, "done"))
		if want := fmt.Sprintf("rank %d of 2\n", n.Rank); err != nil || string(text) != want {
			t.Errorf("setup on rank %d wrote %q, want %q: %v", n.Rank, text, want, err)
		}
	}
	if got, err := b.Refresh(t.Context(), launched); err != nil || got.Status != cluster.StatusUp {
		t.Errorf("Refresh = %s, %v", got.Status, err)
	}
	if err := b.Destroy(t.Context(), launched); err != nil {
		t.Fatal(err)
	}
	after, err := h.Count(t.Context())
	if err != nil || after != before {
		t.Errorf("left are %+v, before %+v: %v", after, before, err)
	}
	checkRequests(t, h.proxy)
	checkPolicy(t, h.proxy)
}
