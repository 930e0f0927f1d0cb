// SPDX-License-Identifier: MPL-2.0

package bringup

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

const testPace = 12500 * time.Millisecond

// paced is a cloud that launches one machine after another, for all that use it.
type paced struct {
	cloud.Provisioner
	turn chan struct{}
}

func (p paced) Run(ctx context.Context, _ cloud.ClusterRef, cfg cloud.RunConfig) (cloud.RunRecord, error) {
	for range cfg.Spec.Nodes {
		select {
		case p.turn <- struct{}{}:
		case <-ctx.Done():
			return cloud.RunRecord{}, context.Cause(ctx)
		}
		err := retry.Pause(ctx, testPace)
		if <-p.turn; err != nil {
			return cloud.RunRecord{}, err
		}
	}
	return cloud.RunRecord{}, nil
}

func (paced) Classify(error) cloud.Fault { return cloud.Fault{Kind: cloud.KindUnknown} }

// makerAtPace is one whose cloud takes launches at a pace.
func makerAtPace(t *testing.T) Maker {
	t.Helper()
	registry, err := cloud.NewRegistry(memcloud.Factory{Cloud: &memcloud.Cloud{Caps: cloud.Capabilities{LaunchEvery: testPace}}})
	if err != nil {
		t.Fatal(err)
	}
	return Maker{
		Timeouts: Timeouts{}.WithDefaults(), Reach: nodes.Reach{Now: time.Now}, Queue: &Queue{},
		Clouds: &clouds.Sessions{Registry: registry, Credentials: func(string) cloud.Credentials { return cloud.Credentials{} }},
	}
}

func (m Maker) sized(ctx context.Context, p cloud.Provisioner, size int) *BringUp {
	u := m.New(ctx, cloud.Session{Provisioner: p}, cluster.Cluster{Cloud: memcloud.Name, Size: size}, spec.Spec{})
	u.Ranks, u.Record = RanksFrom(0, size), func(journal.Entry) error { return nil }
	u.runConfig.Spec.Nodes = make([]cloud.NodeSpec, size)
	return u
}

// TestManyLaunchesAtAPace: neither the machines of one cluster nor those of others
// that launch at the same time make a create call fail for its time.
func TestManyLaunchesAtAPace(t *testing.T) {
	for name, sizes := range map[string][]int{"one of 80": {80}, "ten of 8": {8, 8, 8, 8, 8, 8, 8, 8, 8, 8}, "a small one among big ones": {1, 100, 100}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, p := makerAtPace(t), paced{turn: make(chan struct{}, 1)}
				var all sync.WaitGroup
				for _, size := range sizes {
					u := m.sized(t.Context(), p, size)
					all.Go(func() {
						if err := u.create(t.Context()); err != nil {
							t.Errorf("%d machines: %v", size, err)
						}
					})
				}
				all.Wait()
			})
		})
	}
}

// TestALaunchThatHangs ends: its machines have their time, and no more, also where
// another one came meantime.
func TestALaunchThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := makerAtPace(t), paced{turn: make(chan struct{}, 1)}
		p.turn <- struct{}{} // for ever
		began := time.Now()
		var both sync.WaitGroup
		for _, wait := range []time.Duration{0, 10 * time.Minute} {
			both.Go(func() {
				if err := retry.Pause(t.Context(), wait); err != nil {
					t.Error(err)
				}
				err := m.sized(t.Context(), p, 8).create(t.Context())
				bound := 15*time.Minute + 16*testPace + graceAfterCancel
				if took := time.Since(began) - wait; !errors.Is(err, context.DeadlineExceeded) || took != bound {
					t.Errorf("it ends after %s with %v, want %s", took, err, bound)
				}
			})
		}
		both.Wait()
		if n := len(m.Queue.calls[memcloud.Name]); n != 0 {
			t.Errorf("%d calls are still in the queue", n)
		}
	})
}

// TestPacedMachinesLiveLonger: the dead-man timer leaves the time of the pace.
func TestPacedMachinesLiveLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := makerAtPace(t)
		if more := m.sized(t.Context(), paced{}, 80).deadline.Sub(m.sized(t.Context(), paced{}, 0).deadline); more != 80*testPace {
			t.Errorf("80 machines end %s later, want their launches", more)
		}
	})
}
