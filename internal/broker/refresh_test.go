// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

func TestRefresh(t *testing.T) {
	errAny := errors.New("any error")
	tests := []struct {
		name   string
		mutate func(x *bench, c *cluster.Cluster)
		status cluster.Status
		reason string
		err    error
	}{
		{name: "all running", mutate: func(*bench, *cluster.Cluster) {}, status: cluster.StatusUp},
		{name: "all stopped", mutate: func(x *bench, _ *cluster.Cluster) {
			for _, m := range x.cloud.Machines {
				m.State, m.Reason = cloud.StateStopped, "idle"
			}
		}, status: cluster.StatusStopped, reason: "idle"},
		{name: "one gone", mutate: func(x *bench, _ *cluster.Cluster) { x.cloud.Machines = x.cloud.Machines[:1] }, status: cluster.StatusDegraded, reason: "rank 1 is terminated"},
		{name: "one pending", mutate: func(x *bench, _ *cluster.Cluster) { x.cloud.Machines[0].State = cloud.StatePending }, status: cluster.StatusInit, reason: "rank 0 is pending"},
		{name: "unknown state", mutate: func(x *bench, _ *cluster.Cluster) { x.cloud.Machines[0].State = cloud.StateUnknown }, status: cluster.StatusInit, reason: "rank 0 is unknown"},
		{name: "gone for good", mutate: func(x *bench, _ *cluster.Cluster) { x.cloud.Machines = nil }, err: cluster.ErrGone},
		{name: "terminating is gone", mutate: func(x *bench, _ *cluster.Cluster) {
			for _, m := range x.cloud.Machines {
				m.State = cloud.StateTerminating
			}
		}, err: cluster.ErrGone},
		{name: "hidden from the list", mutate: func(x *bench, _ *cluster.Cluster) {
			for _, m := range x.cloud.Machines {
				m.Visible = time.Now().Add(time.Hour)
			}
		}, status: cluster.StatusUp},
		{name: "server error", mutate: func(x *bench, _ *cluster.Cluster) {
			x.cloud.Faults = []*memcloud.Fault{{Method: "query", Err: errServer}}
		}, err: errServer},
		{name: "auth error", mutate: func(x *bench, _ *cluster.Cluster) {
			x.cloud.Faults = []*memcloud.Fault{{Method: "query", Err: errDenied}}
		}, err: errDenied},
		{name: "another account", mutate: func(_ *bench, c *cluster.Cluster) { c.Account = "acct-2" }, err: errAny},
		{name: "more than expected", mutate: func(x *bench, _ *cluster.Cluster) {
			id := x.cloud.Machines[0].Identity
			id.Rank = 2
			addMachine(x.cloud, id, "r1", "r1a", time.Time{}).Committed = true
		}, err: errAny},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				c := x.mustLaunch(t, twoNodes("train"))
				tt.mutate(x, &c)
				before := c
				fresh, err := x.Refresh(t.Context(), c)
				if tt.err != nil {
					if err == nil || (!errors.Is(tt.err, errAny) && !errors.Is(err, tt.err)) || (tt.err != cluster.ErrGone && errors.Is(err, cluster.ErrGone)) { //nolint:errorlint // identity of the row is meant
						t.Errorf("Refresh = %v, want %v", err, tt.err)
					}
					if !reflect.DeepEqual(fresh, before) {
						t.Errorf("the cluster changed with an error: %+v", fresh)
					}
					return
				}
				if err != nil || fresh.Status != tt.status || !strings.Contains(fresh.StatusReason, tt.reason) {
					t.Errorf("Refresh = %s (%s), %v; want %s (%s)", fresh.Status, fresh.StatusReason, err, tt.status, tt.reason)
				}
				if fresh.HourlyUSD != c.HourlyUSD {
					t.Error("the launch price changed")
				}
			})
		})
	}
}

// One empty answer is no proof of death.
func TestOneEmptyListIsNotDeath(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		saved := x.cloud.Machines
		x.cloud.Machines = nil
		x.cloud.Faults = []*memcloud.Fault{{Method: "query", Skip: 2, Times: 1, Hook: func() {
			x.cloud.Mu.Lock()
			x.cloud.Machines = saved
			x.cloud.Mu.Unlock()
		}}}
		if fresh, err := x.Refresh(t.Context(), c); err != nil || fresh.Status != cluster.StatusUp {
			t.Errorf("Refresh = %s, %v", fresh.Status, err)
		}
	})
}

