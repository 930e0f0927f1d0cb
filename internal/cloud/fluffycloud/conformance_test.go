// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
	"github.com/skybroker/terraform-provider-sky/internal/retry"

	server "github.com/skybroker/terraform-provider-sky/internal/fluffycloud"
)

// laboratory is the harness: the real server, whose machines run, and a client
// of its own for what only the neighbours and the fault laboratory do.
type laboratory struct {
	c     *client
	key   string
	clock *server.ManualClock
	dir   string
	offer map[cloud.Market]cloud.Offer
}

var _ interface {
	cloudtest.Harness
	cloudtest.Impostor
	cloudtest.Neighbour
	cloudtest.Killer
	cloudtest.Saboteur
	cloudtest.Counter
	cloudtest.Gatekeeper
	cloudtest.Inspector
	cloudtest.Lagger
	cloudtest.Limited
	cloudtest.Timekeeper
	cloudtest.Inside
} = (*laboratory)(nil)

// startServer runs the real server until the end of the test, on a clock of
// the test's or else the real one.
func startServer(t *testing.T, clock *server.ManualClock) *laboratory {
	t.Helper()
	dir := t.TempDir()
	opts := server.Options{Dir: dir, Log: t.Output(), BootTime: 20 * time.Millisecond, StopTime: 5 * time.Millisecond}
	if clock != nil {
		opts.Clock = movedClock{clock}
	}
	s, err := server.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Destroy(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("end the cloud: %v", err)
		}
	})
	key, err := os.ReadFile(filepath.Join(dir, "api_key"))
	if err != nil {
		t.Fatal(err)
	}
	l := &laboratory{clock: clock, dir: dir, key: strings.TrimSpace(string(key))}
	if l.c, err = newClient(s.URL(), l.key); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.c.http.CloseIdleConnections)
	if err := l.findOffers(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// findOffers takes the cheapest type of meadow-1a.
func (l *laboratory) findOffers(ctx context.Context) error {
	type offer struct {
		Region, Zone string
		OnDemandUSD  float64 `json:"on_demand_usd"`
		SpotUSD      float64 `json:"spot_usd"`
	}
	type kind struct {
		Name   string
		Offers []offer
	}
	types, err := list[kind](ctx, l.c, "/v1/instance-types", "instance_types", nil)
	if err != nil {
		return err
	}
	l.offer = map[cloud.Market]cloud.Offer{}
	for _, ty := range types {
		for _, o := range ty.Offers {
			for m, usd := range map[cloud.Market]float64{cloud.OnDemand: o.OnDemandUSD, cloud.Spot: o.SpotUSD} {
				best, ok := l.offer[m]
				if o.Zone == "meadow-1a" && usd > 0 && (!ok || usd < best.HourlyUSD) {
					l.offer[m] = cloud.Offer{
						Cloud: Name, Region: o.Region, Zone: o.Zone, Market: m, HourlyUSD: usd,
						InstanceType: cloud.InstanceType{Name: ty.Name},
					}
				}
			}
		}
	}
	if len(l.offer) != 2 {
		return errors.New("meadow-1a sells nothing")
	}
	return nil
}

func (*laboratory) Factory() cloud.Factory { return Factory{} }

func (l *laboratory) Credentials() cloud.Credentials {
	return cloud.Credentials{Values: map[string]string{optionEndpoint: l.c.base.String(), optionAPIKey: l.key}}
}

func (l *laboratory) BadCredentials() cloud.Credentials {
	return cloud.Credentials{Values: map[string]string{optionEndpoint: l.c.base.String(), optionAPIKey: "fluffy-but-wrong-" + fingerprint(l.key)}}
}

func (l *laboratory) Placement(nodes int, market cloud.Market) cloud.Placement {
	return cloud.Placement{Offer: l.offer[market], Nodes: nodes}
}

func (*laboratory) Spec(base cloud.ClusterSpec) cloud.ClusterSpec {
	base.SSHUser = "fluffy"
	base.AuthorizedKeys = []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFhu4ZsCQ4yHoSi5HzZ6sNEJTZ0CWkNCDNqmnLTGmpDE conformance"}
	for i := range base.Nodes {
		base.Nodes[i].UserData = []byte("#!/bin/sh\ntrue\n")
	}
	return base
}

func (*laboratory) Errors() []cloudtest.ErrorRow { return errorRows() }

func (l *laboratory) LaunchForeign(ctx context.Context, at cloud.Placement, kind cloudtest.Foreign, like cloud.Identity) (string, error) {
	in, err := l.c.launch(ctx, launchRequest{
		Name: "neighbour", Region: at.Offer.Region, Zone: at.Offer.Zone, InstanceType: at.Offer.InstanceType.Name,
		Market: string(at.Offer.Market), SSHKeyIDs: []string{}, Tags: kind.Tags(like),
	})
	if err != nil {
		return "", err
	}
	return in.ID, l.until(ctx, in.ID, cloud.StateRunning)
}

// until waits for a machine to be in a state.
func (l *laboratory) until(ctx context.Context, id string, state cloud.State) error {
	return retry.Poll(ctx, retry.Policy{Initial: 20 * time.Millisecond}, func(ctx context.Context) (bool, error) {
		in, err := l.c.instance(ctx, id)
		return err == nil && in.state() == state, err
	})
}

func (l *laboratory) Running(ctx context.Context, id string) (bool, error) {
	in, err := l.c.instance(ctx, id)
	return in.state() == cloud.StateRunning, err
}

func (l *laboratory) Remove(ctx context.Context, id string) error {
	return errors.Join(l.c.terminate(ctx, id), l.until(ctx, id, cloud.StateTerminated))
}

func (l *laboratory) KillMachine(ctx context.Context, id string) error {
	err := l.c.call(ctx, http.MethodPost, instancePath(id)+"/kill", nil, nil, nil)
	return errors.Join(err, l.until(ctx, id, cloud.StateTerminated))
}

// inject adds a fault and returns how to take it back.
func (l *laboratory) inject(ctx context.Context, fault map[string]any) (func(context.Context) error, error) {
	var out struct {
		Fault struct {
			ID string `json:"id"`
		} `json:"fault"`
	}
	if err := l.c.call(ctx, http.MethodPost, "/v1/faults", nil, fault, &out); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return l.c.call(ctx, http.MethodDelete, "/v1/faults/"+out.Fault.ID, nil, nil, nil)
	}, nil
}

