// SPDX-License-Identifier: MPL-2.0

//go:build linux

package gcp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp/gcpfake"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// freePort is one that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener has no other
}

// runJob runs a job on the head, which sees what setup left.
func runJob(t *testing.T, c cluster.Cluster) {
	t.Helper()
	c.ProcessManager = "setsid"
	runner, err := job.New(c, job.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer runner.Close()
	id, err := runner.Submit(t.Context(), job.Spec{Name: "forecast", Run: "cat ~/setup.done; echo rain in $SKYPILOT_NODE_RANK", NumNodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	status, err := runner.Wait(t.Context(), id, &log)
	if err != nil || status.Phase != job.Succeeded || !strings.Contains(log.String(), "rank 0\n") || !strings.Contains(log.String(), "rain in 0\n") {
		t.Errorf("the job ended with %+v, %v: %s", status, err, log.String())
	}
}

// TestLaunchThroughTheBroker: the whole way from offers to machines that ran a
// setup script, over SSH with the pinned key, past a zone without capacity, and
// back to nothing.
func TestLaunchThroughTheBroker(t *testing.T) {
	port := freePort(t)
	a := account{Cloud: gcpfake.Start(t, gcpfake.Options{Boot: newGuests(t, port).boot})}
	a.Inject(gcpfake.Fault{Method: "compute.instances.insert", Match: "us-central1-a", Code: "ZONE_RESOURCE_POOL_EXHAUSTED", Message: "no room"})
	registry, err := cloud.NewRegistry(Factory{tune: func(d *driver) { hurry(d); d.SSHPort = uint16(port) }, http: a.Client()})
	if err != nil {
		t.Fatal(err)
	}
	creds := cloud.Credentials{Values: map[string]string{optionEndpoint: a.URL, optionCredentials: serviceAccountKey(t, a.URL+"/token")}}
	b, err := broker.New(broker.Config{StateDir: t.TempDir(), Registry: registry, Credentials: func(string) cloud.Credentials { return creds }})
	if err != nil {
		t.Fatal(err)
	}
	offer := a.Placement(2, cloud.OnDemand).Offer
	other := offer
	other.Zone, other.HourlyUSD = "us-central1-b", offer.HourlyUSD*2
	ctx := t.Context()
	c, err := b.Launch(ctx, broker.Spec{
		Name: "storm", Request: optimizer.Request{Alternatives: []cloud.Requirement{{Cloud: Name}}, Nodes: 2},
		Offers: []cloud.Offer{offer, other}, AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Setup: "echo rank $SKYPILOT_SETUP_NODE_RANK >~/setup.done", Labels: map[string]string{"team": "weather"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range a.Instances() {
		meta := metadataOf(in.Metadata)
		if lastPart(in.Zone) != "us-central1-b" || meta[metaCommitted] != committed || meta[metaStartup] != "" {
			t.Errorf("machine in %s, committed %q", in.Zone, meta[metaCommitted])
		}
	}
	if n := len(a.Instances()); n != 2 || len(c.Nodes) != 2 {
		t.Errorf("%d machines, %d nodes", n, len(c.Nodes))
	}
	var seen bytes.Buffer
	for _, n := range c.Nodes {
		fmt.Fprintf(&seen, "%+v\n", n)
	}
	if !strings.Contains(seen.String(), "ssh-ed25519") {
		t.Errorf("the nodes have no pinned host keys: %s", seen.String())
	}
	runJob(t, c)
	// Project and identity stay with the cluster: in another project it is not
	// looked for, and who launched it is said.
	elsewhere := c
	elsewhere.Account = "elsewhere"
	if _, err := b.Observe(ctx, elsewhere); c.Account != gcpfake.Project || err == nil || errors.Is(err, cluster.ErrGone) || !strings.Contains(err.Error(), "those of ci@acme-weather.iam.gserviceaccount.com") {
		t.Errorf("the account is %q; with another: %v", c.Account, err)
	}
	if err := b.Destroy(ctx, c); err != nil {
		t.Fatal(err)
	}
	if n := len(a.Instances()) + len(a.Disks()) + len(a.Firewalls()); n != 0 {
		t.Errorf("%d things are left", n)
	}
}
