// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func (x *bench) mustLaunch(t *testing.T, spec Spec) cluster.Cluster {
	t.Helper()
	c, err := x.Launch(t.Context(), spec)
	if err != nil {
		t.Fatalf("Launch: %v", err)
	}
	return c
}

func (x *bench) wantLive(t *testing.T, want int) {
	t.Helper()
	if live := x.cloud.Live(x.owner); len(live) != want {
		t.Errorf("%d machines alive (%v), want %d", len(live), live, want)
	}
}

func TestLaunchTakesTheCheapest(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		spec := twoNodes("train")
		c := x.mustLaunch(t, spec)
		if c.ID != "nimbus/r1/train" || c.Zone != "r1a" || c.HourlyUSD != 2 || c.Status != cluster.StatusUp || c.Account != "acct-1" {
			t.Errorf("cluster = %+v", c)
		}
		for rank, n := range c.Nodes {
			if n.Rank != rank || n.InstanceID == "" || n.ExternalIP == "" || !strings.HasPrefix(n.HostKey, "ssh-ed25519 ") {
				t.Errorf("node %d = %+v", rank, n)
			}
		}
		if c.Nodes[0].HostKey == c.Nodes[1].HostKey {
			t.Error("two nodes share a host key")
		}
		known, err := os.ReadFile(x.KnownHostsPath("train"))
		if err != nil || strings.Count(string(known), "ssh-ed25519") != 2 {
			t.Errorf("known_hosts = %q, %v", known, err)
		}
		for _, m := range x.cloud.Machines {
			if !m.Committed || !m.Deadline.IsZero() {
				t.Errorf("machine %s is not committed: %+v", m.ID, m.Instance)
			}
		}
	})
}

// The journal and the key are on the disk before the first create call, and
// the dead-man timer is set.
func TestWriteAhead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		x.cloud.OnRun = func(cfg cloud.RunConfig) {
			j, err := journal.Read(x.ClusterDir("train"))
			if err != nil {
				t.Error(err)
				return
			}
			gen := cfg.Spec.Nodes[0].Identity.Generation
			g := j.Find(gen)
			if g == nil || g.Attempts != 1 || len(g.Places) != 1 || g.Places[0].Ref.Zone != "r1a" {
				t.Errorf("journal at the create call holds %+v", g)
			}
			if _, err := remote.LoadSigner(filepath.Join(x.ClusterDir("train"), gen, "id_ed25519"), nil); err != nil {
				t.Errorf("the key is not there at the create call: %v", err)
			}
			if !cfg.Spec.Deadline.After(time.Now()) {
				t.Errorf("dead-man timer = %v", cfg.Spec.Deadline)
			}
		}
		x.mustLaunch(t, twoNodes("train"))
	})
}

func TestFailover(t *testing.T) {
	tests := []struct {
		name   string
		faults []*memcloud.Fault
		zone   string
		rows   int
	}{
		{"capacity", []*memcloud.Fault{{Method: "run", Zone: "r1a", Err: errCapacity}}, "r1b", 1},
		{"capacity twice", []*memcloud.Fault{{Method: "run", Zone: "r1a", Err: errCapacity}, {Method: "run", Zone: "r1b", Err: errCapacity}}, "r1c", 2},
		{"dies while waiting", []*memcloud.Fault{{Method: "wait", Zone: "r1a", Err: errors.New("machine entered state failed")}}, "r1b", 1},
		{"bootstrap", []*memcloud.Fault{{Method: "bootstrap", Zone: "r1a", Err: errors.New("no such subnet")}}, "r1b", 1},
		{"answer lost, machines made", []*memcloud.Fault{{Method: "run", Zone: "r1a", Err: errors.New("connection reset"), Applied: true}}, "r1b", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				x.cloud.Hide = time.Second // new machines are not listed at once
				x.cloud.Faults = tt.faults
				c := x.mustLaunch(t, twoNodes("train"))
				if c.Zone != tt.zone {
					t.Errorf("zone = %s, want %s", c.Zone, tt.zone)
				}
				x.wantLive(t, 2)
			})
		})
	}
}

