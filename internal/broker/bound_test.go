// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// boundsSeen are what each machine of every create call may cost, in order.
func (x *bench) boundsSeen() *[]float64 {
	var bounds []float64
	x.cloud.OnRun = func(cfg cloud.RunConfig) { bounds = append(bounds, cfg.Spec.MaxMachineUSD) }
	return &bounds
}

// loseAndRestore has a machine of the cluster vanish, and the cluster get it back.
func (x *bench) loseAndRestore(t *testing.T, c cluster.Cluster, spec Spec, machine int) cluster.Cluster {
	t.Helper()
	x.lose(machine)
	seen, err := x.Refresh(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := x.Restore(t.Context(), seen, spec)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// What a cluster may cost bounds each machine of a launch, of a growth and of a
// restoration: prices on the spot market move after the offer was made.
func TestBoundHoldsForTheWholeCluster(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		bounds := x.boundsSeen()
		spec := spotNodes("train")
		spec.Request.Alternatives[0].MaxHourlyUSD = 6
		c := x.mustLaunch(t, spec)
		c, err := x.Resize(t.Context(), c, spec, 4)
		if err != nil || c.HourlyUSD != 4 {
			t.Fatalf("Resize to 4 = %v, %v", c.HourlyUSD, err)
		}
		spec.Request.Nodes = 4
		c = x.loseAndRestore(t, c, spec, 3)
		if want := []float64{3, 1.5, 1.5}; len(*bounds) != 3 || (*bounds)[0] != want[0] || (*bounds)[1] != want[1] || (*bounds)[2] != want[2] {
			t.Errorf("a machine may cost %v, want %v", *bounds, want)
		}
		if _, err = x.Resize(t.Context(), c, spec, 7); err == nil || !strings.Contains(err.Error(), "max_hourly_cost allows $6.0000") {
			t.Errorf("seven nodes at $7 under a bound of $6: %v", err)
		}
		x.wantLive(t, 4)
	})
}

// The bound, the disk and the image are those of the alternative that a
// placement was taken for, whichever others fit the machine.
func TestAlternativeThatWasTaken(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		var got cloud.ClusterSpec
		x.cloud.OnRun = func(cfg cloud.RunConfig) { got = cfg.Spec }
		spec := twoNodes("train")
		first := spec.Request.Alternatives[0]
		second := first
		first.MaxHourlyUSD, first.DiskTier, first.DiskGiB = 100, "ultra", 999 // the cloud has no such tier
		second.MaxHourlyUSD, second.DiskGiB = 3, 77
		spec.Request.Alternatives = []cloud.Requirement{first, second}
		x.mustLaunch(t, spec)
		if got.MaxMachineUSD != 1.5 || got.DiskGiB != 77 || got.DiskTier != "" {
			t.Errorf("launched with bound %v, disk %d, tier %q, want those of the second alternative", got.MaxMachineUSD, got.DiskGiB, got.DiskTier)
		}
	})
}

// A dearer offer beyond the bound is never tried, however the others fail, and
// what is reserved costs nothing.
func TestFailoverStaysWithinTheBound(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		bounds := x.boundsSeen()
		x.cloud.Faults = []*memcloud.Fault{{Method: "run", Err: errCapacity}}
		spec := twoNodes("train")
		spec.Request.Alternatives[0].MaxHourlyUSD = 4
		_, err := x.Launch(t.Context(), spec)
		if err == nil || len(*bounds) != 2 || strings.Contains(err.Error(), "r1c") {
			t.Errorf("bounds %v, %v", *bounds, err)
		}
		x = newBench(t, stateDir(t), newFakeCloud())
		bounds = x.boundsSeen()
		spec.Request.Alternatives[0].MaxHourlyUSD = 1
		spec.Request.Reserved = []optimizer.Reservation{{Cloud: "nimbus", Zone: "r1a", InstanceType: "gpu-8", Count: 1}}
		if x.mustLaunch(t, spec); len(*bounds) != 1 || (*bounds)[0] != 1 {
			t.Errorf("one of two machines is reserved, and the other may cost %v", *bounds)
		}
	})
}

// New nodes get the image of their own architecture: a tag may have several.
func TestImageOfNewNodesIsOfTheirArchitecture(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		var asked []string
		x.cfg.Images = func(_ context.Context, _, image, _, arch string) (string, error) {
			asked = append(asked, arch)
			return image, nil
		}
		spec := twoNodes("train")
		spec.Request.Alternatives[0].Arch = cloud.ArchARM
		for i := range spec.Offers {
			spec.Offers[i].InstanceType.Arch = cloud.ArchARM
		}
		c := x.mustLaunch(t, spec)
		c, err := x.Resize(t.Context(), c, spec, 3)
		if err != nil {
			t.Fatal(err)
		}
		spec.Request.Nodes = 3
		x.loseAndRestore(t, c, spec, 1)
		if want := []string{"arm64", "arm64", "arm64"}; !slices.Equal(asked, want) {
			t.Errorf("images were asked for with %q, want %q", asked, want)
		}
	})
}
