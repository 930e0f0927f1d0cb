// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker/launch"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// manyPlaces asks for one node, of which a catalog has as many offers, each
// dearer than the last.
func manyPlaces(n int) Spec {
	spec := twoNodes("train")
	spec.Request.Nodes = 1
	first := spec.Offers[0]
	spec.Offers = nil
	for i := range n {
		o := first
		o.Region, o.Zone, o.HourlyUSD = fmt.Sprintf("r%d", i/3), fmt.Sprintf("r%d-%d", i/3, i%3), 0.08+float64(i)
		spec.Offers = append(spec.Offers, o)
	}
	return spec
}

// inSetup is for what happens in setup, and not where a node is asked whether it
// runs commands.
func inSetup(f func() error) func(string) error {
	return func(script string) error {
		if script == ":" {
			return nil
		}
		return f()
	}
}

// made counts the machines that were made.
func made(f *memcloud.Cloud) int {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	return f.Launched
}

// Whatever a launch meets, it makes no more than so many machines. What is
// refused before there is one does not count.
func TestLaunchIsBounded(t *testing.T) {
	refused := &memcloud.Fault{Method: "run", Times: 25, Err: errCapacity}
	tests := []struct {
		name   string
		faults []*memcloud.Fault
		cut    func(x *bench)
		most   int
		says   string
	}{
		{name: "machines that never run", faults: []*memcloud.Fault{{Method: "wait", Err: errCapacity}}, most: launch.MostMachines, says: "10 machines without success"},
		{name: "refused often before", faults: []*memcloud.Fault{refused, {Method: "wait", Err: errCapacity}}, most: launch.MostMachines, says: "10 machines without success"},
		{name: "answers that are lost", faults: []*memcloud.Fault{{Method: "run", Err: errServer, Applied: true}}, most: launch.MostUnexplained, says: `transient at the step "run"`},
		{name: "no table knows it", faults: []*memcloud.Fault{{Method: "wait", Err: errors.New("strange")}}, most: launch.MostUnexplained, says: `unknown at the step "wait"`},
		{name: "no table knows it, before a machine", faults: []*memcloud.Fault{{Method: "run", Err: errors.New("strange")}}, says: `unknown at the step "run"`},
		{name: "in passing, every time", faults: []*memcloud.Fault{{Method: "bootstrap", Err: errServer}}, says: `transient at the step "bootstrap"`},
		{name: "no SSH", cut: func(x *bench) { x.dialErr = func(remote.Target) error { return errors.New("connection refused") } }, most: launch.MostUnexplained, says: `unknown at the step "ssh"`},
		{name: "lost in setup", cut: func(x *bench) { x.linkErr = inSetup(func() error { return errors.New("broken pipe") }) }, most: launch.MostUnexplained, says: "lost during set-up"},
		{name: "ended in setup", cut: func(x *bench) {
			x.linkErr = inSetup(func() error {
				x.lose(0)
				return errors.New("broken pipe")
			})
		}, most: launch.MostUnexplained, says: "lost during set-up"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				x.cloud.Faults = tt.faults
				if tt.cut != nil {
					tt.cut(x)
				}
				spec := manyPlaces(60)
				spec.Setup = "install things"
				_, err := x.Launch(t.Context(), spec)
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("Launch = %v, want %q", err, tt.says)
				}
				if n := made(x.cloud); n > tt.most {
					t.Errorf("%d machines were made, want %d at most", n, tt.most)
				}
				x.wantLive(t, 0)
			})
		})
	}
}