func (l *laboratory) InjectLaunchFault(ctx context.Context, kind cloudtest.LaunchFault, skip int) (func(context.Context) error, error) {
	switch kind {
	case cloudtest.NoCapacity:
		return l.inject(ctx, map[string]any{
			"op": "launch", "after": skip, "effect": map[string]any{"error": map[string]any{"code": codeNoCapacity, "message": "not a puff left"}},
		})
	case cloudtest.LostAnswer:
		return l.inject(ctx, map[string]any{
			"op": "launch", "after": skip, "times": 1, "effect": map[string]any{"timeout_after_apply": true},
		})
	case cloudtest.LateCapacity:
		return l.inject(ctx, map[string]any{"op": "boot", "effect": map[string]any{"boot": "no_capacity"}})
	case cloudtest.OneAtATime:
		return l.inject(ctx, map[string]any{
			"op": "launch", "after": 1, "times": 2, "effect": map[string]any{"error": map[string]any{"code": codeRateLimited}},
		})
	case cloudtest.LostMark:
		return l.inject(ctx, map[string]any{"op": "tag", "times": 1, "effect": map[string]any{"silent": true}})
	case cloudtest.LostDisarm:
		return l.inject(ctx, map[string]any{"op": "expiry", "times": 2, "effect": map[string]any{"silent": true}})
	default:
		return nil, fmt.Errorf("no such fault: %s", kind)
	}
}

func (l *laboratory) Count(ctx context.Context) (cloudtest.Counts, error) {
	var counts cloudtest.Counts
	machines, err := l.c.instances(ctx, nil)
	if err != nil {
		return counts, err
	}
	for _, in := range machines {
		if in.state() != cloud.StateTerminated {
			counts.Machines++
		}
	}
	disks, errD := list[struct{}](ctx, l.c, "/v1/disks", "disks", nil)
	firewalls, errF := l.c.firewalls(ctx)
	keys, errK := l.c.sshKeys(ctx)
	counts.Disks, counts.Firewalls, counts.Keys = len(disks), len(firewalls), len(keys)
	return counts, errors.Join(errD, errF, errK)
}

// EndItself asks the cloud with the machine's own token, as fluffycloud-self does.
func (l *laboratory) EndItself(ctx context.Context, id string, how cloud.Shutdown) error {
	token, err := os.ReadFile(filepath.Join(l.dir, "machines", id, "disk", "etc", "metadata-token"))
	if err != nil {
		return err
	}
	machine := apiServer{base: l.c.base, key: strings.TrimSpace(string(token)), http: l.c.http}.client()
	return machine.call(ctx, http.MethodPost, "/self/"+string(how), nil, nil, nil)
}

func (*laboratory) ShortestDeadline() time.Duration { return time.Minute }

func (l *laboratory) PassTime(_ context.Context, until time.Time) error {
	l.clock.Advance(until.Sub(l.clock.Now()) + time.Second)
	return nil
}

// movedClock moves when told to, and makes the server look at it often, since
// it may move while the server reckons how long to sleep.
type movedClock struct{ *server.ManualClock }

func (movedClock) After(time.Duration) <-chan time.Time { return time.After(20 * time.Millisecond) }

// TestConformance runs the suite over HTTP against the real server.
func TestConformance(t *testing.T) {
	cloudtest.RunEach(t, func(t *testing.T) cloudtest.Harness { return startServer(t, server.NewManualClock(time.Now())) })
}

