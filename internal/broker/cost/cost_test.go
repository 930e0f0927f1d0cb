// SPDX-License-Identifier: MPL-2.0

package cost

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

const owner = "sky-0123456789abcdef"

// shop is a cloud that shows the machines it is told to, or cannot be asked.
type shop struct {
	cloud.Provisioner
	machines []cloud.Instance
	err      error
}

func (s *shop) Name() string                     { return "shop" }
func (s *shop) Capabilities() cloud.Capabilities { return cloud.Capabilities{} }
func (s *shop) Options() []cloud.Option          { return nil }
func (s *shop) Query(context.Context, cloud.ClusterRef) ([]cloud.Instance, error) {
	return s.machines, s.err
}

func (s *shop) Open(context.Context, cloud.Credentials) (cloud.Session, error) {
	return cloud.Session{Provisioner: s, Account: "account"}, nil
}

// book is a ledger over a journal that a test writes, and a cloud that it fills.
type book struct {
	t     *testing.T
	dir   string
	now   time.Time
	cloud *shop
}

func newBook(t *testing.T) *book {
	return &book{t: t, dir: t.TempDir(), now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), cloud: &shop{}}
}

// write notes entries of a cluster's generation, hours after the beginning.
func (b *book) write(name, generation string, entries ...journal.Entry) {
	b.t.Helper()
	j, err := journal.Open(filepath.Join(b.dir, "clusters", name), func() time.Time { return b.now }, journal.Hooks{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		e.Generation, e.Owner = generation, owner
		if err := j.Append(e); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *book) pass(hours float64) { b.now = b.now.Add(time.Duration(hours * float64(time.Hour))) }

// record is an entry with so many machines, at a dollar an hour each.
func record(name, generation string, machines, stopped int) journal.Entry {
	c := cluster.Cluster{
		Name: name, Owner: owner, Generation: generation, Cloud: "shop", Region: "r", InstanceType: "small", Market: cloud.OnDemand,
		Size: machines, HourlyUSD: float64(machines), LaunchedAt: "2026-03-01T00:00:00Z", Status: cluster.StatusUp,
	}
	for i := range machines {
		n := cluster.Node{Rank: i, State: cloud.StateRunning}
		if i < stopped {
			n.State = cloud.StateStopped
		}
		c.Nodes = append(c.Nodes, n)
	}
	return journal.Entry{Event: journal.EventRecorded, Cluster: &c}
}

func (b *book) lives(name, generation string, machines int) {
	for range machines {
		b.cloud.machines = append(b.cloud.machines, cloud.Instance{
			Identity: cloud.Identity{Owner: owner, Cluster: name, Generation: generation}, State: cloud.StateRunning, Committed: true, CreatedAt: b.now, Region: "r", Type: "small", Market: cloud.Spot,
		})
	}
}

func (b *book) report(window time.Duration, held ...cluster.Cluster) Report {
	b.t.Helper()
	registry, err := cloud.NewRegistry(b.cloud)
	if err != nil {
		b.t.Fatal(err)
	}
	l := Ledger{Held: held, Down: teardown.Teardown{
		Owner: owner, State: statedir.Dir{Path: b.dir}, Now: func() time.Time { return b.now },
		Clouds: &clouds.Sessions{Registry: registry, Credentials: func(string) cloud.Credentials { return cloud.Credentials{} }},
	}}
	r, err := l.Report(b.t.Context(), window)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *book) wantSum(what string, got Sum, hours, usd, unpriced float64) {
	b.t.Helper()
	if want := (Sum{hours, usd, unpriced}); got != want {
		b.t.Errorf("%s is %+v, want %+v", what, got, want)
	}
}

// TestReport counts a cluster that grew, rested and runs, and one that is gone.
func TestReport(t *testing.T) {
	b := newBook(t)
	b.write("old", "aaaaaaaaaaaa", journal.Entry{Event: journal.EventAttempt, Attempt: 1}, record("old", "aaaaaaaaaaaa", 1, 0))
	b.write("big", "bbbbbbbbbbbb", journal.Entry{Event: journal.EventAttempt, Attempt: 1})
	b.pass(1) // the launch takes an hour, which is billed
	b.write("big", "bbbbbbbbbbbb", record("big", "bbbbbbbbbbbb", 2, 0))
	b.pass(9)
	b.write("old", "aaaaaaaaaaaa", journal.Entry{Event: journal.EventRemoved})
	b.write("big", "bbbbbbbbbbbb", record("big", "bbbbbbbbbbbb", 2, 2)) // it rests
	b.pass(10)
	b.write("big", "bbbbbbbbbbbb", record("big", "bbbbbbbbbbbb", 4, 0)) // and grows
	b.pass(5)
	b.lives("big", "bbbbbbbbbbbb", 4)
	r := b.report(10 * time.Hour)
	if len(r.Clusters) != 2 || r.Clusters[0].Cluster != "big" || r.Clusters[0].EndedAt != nil || r.Clusters[1].EndedAt == nil {
		t.Fatalf("%+v", r.Clusters)
	}
	b.wantSum("big", r.Clusters[0].Total, 2*10+4*5, 40, 0)
	b.wantSum("big in the window", r.Clusters[0].Window, 4*5, 20, 0)
	b.wantSum("old", r.Clusters[1].Total, 10, 10, 0)
	b.wantSum("all", r.All.Total, 50, 50, 0)
	b.wantSum("all in the window", r.All.Window, 20, 20, 0)
	b.wantSum("on demand", r.All.Markets[cloud.OnDemand], 50, 50, 0)
	if r.All.HourlyUSD != 4 || r.Clusters[0].Running != 4 {
		t.Errorf("now it costs %v, with %d machines", r.All.HourlyUSD, r.Clusters[0].Running)
	}
	var text strings.Builder
	if err := r.Print(&text); err != nil || !strings.Contains(text.String(), "estimate") || !strings.Contains(text.String(), "40.00") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

// TestReportOfClustersWithoutRecord are those of another computer: the cloud knows since
// when, and only a state for how much.
func TestReportOfClustersWithoutRecord(t *testing.T) {
	b := newBook(t)
	b.lives("far", "cccccccccccc", 2)
	b.pass(3)
	r := b.report(time.Hour)
	b.wantSum("far", r.All.Total, 6, 0, 6)
	if r.Clusters[0].Priced || r.Clusters[0].Cloud != "shop" || r.Clusters[0].Remark == "" {
		t.Errorf("%+v", r.Clusters[0])
	}
	held := *record("far", "cccccccccccc", 2, 0).Cluster
	held.LaunchedAt = b.now.Add(-4 * time.Hour).Format(time.RFC3339)
	b.wantSum("far, with a state", b.report(time.Hour, held).All.Total, 8, 8, 0)
}

// TestReportOfWhatIsNotKnown are a cloud that does not answer, machines that went
// unseen, a stranger's journal, and a damaged one.
func TestReportOfWhatIsNotKnown(t *testing.T) {
	b := newBook(t)
	b.write("lost", "dddddddddddd", journal.Entry{Event: journal.EventAttempt, Attempt: 1}, record("lost", "dddddddddddd", 1, 0))
	b.pass(2)
	b.write("lost", "dddddddddddd", record("lost", "dddddddddddd", 1, 0)) // a refresh
	b.pass(5)
	r := b.report(time.Hour)
	b.wantSum("lost", r.All.Total, 2, 2, 0)
	if c := r.Clusters[0]; c.EndedAt == nil || c.Running != 0 || c.Remark == "" {
		t.Errorf("%+v", c)
	}
	b.cloud.err = os.ErrDeadlineExceeded
	r = b.report(time.Hour)
	b.wantSum("lost, unasked", r.All.Total, 7, 7, 0)
	if len(r.Unasked) != 1 || r.Clusters[0].EndedAt != nil {
		t.Errorf("%v, %+v", r.Unasked, r.Clusters[0])
	}
	if err := os.WriteFile(filepath.Join(b.dir, "clusters", "lost", journal.FileName), []byte("no journal\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r = b.report(time.Hour); len(r.Clusters) != 0 {
		t.Errorf("%+v", r.Clusters)
	}
}
