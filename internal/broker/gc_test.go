// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/gc"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// gcWorld is a bench with a bit of everything that gc may meet: a cluster in
// state, one in none, machines of launches cut off here and elsewhere, records
// and keys without machines, and a neighbour.
func gcWorld(t *testing.T) (x *bench, held, lost cluster.Cluster) {
	t.Helper()
	x = newBench(t, stateDir(t), newFakeCloud())
	held, lost = x.mustLaunch(t, twoNodes("held")), x.mustLaunch(t, twoNodes("lost"))
	add := func(owner, cluster, gen string, deadline time.Time) {
		x.cloud.Mu.Lock()
		defer x.cloud.Mu.Unlock()
		addMachine(x.cloud, cloud.Identity{Owner: owner, Cluster: cluster, Generation: gen, Attempt: 1}, "r1", "r1a", deadline)
	}
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	ref := cloud.ClusterRef{Owner: x.owner, Cluster: "cut", Generation: "abcdef", Cloud: "nimbus", Region: "r1", Zone: "r1a"}
	record := func(name string, entries ...journal.Entry) {
		err := os.MkdirAll(filepath.Join(x.ClusterDir(name), entries[0].Generation), 0o700)
		if err == nil {
			err = x.withJournal(name, func(j *journal.Journal) error {
				for _, e := range entries {
					if err := j.Append(e); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	record("cut", journal.Entry{Event: journal.EventAttempt, Generation: "abcdef", Attempt: 1, Ref: &ref, Account: "acct-1", Nodes: 1})
	add(x.owner, "cut", "abcdef", soon)
	gone := ref
	gone.Cluster, gone.Generation = "gone", "aaaa"
	record("gone", journal.Entry{Event: journal.EventAttempt, Generation: "aaaa", Attempt: 1, Ref: &gone, Account: "acct-1", Nodes: 1})
	other := ref
	other.Cluster, other.Generation = "other", "bbbb"
	record("other", journal.Entry{Event: journal.EventAttempt, Generation: "bbbb", Attempt: 1, Ref: &other, Account: "acct-9", Nodes: 1})
	keys := ref
	keys.Cluster, keys.Generation = "keys", "cccc"
	record("keys", journal.Entry{Event: journal.EventAttempt, Generation: "cccc", Attempt: 1, Ref: &keys}, journal.Entry{Event: journal.EventRemoved, Generation: "cccc"})
	add(x.owner, "elsewhere", "dddd", soon)
	add(x.owner, "elsewhere", "eeee", past)
	add(x.owner, "nodeadman", "ffff", time.Time{})
	add("somebody-else", "held", "abcdef", past)
	return x, held, lost
}

// gcStateOf is a state that holds the clusters.
func gcStateOf(t *testing.T, clusters ...cluster.Cluster) gc.State {
	t.Helper()
	type attrs = map[string]any
	var instances []any
	for i, c := range clusters {
		var nodes []any
		for _, n := range c.Nodes {
			nodes = append(nodes, attrs{"instance_id": n.InstanceID, "rank": n.Rank})
		}
		instances = append(instances, attrs{"index_key": i, "attributes": attrs{"cloud": c.Cloud, "generation": c.Generation, "nodes": nodes}})
	}
	text, err := json.Marshal(attrs{"version": 4, "resources": []any{
		attrs{"mode": "data", "type": "sky_cluster", "name": "x"},
		attrs{"module": "module.ml", "mode": "managed", "type": "sky_cluster", "name": "train", "instances": instances},
	}})
	if err != nil {
		t.Fatal(err)
	}
	state, err := gc.ReadState("a.json", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// verdicts are the report's rows in short, sorted.
func verdicts(r gc.Report) []string {
	var out []string
	for _, f := range r.Findings {
		row := fmt.Sprintf("%s %s: %s", f.Cluster, f.Kind, f.Verdict)
		if f.Deletable {
			row += ", deletable"
		}
		if f.Deleted {
			row += ", deleted"
		}
		out = append(out, row)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestGCReports(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x, held, _ := gcWorld(t)
		before := x.cloud.Live(x.owner)
		report, err := x.GC(t.Context(), gc.Options{States: []gc.State{gcStateOf(t, held)}})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"cut machine: unfinished, deletable",
			"elsewhere machine: overdue, deletable",
			"elsewhere machine: young",
			"gone journal: no machines, deletable",
			"held machine: held",
			"keys keys: no machines, deletable",
			"lost machine: in no state",
			"nodeadman machine: young",
			"other journal: unknown",
		}
		if got := verdicts(report); !slices.Equal(got, want) {
			t.Errorf("report:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if after := x.cloud.Live(x.owner); !slices.Equal(before, after) || x.cloud.Called("cleanup") != 0 {
			t.Errorf("a report changed something: %v, then %v", before, after)
		}
		var table bytes.Buffer
		if err := report.Print(&table, time.Now()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"module.ml.sky_cluster.train[0] in a.json has it", "terraform import <address> nimbus/r1/lost", "nimbus/r1/r1a", "acct-9", "4 deletable, 0 deleted"} {
			if !strings.Contains(table.String(), want) {
				t.Errorf("the table lacks %q:\n%s", want, table.String())
			}
		}
		if strings.Contains(table.String(), "somebody-else") {
			t.Error("a foreign machine is shown")
		}
	})
}

func TestGCDeletes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x, held, lost := gcWorld(t)
		report, err := x.GC(t.Context(), gc.Options{Delete: true})
		if err != nil || report.Failure() != nil {
			t.Fatal(err, report.Failure())
		}
		want := []string{
			"cut machine: unfinished, deletable, deleted",
			"elsewhere machine: overdue, deletable, deleted",
			"elsewhere machine: young",
			"gone journal: no machines, deletable, deleted",
			"held machine: complete",
			"keys keys: no machines, deletable, deleted",
			"lost machine: complete",
			"nodeadman machine: young",
			"other journal: unknown",
		}
		if got := verdicts(report); !slices.Equal(got, want) {
			t.Errorf("report:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		x.wantLive(t, 6) // two clusters of two, the young one, and the one without a timer
		if len(x.cloud.Live("somebody-else")) != 1 {
			t.Error("a foreign machine was removed")
		}
		for name, gen := range map[string]string{"cut": "abcdef", "gone": "aaaa", "keys": "cccc"} {
			if _, err := os.Stat(filepath.Join(x.ClusterDir(name), gen)); !durable.IsMissing(err) {
				t.Errorf("the keys of %s are still there: %v", name, err)
			}
		}
		if held.CheckKey() != nil || lost.CheckKey() != nil {
			t.Error("the keys of a living cluster were deleted")
		}
		if _, err := os.Stat(filepath.Join(x.ClusterDir("other"), "bbbb")); err != nil {
			t.Errorf("keys of machines under another account were deleted: %v", err)
		}
		again, err := x.GC(t.Context(), gc.Options{Delete: true})
		if err != nil || slices.ContainsFunc(again.Findings, func(f gc.Finding) bool { return f.Deletable }) {
			t.Errorf("a second run still finds: %v, %v", verdicts(again), err)
		}
	})
}

func TestGCDeleteID(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x, held, lost := gcWorld(t)
		opts := gc.Options{DeleteIDs: lost.InstanceIDs()}
		if _, err := x.GC(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "give every state") {
			t.Errorf("without states: %v", err)
		}
		opts.States = []gc.State{gcStateOf(t, held, lost)}
		if _, err := x.GC(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "not to be removed here (held") {
			t.Errorf("a held machine: %v", err)
		}
		opts.States = []gc.State{gcStateOf(t, held)}
		if _, err := x.GC(t.Context(), gc.Options{States: opts.States, DeleteIDs: []string{"i-404"}}); err == nil || !strings.Contains(err.Error(), "no machine i-404") {
			t.Errorf("an id that is not there: %v", err)
		}
		before := len(x.cloud.Live(x.owner))
		report, err := x.GC(t.Context(), opts)
		if err != nil || report.Failure() != nil {
			t.Fatal(err, report.Failure())
		}
		x.wantLive(t, before-2)
		if !slices.Contains(verdicts(report), "lost machine: in no state, deletable, deleted") || slices.Contains(verdicts(report), "cut machine: unfinished, deletable, deleted") {
			t.Errorf("report: %v", verdicts(report))
		}
		if lost.CheckKey() == nil {
			t.Error("the keys of the removed cluster are still there")
		}
	})
}

// What changed between the two looks stays.
func TestGCSecondLook(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x, _, _ := gcWorld(t)
		before := len(x.cloud.Live(x.owner))
		x.cloud.Faults = []*memcloud.Fault{{Method: "query", Skip: 1, Times: 1, Hook: func() {
			x.cloud.Mu.Lock()
			defer x.cloud.Mu.Unlock()
			for _, m := range x.cloud.Machines {
				m.Committed = true
			}
		}}}
		if _, err := x.GC(t.Context(), gc.Options{Delete: true}); err != nil {
			t.Fatal(err)
		}
		x.wantLive(t, before)
	})
}

// Work that began after the second look, and was over before the removal, is
// noticed.
func TestGCLeavesWhatWasWorkedOn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x, _, _ := gcWorld(t)
		x.cloud.Faults = []*memcloud.Fault{{Method: "query", Skip: 1, Times: 1, Hook: func() {
			err := x.withJournal("cut", func(j *journal.Journal) error {
				return j.Append(journal.Entry{Event: journal.EventCommitted, Generation: "abcdef", Attempt: 1})
			})
			if err != nil {
				t.Error(err)
			}
		}}}
		report, err := x.GC(t.Context(), gc.Options{Delete: true})
		if err != nil || report.Failure() == nil {
			t.Fatalf("GC = %v, %v; want a removal that failed", err, report.Failure())
		}
		for _, f := range report.Findings {
			if f.Cluster == "cut" && (f.Deleted || !strings.Contains(f.Error, "meanwhile")) {
				t.Errorf("finding = %+v", f)
			}
		}
		x.wantLive(t, 7)
	})
}

