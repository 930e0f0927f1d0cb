// SPDX-License-Identifier: MPL-2.0

package cloud_test

import (
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Whether a machine stops to any use is a matter of its market and its type.
func TestCannotStop(t *testing.T) {
	caps := cloud.Capabilities{Stop: true, SelfStop: true, StopBilled: []string{"BM.*", "VM.GPU[23].*"}}
	offer := func(market cloud.Market, typ string) cloud.Offer {
		return cloud.Offer{Cloud: "oci", Market: market, InstanceType: cloud.InstanceType{Name: typ}}
	}
	for _, tt := range []struct {
		o    cloud.Offer
		want string
	}{
		{offer(cloud.OnDemand, "VM.GPU.A10.1"), ""},
		{offer(cloud.OnDemand, "BM.GPU4.8"), "machines of type BM.GPU4.8 of oci are billed while they are stopped"},
		{offer(cloud.OnDemand, "VM.GPU3.1"), "billed while they are stopped"},
		{offer(cloud.Spot, "VM.GPU.A10.1"), "spot machines of oci cannot be stopped"},
	} {
		for _, got := range []string{caps.CannotStop(tt.o), caps.CannotEndItself(tt.o, cloud.ShutdownStop)} {
			if !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("%s %s: %q, want %q", tt.o.Market, tt.o.InstanceType.Name, got, tt.want)
			}
		}
	}
}

func TestClusterNameWithoutBound(t *testing.T) {
	ref := cloud.ClusterRef{Owner: "o", Cluster: strings.Repeat("long", 40), Generation: "g"}
	for _, limit := range []int{0, 1, 20, 63, 400} {
		name := ref.Name(limit)
		if limit > 20 && len(name) > limit {
			t.Errorf("Name(%d) has %d characters", limit, len(name))
		}
		if (limit == 0 || limit == 400) && !strings.Contains(name, ref.Cluster) {
			t.Errorf("Name(%d) = %q lacks the cluster's", limit, name)
		}
	}
}
