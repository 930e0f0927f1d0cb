// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// TestForgotten: what a launch left is told on a cloud that removes nothing by
// itself, once that launch must be over, and of this owner only.
func TestForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, deadMan := range []bool{false, true} {
			fc := newFakeCloud()
			fc.Caps.DeadMan = deadMan
			x := newBench(t, stateDir(t), fc)
			id := cloud.Identity{Owner: x.owner, Cluster: "left", Generation: "g"}
			past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
			want := addMachine(fc, id, "r1", "r1a", past).ID
			id.Cluster = "young"
			addMachine(fc, id, "r1", "r1a", future)
			id.Cluster = "complete"
			addMachine(fc, id, "r1", "r1a", past).Committed = true
			id.Cluster, id.Owner = "theirs", "another"
			addMachine(fc, id, "r1", "r1a", past)
			got, err := x.Forgotten(t.Context(), "nimbus")
			if err != nil || (deadMan && len(got) != 0) || (!deadMan && (len(got) != 1 || got[0].ID != want)) {
				t.Errorf("with a dead-man timer: %t; forgotten are %+v, %v", deadMan, got, err)
			}
		}
	})
}
