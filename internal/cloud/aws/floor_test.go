// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// The floor is what an operation of the broker costs on AWS at least: the longest
// chain of calls that depend on one another, each of one latency of the API, with a
// handshake and an exec a node counted the same. TestFloor measures what it does
// cost, in injected time: nothing here depends on how fast the computer is.

// meter is the wire between the driver and the fake, and the machines' SSH.
type meter struct {
	api     http.Handler
	latency time.Duration

	mu              sync.Mutex
	calls           map[string]int
	dials, sessions int
}

// Do implements aws.HTTPClient.
func (m *meter) Do(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	form, _ := url.ParseQuery(string(body))
	action := form.Get("Action")
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		action = target[strings.LastIndex(target, ".")+1:]
	}
	m.mu.Lock()
	m.calls[action]++
	m.mu.Unlock()
	time.Sleep(m.latency) //nolint:forbidigo // injected time
	again := r.Clone(r.Context())
	again.Body = io.NopCloser(bytes.NewReader(body))
	out := httptest.NewRecorder()
	m.api.ServeHTTP(out, again)
	return out.Result(), nil
}

func (m *meter) dial(context.Context, remote.Target, []ssh.Signer) (nodes.Node, error) {
	m.mu.Lock()
	m.dials++
	m.mu.Unlock()
	time.Sleep(m.latency) //nolint:forbidigo // injected time
	return meteredNode{m}, nil
}

type meteredNode struct{ *meter }

func (n meteredNode) Run(context.Context, remote.Command) (int, error) {
	n.mu.Lock()
	n.sessions++
	n.mu.Unlock()
	time.Sleep(n.latency) //nolint:forbidigo // injected time
	return 0, nil
}

func (n meteredNode) RunStep(ctx context.Context, step *remote.Step) (int, error) {
	return n.Run(ctx, step.Command)
}

func (meteredNode) PutTree(context.Context, string, string, ...string) error { return nil }
func (meteredNode) Close() error                                             { return nil }

// metered opens the driver on the meter.
type metered struct {
	Factory
	*meter
}

func (f metered) Open(ctx context.Context, creds cloud.Credentials) (cloud.Session, error) {
	c, err := newClients(ctx, creds.Values)
	if err != nil {
		return cloud.Session{}, err
	}
	c.cfg.HTTPClient = f.meter
	account, identity, err := c.account(ctx)
	return cloud.Session{Provisioner: newDriver(c, settings{}), Account: account, Identity: identity}, err
}