func TestTotalFailureListsEveryAttempt(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		x.cloud.Faults = []*memcloud.Fault{{Method: "run", Err: errCapacity}}
		c, err := x.Launch(t.Context(), twoNodes("train"))
		var le *LaunchError
		if !errors.As(err, &le) || len(le.Attempts) != 3 || c.Generation != "" {
			t.Fatalf("Launch = %+v, %v", c, err)
		}
		for _, want := range []string{"nimbus/r1/r1a", "2.00", "nimbus/r1/r1b", "4.00", "nimbus/r1/r1c", "6.00", "capacity (zone)", "no capacity here", "Nothing of these attempts is left", "provision.log"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error lacks %q:\n%v", want, err)
			}
		}
		x.wantLive(t, 0)
	})
}

// A removal that fails ends the launch: what survives goes into state.
func TestFailedRemovalStopsFailover(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		x.cloud.Faults = []*memcloud.Fault{{Method: "wait", Zone: "r1a", Err: errServer}, {Method: "terminate", Err: errServer}}
		c, err := x.Launch(t.Context(), twoNodes("train"))
		var le *LaunchError
		if !errors.As(err, &le) || len(le.Survivors) != 2 || !strings.Contains(err.Error(), "STILL ALIVE AND BILLED: i-1, i-2") {
			t.Fatalf("Launch = %v", err)
		}
		if c.Generation == "" || len(c.Nodes) != 2 || c.Account != "acct-1" || c.ID == "" {
			t.Errorf("the cluster for state = %+v", c)
		}
		if x.cloud.Called("run") != 1 {
			t.Errorf("%d create calls, want 1", x.cloud.Called("run"))
		}
		x.cloud.Faults = nil
		if err := x.Destroy(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		x.wantLive(t, 0)
	})
}

func TestInterrupt(t *testing.T) {
	for _, op := range []string{"open", "bootstrap", "run", "wait", "describe", "commit"} {
		t.Run(op, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				ctx, cancel := context.WithCancel(t.Context())
				x.cloud.Faults = []*memcloud.Fault{{Method: op, Times: 1, Hook: cancel}}
				start := time.Now()
				c, err := x.Launch(ctx, twoNodes("train"))
				took := time.Since(start)
				if op == "commit" { // the commit call itself is finished: the cluster is whole
					if err != nil || c.Status != cluster.StatusUp {
						t.Errorf("Launch = %+v, %v", c, err)
					}
					x.wantLive(t, 2)
					return
				}
				if !errors.Is(err, context.Canceled) || c.Generation != "" {
					t.Errorf("Launch = %+v, %v; want nothing and a cancellation", c, err)
				}
				if took > 40*time.Second {
					t.Errorf("took %v of virtual time", took)
				}
				if n := x.cloud.Called("run"); n > 1 {
					t.Errorf("%d create calls after an interrupt", n)
				}
				x.wantLive(t, 0)
			})
		})
	}
}

// A crash between the commit and the state: the next apply adopts the cluster
// if, and only if, it is the same configuration's and state never held it.
func TestAdoption(t *testing.T) {
	tests := []struct {
		name   string
		before func(t *testing.T, x *bench, c cluster.Cluster)
		spec   func(*Spec)
		home   string
		adopts bool
		live   int // 0 is both
	}{
		{name: "crash before state", adopts: true},
		{name: "another folder", home: "/home/me/other (default)"},
		{name: "another spec", spec: func(s *Spec) { s.Setup = "pip install more" }},
		{name: "state held it", before: func(t *testing.T, x *bench, c cluster.Cluster) {
			if _, err := x.Refresh(t.Context(), c); err != nil {
				t.Error(err)
			}
		}},
		{name: "a machine is lost", live: 1, before: func(_ *testing.T, x *bench, _ cluster.Cluster) {
			x.cloud.Machines = x.cloud.Machines[:1]
		}},
		{name: "key lost", before: func(t *testing.T, _ *bench, c cluster.Cluster) {
			if err := os.Remove(c.KeyPath); err != nil {
				t.Error(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				dir, fc := stateDir(t), newFakeCloud()
				first := newBench(t, dir, fc)
				c := first.mustLaunch(t, twoNodes("train"))
				if tt.before != nil {
					tt.before(t, first, c)
				}
				next := newBench(t, dir, fc)
				if tt.home != "" {
					next.cfg.Home = tt.home
				}
				spec := twoNodes("train")
				if tt.spec != nil {
					tt.spec(&spec)
				}
				got, err := next.Launch(t.Context(), spec)
				if tt.adopts {
					if err != nil || got.Generation != c.Generation {
						t.Errorf("Launch = %+v, %v; want generation %s", got, err, c.Generation)
					}
				} else if ie := (*ImportError)(nil); !errors.As(err, &ie) || ie.ID != c.ID {
					t.Errorf("Launch = %v, want an error with the import command", err)
				}
				if tt.live == 0 {
					tt.live = 2
				}
				next.wantLive(t, tt.live)
			})
		})
	}
}

