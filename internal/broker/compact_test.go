// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

const (
	compactAbove = 64 << 10 // as in the journal
	keepGone     = 50
)

// longJournal launches and destroys until the journal has been compacted, and
// launches a cluster to stay.
func longJournal(t *testing.T, x *bench) cluster.Cluster {
	t.Helper()
	longest := int64(0)
	for range 60 {
		if err := x.Destroy(t.Context(), x.mustLaunch(t, twoNodes("train"))); err != nil {
			t.Fatal(err)
		}
		size := x.journalSize(t)
		if size < longest {
			break
		}
		longest = size
	}
	if longest <= compactAbove || longest > 2*compactAbove || x.journalSize(t) >= longest {
		t.Fatalf("the journal was up to %d bytes long and is %d now", longest, x.journalSize(t))
	}
	return x.mustLaunch(t, twoNodes("train"))
}

func (x *bench) journalSize(t *testing.T) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(x.ClusterDir("train"), journal.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// A journal does not grow without an end, and what it says stays: what is alive,
// what is gone, and whose it is.
func TestJournalIsCompacted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := owning(t, stateDir(t), newFakeCloud(), "ml-team")
		c := longJournal(t, x)
		j := x.known("train")
		if !j.SpeaksOf("ml-team") || j.ClusterName() != "train" {
			t.Error("the journal does not say whose it is")
		}
		gone := 0
		var last string
		for _, g := range j.Generations() {
			if g.Removed != (g.ID != c.Generation) {
				t.Errorf("generation %s: removed is %t", g.ID, g.Removed)
			}
			if g.Removed {
				gone++
				last = g.ID
			}
		}
		if gone == 0 || gone > keepGone+1 {
			t.Errorf("%d generations are known to be gone", gone)
		}
		// A machine of one of them that comes late is known for what it is.
		addMachine(x.cloud, cloud.Identity{Owner: "ml-team", Cluster: "train", Generation: last, Attempt: 1}, "r1", "r1a", time.Now().Add(time.Hour))
		if fresh, err := x.Refresh(t.Context(), c); err != nil || fresh.Status != cluster.StatusUp {
			t.Errorf("Refresh = %s, %v", fresh.Status, err)
		}
		if err := x.Destroy(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		x.wantLive(t, 0)
	})
}

// Killed at any step of a compaction, or out of room, the journal is the old one
// or the new one, and says the same.
func TestJournalCompactionCutShort(t *testing.T) {
	errKilled := errors.New("killed")
	for _, step := range []string{"written", "renamed", "reopened"} {
		t.Run(step, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				dir, fc := stateDir(t), newFakeCloud()
				x := owning(t, dir, fc, "ml-team")
				x.hooks.Compact = func(now string) error {
					if now == step {
						panic(errKilled)
					}
					return nil
				}
				var c cluster.Cluster
				killed := func() (yes bool) {
					defer func() {
						if r := recover(); r != nil {
							yes = true
						}
					}()
					for range 60 {
						c = x.mustLaunch(t, twoNodes("train"))
						if err := x.Destroy(t.Context(), c); err != nil {
							t.Fatal(err)
						}
					}
					return false
				}()
				if !killed {
					t.Fatal("it was never compacted")
				}
				next := owning(t, dir, fc, "ml-team")
				g := next.known("train").Find(c.Generation)
				if g == nil || !g.Removed {
					t.Errorf("after the kill the last generation is %+v", g)
				}
				again := next.mustLaunch(t, twoNodes("train"))
				if _, err := os.Stat(filepath.Join(next.ClusterDir("train"), journal.FileName+".new")); !durable.IsMissing(err) {
					t.Errorf("half of a journal is left: %v", err)
				}
				if g := next.known("train").Find(again.Generation); g == nil || !g.Committed {
					t.Errorf("the next launch is recorded as %+v", g)
				}
				if err := next.Destroy(t.Context(), again); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// A destroy that finds the cluster gone leaves no keys and no settings.
func TestGoneClusterLeavesNoFiles(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		if err := x.SaveSettings(c, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		x.cloud.Machines = nil
		if _, err := x.Refresh(t.Context(), c); !errors.Is(err, cluster.ErrGone) {
			t.Fatalf("Refresh = %v, want ErrGone", err)
		}
		if err := x.RemoveRules(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{filepath.Dir(c.KeyPath), x.KnownHostsPath("train"), x.SSHConfigPath("train")} {
			if _, err := os.Stat(path); !durable.IsMissing(err) {
				t.Errorf("%s is left: %v", path, err)
			}
		}
		x.mustLaunch(t, twoNodes("train"))
	})
}
