// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker/gc"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// The broker's tests run on memcloud, in the clock of testing/synctest. What
// fails there fails by these.

var (
	errCapacity = errors.New("no capacity here")
	errServer   = errors.New("503 service unavailable")
	errDenied   = errors.New("401 key expired")
)

// fakeNode is a machine's SSH side.
type fakeNode struct {
	rank    int
	exit    func(rank int, script string) (int, string)
	uploads *[]string
	mu      *sync.Mutex
	// link fails the way to the node, put an upload, step a script without a code.
	link      func(script string) error
	put, step error
}

func (n fakeNode) way(script string) error {
	if n.link == nil {
		return nil
	}
	if err := n.link(script); err != nil {
		return &remote.LinkError{Err: err, Begun: true}
	}
	return nil
}

func (n fakeNode) Run(_ context.Context, cmd remote.Command) (int, error) {
	if cmd.Script == ":" || n.exit != nil {
		if err := n.way(cmd.Script); err != nil {
			return -1, err
		}
	}
	if n.exit == nil || cmd.Script == ":" { // asks whether commands run at all
		return 0, nil
	}
	code, out := n.exit(n.rank, cmd.Script)
	_, err := cmd.Stdout.Write([]byte(out))
	return code, err
}

func (n fakeNode) RunStep(ctx context.Context, step *remote.Step) (int, error) {
	if err := cmp.Or(n.way(step.Script), n.step); err != nil {
		return -1, err
	}
	return n.Run(ctx, step.Command)
}

func (n fakeNode) PutTree(_ context.Context, src, dest string, _ ...string) error {
	if n.put != nil {
		return n.put
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	*n.uploads = append(*n.uploads, fmt.Sprintf("%d %s %s", n.rank, filepath.Base(src), dest))
	return nil
}
func (n fakeNode) Close() error { return nil }

// bench is a broker on a fake cloud.
type bench struct {
	*Broker
	cloud   *memcloud.Cloud
	uploads []string
	mu      sync.Mutex
	exit    func(rank int, script string) (int, string)
	dialErr func(target remote.Target) error
	// linkErr fails the way to a node, for a script; putErr uploads, stepErr
	// scripts, for what they are.
	linkErr         func(script string) error
	putErr, stepErr error
}

// newBench returns a broker over state dir; a second one on the same dir and
// cloud stands for the next run of the provider.
func newBench(t *testing.T, dir string, fc *memcloud.Cloud) *bench {
	t.Helper()
	registry, err := cloud.NewRegistry(forgetful(fc))
	if err != nil {
		t.Fatal(err)
	}
	templates := t.TempDir()
	if err := os.WriteFile(filepath.Join(templates, "nimbus.yaml.tmpl"), []byte("ssh_user: ubuntu\nuser_data: {{ .HostKey.Private | quote }}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := New(Config{
		StateDir: dir, Home: "/home/me/project (default)", Registry: registry, TemplateDir: templates,
		Credentials: func(string) cloud.Credentials { return cloud.Credentials{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	x := &bench{Broker: b, cloud: fc}
	b.dial = func(_ context.Context, target remote.Target, _ []ssh.Signer) (nodes.Node, error) {
		if x.dialErr != nil {
			if err := x.dialErr(target); err != nil {
				return nil, err
			}
		}
		return fakeNode{rank: x.rankOf(target.Host), exit: x.exit, uploads: &x.uploads, mu: &x.mu, link: x.linkErr, put: x.putErr, step: x.stepErr}, nil
	}
	return x
}

func (x *bench) rankOf(host string) int {
	x.cloud.Mu.Lock()
	defer x.cloud.Mu.Unlock()
	for _, m := range x.cloud.Machines {
		if m.ExternalIP == host {
			return m.Identity.Rank
		}
	}
	return -1
}

// stateDir is a private folder.
func stateDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// newFakeCloud is prompt, once a machine has booted.
func newFakeCloud() *memcloud.Cloud {
	world := memcloud.New()
	world.Reticent, world.Loose = true, true
	world.Boot, world.Going, world.Stopping = 30*time.Second, 0, 0
	world.Means = map[error]cloud.Fault{
		errCapacity: {Kind: cloud.KindCapacity, Scope: cloud.ScopeZone},
		errServer:   {Kind: cloud.KindTransient, Scope: cloud.ScopeRegion},
		errDenied:   {Kind: cloud.KindAuth, Scope: cloud.ScopeCloud},
	}
	return world
}

// twoNodes asks for two nodes; zone a is cheaper than b, and b than c.
func twoNodes(name string) Spec {
	offer := func(zone string, price float64) cloud.Offer {
		return cloud.Offer{
			Cloud: "nimbus", Region: "r1", Zone: zone, Market: cloud.OnDemand, HourlyUSD: price,
			InstanceType: cloud.InstanceType{Name: "gpu-8", VCPUs: 8, MemoryGiB: 32, Accelerator: cloud.Accelerator{Name: "A100", Count: 1}},
		}
	}
	return Spec{
		Name: name, OnSetupFailure: SetupFailureDestroy,
		Offers: []cloud.Offer{offer("r1b", 2), offer("r1a", 1), offer("r1c", 3)},
		Request: optimizer.Request{
			Nodes: 2, Alternatives: []cloud.Requirement{{Accelerators: []cloud.Accelerator{{Name: "A100", Count: 1}}}},
		},
	}
}

// What tests ask of the folder of a cluster of the bench's own.

func (x *bench) ClusterDir(name string) string { return x.folder(name).Path() }

func (x *bench) withJournal(name string, use func(*journal.Journal) error) error {
	return x.folder(name).WithJournal(use)
}

func (x *bench) known(name string) *journal.Journal { return x.folder(name).Known() }

func (x *bench) lockCluster(ctx context.Context, name, doing string) (func(), error) {
	return x.folder(name).Lock(ctx, doing)
}

func (x *bench) lockOrGoOn(ctx context.Context, name, doing string) (func(), error) {
	return x.folder(name).LockOrGoOn(ctx, doing)
}

func (x *bench) KnownHostsPath(name string) string { return x.folder(name).KnownHostsPath() }

func (x *bench) SSHConfigPath(name string) string { return x.folder(name).SSHConfigPath() }

func (x *bench) writeSSHFiles(c cluster.Cluster) error { return x.folderOf(c).WriteSSHFiles(c) }

func (x *bench) collector() gc.Collector { return gc.Collector{Down: x.down()} }

func (x *bench) GC(ctx context.Context, opts gc.Options) (gc.Report, error) {
	return x.collector().Collect(ctx, opts)
}

// addMachine makes a machine that runs, behind the broker's back; no timer ends it.
func addMachine(fc *memcloud.Cloud, id cloud.Identity, region, zone string, deadline time.Time) *memcloud.Machine {
	m := fc.Add(id, cloud.Placement{Offer: cloud.Offer{Region: region, Zone: zone}}, deadline, 0)
	m.Runs, m.Jammed = m.Exists, true
	return m
}

// forgetful opens a cloud with a driver that knows what lists show.
func forgetful(fc *memcloud.Cloud) memcloud.Factory {
	return memcloud.Factory{Cloud: fc, Driver: func() *memcloud.Driver { return &memcloud.Driver{Cloud: fc, Forgetful: true} }}
}
