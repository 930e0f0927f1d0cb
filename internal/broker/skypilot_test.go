// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// leakReport is a leak or race that SkyPilot's users reported, and what covers
// it here: "cell: ..." is one of the matrix, "kill: ..." a scenario of
// TestKillAtEveryBoundary, "test: ..." a test, of another package where it
// says so, and "not: ..." the reason why it cannot happen.
type leakReport struct {
	issues, scenario string
	covered          []string
}

func skypilotReports() []leakReport {
	return []leakReport{
		{"4431", "create accepted, kill -9, empty list: record survives, machine found", []string{"kill: launch", "cell: run / kill -9", "test: TestHiddenMachineAfterAKill"}},
		{"4410", "destroy during a relaunch: the late machine is found, timer armed at create", []string{"cell: run / definite refusal / capacity, and it comes after the launch", "test: TestWriteAhead"}},
		{"4392", "terminate answers 500 for a while: backoff, ids kept", []string{"cell: terminate / stale list, 5xx / 5xx"}},
		{"2990", "clean-up of the first offer fails: no failover, survivor named", []string{"test: TestFailedRemovalStopsFailover"}},
		{"656", "a hundred launches at once: no duplicates", []string{"test: TestHundredLaunchesAtOnce"}},
		{"240", "delete of a stopped cluster", []string{"test: TestDestroyOfAStoppedCluster"}},
		{"1496, 2169, 290", "a start that fails keeps record, machines and disks, and clones nothing", []string{"test: TestFailedStartKeepsEverything"}},
		{"509", "multi-node delete with a survivor", []string{"cell: terminate / stale list, 5xx / silent", "cell: terminate / timeout, applied"}},
		{"4605", "delete with 403: loud, state kept", []string{"cell: terminate / auth expires", "test: TestDestroyRefuses"}},
		{"5946", "a refresh changes no settings", []string{"test: TestRefresh"}},
		{"2768", "timer set at create, on every node", []string{"test: TestWriteAhead", "kill: launch"}},
		{"118", "a machine dies during setup: said so", []string{"cell: setup / instance vanishes", "test: TestUnreachableNode"}},
		{"1610", "preemption during setup is no script failure", []string{"cell: setup / instance vanishes"}},
		{"1716, 1802", "a retry leaves two of one name", []string{"cell: wait / instance vanishes", "kill: launch with failover"}},
		{"7205", "relaunch while the old one is terminating", []string{"test: TestRelaunchWhileTerminating"}},
		{"6842", "two launches of one name at once", []string{"test: TestConcurrentLaunchNamesTheHolder"}},
		{"10742", "names that normalise to one", []string{"test: TestNamesThatReadAlike"}},
		{"9117", "one offer sold twice", []string{"cell: run / stale list, 5xx / two machines of one create"}},
		{"3688", "firewall deleted before its machines are gone", []string{"cell: terminate / definite refusal / dependency"}},
		{"3402", "user's own firewall deleted", []string{"not: a cluster's rules are always its own, made and marked by the driver; there is no argument to give one"}},
		{"2485, 4490", "ports stay open; ports of other clusters touched", []string{"test: TestAWorkingDriverPasses of internal/cloud/cloudtest"}},
		{"103, 1961", "head up, workers pending", []string{"cell: wait / instance vanishes", "test: TestLaunchTakesTheCheapest"}},
		{"44", "key matched by name", []string{"test: TestAgentSigner of internal/remote"}},
		{"6531, 8316, 3508", "key modes, missing .pub", []string{"test: TestEnsureKeyPair of internal/remote"}},
		{"10730", "open connections hide lost keys", []string{"test: TestDoneAndKeepAlive of internal/remote"}},
		{"1525, 4890", "catalog unreachable or empty", []string{"test: TestBadFilesAreRejectedWhole of internal/catalog"}},
		{"2780", "price re-read after a catalog change", []string{"test: TestRefresh"}},
		{"10458", "one empty list is no proof of death", []string{"test: TestOneEmptyListIsNotDeath", "cell: read / stale list, 5xx / empty lists"}},
	}
}

// Every report is covered by something that exists.
func TestSkyPilotReportsAreCovered(t *testing.T) {
	var cells, kills []string
	for _, c := range matrix() {
		if c.never == "" {
			cells = append(cells, c.step+" / "+c.column, c.String())
		}
	}
	for _, s := range scenarios() {
		kills = append(kills, s.name)
	}
	for _, r := range skypilotReports() {
		for _, what := range r.covered {
			kind, whole, _ := strings.Cut(what, ": ")
			name, room, elsewhere := strings.Cut(whole, " of ")
			ok := false
			switch {
			case kind == "cell":
				ok = slices.Contains(cells, whole)
			case kind == "kill":
				ok = slices.Contains(kills, whole)
			case kind == "test" && elsewhere:
				ok = slices.Contains(testsIn(t, filepath.Join("..", strings.TrimPrefix(room, "internal/"))), name)
			case kind == "test":
				ok = slices.Contains(testsIn(t, "."), name)
			case kind == "not":
				ok = true
			}
			if !ok {
				t.Errorf("%s (%s): there is no %s", r.issues, r.scenario, what)
			}
		}
	}
}

