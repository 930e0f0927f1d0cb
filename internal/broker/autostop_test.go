// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// rememberingCloud says who ended its machines.
type rememberingCloud struct {
	*memcloud.Driver
	memcloud.Factory
	ending cloud.Ending
	gone   []*memcloud.Machine
}

func (r rememberingCloud) Ended(_ context.Context, _ cloud.ClusterRef) ([]cloud.Instance, error) {
	var out []cloud.Instance
	for _, m := range r.gone {
		in := m.Instance
		in.Ending = r.ending
		out = append(out, in)
	}
	return out, nil
}

func (r rememberingCloud) Open(context.Context, cloud.Credentials) (cloud.Session, error) {
	return cloud.Session{Provisioner: r, Account: r.Account}, nil
}

// launchedAlone is a cluster of a bench, told about its end afterwards: the
// bench's cloud has no template for it.
func launchedAlone(t *testing.T, x *bench, stop *autostop.Config) cluster.Cluster {
	t.Helper()
	c, err := x.Launch(t.Context(), twoNodes("c"))
	if err != nil {
		t.Fatal(err)
	}
	c.Autostop = stop
	return c
}

func end(fc *memcloud.Cloud, state cloud.State) {
	fc.Mu.Lock()
	defer fc.Mu.Unlock()
	for _, m := range fc.Machines {
		m.State = state
	}
}

// What is gone is autodown only if the cluster was told to remove itself and
// nobody else is known to have ended it.
func TestAutodownNeedsProof(t *testing.T) {
	down := &autostop.Config{Idle: 10 * time.Minute, Down: true, WaitFor: autostop.Jobs}
	stop := &autostop.Config{Idle: 10 * time.Minute, WaitFor: autostop.Jobs}
	for _, tt := range []struct {
		name   string
		told   *autostop.Config
		ending cloud.Ending
		kept   bool
	}{
		{"told nothing", nil, cloud.EndedItself, false},
		{"told to stop", stop, cloud.EndedItself, false},
		{"by itself", down, cloud.EndedItself, true},
		{"not remembered", down, "", true},
		{"preempted", down, cloud.EndedPreempted, false},
		{"by somebody", down, cloud.EndedByUser, false},
		{"by its host", down, cloud.EndedFailed, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				c := launchedAlone(t, x, tt.told)
				registry, err := cloud.NewRegistry(rememberingCloud{&memcloud.Driver{Cloud: x.cloud}, memcloud.Factory{Cloud: x.cloud}, tt.ending, x.cloud.Machines})
				if err != nil {
					t.Fatal(err)
				}
				x.clouds = &clouds.Sessions{Registry: registry, Credentials: x.cfg.Credentials}
				x.cloud.Machines = nil
				fresh, err := x.Refresh(t.Context(), c)
				if !tt.kept {
					if !errors.Is(err, cluster.ErrGone) {
						t.Fatalf("Refresh = %+v, %v; want ErrGone", fresh, err)
					}
					return
				}
				if err != nil || fresh.Status != cluster.StatusTerminated || !strings.HasPrefix(fresh.StatusReason, "autostop (down) after 10 idle minutes: the cluster removed itself") {
					t.Fatalf("Refresh = %s %q, %v", fresh.Status, fresh.StatusReason, err)
				}
				time.Sleep(time.Hour) //nolint:forbidigo // virtual time
				asked := time.Now()
				again, err := x.Refresh(t.Context(), fresh)
				if took := time.Since(asked); took > 0 {
					t.Errorf("looked for %s for what is known to be gone", took)
				}
				if err != nil || again.StatusReason != fresh.StatusReason || again.Status != cluster.StatusTerminated {
					t.Errorf("the second Refresh = %s %q, %v", again.Status, again.StatusReason, err)
				}
				if err := x.Destroy(t.Context(), again); err != nil {
					t.Errorf("Destroy = %v", err)
				}
			})
		})
	}
}

// A cluster that stopped by itself keeps the reason it was found with; one that
// was stopped as asked for is not blamed on autostop.
func TestAutostopIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := launchedAlone(t, x, &autostop.Config{Idle: time.Minute, WaitFor: autostop.Jobs})
		end(x.cloud, cloud.StateStopped)
		fresh, err := x.Refresh(t.Context(), c)
		if err != nil || !strings.HasPrefix(fresh.StatusReason, "autostop after 1 idle minute; seen 2000-01-01T") {
			t.Fatalf("Refresh = %s %q, %v", fresh.Status, fresh.StatusReason, err)
		}
		time.Sleep(time.Hour) //nolint:forbidigo // virtual time
		again, err := x.Refresh(t.Context(), fresh)
		if err != nil || again.StatusReason != fresh.StatusReason {
			t.Errorf("the second Refresh = %q, %v", again.StatusReason, err)
		}
		end(x.cloud, cloud.StateRunning)
		up, err := x.Refresh(t.Context(), again)
		if err != nil || up.Status != cluster.StatusUp || up.StatusReason != "" {
			t.Errorf("started by somebody: %s %q, %v", up.Status, up.StatusReason, err)
		}
		stopped, err := x.Stop(t.Context(), up)
		if err != nil {
			t.Fatal(err)
		}
		asked, err := x.Refresh(t.Context(), stopped)
		if err != nil || strings.Contains(asked.StatusReason, "autostop") {
			t.Errorf("stopped as asked for: %q, %v", asked.StatusReason, err)
		}
	})
}

// A cloud whose template has no way to end machines is refused before anything
// is made.
func TestAutostopWithoutATemplateCommand(t *testing.T) {
	x := newBench(t, stateDir(t), newFakeCloud())
	spec := twoNodes("c")
	spec.Autostop = &autostop.Config{Idle: time.Minute, WaitFor: autostop.Jobs}
	_, err := x.Launch(t.Context(), spec)
	if err == nil || !strings.Contains(err.Error(), "the cluster template of nimbus has no self_stop") {
		t.Errorf("Launch = %v", err)
	}
	if n := len(x.cloud.Machines); n != 0 {
		t.Errorf("%d machines were made", n)
	}
}

// A watchdog that is ending the cluster is found out before any change that
// needs its machines begins.
func TestUpdateOfAClusterThatIsEnding(t *testing.T) {
	for name, what := range map[string]Changes{"files": {Files: true}, "setup": {Setup: true}, "runtime": {Runtime: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				c := launchedAlone(t, x, &autostop.Config{Idle: time.Minute, WaitFor: autostop.Jobs})
				var scripts []string
				x.exit = func(_ int, script string) (int, string) {
					scripts = append(scripts, script)
					return 0, "ending"
				}
				spec := twoNodes(c.Name)
				spec.Setup, spec.Workdir, spec.Runtime = "true", "/x/code", cluster.RuntimeRay
				x.uploads = nil
				got, err := x.Update(t.Context(), c, spec, what)
				if err == nil || len(scripts) != 1 || !strings.Contains(scripts[0], "busy") || len(x.uploads) != 0 || got.Runtime != c.Runtime {
					t.Errorf("Update = %v after %d scripts and %d uploads", err, len(scripts), len(x.uploads))
				}
			})
		})
	}
}