// process is a run of the provider.
func (m *meter) process(t *testing.T, dir string) *broker.Broker {
	t.Helper()
	registry, err := cloud.NewRegistry(metered{meter: m})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{
		StateDir: dir, Owner: "floor", Home: "/home", Registry: registry, Dial: m.dial,
		Credentials: func(string) cloud.Credentials {
			return cloud.Credentials{Values: map[string]string{
				optionAccessKey: testAccessKey, optionSecretKey: "secret", optionRegion: "us-east-1", optionRegions: "us-east-1", optionEndpoint: "http://127.0.0.1:1",
			}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func floorSpec(n int) broker.Spec {
	return broker.Spec{
		Name: "train", OnSetupFailure: broker.SetupFailureDestroy, AllowedCIDRs: spec0().AllowedCIDRs,
		Offers:  []cloud.Offer{{Cloud: Name, Region: "us-east-1", Market: cloud.OnDemand, HourlyUSD: 0.1, InstanceType: cloud.InstanceType{Name: "m5.large", VCPUs: 2, MemoryGiB: 8, Arch: "x86_64"}}},
		Request: optimizer.Request{Nodes: n, Alternatives: []cloud.Requirement{{InstanceType: "m5.large"}}},
	}
}

func spec0() cloud.ClusterSpec { s, _ := request(1, "m5.large", cloud.OnDemand); return s }

// floorSteps are the chains. A step is one latency. The looks that protect money are
// part of them: the census before and after, and the one at what a launch made.
func floorSteps() map[string][]string {
	lookups := []string{"VPC, type, parameter", "subnets, routes, zones, group, image"}
	commit := []string{"mark", "power-off", "metadata", "look"}
	return map[string][]string{
		"launch":  slices.Concat([]string{"account", "census"}, lookups, []string{"new group", "rules", "run", "nothing twice", "running", "handshake", "exec", "census"}, commit),
		"refresh": {"account", "look"},
		"grow":    slices.Concat([]string{"account", "look"}, lookups, []string{"run", "nothing twice", "running", "handshake", "exec"}, commit),
		"stop":    {"account", "look", "stop", "look"},
		"start":   slices.Concat([]string{"account", "look"}, lookups, []string{"start", "look", "handshake", "answer", "exec"}),
		"destroy": {"account", "look", "terminate", "look", "disks", "groups", "delete group", "census"},
	}
}

// most is how many times its floor an operation may take.
const most = 1.5

// TestFloor holds what the broker does on AWS to its floor.
func TestFloor(t *testing.T) {
	t.Logf("\n%s", floorTable(t, []int{1, 8}, []time.Duration{100 * time.Millisecond}))
}

// floorTable measures clusters of so many nodes, at latencies of the API.
func floorTable(t *testing.T, sizes []int, latencies []time.Duration) string {
	t.Helper()
	isolate(t)
	var table bytes.Buffer
	fmt.Fprintln(&table, "Times and floors are in latencies of the API, or in ms where that is 0. Floors are the longest chain of calls, handshakes and execs.")
	fmt.Fprintf(&table, "%-8s %5s %7s %5s %11s %8s %6s %5s %5s\n", "what", "nodes", "latency", "calls", "connections", "sessions", "time", "floor", "ratio")
	for _, n := range sizes {
		for _, latency := range latencies {
			synctest.Test(t, func(t *testing.T) { measure(t, &table, n, latency) })
		}
	}
	return table.String()
}

func measure(t *testing.T, table io.Writer, n int, latency time.Duration) {
	fake := &fakeEC2{parameters: map[string]string{}, touchedForeign: map[string][]string{}, answers: map[string]func(url.Values) (int, string){
		"DescribePlacementGroups": fixed("<placementGroupSet/>"),
	}}
	fake.parameters[defaultSource(typeInfo{arch: "x86_64"}).parameter] = fakeCPUImage
	m := &meter{api: fake, latency: latency}
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var c cluster.Cluster
	step := func(what string, do func(b *broker.Broker) (cluster.Cluster, error)) {
		m.calls, m.dials, m.sessions = map[string]int{}, 0, 0
		b, begun := m.process(t, dir), time.Now()
		var err error
		if c, err = do(b); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		m.row(t, table, what, n, time.Since(begun))
	}
	spec := floorSpec(n)
	ctx := t.Context()
	step("launch", func(b *broker.Broker) (cluster.Cluster, error) { return b.Launch(ctx, spec) })
	step("refresh", func(b *broker.Broker) (cluster.Cluster, error) { return b.Refresh(ctx, c) })
	step("grow", func(b *broker.Broker) (cluster.Cluster, error) { return b.Resize(ctx, c, spec, n+1) })
	step("stop", func(b *broker.Broker) (cluster.Cluster, error) { return b.Stop(ctx, c) })
	step("start", func(b *broker.Broker) (cluster.Cluster, error) { return b.Start(ctx, c, spec) })
	step("destroy", func(b *broker.Broker) (cluster.Cluster, error) { return c, b.Destroy(ctx, c) })
	if len(fake.unknown) > 0 {
		t.Errorf("the fake lacks %v", fake.unknown)
	}
}

func (m *meter) row(t *testing.T, table io.Writer, what string, n int, took time.Duration) {
	calls := 0
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m.calls)) {
		calls += m.calls[name]
		names = append(names, fmt.Sprintf("%s %d", name, m.calls[name]))
	}
	floor := len(floorSteps()[what])
	units, ratio := fmt.Sprint(took.Milliseconds()), ""
	if m.latency > 0 {
		times := float64(took) / float64(m.latency)
		units, ratio = fmt.Sprintf("%.1f", times), fmt.Sprintf("%.2f", times/float64(floor))
		if times > most*float64(floor) {
			t.Errorf("%s of %d nodes at %s took %.1f latencies, more than %.1f times the %d of %v: %v", what, n, m.latency, times, most, floor, floorSteps()[what], names)
		}
	}
	fmt.Fprintf(table, "%-8s %5d %7s %5d %11d %8d %6s %5d %5s\n", what, n, m.latency, calls, m.dials, m.sessions, units, floor, ratio)
}
