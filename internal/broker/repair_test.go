// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// lose removes machines of these ranks behind the broker's back.
func (x *bench) lose(ranks ...int) {
	x.cloud.Mu.Lock()
	defer x.cloud.Mu.Unlock()
	x.cloud.Machines = slices.DeleteFunc(x.cloud.Machines, func(m *memcloud.Machine) bool { return slices.Contains(ranks, m.Identity.Rank) })
}

// spotNodes is twoNodes bought on the spot market, in two regions.
func spotNodes(name string) Spec {
	spec := twoNodes(name)
	for i := range spec.Offers {
		spec.Offers[i].Market = cloud.Spot
	}
	elsewhere := spec.Offers[0]
	elsewhere.Region, elsewhere.Zone, elsewhere.HourlyUSD = "r2", "r2a", 9
	spec.Offers = append(spec.Offers, elsewhere)
	spec.Request.Alternatives[0].Markets = []cloud.Market{cloud.Spot}
	return spec
}

func TestRestore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		spec := spotNodes("train")
		spec.Request.Nodes, spec.Workdir = 3, "/x/code"
		c := x.mustLaunch(t, spec)
		x.lose(0, 2)
		seen, err := x.Refresh(t.Context(), c)
		if err != nil || seen.Status != cluster.StatusDegraded || !slices.Equal(seen.Lost(), []int{0, 2}) || !strings.Contains(seen.StatusReason, "rank 2 is terminated") {
			t.Fatalf("Refresh = %s (%s), lost %v, %v", seen.Status, seen.StatusReason, seen.Lost(), err)
		}
		if seen.HourlyUSD != c.HourlyUSD {
			t.Errorf("the price went from %v to %v", c.HourlyUSD, seen.HourlyUSD)
		}
		x.uploads = nil
		whole, err := x.Restore(t.Context(), seen, spec)
		if err != nil || whole.Status != cluster.StatusUp || whole.Size != 3 || whole.HourlyUSD != c.HourlyUSD || len(whole.Lost()) != 0 {
			t.Fatalf("Restore = %+v, %v", whole, err)
		}
		for rank, n := range whole.Nodes {
			if same := n.InstanceID == c.Nodes[rank].InstanceID; n.Rank != rank || same != (rank == 1) {
				t.Errorf("rank %d is %s, was %s", rank, n.InstanceID, c.Nodes[rank].InstanceID)
			}
		}
		slices.Sort(x.uploads)
		if want := []string{"0 code ~/sky_workdir", "2 code ~/sky_workdir"}; !slices.Equal(x.uploads, want) {
			t.Errorf("uploads = %q, want %q", x.uploads, want)
		}
		x.wantLive(t, 3)
		if again, err := x.Refresh(t.Context(), whole); err != nil || again.Status != cluster.StatusUp {
			t.Errorf("Refresh = %s, %v", again.Status, err)
		}
		if err := x.Destroy(t.Context(), whole); err != nil {
			t.Fatal(err)
		}
		x.wantLive(t, 0)
	})
}

// A list that lags for one look loses no node, so that none is made twice.
func TestRestoreLooksTwice(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		blind := c
		blind.Nodes = slices.Clone(c.Nodes)
		blind.Nodes[1].State = cloud.StateTerminated // what a lagging list made of it
		got, err := x.Restore(t.Context(), blind, twoNodes("train"))
		if err != nil || got.Status != cluster.StatusUp || got.Nodes[1].InstanceID != c.Nodes[1].InstanceID {
			t.Errorf("Restore = %+v, %v", got, err)
		}
		x.wantLive(t, 2)
	})
}

func TestRestoreStartsWhatIsStopped(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		x.cloud.Machines[1].State, x.cloud.Machines[1].ExternalIP = cloud.StateStopped, ""
		seen, err := x.Refresh(t.Context(), c)
		if err != nil || seen.Status != cluster.StatusInit || !slices.Equal(seen.Resting(), []int{1}) {
			t.Fatalf("Refresh = %s, resting %v, %v", seen.Status, seen.Resting(), err)
		}
		got, err := x.Restore(t.Context(), seen, twoNodes("train"))
		if err != nil || got.Status != cluster.StatusUp || got.Nodes[1].InstanceID != c.Nodes[1].InstanceID || got.Nodes[1].ExternalIP == "" {
			t.Errorf("Restore = %+v, %v", got, err)
		}
	})
}

