// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/gc"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
)

// A disk or an address that outlived its machine is billed: gc says that it removed
// it when it did, and leaves the disks of a generation that has a machine after all.
func TestGCOfDisks(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		disk := func(id, gen string) cloud.Thing { return thing(cloud.ThingDisk, id, x.owner, "gone", gen, time.Hour) }
		x.cloud.Things = []cloud.Thing{disk("disk-left", "dead1"), thing(cloud.ThingFirewall, "fw-left", x.owner, "gone", "dead1", time.Hour)}
		report, err := x.GC(t.Context(), gc.Options{Delete: true})
		if err != nil || len(report.Findings) != 2 || len(thingIDs(x.cloud)) != 0 {
			t.Errorf("GC = %+v, %v; left %v", report.Findings, err, thingIDs(x.cloud))
		}

		x.cloud.Things = []cloud.Thing{thing(cloud.ThingAddress, "ip-left", x.owner, "gone", "dead3", time.Hour)}
		report, err = x.GC(t.Context(), gc.Options{Delete: true})
		if err != nil || len(report.Findings) != 1 || len(thingIDs(x.cloud)) != 0 {
			t.Errorf("GC of an address = %+v, %v; left %v", report.Findings, err, thingIDs(x.cloud))
		}

		x.cloud.Things = []cloud.Thing{disk("disk-late", "dead2")}
		opts := gc.Options{Delete: true}
		first, err := x.collector().Look(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		second := first
		addMachine(x.cloud, cloud.Identity{Owner: x.owner, Cluster: "gone", Generation: "dead2", Attempt: 1}, "r1", "r1a", time.Time{})
		x.collector().Delete(t.Context(), opts, first, &second)
		if f := second.Report.Findings[0]; f.Deleted || !strings.Contains(f.Error, "machines after all") {
			t.Errorf("with a machine: %+v", f)
		}
		if len(x.cloud.Live(x.owner)) != 1 || len(thingIDs(x.cloud)) != 1 {
			t.Error("the machine or its disk is gone")
		}
	})
}

// The launch on the other computer comes to its end after the second look, or
// while a removal that failed waits for its next try.
func TestTakeOverOfWhatIsCommittedMeanwhile(t *testing.T) {
	for _, tries := range []int{0, 1} {
		inBubble(t, func(t *testing.T) {
			x := owning(t, stateDir(t), newFakeCloud(), "ml-team")
			until := time.Now().Add(75 * time.Minute)
			m := addMachine(x.cloud, cloud.Identity{Owner: "ml-team", Cluster: "train", Generation: "lost1", Attempt: 1}, "r1", "r1a", until)
			opts := gc.Options{TakeOver: "train/lost1"}
			first, err := x.collector().Look(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			second := first
			if tries == 0 {
				m.Committed = true
			} else {
				x.cloud.Faults = []*memcloud.Fault{{Method: "terminate", Times: 1, Err: errServer, Hook: func() { m.Committed = true }}}
			}
			x.collector().Delete(t.Context(), opts, first, &second)
			if f := second.Report.Findings[0]; f.Deleted || !strings.Contains(f.Error, "committed "+m.ID) {
				t.Errorf("after %d tries: %+v", tries, f)
			}
			if len(x.cloud.Live("ml-team")) != 1 || x.cloud.Called("terminate") != tries {
				t.Errorf("after %d tries: the machine is gone, or was asked to go %d times", tries, x.cloud.Called("terminate"))
			}
		})
	}
}

// A launch elsewhere that has made its rule and not its machines yet loses none
// of what it made to a launch, a destroy or a gc of the name.
func TestThingsOfALaunchThatBegins(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		fc := newFakeCloud()
		fc.Things = []cloud.Thing{
			thing(cloud.ThingKey, "key-old", "ml-team", "train", "new1", time.Hour), // of an attempt before
			thing(cloud.ThingFirewall, "fw-new", "ml-team", "train", "new1", time.Minute),
			thing(cloud.ThingFirewall, "fw-dead", "ml-team", "train", "dead1", time.Hour),
		}
		x := owning(t, stateDir(t), fc, "ml-team")
		c := x.mustLaunch(t, twoNodes("train"))
		if err := x.Destroy(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if _, err := x.GC(t.Context(), gc.Options{Delete: true}); err != nil {
			t.Fatal(err)
		}
		if got := thingIDs(fc); !slices.Equal(got, []string{"fw-new", "key-old"}) {
			t.Errorf("left: %v", got)
		}
	})
}
