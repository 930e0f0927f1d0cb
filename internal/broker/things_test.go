// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/gc"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

func thing(kind cloud.ThingKind, id, owner, cluster, gen string, age time.Duration) cloud.Thing {
	return cloud.Thing{
		Kind: kind, ID: id, CreatedAt: time.Now().Add(-age),
		Ref: cloud.ClusterRef{Owner: owner, Cluster: cluster, Generation: gen, Region: "r1"},
	}
}

// names are the ids of the things there are.
func thingIDs(f *memcloud.Cloud) []string {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	var out []string
	for _, t := range f.Things {
		out = append(out, t.ID)
	}
	slices.Sort(out)
	return out
}

// A launch was killed and its disk is gone: its key and rule go with the next
// launch, or destroy, of that name from anywhere, and nobody else's do.
func TestThingsOfALostDiskGo(t *testing.T) {
	for name, next := range map[string]func(t *testing.T, x *bench, c cluster.Cluster){
		"launch": func(t *testing.T, x *bench, _ cluster.Cluster) { x.mustLaunch(t, twoNodes("train")) },
		"destroy": func(t *testing.T, x *bench, c cluster.Cluster) {
			if err := x.Destroy(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				fc := newFakeCloud()
				var c cluster.Cluster
				if name == "destroy" {
					c = owning(t, stateDir(t), fc, "ml-team").mustLaunch(t, twoNodes("train"))
				}
				fc.Things = []cloud.Thing{
					thing(cloud.ThingKey, "key-lost", "ml-team", "train", "dead1", time.Hour),
					thing(cloud.ThingFirewall, "fw-lost", "ml-team", "train", "dead1", time.Hour),
					thing(cloud.ThingKey, "key-other-name", "ml-team", "train2", "dead1", time.Hour),
					thing(cloud.ThingKey, "key-other-owner", "somebody", "train", "dead1", time.Hour),
				}
				x := owning(t, stateDir(t), fc, "ml-team")
				addMachine(fc, cloud.Identity{Owner: "ml-team", Cluster: "else", Generation: "alive", Attempt: 1}, "r1", "r1a", time.Time{})
				next(t, x, c)
				if got := thingIDs(fc); !slices.Equal(got, []string{"key-other-name", "key-other-owner"}) {
					t.Errorf("left: %v", got)
				}
			})
		})
	}
}

// A survey that fails fails no launch.
func TestSurveyThatFails(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		x.cloud.Faults = []*memcloud.Fault{{Method: "survey", Err: errServer}}
		x.mustLaunch(t, twoNodes("train"))
		report, err := x.GC(t.Context(), gc.Options{})
		if err != nil || len(report.Clouds) != 1 || !strings.Contains(report.Clouds[0].Remark, "could not be listed") {
			t.Errorf("GC = %+v, %v", report.Clouds, err)
		}
	})
}