// What fails on this computer, or for what the user's files are, is tried in one
// place only.
func TestFaultsOfTheUserAreTriedOnce(t *testing.T) {
	tests := map[string]struct {
		arrange func(t *testing.T, x *bench, spec *Spec)
		says    string
	}{
		"an upload that is forbidden": {func(_ *testing.T, x *bench, spec *Spec) {
			spec.FileMounts = map[string]string{"/data/set": "/home/me/set"}
			x.putErr = &remote.UploadError{Err: &remote.ExitError{Code: 1, Stderr: "no permission to write into /data"}}
		}, "uploading file_mounts /home/me/set to /data/set for cluster \"train\" failed on rank 0: exit code 1: no permission"},
		"a file that is gone": {func(_ *testing.T, x *bench, spec *Spec) {
			spec.Workdir, x.putErr = "/home/me/code", os.ErrNotExist
		}, "uploading workdir /home/me/code"},
		"local files that cannot be written": {func(t *testing.T, x *bench, _ *Spec) {
			x.cloud.OnRun = func(cloud.RunConfig) {
				if err := os.MkdirAll(x.KnownHostsPath("train")+"/x", 0o700); err != nil {
					t.Error(err)
				}
			}
		}, "write the files for SSH on this computer"},
		"a setup that was killed": {func(_ *testing.T, x *bench, spec *Spec) {
			spec.Setup = "install things"
			x.stepErr = &remote.StepError{Why: "it was killed"}
		}, "setup of cluster \"train\" failed on rank 0: it was killed"},
		"set-up takes our key away": {func(_ *testing.T, x *bench, spec *Spec) {
			spec.Setup = "install things"
			x.linkErr = inSetup(func() error {
				x.dialErr = func(remote.Target) error {
					return &remote.AuthError{Host: "h", User: "u", Err: errors.New("no supported methods remain")}
				}
				return errors.New("broken pipe")
			})
		}, "refused every key"},
		"a template without Ray": {func(_ *testing.T, _ *bench, spec *Spec) { spec.Runtime = cluster.RuntimeRay }, "does not say how to install Ray"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				spec := manyPlaces(9)
				tt.arrange(t, x, &spec)
				c, err := x.Launch(t.Context(), spec)
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("Launch = %v, want %q", err, tt.says)
				}
				if n := x.cloud.Called("run"); n > 1 || c.Generation != "" {
					t.Errorf("%d create calls, cluster %+v", n, c)
				}
				x.wantLive(t, 0)
			})
		})
	}
}

// A connection that is lost in setup is taken up again on the same machine.
func TestLostConnectionsAreTakenUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		links, silent := 0, time.Time{}
		x.linkErr = inSetup(func() error {
			if links++; links <= 2 {
				silent = time.Now().Add(5 * time.Minute)
				return errors.New("broken pipe")
			}
			return nil
		})
		dial := x.dial
		x.dial = func(ctx context.Context, target remote.Target, signers []ssh.Signer) (nodes.Node, error) {
			if err := retry.Pause(ctx, time.Until(silent)); err != nil {
				return nil, err
			}
			return dial(ctx, target, signers)
		}
		spec := manyPlaces(3)
		spec.Setup, spec.Workdir = "install things", "/home/me/code"
		if c := x.mustLaunch(t, spec); c.Nodes[0].InstanceID != "i-1" || links < 3 {
			t.Errorf("machine %s after %d connections", c.Nodes[0].InstanceID, links)
		}
		x.wantLive(t, 1)
	})
}

// Nodes that a growth adds count only where they run commands.
func TestGrowthNeedsNodesThatAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		x.linkErr = func(script string) error {
			if script == ":" {
				return errors.New("the command ended without an exit status")
			}
			return nil
		}
		fresh, err := x.Resize(t.Context(), c, twoNodes("train"), 3)
		if err == nil || !strings.Contains(err.Error(), "without an exit status") || fresh.Size != 2 {
			t.Errorf("Resize = %d nodes, %v", fresh.Size, err)
		}
		x.wantLive(t, 2)
	})
}

// Files that a running cluster cannot take leave it as it is; the next apply
// tries again.
func TestUploadOfAChangeThatFails(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		spec := twoNodes("train")
		c := x.mustLaunch(t, spec)
		spec.Workdir, spec.Setup = "/home/me/code", "install things"
		x.putErr = &remote.UploadError{Err: errors.New("no permission")}
		fresh, err := x.Update(t.Context(), c, spec, Changes{Files: true, Setup: true})
		if err == nil || !strings.Contains(err.Error(), "the next apply uploads again") || fresh.Status != cluster.StatusUp || fresh.StatusReason != "" {
			t.Errorf("Update = %s (%s), %v", fresh.Status, fresh.StatusReason, err)
		}
		x.wantLive(t, 2)
	})
}