// Two resources of one configuration with one name must not share a cluster.
func TestSameNameTwiceInOneApply(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		x.mustLaunch(t, twoNodes("train"))
		_, err := x.Launch(t.Context(), twoNodes("train"))
		if ie := (*ImportError)(nil); !errors.As(err, &ie) {
			t.Errorf("second Launch = %v, want an ImportError", err)
		}
		x.wantLive(t, 2)
	})
}

// create_before_destroy has two generations of one name alive on purpose: the
// plan, in a process of its own, has seen the old one in state.
func TestCreateBeforeDestroy(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir, fc := stateDir(t), newFakeCloud()
		old := newBench(t, dir, fc).mustLaunch(t, twoNodes("train"))
		plan := newBench(t, dir, fc)
		if _, err := plan.Refresh(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		if err := plan.NoteReplacement(t.Context(), "train"); err != nil {
			t.Fatal(err)
		}
		apply := newBench(t, dir, fc)
		fresh := apply.mustLaunch(t, twoNodes("train"))
		apply.wantLive(t, 4)
		if got, err := apply.Find(t.Context(), fresh.ID); err != nil || got.Generation != fresh.Generation {
			t.Errorf("Find = %s, %v; want the new generation %s", got.Generation, err, fresh.Generation)
		}
		if err := apply.Destroy(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		apply.wantLive(t, 2)
		if got, err := apply.Refresh(t.Context(), fresh); err != nil || got.Status != cluster.StatusUp {
			t.Errorf("the new generation after the old one's end: %s, %v", got.Status, err)
		}
		if known, err := os.ReadFile(apply.KnownHostsPath("train")); err != nil || len(known) == 0 {
			t.Errorf("known_hosts of the new generation = %q, %v", known, err)
		}
	})
}

// What the state of this folder holds may be replaced, wherever it was launched:
// on another machine, as CI runners do, or before the folder was moved.
func TestCreateBeforeDestroyOfACloneOrAMove(t *testing.T) {
	for _, moved := range []bool{false, true} {
		t.Run(fmt.Sprint("moved ", moved), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				dir, fc := stateDir(t), newFakeCloud()
				first := newBench(t, dir, fc)
				old := first.mustLaunch(t, twoNodes("train"))
				if !moved {
					dir = stateDir(t)
				}
				run := func() *bench {
					x := newBench(t, dir, fc)
					x.owner, x.cfg.Home = first.owner, "/home/me/elsewhere (default)"
					return x
				}
				plan := run()
				if _, err := plan.Refresh(t.Context(), old); err != nil {
					t.Fatal(err)
				}
				if err := plan.NoteReplacement(t.Context(), "train"); err != nil {
					t.Fatal(err)
				}
				apply := run()
				fresh := apply.mustLaunch(t, twoNodes("train"))
				apply.wantLive(t, 4)
				if err := apply.Destroy(t.Context(), old); err != nil {
					t.Fatal(err)
				}
				if got, err := apply.Refresh(t.Context(), fresh); err != nil || got.Status != cluster.StatusUp {
					t.Errorf("the new generation after the old one's end: %s, %v", got.Status, err)
				}
				apply.wantLive(t, 2)
			})
		})
	}
}

