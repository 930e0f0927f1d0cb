// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// A launch whose first attempts, in other regions, left machines that come late
// and that nobody can remove for now: state and journal have them where they
// are, until they are gone.
func TestLateSurvivorsElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		spec := twoNodes("train")
		spec.Offers = spec.Offers[:1]
		for i, region := range []string{"r2", "r3"} {
			far := spec.Offers[0]
			far.Region, far.Zone, far.HourlyUSD = region, region+"a", 0.1*float64(i+1)
			spec.Offers = append(spec.Offers, far)
		}
		x.cloud.Hide = 3 * x.cfg.Timeouts.ListDelay
		x.cloud.Faults = []*memcloud.Fault{
			{Method: "run", Zone: "r2a", Err: errServer, Applied: true},
			{Method: "run", Zone: "r3a", Err: errServer, Applied: true},
			// Each attempt is removed by tags, the last by id, too.
			{Method: "terminate", Skip: 4, Err: errServer},
		}
		x.dialErr = func(remote.Target) error { return retry.Pause(t.Context(), time.Minute) }
		x.exit = func(int, string) (int, string) { return 1, "" }
		spec.Setup = "false"
		c, err := x.Launch(t.Context(), spec)
		var le *LaunchError
		if !errors.As(err, &le) || len(le.Survivors) != 4 {
			t.Fatalf("Launch = %v", err)
		}
		if c.Region != "r2" || c.Zone != "r2a" || c.ID != "nimbus/r2/train" || c.Account != "acct-1" || !slices.Equal(c.InstanceIDs(), le.Survivors[:2]) {
			t.Errorf("the cluster for state = %+v", c)
		}
		if _, err := x.Refresh(t.Context(), c); err != nil {
			t.Errorf("Refresh = %v", err)
		}
		if j, err := journal.Read(x.ClusterDir("train")); err != nil || j.Find(c.Generation).Removed {
			t.Errorf("the journal takes them for gone (%v)", err)
		}
		x.cloud.Faults = nil
		if err := x.Destroy(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		x.wantLive(t, 0)
	})
}