func TestRestoreThatFailsLeavesTheClusterAlone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		x.lose(1)
		x.cloud.Faults = []*memcloud.Fault{{Method: "run", Err: errCapacity}}
		got, err := x.Restore(t.Context(), c, twoNodes("train"))
		if !errors.Is(err, errCapacity) || got.Status != cluster.StatusDegraded || !strings.Contains(err.Error(), "-replace") {
			t.Errorf("Restore = %s, %v", got.Status, err)
		}
		x.cloud.Faults = nil
		x.wantLive(t, 1)
		if got, err = x.Restore(t.Context(), got, twoNodes("train")); err != nil || got.Status != cluster.StatusUp {
			t.Errorf("Restore = %s, %v", got.Status, err)
		}
	})
}

// What was at rest rests again where a lost node beside it cannot be had.
func TestRestoreThatFailsStartsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		spec := twoNodes("train")
		spec.Request.Nodes = 3
		c := x.mustLaunch(t, spec)
		x.cloud.Machines[1].State, x.cloud.Machines[1].ExternalIP = cloud.StateStopped, ""
		x.lose(2)
		x.cloud.Faults = []*memcloud.Fault{{Method: "wait", Err: errCapacity}}
		if _, err := x.Restore(t.Context(), c, spec); !errors.Is(err, errCapacity) {
			t.Fatalf("Restore = %v", err)
		}
		x.cloud.Faults = nil
		seen, err := x.Observe(t.Context(), c)
		if err != nil || !slices.Equal(seen.Resting(), []int{1}) || !slices.Equal(seen.Lost(), []int{2}) || seen.Nodes[0].State != cloud.StateRunning {
			t.Errorf("%+v, %v, want rank 0 to run, 1 to rest and 2 to be lost", seen.Nodes, err)
		}
	})
}

// A spot cluster that was lost as a whole is launched elsewhere, or in the same
// region, and only for a day.
func TestRecovery(t *testing.T) {
	for name, tc := range map[string]struct {
		how    Recovery
		after  time.Duration
		market cloud.Market
		fault  string // a zone without capacity
		want   string // zone, empty for none
	}{
		"elsewhere":                   {RecoverElsewhere, 0, cloud.Spot, "", "r2a"},
		"elsewhere is full":           {RecoverElsewhere, 0, cloud.Spot, "r2a", "r1a"},
		"the same region":             {RecoverInRegion, 0, cloud.Spot, "", "r1a"},
		"the same region, other zone": {RecoverInRegion, 0, cloud.Spot, "r1a", "r1b"},
		"two days later":              {RecoverElsewhere, 48 * time.Hour, cloud.Spot, "", "r1a"},
		"on demand":                   {RecoverElsewhere, 0, cloud.OnDemand, "", "r1a"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				spec := spotNodes("train")
				spec.Recovery = tc.how
				spec.Request.Alternatives[0].Markets = []cloud.Market{tc.market}
				for i := range spec.Offers {
					spec.Offers[i].Market = tc.market
				}
				c := x.mustLaunch(t, spec)
				x.lose(0, 1)
				if _, err := x.Refresh(t.Context(), c); !errors.Is(err, cluster.ErrGone) {
					t.Fatalf("Refresh: %v", err)
				}
				if err := x.RemoveRules(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if err := retry.Pause(t.Context(), tc.after); err != nil {
					t.Fatal(err)
				}
				if tc.fault != "" {
					x.cloud.Faults = []*memcloud.Fault{{Method: "run", Zone: tc.fault, Err: errCapacity}}
				}
				got := x.mustLaunch(t, spec)
				if got.Zone != tc.want {
					t.Errorf("launched again in %s, want %s", got.Zone, tc.want)
				}
				if LossOf(x.cfg.StateDir, x.owner, "train", tc.how, time.Now()) != nil {
					t.Error("the loss is remembered after the recovery")
				}
			})
		})
	}
}

// A cluster that was destroyed was not lost.
func TestDestroyIsNoLoss(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, spotNodes("train"))
		if err := x.Destroy(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if got := x.mustLaunch(t, spotNodes("train")); got.Zone != "r1a" {
			t.Errorf("launched again in %s", got.Zone)
		}
	})
}