// testsIn lists the test functions of a folder.
func testsIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s: %v", dir, err)
	}
	var names []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}

// The list does not show the machine of the dead process until after the next
// launch has looked: it waits, and removes it.
func TestHiddenMachineAfterAKill(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newSimTerraform(t, 1)
		defer x.end()
		x.cloud.Hide = 15 * time.Second
		x.arm = func(p *memcloud.Process) { p.KillOn, p.Skip = "run/create after", 1 }
		if dead, _ := x.apply(); !dead {
			t.Fatal("not killed")
		}
		if len(x.mine()) != 2 {
			t.Fatalf("%d machines at the kill", len(x.mine()))
		}
		x.recover()
	})
}

func TestHundredLaunchesAtOnce(t *testing.T) {
	const clusters = 100
	inBubble(t, func(t *testing.T) {
		x := newBench(t, memoryDir(t), newFakeCloud())
		x.cloud.Hide = 3 * time.Second
		// The hundred share one blocklist, so that one zone is all they need.
		x.cloud.Faults = []*memcloud.Fault{{Method: "run", Zone: "r1a", Times: 10, Err: errCapacity}, {Method: "wait", Zone: "r1b", Times: 10, Err: errors.New("a machine failed to boot")}}
		var all sync.WaitGroup
		errs := make([]error, clusters)
		for i := range clusters {
			all.Go(func() { _, errs[i] = x.Launch(t.Context(), twoNodes(fmt.Sprintf("train-%d", i))) })
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		x.wantLive(t, 2*clusters)
		seen := map[string]bool{}
		for _, m := range x.cloud.Machines {
			if !m.Alive(time.Now()) {
				continue
			}
			key := fmt.Sprintf("%s %d", m.Identity.Cluster, m.Identity.Rank)
			if seen[key] {
				t.Errorf("two machines of %s", key)
			}
			seen[key] = true
		}
	})
}

func TestDestroyOfAStoppedCluster(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newSimTerraform(t, 1)
		defer x.end()
		for _, step := range []func() (bool, error){x.apply, x.stop, x.destroy} {
			if _, err := step(); err != nil {
				t.Fatal(err)
			}
		}
		if err := retry.Pause(t.Context(), 4*time.Second); err != nil {
			t.Fatal(err)
		}
		x.checkNothingLeft()
	})
}

// A start that is refused, or interrupted, leaves the stopped machines as they
// are, and makes none elsewhere.
func TestFailedStartKeepsEverything(t *testing.T) {
	for _, err := range []error{memcloud.ErrCapacity, memcloud.ErrConfig, memcloud.ErrServer, nil} {
		t.Run(fmt.Sprint(err), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newSimTerraform(t, 1)
				defer x.end()
				for _, step := range []func() (bool, error){x.apply, x.stop} {
					if _, err := step(); err != nil {
						t.Fatal(err)
					}
				}
				launched, c := x.cloud.Launched, *x.state
				f := &memcloud.Fault{Phase: "run", Op: "start", Skip: 1, Err: err}
				if err == nil {
					f.Hook = func() { x.cancel() }
				}
				x.cloud.Faults = []*memcloud.Fault{f}
				_, got := x.run(func(ctx context.Context, b *Broker) (func(), error) {
					_, err := b.Start(ctx, c, Spec{})
					return nil, err
				})
				if got == nil || len(x.mine()) != 2 || x.cloud.Launched != launched {
					t.Errorf("Start = %v with %d machines alive, %d launched", got, len(x.mine()), x.cloud.Launched-launched)
				}
				x.check("after the failed start")
				x.recover()
			})
		})
	}
}

// The name is free again while the old machines are on their way out.
func TestRelaunchWhileTerminating(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newSimTerraform(t, 1)
		defer x.end()
		if _, err := x.apply(); err != nil {
			t.Fatal(err)
		}
		old := x.state.Generation
		x.cloud.Mu.Lock()
		for _, m := range x.cloud.Machines {
			if m.Identity.Owner == simOwner && m.Identity.Cluster == simName {
				m.Gone = time.Now().Add(time.Minute) // terminating, by somebody's hand
			}
		}
		x.cloud.Mu.Unlock()
		if _, err := x.apply(); err != nil || x.state.Generation == old {
			t.Errorf("apply = %v, generation %s", err, x.state.Generation)
		}
		x.recover()
	})
}

// Names that read the same once a cloud has normalised them are two clusters,
// with records, machines and removals of their own.
func TestNamesThatReadAlike(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		names := []string{"Train", "train", "train-", "tr.ain", "tr-ain"}
		var clusters []cluster.Cluster
		machineNames := map[string]string{}
		for _, name := range names {
			c := x.mustLaunch(t, twoNodes(name))
			clusters = append(clusters, c)
			n := cloud.Identity{Owner: x.owner, Cluster: name, Generation: c.Generation, Attempt: 1}.Name(20)
			if other, ok := machineNames[n]; ok {
				t.Errorf("%q and %q give machines of one name, %s", name, other, n)
			}
			machineNames[n] = name
		}
		for i, c := range clusters {
			if err := x.Destroy(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			x.wantLive(t, 2*(len(names)-i-1))
		}
	})
}