func TestDestroy(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		x.cloud.Faults = []*memcloud.Fault{{Method: "terminate", Times: 2, Err: errServer}}
		if err := x.Destroy(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		x.wantLive(t, 0)
		if _, err := os.Stat(filepath.Dir(c.KeyPath)); !durable.IsMissing(err) {
			t.Errorf("the keys are still there: %v", err)
		}
		if err := x.Destroy(t.Context(), c); err != nil {
			t.Errorf("second Destroy: %v", err)
		}
		if _, err := x.Find(t.Context(), c.ID); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("Find = %v, want ErrNotFound", err)
		}
		again := x.mustLaunch(t, twoNodes("train"))
		if again.Generation == c.Generation {
			t.Error("a destroyed generation came back")
		}
	})
}

func TestDestroyRefuses(t *testing.T) {
	tests := []struct {
		name   string
		mutate func(x *bench, c *cluster.Cluster)
		want   string
	}{
		{"another account", func(_ *bench, c *cluster.Cluster) { c.Account = "acct-2" }, "belongs to account acct-2"},
		{"no rights", func(x *bench, _ *cluster.Cluster) {
			x.cloud.Faults = []*memcloud.Fault{{Method: "terminate", Err: errDenied}}
		}, "is not removed; still alive: [i-1 i-2]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				c := x.mustLaunch(t, twoNodes("train"))
				tt.mutate(x, &c)
				if err := x.Destroy(t.Context(), c); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Destroy = %v, want %q", err, tt.want)
				}
				x.wantLive(t, 2)
				if c.CheckKey() != nil {
					t.Error("the key of a living cluster was deleted")
				}
			})
		})
	}
}

func TestFindWithoutJournal(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir, fc := stateDir(t), newFakeCloud()
		x := newBench(t, dir, fc)
		c := x.mustLaunch(t, twoNodes("train"))
		if got, err := x.Find(t.Context(), c.ID); err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("Find by journal = %+v, %v\nwant %+v", got, err, c)
		}
		if err := os.RemoveAll(filepath.Join(dir, "clusters")); err != nil {
			t.Fatal(err)
		}
		got, err := x.Find(t.Context(), c.ID)
		want := c // all but what no machine shows
		want.HourlyUSD, want.KeyPath, want.LaunchedAt, want.AllowedCIDRs = 0, "", "", nil
		if want.Runtime = cluster.RuntimeSSH; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Find by inventory = %+v, %v\nwant %+v", got, err, want)
		}
		for _, n := range got.Nodes {
			if n.HostKey == "" {
				t.Errorf("rank %d has no host key", n.Rank)
			}
		}
		for _, bad := range []string{"", "train", "nimbus/r1", "//", "nimbus/r1/other"} {
			if _, err := x.Find(t.Context(), bad); err == nil {
				t.Errorf("Find(%q) succeeded", bad)
			}
		}
	})
}

// A machine without a host key is found by nobody, until a change of the cluster
// has told the key.
func TestFindWithoutHostKeys(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir, fc := stateDir(t), newFakeCloud()
		x := newBench(t, dir, fc)
		c := x.mustLaunch(t, twoNodes("train"))
		for _, m := range fc.Machines { // as an earlier release left them
			m.HostKey, m.Notes = "", nil
		}
		elsewhere := newBench(t, stateDir(t), fc)
		elsewhere.owner = x.owner
		var missing *cluster.MissingHostKeyError
		if got, err := elsewhere.Find(t.Context(), c.ID); !errors.As(err, &missing) {
			t.Errorf("Find = %+v, %v", got, err)
		}
		if got, err := elsewhere.FindByName(t.Context(), c.Name, []string{"nimbus"}); !errors.As(err, &missing) {
			t.Errorf("FindByName = %+v, %v", got, err)
		}
		if _, err := x.Update(t.Context(), c, twoNodes("train"), Changes{Network: true}); err != nil {
			t.Fatal(err)
		}
		if got, err := elsewhere.Find(t.Context(), c.ID); err != nil || got.Nodes[0].HostKey != c.Nodes[0].HostKey || got.Nodes[1].HostKey != c.Nodes[1].HostKey {
			t.Errorf("Find after a change = %+v, %v", got, err)
		}
	})
}