// A replacement that was planned and never applied gives nobody leave to launch
// beside the cluster later.
func TestReplacementThatWasNotApplied(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir, fc := stateDir(t), newFakeCloud()
		c := newBench(t, dir, fc).mustLaunch(t, twoNodes("train"))
		plan := newBench(t, dir, fc)
		if _, err := plan.Refresh(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if err := plan.NoteReplacement(t.Context(), "train"); err != nil {
			t.Fatal(err)
		}
		later := newBench(t, dir, fc) // the change was taken back
		if _, err := later.Refresh(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		_, err := newBench(t, dir, fc).Launch(t.Context(), twoNodes("train")) // after a "terraform state rm"
		if ie := (*ImportError)(nil); !errors.As(err, &ie) {
			t.Errorf("Launch = %v, want an ImportError", err)
		}
		later.wantLive(t, 2)
	})
}

func TestConcurrentLaunchNamesTheHolder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir, fc := stateDir(t), newFakeCloud()
		x, y := newBench(t, dir, fc), newBench(t, dir, fc)
		var err error
		x.cloud.OnRun = func(cloud.RunConfig) { _, err = y.Launch(t.Context(), twoNodes("train")) }
		x.mustLaunch(t, twoNodes("train"))
		if be := (*statedir.BusyError)(nil); !errors.As(err, &be) || !strings.Contains(be.Holder, "launching") || !strings.Contains(be.Holder, "/home/me/project") ||
			!be.Own || !strings.Contains(err.Error(), "for another resource of this apply") {
			t.Errorf("the loser got %v", err)
		}
		x.wantLive(t, 2)
	})
}

// Two applies of one name at the same moment, with one owner id on two state
// folders, as two CI runners have them: neither inventory sees the other, and
// still only one cluster comes of it.
func TestRivalLaunches(t *testing.T) {
	for _, lag := range []time.Duration{0, 5 * time.Second, 40 * time.Second} {
		t.Run(lag.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				fc := newFakeCloud()
				fc.Hide = 10 * time.Second
				x, y := newBench(t, stateDir(t), fc), newBench(t, stateDir(t), fc)
				y.owner = x.owner
				y.hooks.Append = func(line []byte) error {
					if strings.Contains(string(line), `"event":"attempt"`) { // its inventory is taken by then
						return retry.Pause(t.Context(), lag)
					}
					return nil
				}
				var won [2]cluster.Cluster
				var errs [2]error
				var both sync.WaitGroup
				both.Go(func() { won[0], errs[0] = x.Launch(t.Context(), twoNodes("train")) })
				both.Go(func() { won[1], errs[1] = y.Launch(t.Context(), twoNodes("train")) })
				both.Wait()
				if (errs[0] == nil) == (errs[1] == nil) {
					t.Fatalf("the launches ended with %v and %v, want one winner", errs[0], errs[1])
				}
				winner := slices.Index(errs[:], nil)
				if loser := errs[1-winner]; !strings.Contains(loser.Error(), "goes first") || !strings.Contains(loser.Error(), won[winner].Nodes[0].InstanceID) {
					t.Errorf("the loser does not name the winner's machines: %v", loser)
				}
				x.wantLive(t, 2)
				if fc.Called("run") != 2 {
					t.Errorf("%d create calls; the loser must not try elsewhere", fc.Called("run"))
				}
			})
		})
	}
}

// A cluster that was lost, as the cloud said twice, is there again when the
// next one is launched, during that, or when that is destroyed. Nobody asked
// for its removal.
func TestLostClusterComesBack(t *testing.T) {
	back := map[string]func(x *bench, all []*memcloud.Machine) func(){
		"before the launch": func(x *bench, all []*memcloud.Machine) func() {
			x.cloud.Machines = append(x.cloud.Machines, all...)
			return func() {}
		},
		"during the launch": func(x *bench, all []*memcloud.Machine) func() {
			x.cloud.OnRun = func(cloud.RunConfig) { x.cloud.Machines = append(x.cloud.Machines, all...) }
			return func() {}
		},
		"after the launch": func(x *bench, all []*memcloud.Machine) func() {
			return func() { x.cloud.Machines = append(x.cloud.Machines, all...) }
		},
	}
	for when, comes := range back {
		t.Run(when, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				old := x.mustLaunch(t, twoNodes("train"))
				all := x.cloud.Machines
				x.cloud.Machines = nil
				if _, err := x.Refresh(t.Context(), old); !errors.Is(err, cluster.ErrGone) {
					t.Fatalf("Refresh = %v", err)
				}
				if err := x.RemoveRules(t.Context(), old); err != nil {
					t.Fatal(err)
				}
				fresh := x.mustLaunch(t, twoNodes("train")) // forgets the old one for good
				if err := x.Destroy(t.Context(), fresh); err != nil {
					t.Fatal(err)
				}
				then := comes(x, all)
				c, err := x.Launch(t.Context(), twoNodes("train"))
				then()
				if ie := (*ImportError)(nil); when == "before the launch" && !errors.As(err, &ie) {
					t.Errorf("Launch = %v, want an error with the import command", err)
				}
				if err == nil {
					if err := x.Destroy(t.Context(), c); err != nil {
						t.Error(err)
					}
				}
				if left := x.cloud.Live(x.owner); !slices.Equal(left, old.InstanceIDs()) {
					t.Errorf("alive are %v, want the lost cluster's %v", left, old.InstanceIDs())
				}
			})
		})
	}
}

