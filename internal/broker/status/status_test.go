// SPDX-License-Identifier: MPL-2.0

package status

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/gc"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/observe"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

const owner = "sky-0123456789abcdef"

// shop is a cloud with machines of two clusters and one of none.
type shop struct{ cloud.Provisioner }

func (shop) Name() string                     { return "shop" }
func (shop) Capabilities() cloud.Capabilities { return cloud.Capabilities{} }
func (shop) Options() []cloud.Option          { return nil }
func (shop) Open(context.Context, cloud.Credentials) (cloud.Session, error) {
	return cloud.Session{Provisioner: shop{}, Account: "account"}, nil
}

func (shop) Query(context.Context, cloud.ClusterRef) ([]cloud.Instance, error) {
	var out []cloud.Instance
	for _, gen := range []string{"aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"} {
		out = append(out, cloud.Instance{ID: "i-" + gen, Identity: cloud.Identity{Owner: owner, Cluster: gen[:1], Generation: gen}, Committed: gen[0] != 'c', State: cloud.StateRunning})
	}
	return out, nil
}

// view is a viewer over the shop, and the folder that it looks into.
func view(t *testing.T) (Viewer, statedir.Dir) {
	t.Helper()
	registry, err := cloud.NewRegistry(shop{})
	if err != nil {
		t.Fatal(err)
	}
	dir := statedir.Dir{Path: t.TempDir(), Now: time.Now, Log: slog.New(slog.DiscardHandler), Busy: &statedir.Busy{}}
	up := func(name, gen string, usd float64) observe.Listed {
		return observe.Listed{Cluster: cluster.Cluster{
			Name: name, Generation: gen, Cloud: "shop", Region: "r", InstanceType: "small", Market: cloud.Spot, Status: cluster.StatusUp, Size: 2, HourlyUSD: usd,
			Nodes: []cluster.Node{{Rank: 0, State: cloud.StateRunning}, {Rank: 1, State: cloud.StateStopped}},
		}}
	}
	return Viewer{
		Collector: gc.Collector{Down: teardown.Teardown{
			Owner: owner, State: dir, Now: time.Now,
			Clouds: &clouds.Sessions{Registry: registry, Credentials: func(string) cloud.Credentials { return cloud.Credentials{} }},
		}},
		List: func(context.Context, cloud.ClusterRef) ([]observe.Listed, error) {
			return []observe.Listed{up("a", "aaaaaaaaaaaa", 8), up("b", "bbbbbbbbbbbb", 0)}, nil
		},
		Ask: func(_ context.Context, c cluster.Cluster) (Head, error) {
			idle := 7200
			if c.Name == "b" {
				return Head{}, errors.New("no key of this computer is accepted")
			}
			return Head{Jobs: []string{"one", "two"}, IdleSeconds: &idle}, nil
		},
	}, dir
}

// TestLook has two clusters, one of which cannot be asked, a machine that gc would
// remove, and a launch under way whose log says how far it is.
func TestLook(t *testing.T) {
	v, dir := view(t)
	f := dir.Cluster(owner, "big")
	release, err := f.Lock(t.Context(), "launching")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	log, closeLog, err := f.OpenLog()
	if err != nil {
		t.Fatal(err)
	}
	defer closeLog()
	p, end := nodes.Begin(t.Context(), log, time.Now, nodes.Phase{From: 55, To: 65, Waiting: `every "node" to answer over SSH`}, 2)
	p.One(t.Context())
	defer end()
	r, err := v.Look(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Underway) != 1 {
		t.Fatalf("under way: %+v", r.Underway)
	}
	if u := r.Underway[0]; u.Cluster != "big" || u.Progress != "60%" || u.Waiting != `every "node" to answer over SSH` || u.Done != "1 of 2" || !strings.Contains(u.By, "launching") {
		t.Errorf("under way: %+v", u)
	}
	if len(r.Clusters) != 2 || *r.Clusters[0].HourlyUSD != 4 || r.Clusters[1].HourlyUSD != nil || r.Clusters[1].Unasked == "" || r.Clusters[0].Verdict == "" {
		t.Errorf("clusters: %+v", r.Clusters)
	}
	if len(r.Others) == 0 || r.Others[0].ID != "i-cccccccccccc" {
		t.Errorf("others: %+v", r.Others)
	}
	text := r.text()
	for _, want := range []string{
		"[############........]", "60%", "tail -F " + f.LogPath(), "4.00", "1/2 small", "2h0m0s", "not asked: no key of this computer is accepted", "2 clusters of owner " + owner, "gc finds ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if again := func() []Underway { release(); return v.underway() }(); len(again) != 0 {
		t.Errorf("after its end: %+v", again)
	}
}

// twice cancels a context at the second text, and keeps all.
type twice struct {
	texts []string
	stop  func()
}

func (w *twice) Write(p []byte) (int, error) {
	if w.texts = append(w.texts, string(p)); len(w.texts) == 2 {
		w.stop()
	}
	return len(p), nil
}

// TestWatch looks until it is interrupted, which is no error.
func TestWatch(t *testing.T) {
	v, _ := view(t)
	for _, asJSON := range []bool{false, true} {
		ctx, stop := context.WithCancel(t.Context())
		out := &twice{stop: stop}
		if err := v.run(ctx, out, flags{watch: true, json: asJSON, every: time.Millisecond}, nil); err != nil || len(out.texts) != 2 {
			t.Errorf("json %t: %v, %q", asJSON, err, out.texts)
		}
		if cleared := strings.HasPrefix(out.texts[1], newScreen); cleared == asJSON {
			t.Errorf("json %t: %q", asJSON, out.texts[1])
		}
		stop()
	}
}

// TestCommandRefuses a pause that would only keep the clouds busy.
func TestCommandRefuses(t *testing.T) {
	cmd := Command(func(string, string) (Viewer, error) { return Viewer{}, errors.New("it was opened") })
	cmd.SetArgs([]string{"--watch", "--every", "1ms"})
	cmd.SetOut(io.Discard)
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "--every") {
		t.Error(err)
	}
}
