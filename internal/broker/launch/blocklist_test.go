// SPDX-License-Identifier: MPL-2.0

package launch

import (
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// TestNoRoomInAWholeCloud: a cloud that has no machine of a type anywhere is not
// asked for it in region after region, and stays good for other types.
func TestNoRoomInAWholeCloud(t *testing.T) {
	at := cloud.Placement{Offer: cloud.Offer{Cloud: "lambda", Region: "us-east-1", Market: cloud.OnDemand, InstanceType: cloud.InstanceType{Name: "gpu_1x_a10"}}}
	for scope, want := range map[cloud.Scope]optimizer.Block{
		cloud.ScopeCloud:  {Cloud: "lambda", InstanceType: "gpu_1x_a10", Market: cloud.OnDemand, Reason: "full"},
		cloud.ScopeRegion: {Cloud: "lambda", Region: "us-east-1", InstanceType: "gpu_1x_a10", Market: cloud.OnDemand, Reason: "full"},
	} {
		if got := blockFor(cloud.Fault{Kind: cloud.KindCapacity, Scope: scope}, at, "full"); got != want {
			t.Errorf("%s blocks %+v, want %+v", scope, got, want)
		}
	}
}
