// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp/gcpfake"
)

var testRef = cloud.ClusterRef{Owner: "o", Cluster: "c", Generation: "g", Cloud: Name, Region: "us-central1", Zone: testZone}

func testSpec(nodes int) (cloud.ClusterSpec, cloud.Placement) {
	spec := account{}.Spec(cloud.ClusterSpec{
		Ref: testRef, Deadline: time.Now().Add(time.Hour), Labels: map[string]string{"team": "weather"},
		AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	})
	for rank := range nodes {
		spec.Nodes = append(spec.Nodes, cloud.NodeSpec{
			Identity: cloud.Identity{Owner: "o", Cluster: "c", Generation: "g", Rank: rank},
			UserData: fmt.Appendf(nil, "#cloud-config\n# of rank %d\n", rank),
		})
	}
	return spec, account{}.Placement(nodes, cloud.OnDemand)
}

// opened is a driver on a cloud of its own.
func opened(t *testing.T, opts gcpfake.Options, options ...string) (account, *driver) {
	t.Helper()
	a := account{Cloud: gcpfake.Start(t, opts)}
	creds := a.Credentials()
	for i := 0; i+1 < len(options); i += 2 {
		creds.Values[options[i]] = options[i+1]
	}
	s, err := Factory{tune: hurry}.Open(t.Context(), creds)
	if err != nil {
		t.Fatal(err)
	}
	d, ok := s.Provisioner.(*driver)
	if !ok {
		t.Fatalf("the provisioner is a %T", s.Provisioner)
	}
	return a, d
}

// up launches a cluster.
func up(t *testing.T, d *driver, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, cloud.RunRecord) {
	t.Helper()
	cfg, err := d.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	record, err := d.Run(t.Context(), spec.Ref, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Wait(t.Context(), spec.Ref, cloud.StateRunning); err != nil {
		t.Fatal(err)
	}
	return cfg, record
}
