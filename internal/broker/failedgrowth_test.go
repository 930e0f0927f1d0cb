// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/broker/gc"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// brokenGrowth is a cluster of two whose growth failed twice: its commit went
// through but for its answer, and the key had expired by the time of the clean-up.
// It returns the machine that is left.
func brokenGrowth(t *testing.T, x *bench, lost bool) (c cluster.Cluster, left string) {
	t.Helper()
	c = x.mustLaunch(t, twoNodes("train"))
	want := 3
	if lost {
		x.lose(1)
		want = 2
	}
	c, err := x.Refresh(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	denied := []*memcloud.Fault{{Method: "query", Err: errDenied}, {Method: "terminate", Err: errDenied}}
	x.cloud.Faults = []*memcloud.Fault{{Method: "commit", Err: errServer, Applied: true, Hook: func() { x.cloud.Faults = denied }}}
	if lost {
		_, err = x.Restore(t.Context(), c, twoNodes("train"))
	} else {
		_, err = x.Resize(t.Context(), c, twoNodes("train"), 3)
	}
	if err == nil || !strings.Contains(err.Error(), "could not be removed") {
		t.Fatalf("the growth = %v", err)
	}
	x.cloud.Faults = nil
	x.wantLive(t, want)
	for _, m := range x.cloud.Machines {
		left = m.ID // the newest
	}
	return c, left
}

func TestGrowthThatFailsTwiceIsCleanedUp(t *testing.T) {
	for name, clean := range map[string]func(*testing.T, *bench, cluster.Cluster, string) int{
		"refresh": func(t *testing.T, x *bench, c cluster.Cluster, _ string) int {
			for range 2 {
				if got, err := x.Refresh(t.Context(), c); err != nil || got.Size != 2 {
					t.Errorf("Refresh = %d nodes, %v", got.Size, err)
				}
			}
			return len(c.Nodes) - len(c.Lost())
		},
		"change": func(t *testing.T, x *bench, c cluster.Cluster, _ string) int {
			got, err := x.Restore(t.Context(), c, twoNodes("train"))
			if err != nil || got.Status != cluster.StatusUp || got.Size != 2 {
				t.Errorf("Restore = %s with %d nodes, %v", got.Status, got.Size, err)
			}
			return 2
		},
		"destroy": func(t *testing.T, x *bench, c cluster.Cluster, _ string) int {
			if err := x.Destroy(t.Context(), c); err != nil {
				t.Errorf("Destroy: %v", err)
			}
			return 0
		},
		"gc": func(t *testing.T, x *bench, c cluster.Cluster, left string) int {
			report, err := x.GC(t.Context(), gc.Options{DeleteIDs: []string{left}, States: []gc.State{gcStateOf(t, c)}})
			if err != nil || report.Failure() != nil {
				t.Errorf("GC: %v, %v", err, report.Failure())
			}
			return len(c.Nodes) - len(c.Lost())
		},
		"gc without a state": func(t *testing.T, x *bench, c cluster.Cluster, _ string) int {
			if report, err := x.GC(t.Context(), gc.Options{Delete: true}); err != nil || report.Failure() != nil {
				t.Errorf("GC: %v, %v", err, report.Failure())
			}
			return len(c.Nodes) - len(c.Lost())
		},
	} {
		for what, lost := range map[string]bool{"grown": false, "restored": true} {
			t.Run(name+"/"+what, func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					x := newBench(t, stateDir(t), newFakeCloud())
					c, left := brokenGrowth(t, x, lost)
					x.wantLive(t, clean(t, x, c, left))
					if failed, err := x.down().FailedGrowth(c); err != nil || (name != "gc" && name != "gc without a state" && name != "destroy" && len(failed) > 0) {
						t.Errorf("still on record: %v, %v", failed, err)
					}
				})
			})
		}
	}
}

// What cannot be removed yet is no reason to fail a refresh, and stays on record.
func TestUndoneMachineThatCannotBeRemoved(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c, _ := brokenGrowth(t, x, false)
		x.cloud.Faults = []*memcloud.Fault{{Method: "terminate", Err: errDenied}}
		if got, err := x.Refresh(t.Context(), c); err != nil || got.Size != 2 || got.Status != cluster.StatusUp {
			t.Errorf("Refresh = %s with %d nodes, %v", got.Status, got.Size, err)
		}
		x.wantLive(t, 3)
		x.cloud.Faults = nil
		if _, err := x.Refresh(t.Context(), c); err != nil {
			t.Error(err)
		}
		x.wantLive(t, 2)
	})
}

// A machine that a state holds is never taken for one of a failed growth: one
// that was imported since, as the cloud shows it, stays.
func TestUndoneMachineThatAStateHolds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c, left := brokenGrowth(t, x, false)
		held := c
		held.Size = 3
		held.Nodes = append(held.Nodes[:2:2], cluster.Node{Rank: 2, InstanceID: left, State: cloud.StateRunning})
		report, err := x.GC(t.Context(), gc.Options{Delete: true, States: []gc.State{gcStateOf(t, held)}})
		if err != nil || report.Failure() != nil {
			t.Errorf("GC: %v, %v", err, report.Failure())
		}
		x.wantLive(t, 3)
		for _, view := range []cluster.Cluster{held, c} { // the second would remove it, but for the record of the first
			if got, err := x.Refresh(t.Context(), view); err != nil || got.Size != 3 {
				t.Errorf("Refresh = %d nodes, %v", got.Size, err)
			}
			x.wantLive(t, 3)
		}
	})
}