// What a kill -9 left behind: the machines of an unfinished launch.
func TestLeftovers(t *testing.T) {
	tests := []struct {
		name     string
		owner    string
		inHour   int // the deadline, in hours from now
		journal  bool
		wantErr  string
		wantLive int
	}{
		{name: "ours, journaled", journal: true, inHour: 1, wantLive: 2},
		{name: "ours, journal lost, overdue", inHour: -1, wantLive: 2},
		{name: "ours, journal lost, young", inHour: 1, wantErr: "seems to be under way", wantLive: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				id := cloud.Identity{Owner: x.owner, Cluster: "train", Generation: "g0", Attempt: 1}
				addMachine(x.cloud, id, "r2", "r2z", time.Now().Add(time.Duration(tt.inHour)*time.Hour))
				foreign := id
				foreign.Owner = "somebody-else"
				addMachine(x.cloud, foreign, "r1", "r1a", time.Now().Add(-time.Hour))
				if tt.journal {
					ref := cloud.ClusterRef{Owner: x.owner, Cluster: "train", Generation: "g0", Cloud: "nimbus", Region: "r2", Zone: "r2z"}
					err := x.withJournal("train", func(j *journal.Journal) error {
						return j.Append(journal.Entry{Event: journal.EventAttempt, Generation: "g0", Attempt: 1, Ref: &ref})
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				c, err := x.Launch(t.Context(), twoNodes("train"))
				if tt.wantErr == "" && err != nil || tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
					t.Errorf("Launch = %+v, %v", c, err)
				}
				x.wantLive(t, tt.wantLive)
				if len(x.cloud.Live("somebody-else")) != 1 {
					t.Error("a foreign machine was removed")
				}
			})
		})
	}
}

func TestCensusThatFailsStartsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		x.cloud.Faults = []*memcloud.Fault{{Method: "query", Err: errServer}}
		_, err := x.Launch(t.Context(), twoNodes("train"))
		if err == nil || !strings.Contains(err.Error(), "unknown what is running already") || x.cloud.Called("run") != 0 {
			t.Errorf("Launch = %v after %d create calls", err, x.cloud.Called("run"))
		}
	})
}

func TestSetupFailure(t *testing.T) {
	for _, policy := range []SetupFailure{SetupFailureDestroy, SetupFailureKeep} {
		t.Run(string(policy), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				x.exit = func(rank int, script string) (int, string) {
					if rank == 1 && strings.Contains(script, "install") {
						return 3, "no such package\n"
					}
					return 0, ""
				}
				spec := twoNodes("train")
				spec.Setup, spec.OnSetupFailure = "install things", policy
				c, err := x.Launch(t.Context(), spec)
				var se *nodes.SetupError
				if !errors.As(err, &se) || se.Rank != 1 || se.ExitCode != 3 || !strings.Contains(se.Tail, "no such package") {
					t.Fatalf("Launch = %v", err)
				}
				if x.cloud.Called("run") != 1 {
					t.Error("a script that fails is no reason to try another zone")
				}
				if policy == SetupFailureDestroy {
					if c.Generation != "" || se.Kept {
						t.Errorf("cluster = %+v, kept = %v", c, se.Kept)
					}
					x.wantLive(t, 0)
					return
				}
				if !strings.Contains(err.Error(), "terraform untaint") {
					t.Errorf("how the cluster may stay is not said: %v", err)
				}
				if c.Status != cluster.StatusInit || !se.Kept || len(c.Nodes) != 2 || !strings.Contains(c.StatusReason, "rank 1") {
					t.Errorf("cluster = %+v, kept = %v", c, se.Kept)
				}
				if fresh, err := x.Refresh(t.Context(), c); err != nil || fresh.Status != cluster.StatusInit {
					t.Errorf("Refresh = %s, %v; a failed setup stays visible", fresh.Status, err)
				}
				x.wantLive(t, 2)
			})
		})
	}
}

