// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
)

// world is a driver before a fake EC2, with the proxy between them.
type world struct {
	cloud.Session
	d     *driver
	fake  *fakeEC2
	proxy *ec2proxy.Proxy
	h     *harness
}

func newWorld(t *testing.T, proxy *ec2proxy.Proxy, more map[string]string) *world {
	t.Helper()
	fake, address := newFakeEC2(t)
	h := newHarness(t, proxy, address)
	creds := h.Credentials()
	for k, v := range more {
		creds.Values[k] = v
	}
	w := &world{fake: fake, proxy: proxy, h: h}
	session, err := Factory{tune: func(d *driver) { hurry(d); w.d = d }}.Open(t.Context(), creds)
	if err != nil {
		t.Fatal(err)
	}
	w.Session = session
	return w
}

// request is a cluster of so many machines of a type.
func request(nodes int, instanceType string, market cloud.Market) (cloud.ClusterSpec, cloud.Placement) {
	ref := cloud.ClusterRef{Owner: "owner", Cluster: "c", Generation: "g", Cloud: Name, Region: testRegion, Zone: testZone}
	spec := cloud.ClusterSpec{
		Ref: ref, SSHUser: "ubuntu", AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32"), netip.MustParsePrefix("2001:db8::/64")},
		Labels: map[string]string{"team": "weather"}, Deadline: time.Now().Add(time.Hour).UTC().Truncate(time.Second), DiskGiB: 50,
		Ports: []cloud.PortRange{{First: 8000, Last: 8010}},
	}
	for rank := range nodes {
		spec.Nodes = append(spec.Nodes, cloud.NodeSpec{
			Identity: cloud.Identity{Owner: "owner", Cluster: "c", Generation: "g", Rank: rank},
			UserData: []byte(fmt.Sprintf("#cloud-config\nhostname: n%d\n", rank)),
		})
	}
	return spec, cloud.Placement{Nodes: nodes, Offer: cloud.Offer{
		Cloud: Name, Region: testRegion, Zone: testZone, Market: market, HourlyUSD: 1, InstanceType: cloud.InstanceType{Name: instanceType},
	}}
}

// renamed gives a request another generation, so that its machines are others.
func renamed(spec cloud.ClusterSpec, name string) cloud.ClusterSpec {
	spec.Ref.Generation = name
	spec.Nodes = slices.Clone(spec.Nodes)
	for i := range spec.Nodes {
		spec.Nodes[i].Identity.Generation = name
	}
	return spec
}

// launch bootstraps and runs.
func (w *world) launch(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	cfg, err := w.Bootstrap(ctx, spec, at)
	if err != nil {
		return cfg, fmt.Errorf("Bootstrap: %w", err)
	}
	if _, err := w.Run(ctx, spec.Ref, cfg); err != nil {
		return cfg, fmt.Errorf("Run: %w", err)
	}
	return cfg, nil
}

// wholeLife goes through every call there is.
func wholeLife(ctx context.Context, w *world) error {
	spec, at := request(2, "p4d.24xlarge", cloud.OnDemand)
	spec.Ref.Zone, at.Offer.Zone = "use1-az6", "use1-az6"
	spec.NodeConfig = map[string]any{"placement_group": true, "efa": true, "disk_tier": "high", "iam_instance_profile": "worker"}
	cfg, err := w.launch(ctx, spec, at)
	if err != nil {
		return err
	}
	ref := spec.Ref
	cfg.Spec.Labels = map[string]string{"project": "x"}
	steps := []func() error{
		func() error { return w.Wait(ctx, ref, cloud.StateRunning) },
		func() error { _, err := w.Describe(ctx, ref); return err },
		func() error { return w.OpenPorts(ctx, ref, cfg, []cloud.PortRange{{First: 443, Last: 443}}) },
		func() error { return w.Commit(ctx, ref) },
		func() error { return w.Stop(ctx, ref) },
		func() error { _, err := w.Run(ctx, ref, cfg); return err },
		func() error { _, err := w.Query(ctx, cloud.ClusterRef{Owner: "owner", Cloud: Name}); return err },
		func() error { return w.Terminate(ctx, ref) },
		func() error { return w.CleanupPorts(ctx, ref) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	regional, at := request(1, "m7g.large", cloud.Spot)
	regional.Ref.Zone, at.Offer.Zone, regional.MaxMachineUSD = "", "", 0.25
	if _, err := w.launch(ctx, regional, at); err != nil {
		return err
	}
	return errors.Join(w.Terminate(ctx, regional.Ref), w.CleanupPorts(ctx, regional.Ref))
}

func TestWholeLifeLeavesNothing(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	if err := wholeLife(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	left, err := w.h.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if left.Machines+left.Disks+left.Keys != 0 || left.Firewalls != 1 { // the VPC's own
		t.Errorf("left are %+v", left)
	}
	if len(w.fake.unknown) > 0 {
		t.Errorf("actions that the fake does not know: %v", w.fake.unknown)
	}
}