// Nodes that a growth added are found with their host keys, and with the
// accelerators and the runtime that the cluster has.
func TestFindAfterGrowth(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		fc := newFakeCloud()
		x := newBench(t, stateDir(t), fc)
		c := x.mustLaunch(t, twoNodes("train"))
		c, err := x.Resize(t.Context(), c, twoNodes("train"), 3)
		if err != nil {
			t.Fatal(err)
		}
		elsewhere := newBench(t, stateDir(t), fc)
		elsewhere.owner = x.owner
		got, err := elsewhere.Find(t.Context(), c.ID)
		if err != nil || !reflect.DeepEqual(got.Nodes, c.Nodes) || got.AcceleratorsPerNode() != 1 || got.Runtime != cluster.RuntimeSSH || got.ProcessManager != c.ProcessManager {
			t.Errorf("Find = %+v, %v\nwant %+v", got, err, c)
		}
	})
}

func TestUpdate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		spec := twoNodes("train")
		spec.Setup, spec.Workdir = "install", "/x/code"
		x.exit = func(int, string) (int, string) { return 7, "broken" }
		got, err := x.Update(t.Context(), c, spec, Changes{Files: true, Setup: true})
		if se := (*nodes.SetupError)(nil); !errors.As(err, &se) || !se.Kept || got.Status != cluster.StatusInit {
			t.Errorf("Update = %s, %v", got.Status, err)
		}
		x.exit = nil
		got, err = x.Update(t.Context(), got, spec, Changes{Network: true, Files: true, Setup: true})
		if err != nil || got.Status != cluster.StatusUp || got.StatusReason != "" {
			t.Errorf("Update = %s (%s), %v", got.Status, got.StatusReason, err)
		}
		x.wantLive(t, 2)
		if x.cloud.Called("ports") != 1 {
			t.Errorf("%d port calls", x.cloud.Called("ports"))
		}
	})
}

func TestStopAndStart(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		stopped, err := x.Stop(t.Context(), c)
		if err != nil || stopped.Status != cluster.StatusStopped {
			t.Fatalf("Stop = %s, %v", stopped.Status, err)
		}
		x.cloud.Faults = []*memcloud.Fault{{Method: "run", Times: 1, Err: errCapacity}}
		kept, err := x.Start(t.Context(), stopped, Spec{})
		if !errors.Is(err, errCapacity) || kept.Generation != c.Generation || kept.Status != cluster.StatusStopped {
			t.Errorf("Start without capacity = %s, %v", kept.Status, err)
		}
		x.cloud.Faults = []*memcloud.Fault{{Method: "wait", Times: 1, Err: errServer}}
		if kept, err := x.Start(t.Context(), stopped, Spec{}); !errors.Is(err, errServer) || kept.Status != cluster.StatusStopped {
			t.Errorf("Start of machines that do not come up = %s, %v", kept.Status, err)
		}
		if seen, err := x.Observe(t.Context(), stopped); err != nil || seen.Status != cluster.StatusStopped {
			t.Errorf("after a start that failed the cluster is %s (%s), %v, want what had started to rest again", seen.Status, seen.StatusReason, err)
		}
		started, err := x.Start(t.Context(), stopped, Spec{})
		if err != nil || started.Status != cluster.StatusUp || started.Generation != c.Generation {
			t.Fatalf("Start = %s, %v", started.Status, err)
		}
		if started.Nodes[0].ExternalIP == c.Nodes[0].ExternalIP {
			t.Error("the new address did not land in the cluster")
		}
		known, err := os.ReadFile(x.KnownHostsPath("train"))
		if err != nil || !strings.Contains(string(known), started.Nodes[0].ExternalIP) {
			t.Errorf("known_hosts = %q, %v", known, err)
		}
		x.wantLive(t, 2)
	})
}

func TestSpotCannotStop(t *testing.T) {
	x := newBench(t, stateDir(t), newFakeCloud())
	for market, want := range map[cloud.Market]string{cloud.OnDemand: "", cloud.Spot: "spot machines of nimbus cannot be stopped"} {
		if got := x.clouds.CannotStop(cloud.Offer{Cloud: "nimbus", Market: market}); !strings.HasPrefix(got, want) || (want == "") != (got == "") {
			t.Errorf("CannotStop(%s) = %q, want %q", market, got, want)
		}
	}
	if got := x.clouds.CannotStop(cloud.Offer{Cloud: "cirrus"}); !strings.Contains(got, "no driver") {
		t.Errorf("CanStop of an unknown cloud = %q", got)
	}
}