// A script that fails on a running cluster, or on the nodes that it is to get,
// ends no machine that was there, and what is said is so.
func TestSetupFailureOfAChange(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		x.exit = func(_ int, script string) (int, string) {
			if strings.Contains(script, "install") {
				return 3, ""
			}
			return 0, ""
		}
		spec := twoNodes("train")
		spec.Setup = "install things"
		_, grow := x.Resize(t.Context(), c, spec, 3)
		_, change := x.Update(t.Context(), c, spec, Changes{Setup: true})
		for err, want := range map[error]string{grow: "are removed again, and the others run on", change: "the next apply runs setup again"} {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "on_setup_failure") {
				t.Errorf("%v; want %q", err, want)
			}
		}
		x.wantLive(t, 2)
	})
}

// TestPackageLockInSetup is reliability.md 6, 58: what the error quotes of a
// script is its end, without what would disturb a terminal or give a key away.
func TestPackageLockInSetup(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		x.exit = func(_ int, script string) (int, string) {
			if !strings.Contains(script, "install") {
				return 0, ""
			}
			return 100, strings.Repeat("noise ", 5000) + "\n-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n" +
				"\x1b[31mE: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)\x1b[0m\n"
		}
		spec := twoNodes("lock")
		spec.Setup = "apt-get install -y hello"
		_, err := x.Launch(t.Context(), spec)
		var se *nodes.SetupError
		if !errors.As(err, &se) || se.ExitCode != 100 || !strings.Contains(se.Tail, "Could not get lock /var/lib/dpkg/lock-frontend") {
			t.Fatalf("Launch = %v", err)
		}
		if text := err.Error(); len(text) > 8000 || strings.ContainsAny(text, "\x1b\x00") || strings.Contains(text, "AAAA") {
			t.Errorf("unfit error, %d bytes: %.300q", len(text), text)
		}
		x.wantLive(t, 0)
	})
}

func TestFilesReachEveryNode(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		spec := twoNodes("train")
		spec.Workdir, spec.FileMounts = t.TempDir()+"/code", map[string]string{"/data/b": "/x/b", "~/a": "/x/a"}
		x.mustLaunch(t, spec)
		slices.Sort(x.uploads)
		want := []string{"0 a ~/a", "0 b /data/b", "0 code ~/sky_workdir", "1 a ~/a", "1 b /data/b", "1 code ~/sky_workdir"}
		if !slices.Equal(x.uploads, want) {
			t.Errorf("uploads = %q, want %q", x.uploads, want)
		}
	})
}

// A node that cannot be reached is either gone, which is a lack of capacity,
// or unreachable; both lead to the next placement.
func TestUnreachableNode(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		x.dialErr = func(target remote.Target) error {
			if target.Host == "192.0.2.1" {
				return errors.New("connection refused")
			}
			return nil
		}
		c := x.mustLaunch(t, twoNodes("train"))
		if c.Zone != "r1b" {
			t.Errorf("zone = %s", c.Zone)
		}
		x.wantLive(t, 2)
	})
}

// No private key may stand in the journal, the log or an error.
func TestNoKeyOutsideItsFile(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir := stateDir(t)
		x := newBench(t, dir, newFakeCloud())
		x.cloud.Faults = []*memcloud.Fault{{Method: "run", Zone: "r1a", Err: errCapacity}}
		c := x.mustLaunch(t, twoNodes("train"))
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.Contains(path, c.Generation) {
				return err
			}
			text, err := os.ReadFile(path)
			if strings.Contains(string(text), "PRIVATE KEY") {
				t.Errorf("%s holds a private key", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}