// gc lists what carries our tags, whoever's it is, and removes what is the
// owner's and belongs to no machine and no record.
func TestGCOfThings(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("held"))
		addMachine(x.cloud, cloud.Identity{Owner: "somebody", Cluster: "theirs", Generation: "abc", Attempt: 1}, "r1", "r1a", time.Time{})
		x.cloud.Things = []cloud.Thing{
			thing(cloud.ThingFirewall, "fw-held", x.owner, "held", c.Generation, time.Hour),
			thing(cloud.ThingKey, "key-left", x.owner, "gone", "dead1", time.Hour),
			thing(cloud.ThingFirewall, "fw-left", x.owner, "gone", "dead1", time.Hour),
			thing(cloud.ThingKey, "key-young", x.owner, "new", "dead2", time.Minute),
			thing(cloud.ThingGroup, "group-theirs", "somebody", "theirs", "dead3", time.Hour),
		}
		report, err := x.GC(t.Context(), gc.Options{})
		if err != nil {
			t.Fatal(err)
		}
		rows := map[string]string{}
		for _, f := range report.Findings {
			if f.Kind == gc.FindingThing {
				rows[string(f.Thing)+" "+f.Cluster] = f.Verdict
			}
		}
		for row, want := range map[string]string{
			"key gone": "left", "firewall gone": "left", "key new": "young", "group theirs": "another owner's", "machine theirs": "another owner's",
			"firewall held": "", "machine held": "",
		} {
			if rows[row] != want {
				t.Errorf("%s: %q, want %q", row, rows[row], want)
			}
		}
		if report, err = x.GC(t.Context(), gc.Options{Delete: true}); err != nil {
			t.Fatal(err)
		}
		for _, f := range report.Findings {
			if f.Deleted != (f.Cluster == "gone") || f.Error != "" {
				t.Errorf("after --delete: %+v", f)
			}
		}
		if got := thingIDs(x.cloud); !slices.Equal(got, []string{"fw-held", "group-theirs", "key-young"}) {
			t.Errorf("left: %v", got)
		}
		if len(x.cloud.Live("somebody")) != 1 || len(x.cloud.Live(x.owner)) != 2 {
			t.Error("a machine went with it")
		}
	})
}

// A name that a launch on a lost computer holds is told of, with the command that
// frees it; that takes no machine of a committed cluster and of no other name.
func TestTakeOver(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := owning(t, stateDir(t), newFakeCloud(), "ml-team")
		until := time.Now().Add(75 * time.Minute)
		add := func(owner, cluster, gen string, committed bool) {
			addMachine(x.cloud, cloud.Identity{Owner: owner, Cluster: cluster, Generation: gen, Attempt: 1}, "r1", "r1a", until).Committed = committed
		}
		add("ml-team", "train", "lost1", false)
		add("ml-team", "train2", "lost1", false)
		add("ml-team", "whole", "lost2", true)
		add("somebody", "train", "lost1", false)
		_, err := x.Launch(t.Context(), twoNodes("train"))
		command := "terraform-provider-sky gc --owner ml-team --take-over train/lost1"
		for _, part := range []string{"owner id ml-team", "generation lost1", "in nimbus/r1", "started 2", until.UTC().Format(time.RFC3339), command} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("Launch = %v; it lacks %q", err, part)
			}
		}
		for _, wrong := range []string{"whole", "whole/lost2", "nothing", "train/other"} {
			if _, err := x.GC(t.Context(), gc.Options{TakeOver: wrong}); err == nil || !strings.Contains(err.Error(), "nothing was removed") {
				t.Errorf("--take-over %s: %v", wrong, err)
			}
		}
		if len(x.cloud.Live("ml-team")) != 3 {
			t.Fatal("a refused take-over removed machines")
		}
		report, err := x.GC(t.Context(), gc.Options{TakeOver: "train/lost1"})
		if err != nil || len(x.cloud.Live("ml-team")) != 2 || len(x.cloud.Live("somebody")) != 1 {
			t.Errorf("GC = %+v, %v", report, err)
		}
		x.mustLaunch(t, twoNodes("train"))
	})
}

// A launch of this computer that is under way is not taken over.
func TestTakeOverOfALaunchHere(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir, fc := stateDir(t), newFakeCloud()
		x := owning(t, dir, fc, "ml-team")
		var once sync.Once // both nodes run setup
		asked := false
		x.exit = func(int, string) (int, string) {
			once.Do(func() {
				asked = true
				_, err := owning(t, dir, fc, "ml-team").GC(t.Context(), gc.Options{TakeOver: "train"})
				if err == nil || !strings.Contains(err.Error(), "in progress") {
					t.Errorf("take-over of a launch under way: %v", err)
				}
			})
			return 0, ""
		}
		spec := twoNodes("train")
		spec.Setup = "true"
		if x.mustLaunch(t, spec); !asked {
			t.Error("nobody asked")
		}
	})
}