// A report of nothing is empty lists, which programs can read like any other.
func TestGCOfNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		report, err := newBench(t, stateDir(t), newFakeCloud()).GC(t.Context(), gc.Options{})
		text, jerr := json.Marshal(report)
		if err := errors.Join(err, jerr); err != nil || !strings.Contains(string(text), `"findings":[]`) {
			t.Errorf("GC = %s, %v", text, err)
		}
	})
}

func TestGCWhileLaunching(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir, fc := stateDir(t), newFakeCloud()
		x, other := newBench(t, dir, fc), newBench(t, dir, fc)
		var report gc.Report
		fc.Faults = []*memcloud.Fault{{Method: "wait", Times: 1, Hook: func() {
			var err error
			if report, err = other.GC(t.Context(), gc.Options{Delete: true}); err != nil {
				t.Error(err)
			}
		}}}
		x.mustLaunch(t, twoNodes("train"))
		x.wantLive(t, 2)
		if got := verdicts(report); !slices.Equal(got, []string{"train machine: in progress"}) {
			t.Errorf("report = %v", got)
		}
	})
}

func TestGCBlind(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x, _, _ := gcWorld(t)
		x.cloud.Faults = []*memcloud.Fault{{Method: "query", Err: errDenied}}
		report, err := x.GC(t.Context(), gc.Options{Delete: true})
		if err != nil || report.Failure() == nil || !slices.Equal(report.Incomplete(), []string{"nimbus"}) {
			t.Errorf("GC = %+v, %v", report, err)
		}
		for _, f := range report.Findings {
			if f.Deleted && f.Generation != "cccc" {
				t.Errorf("deleted blindly: %+v", f)
			}
		}
	})
}