func TestResize(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		spec := twoNodes("train")
		spec.Workdir = "/x/code"
		x.uploads = nil
		big, err := x.Resize(t.Context(), c, spec, 4)
		if err != nil || big.Size != 4 || len(big.Nodes) != 4 || big.HourlyUSD != 4 || big.Status != cluster.StatusUp {
			t.Fatalf("Resize to 4 = %+v, %v", big, err)
		}
		for rank := range 2 {
			if big.Nodes[rank].InstanceID != c.Nodes[rank].InstanceID {
				t.Errorf("rank %d changed from %s to %s", rank, c.Nodes[rank].InstanceID, big.Nodes[rank].InstanceID)
			}
		}
		slices.Sort(x.uploads)
		if want := []string{"2 code ~/sky_workdir", "3 code ~/sky_workdir"}; !slices.Equal(x.uploads, want) {
			t.Errorf("uploads = %q, want the new nodes' only: %q", x.uploads, want)
		}
		// The result of a growth that never reached state is found by a refresh.
		if got, err := x.Refresh(t.Context(), c); err != nil || got.Size != 4 {
			t.Errorf("Refresh of the old state = %d nodes, %v", got.Size, err)
		}
		small, err := x.Resize(t.Context(), big, spec, 1)
		if err != nil || small.Size != 1 || small.HourlyUSD != 1 || small.Nodes[0].InstanceID != c.Nodes[0].InstanceID {
			t.Fatalf("Resize to 1 = %+v, %v", small, err)
		}
		x.wantLive(t, 1)
		again, err := x.Resize(t.Context(), small, spec, 2)
		if err != nil || again.Nodes[1].InstanceID == c.Nodes[1].InstanceID {
			t.Errorf("Resize back to 2 = %+v, %v", again, err)
		}
		if err := x.Destroy(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		x.wantLive(t, 0)
	})
}

func TestGrowthThatFailsLeavesTheClusterAlone(t *testing.T) {
	failing := map[string]memcloud.Fault{
		"capacity":    {Method: "run", Err: errCapacity},
		"answer lost": {Method: "run", Err: errServer, Applied: true},
		"wait":        {Method: "wait", Err: errServer},
		"commit":      {Method: "commit", Err: errServer},
		"some commit": {Method: "commit", Err: errServer, Applied: true},
	}
	for name, fault := range failing {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				c := x.mustLaunch(t, twoNodes("train"))
				x.cloud.Hide = x.cfg.Timeouts.ListDelay - time.Second // not listed for as long as that may be
				x.cloud.Faults = []*memcloud.Fault{&fault}
				got, err := x.Resize(t.Context(), c, twoNodes("train"), 3)
				if !errors.Is(err, fault.Err) || got.Size != 2 {
					t.Errorf("Resize = %d nodes, %v", got.Size, err)
				}
				x.cloud.Faults = nil
				if fresh, err := x.Refresh(t.Context(), c); err != nil || fresh.Size != 2 || fresh.Status != cluster.StatusUp {
					t.Errorf("Refresh = %s with %d nodes, %v", fresh.Status, fresh.Size, err)
				}
				x.wantLive(t, 2)
			})
		})
	}
}

// A disk that is full by the time the new machines are there is no reason to
// leave them running.
func TestGrowthOnAFullDisk(t *testing.T) {
	for _, full := range []journal.Event{journal.EventCreated, journal.EventCommitting} {
		t.Run(string(full), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				c := x.mustLaunch(t, twoNodes("train"))
				x.hooks.Append = func(line []byte) error {
					if strings.Contains(string(line), string(full)) || strings.Contains(string(line), string(journal.EventRemoving)) {
						return errors.New("no space left on device")
					}
					return nil
				}
				if got, err := x.Resize(t.Context(), c, twoNodes("train"), 3); err == nil || got.Size != 2 {
					t.Errorf("Resize = %d nodes, %v", got.Size, err)
				}
				x.wantLive(t, 2)
			})
		})
	}
}