// TestConformanceUnderFire runs a cluster through its life while the server
// makes trouble at every kind of call.
func TestConformanceUnderFire(t *testing.T) {
	errorOf := func(code string) map[string]any { return map[string]any{"error": map[string]any{"code": code}} }
	for name, fault := range map[string]map[string]any{
		"every third call fails": {"op": "*", "after": 2, "times": 2, "effect": errorOf(codeInternal)},
		"rate limits":            {"op": "*", "times": 3, "effect": errorOf(codeRateLimited)},
		"lists fail":             {"op": "list", "after": 1, "times": 4, "effect": errorOf(codeUnavailable)},
		"lists come empty":       {"op": "list", "after": 2, "times": 1, "effect": map[string]any{"empty": true}},
		"late visibility":        {"op": "launch", "effect": map[string]any{"hide_for_ms": 1500}},
		"silent terminate":       {"op": "terminate", "times": 2, "effect": map[string]any{"silent": true}},
		"silent stop":            {"op": "stop", "times": 2, "effect": map[string]any{"silent": true}},
		"silent start":           {"op": "start", "times": 2, "effect": map[string]any{"silent": true}},
		"silent tag":             {"op": "tag", "times": 2, "effect": map[string]any{"silent": true}},
		"silent expiry":          {"op": "expiry", "times": 2, "effect": map[string]any{"silent": true}},
		"spurious 404":           {"op": "get", "times": 2, "effect": errorOf(codeNotFound)},
		"terminate says 404":     {"op": "terminate", "times": 2, "effect": errorOf(codeNotFound)},
		"tags dropped":           {"op": "launch", "times": 1, "effect": map[string]any{"drop_tags": true}},
		"answers lost":           {"op": "*", "after": 3, "times": 2, "effect": map[string]any{"timeout_after_apply": true}},
		"slow answers":           {"op": "*", "effect": map[string]any{"delay_ms": 20}},
		"slow boot":              {"op": "boot", "effect": map[string]any{"boot": "slow", "boot_delay_ms": 700}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := startServer(t, nil)
			if _, err := l.inject(t.Context(), fault); err != nil {
				t.Fatal(err)
			}
			if err := l.life(t.Context()); err != nil {
				t.Error(err)
			}
			if err := l.c.call(t.Context(), http.MethodDelete, "/v1/faults", nil, nil, nil); err != nil {
				t.Fatal(err)
			}
			if left, err := l.Count(t.Context()); err != nil || left != (cloudtest.Counts{}) {
				t.Errorf("left over: %+v (%v)", left, err)
			}
		})
	}
}

// life is all of a cluster's, from Open to CleanupPorts.
func (l *laboratory) life(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s, err := Factory{}.Open(ctx, l.Credentials())
	if err != nil {
		return err
	}
	ref := testRef
	ref.Zone = "meadow-1a"
	base := cloud.ClusterSpec{Ref: ref, Deadline: time.Now().Add(time.Minute), Labels: map[string]string{"a": "b"}}
	for rank := range 2 {
		base.Nodes = append(base.Nodes, cloud.NodeSpec{Identity: cloud.Identity{Owner: "o", Cluster: "c", Generation: "g", Rank: rank}})
	}
	cfg, err := s.Bootstrap(ctx, l.Spec(base), l.Placement(2, cloud.OnDemand))
	if err != nil {
		return fmt.Errorf("Bootstrap: %w", err)
	}
	run := func() error {
		if _, err := s.Run(ctx, ref, cfg); err != nil {
			return fmt.Errorf("Run: %w", err)
		}
		return s.Wait(ctx, ref, cloud.StateRunning)
	}
	steps := []func() error{
		run,
		func() error { return s.Commit(ctx, ref) },
		func() error { return s.OpenPorts(ctx, ref, cfg, []cloud.PortRange{{First: 80, Last: 80}}) },
		func() error { return s.Stop(ctx, ref) },
		run,
		func() error { return l.asLaunched(ctx, s, ref) },
		func() error { return s.Terminate(ctx, ref) },
		func() error { return s.CleanupPorts(ctx, ref) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return errors.Join(fmt.Errorf("step %d: %w", i, err), s.Terminate(ctx, ref), s.CleanupPorts(ctx, ref))
		}
	}
	return nil
}

func (l *laboratory) asLaunched(ctx context.Context, s cloud.Session, ref cloud.ClusterRef) error {
	info, err := s.Describe(ctx, ref)
	if err != nil {
		return err
	}
	if len(info.Instances) != 2 {
		return fmt.Errorf("there are %d machines, want 2", len(info.Instances))
	}
	for rank, in := range info.Instances {
		if !in.Committed || !in.Deadline.IsZero() || in.Identity.Rank != rank || !maps.Equal(in.Labels, map[string]string{"a": "b"}) {
			return fmt.Errorf("machine of rank %d: %+v", rank, in)
		}
	}
	return nil
}