func TestGCCommand(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x, held, _ := gcWorld(t)
		state := filepath.Join(t.TempDir(), "a.json")
		text := fmt.Sprintf(`{"version":4,"resources":[{"mode":"managed","type":"sky_cluster","name":"t","instances":[{"attributes":{"cloud":"nimbus","generation":%q,"nodes":[]}}]}]}`, held.Generation)
		if err := os.WriteFile(state, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		run := func(args ...string) (string, error) {
			var out bytes.Buffer
			cmd := gc.Command(func(dir, owner string) (gc.Collector, error) {
				if dir != "/some/dir" || owner != "me" {
					t.Errorf("opened %q for %q", dir, owner)
				}
				return x.collector(), nil
			})
			cmd.SetArgs(append([]string{"--state-dir", "/some/dir", "--owner", "me"}, args...))
			cmd.SetOut(&out)
			err := cmd.ExecuteContext(t.Context())
			return out.String(), err
		}
		out, err := run("--state", state, "--json")
		var report gc.Report
		if err != nil || json.Unmarshal([]byte(out), &report) != nil || !slices.Contains(verdicts(report), "held machine: held") {
			t.Errorf("gc --json: %v\n%s", err, out)
		}
		if out, err = run("--delete"); err != nil || !strings.Contains(out, "deleted") {
			t.Errorf("gc --delete: %v\n%s", err, out)
		}
		if _, err = run("--state", filepath.Join(t.TempDir(), "missing")); err == nil {
			t.Error("a missing state file is no error")
		}
		x.wantLive(t, 6)
	})
}
