// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
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

// TestLabelsThatNobodyCanMend: labels are no drift on a cloud where they are those
// of the launch, since no apply could bring them back.
func TestLabelsThatNobodyCanMend(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, fixed := range []bool{false, true} {
			fc := newFakeCloud()
			fc.Caps.LabelsFixed = fixed
			x := newBench(t, stateDir(t), fc)
			id := cloud.Identity{Owner: x.owner, Cluster: "c", Generation: "g"}
			m := addMachine(fc, id, "r1", "r1a", time.Time{})
			c := cluster.Cluster{Name: "c", Owner: x.owner, Generation: "g", Cloud: "nimbus", Region: "r1", Size: 1, Nodes: []cluster.Node{{InstanceID: m.ID}}}
			got, err := x.Drift(t.Context(), c, Spec{Labels: map[string]string{"team": "weather"}})
			if err != nil || (len(got) == 0) != fixed {
				t.Errorf("labels fixed %t: the drift is %q, %v", fixed, got, err)
			}
		}
	})
}
