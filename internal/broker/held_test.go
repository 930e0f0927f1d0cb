// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/broker/gc"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// owning is a bench of an owner that is configured.
func owning(t *testing.T, dir string, fc *memcloud.Cloud, owner string) *bench {
	t.Helper()
	x := newBench(t, dir, fc)
	x.owner = owner
	return x
}

// A second resource of the name, in a later run that refreshed nothing, is
// refused once Terraform is known to hold the first one's machines.
func TestSecondResourceOfANameAdoptsNothing(t *testing.T) {
	for name, mark := range map[string]func(t *testing.T, dir string, x *bench, c cluster.Cluster){
		"the first run came to its end": func(t *testing.T, _ string, x *bench, _ cluster.Cluster) { x.HandOver(t.Context()) },
		"a plan had the first one in its state": func(t *testing.T, dir string, x *bench, c cluster.Cluster) {
			if !Unheld(dir, x.owner, c.Name, c.Generation) {
				t.Error("a cluster that no state was seen to hold counts as held")
			}
			newBench(t, dir, x.cloud).NoteHeld(t.Context(), c.Owner, c.Name, c.Generation)
			if Unheld(dir, x.owner, c.Name, c.Generation) {
				t.Error("the mark is not seen")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				dir, fc := stateDir(t), newFakeCloud()
				x := newBench(t, dir, fc)
				c := x.mustLaunch(t, twoNodes("train"))
				mark(t, dir, x, c)
				_, err := newBench(t, dir, fc).Launch(t.Context(), twoNodes("train"))
				if !errors.As(err, new(*ImportError)) {
					t.Errorf("Launch = %v, want an ImportError", err)
				}
				// Or it was Terraform that could not save the state of the first.
				for _, way := range []string{"terraform state push errored.tfstate", "terraform import <address> " + c.ID} {
					if err == nil || !strings.Contains(err.Error(), way) {
						t.Errorf("Launch = %v, which does not say %q", err, way)
					}
				}
				x.wantLive(t, 2)
			})
		})
	}
}

// A cluster that was replaced, moved or grown from another computer is followed:
// the journal here is older than the cloud.
func TestStaleJournalIsFollowedNowhere(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		fc := newFakeCloud()
		here, there := owning(t, stateDir(t), fc, "ml-team"), owning(t, stateDir(t), fc, "ml-team")
		old := here.mustLaunch(t, twoNodes("train"))
		find := func(want cluster.Cluster, size int) {
			t.Helper()
			for what, f := range map[string]func() (cluster.Cluster, error){
				"Find":       func() (cluster.Cluster, error) { return here.Find(t.Context(), old.ID) },
				"FindByName": func() (cluster.Cluster, error) { return here.FindByName(t.Context(), "train", []string{"nimbus"}) },
			} {
				got, err := f()
				if err != nil || got.Generation != want.Generation || got.Size != size || len(got.Nodes) != size {
					t.Errorf("%s = generation %s of %d nodes, %v; want %s of %d", what, got.Generation, got.Size, err, want.Generation, size)
					continue
				}
				if fresh, err := here.Observe(t.Context(), got); err != nil || fresh.Status != cluster.StatusUp {
					t.Errorf("%s, observed: %s, %v", what, fresh.Status, err)
				}
			}
		}
		find(old, 2)

		grown, err := there.Resize(t.Context(), old, twoNodes("train"), 3)
		if err != nil {
			t.Fatal(err)
		}
		find(old, 3)

		if err := there.Destroy(t.Context(), grown); err != nil {
			t.Fatal(err)
		}
		replaced := there.mustLaunch(t, twoNodes("train"))
		find(replaced, 2)

		// The keys of the one that is gone go with the first removal here.
		if err := here.Destroy(t.Context(), replaced); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Dir(old.KeyPath)); !durable.IsMissing(err) {
			t.Errorf("keys of a cluster that was replaced elsewhere are left: %v", err)
		}
		if _, err := here.Find(t.Context(), old.ID); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("Find = %v, want ErrNotFound", err)
		}
	})
}

// Two owners share a state folder and a name, and neither sees the other.
func TestTwoOwnersWithOneStateFolder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir, fc := stateDir(t), newFakeCloud()
		one, two := owning(t, dir, fc, "team-one"), owning(t, dir, fc, "team-two")
		a, b := one.mustLaunch(t, twoNodes("train")), two.mustLaunch(t, twoNodes("train"))
		if filepath.Dir(one.KnownHostsPath("train")) == filepath.Dir(two.KnownHostsPath("train")) || one.LogPath("train") == two.LogPath("train") {
			t.Error("the two share files")
		}
		for _, x := range []*bench{one, two} {
			report, err := x.GC(t.Context(), gc.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range report.Findings {
				if f.Verdict != "complete" || f.Deletable {
					t.Errorf("gc of %s: %+v", x.owner, f)
				}
			}
			if len(report.Findings) != 2 {
				t.Errorf("gc of %s has %d findings, want its two machines", x.owner, len(report.Findings))
			}
		}
		if err := one.Destroy(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if fresh, err := two.Refresh(t.Context(), b); err != nil || fresh.Status != cluster.StatusUp || fresh.CheckKey() != nil {
			t.Errorf("the other one: %s, %v, %v", fresh.Status, err, fresh.CheckKey())
		}
		// Under another owner id than the cluster's, its record is still found.
		changed := owning(t, dir, fc, "team-three")
		if err := changed.Destroy(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Dir(b.KeyPath)); !durable.IsMissing(err) {
			t.Errorf("keys are left: %v", err)
		}
	})
}

// The folder that an earlier version made stays in use, for its owner alone.
func TestFolderOfAnEarlierVersion(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir, fc := stateDir(t), newFakeCloud()
		x := owning(t, dir, fc, "team-one")
		c := x.mustLaunch(t, twoNodes("train"))
		shared := filepath.Join(dir, "clusters", "train-116f54c4")
		if err := os.Rename(x.ClusterDir("train"), shared); err != nil {
			t.Fatal(err)
		}
		if got := x.ClusterDir("train"); got != shared {
			t.Errorf("ClusterDir = %s, want %s", got, shared)
		}
		other := owning(t, dir, fc, "team-two")
		b := other.mustLaunch(t, twoNodes("train"))
		if other.ClusterDir("train") == shared {
			t.Error("another owner works in it, too")
		}
		if fresh, err := x.Refresh(t.Context(), c); err != nil || fresh.Status != cluster.StatusUp {
			t.Errorf("Refresh = %s, %v", fresh.Status, err)
		}
		if err := errors.Join(x.Destroy(t.Context(), c), other.Destroy(t.Context(), b)); err != nil {
			t.Fatal(err)
		}
		again := x.mustLaunch(t, twoNodes("train"))
		if filepath.Dir(filepath.Dir(again.KeyPath)) != shared {
			t.Errorf("the next launch has its key in %s", again.KeyPath)
		}
	})
}
