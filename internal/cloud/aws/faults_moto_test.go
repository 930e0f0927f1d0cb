// SPDX-License-Identifier: MPL-2.0

//go:build aws

package aws

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
)

// TestMotoFaults puts the proxy's faults between the driver and moto: capacity
// by zone and type, a quota by type, throttling, a lost answer, listings that
// lag, and a group that is in use a while longer than its machines.
func TestMotoFaults(t *testing.T) {
	h := newMotoHarness(t, &ec2proxy.Proxy{HideFor: 300 * time.Millisecond, LingerFor: 300 * time.Millisecond, DetachFor: 300 * time.Millisecond})
	session, err := h.Factory().Open(t.Context(), h.Credentials())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Session: session, proxy: h.proxy, h: h}
	full := ec2proxy.Fault{
		Action: "RunInstances", Status: http.StatusInternalServerError, Code: "InsufficientInstanceCapacity", Message: "no room",
		Match: map[string]string{"Placement.AvailabilityZone": testZone, "InstanceType": "p4d.24xlarge"},
	}
	limit := ec2proxy.Fault{
		Action: "RunInstances", Status: http.StatusBadRequest, Code: "VcpuLimitExceeded", Message: "You have requested more vCPU capacity than your limit",
		Match: map[string]string{"InstanceType": "c5.large"},
	}
	throttle := ec2proxy.Fault{Action: "RunInstances", Times: 3, Status: http.StatusServiceUnavailable, Code: "RequestLimitExceeded", Message: "slow down"}
	lost := ec2proxy.Fault{Action: "RunInstances", Times: 1, Match: map[string]string{"InstanceType": "m5.large"}}
	for _, tt := range []struct {
		name, typ, zone string
		fault           ec2proxy.Fault
		want            cloud.Fault // zero: it succeeds
		calls           int
	}{
		{"capacity of the type in the zone", "p4d.24xlarge", testZone, full, cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}, 1},
		{"not of another type", "m5.large", testZone, full, cloud.Fault{}, 1},
		{"not in another zone", "p4d.24xlarge", "us-east-1a", full, cloud.Fault{}, 1},
		{"any zone will do", "p4d.24xlarge", "", full, cloud.Fault{}, 2},
		{"quota of the type", "c5.large", testZone, limit, cloud.Fault{Kind: cloud.KindQuota, Scope: cloud.ScopeRegion}, 1},
		{"quota whatever the zone", "c5.large", "", limit, cloud.Fault{Kind: cloud.KindQuota, Scope: cloud.ScopeRegion}, 1},
		{"not of another type's quota", "m5.large", testZone, limit, cloud.Fault{}, 1},
		{"throttled", "m5.large", testZone, throttle, cloud.Fault{}, 4},
		{"the answer is lost", "m5.large", testZone, lost, cloud.Fault{}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			remove := h.proxy.Inject(tt.fault)
			defer remove()
			if tt.fault.Match["Placement.AvailabilityZone"] != "" && tt.zone == "" {
				second := tt.fault // the first zone of all is full, too
				second.Match = map[string]string{"Placement.AvailabilityZone": "us-east-1a", "InstanceType": tt.typ}
				defer h.proxy.Inject(second)()
				tt.calls = 3 // us-east-1a, us-east-1b, us-east-1c
			}
			spec, at := request(1, tt.typ, cloud.OnDemand)
			spec = renamed(spec, strings.ReplaceAll(tt.name, " ", "-"))
			spec.Ref.Zone, at.Offer.Zone = tt.zone, tt.zone
			before := launches(w)
			_, err := w.launch(t.Context(), spec, at)
			if got := launches(w) - before; got != tt.calls {
				t.Errorf("%d launches were asked for, want %d", got, tt.calls)
			}
			if (err == nil) != (tt.want == cloud.Fault{}) || (err != nil && w.Classify(err) != tt.want) {
				t.Errorf("%v (%s), want %s", err, w.Classify(err), tt.want)
			}
			if err := errors.Join(w.Terminate(t.Context(), spec.Ref), w.CleanupPorts(t.Context(), spec.Ref)); err != nil {
				t.Error(err)
			}
			if n := len(h.proxy.Requests("DeleteSecurityGroup")); n == 0 {
				t.Error("no group was deleted")
			}
		})
	}
	if left, err := h.Count(t.Context()); err != nil || left.Machines+left.Disks+left.Keys != 0 {
		t.Errorf("left are %+v, %v", left, err)
	}
	refused := h.proxy.Refused("DependencyViolation")
	if refused == 0 {
		t.Error("no group was in use")
	}
	checkRequests(t, h.proxy)
	checkPolicy(t, h.proxy)
}
