// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Whoever looks at a cluster while it is launched, or changed, does it no harm.
func TestLookingDuringLaunch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir := stateDir(t)
		fc := newFakeCloud()
		x := newBench(t, dir, fc)
		looker := newBench(t, dir, fc)
		looks := 0
		look := func() {
			looks++
			c, err := looker.FindByName(t.Context(), "train", []string{"nimbus"})
			if err != nil {
				return // not yet a cluster
			}
			if _, err := looker.Refresh(t.Context(), c); err != nil {
				t.Errorf("Refresh in the midst: %v", err)
			}
		}
		fc.OnRun = func(cloud.RunConfig) { look() }
		x.cloud.Faults = []*memcloud.Fault{{Method: "wait", Times: 1, Err: errCapacity, Hook: look}}
		c := x.mustLaunch(t, twoNodes("train"))
		if _, err := x.Resize(t.Context(), c, twoNodes("train"), 3); err != nil {
			t.Fatal(err)
		}
		if got, err := looker.Refresh(t.Context(), c); err != nil || got.Size != 3 || got.Status != cluster.StatusUp {
			t.Errorf("Refresh = %s with %d nodes, %v", got.Status, got.Size, err)
		}
		if looks < 3 {
			t.Errorf("looked %d times", looks)
		}
		x.wantLive(t, 3)
	})
}
