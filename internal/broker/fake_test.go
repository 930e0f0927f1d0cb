// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker/gc"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// The broker's tests run on a cloud that lives in memory and in the clock of
// testing/synctest. It keeps state, hides new machines for a while, loses
// answers and refuses calls, as told.

var (
	errCapacity = errors.New("no capacity here")
	errServer   = errors.New("503 service unavailable")
	errDenied   = errors.New("401 key expired")
)

// fakeFault makes the matching calls fail. Zone "" matches any.
type fakeFault struct {
	op, zone string
	skip     int
	times    int // 0 means always
	err      error
	applied  bool // the call takes effect although it fails
	hook     func()
}

type fakeMachine struct {
	cloud.Instance
	visibleAt time.Time
}

type fakeCloud struct {
	mu       sync.Mutex
	account  string
	machines []*fakeMachine
	faults   []*fakeFault
	delay    time.Duration // before a new machine is listed
	boot     time.Duration
	calls    []string
	onRun    func(cloud.RunConfig)
	// things are keys and rules, which nothing but a test makes.
	things []cloud.Thing
	serial int
}

func (f *fakeCloud) Name() string { return "nimbus" }

func (f *fakeCloud) Capabilities() cloud.Capabilities {
	return cloud.Capabilities{
		Stop: true, Spot: true, MultiNode: true, PortsLater: true, PortsLaunch: true, UserData: true,
		CustomImage: true, CustomDisk: true, Labels: true, DeadMan: true,
	}
}
func (f *fakeCloud) Options() []cloud.Option { return nil }

func (f *fakeCloud) Open(context.Context, cloud.Credentials) (cloud.Session, error) {
	if err := f.fault("open", ""); err != nil {
		return cloud.Session{}, err
	}
	return cloud.Session{Provisioner: f, Account: f.account}, nil
}

// fault returns the error of the first fault that matches. applied faults are
// left to the call itself.
func (f *fakeCloud) fault(op, zone string) error {
	err, _ := f.take(op, zone)
	return err
}

func (f *fakeCloud) take(op, zone string) (err error, applied bool) { //nolint:revive // error first reads better here
	f.mu.Lock()
	f.calls = append(f.calls, op+" "+zone)
	var hit *fakeFault
	for _, x := range f.faults {
		if x.op != op || (x.zone != "" && x.zone != zone) || x.times < 0 {
			continue
		}
		if x.skip > 0 {
			x.skip--
			continue
		}
		if x.times == 1 {
			x.times = -1
		} else if x.times > 1 {
			x.times--
		}
		hit = x
		break
	}
	f.mu.Unlock()
	if hit == nil {
		return nil, false
	}
	if hit.hook != nil {
		hit.hook()
	}
	return hit.err, hit.applied
}

func (f *fakeCloud) Bootstrap(_ context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	return cloud.RunConfig{Spec: spec, Placement: at}, f.fault("bootstrap", at.Offer.Zone)
}

func (f *fakeCloud) Run(_ context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig) (cloud.RunRecord, error) {
	if f.onRun != nil {
		f.onRun(cfg)
	}
	err, applied := f.take("run", ref.Zone)
	if err != nil && !applied {
		return cloud.RunRecord{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var rec cloud.RunRecord
	for _, n := range cfg.Spec.Nodes {
		if i := slices.IndexFunc(f.machines, func(m *fakeMachine) bool { return m.Identity == n.Identity }); i >= 0 {
			m := f.machines[i]
			m.mark(cfg.Spec)
			if m.State == cloud.StateStopped {
				f.serial++
				m.State, m.ExternalIP = cloud.StateRunning, fmt.Sprintf("192.0.2.%d", f.serial)
				rec.Resumed = append(rec.Resumed, m.ID)
				continue
			}
			rec.Adopted = append(rec.Adopted, m.ID)
			continue
		}
		m := f.add(n.Identity, ref.Region, ref.Zone, cfg.Spec.Deadline)
		m.Type, m.Market = cfg.Placement.Offer.InstanceType.Name, cfg.Placement.Offer.Market
		m.mark(cfg.Spec)
		rec.Created = append(rec.Created, m.ID)
	}
	if err != nil {
		return cloud.RunRecord{}, err
	}
	return rec, nil
}

// mark brings the reserved tags up to date.
func (m *fakeMachine) mark(spec cloud.ClusterSpec) {
	marks := spec.Marks(m.Identity)
	m.HostKey = cmp.Or(marks[cloud.TagHostKey], m.HostKey)
	if notes := cloud.NotesFromTags(marks); len(notes) > 0 {
		m.Notes = notes
	}
}

func (f *fakeCloud) add(id cloud.Identity, region, zone string, deadline time.Time) *fakeMachine {
	f.serial++
	m := &fakeMachine{Instance: cloud.Instance{
		ID: fmt.Sprintf("i-%d", f.serial), Identity: id, Region: region, Zone: zone, State: cloud.StateRunning,
		CreatedAt: time.Now(), Deadline: deadline, InternalIP: fmt.Sprintf("10.0.0.%d", f.serial),
		ExternalIP: fmt.Sprintf("192.0.2.%d", f.serial), SSHPort: 22,
	}, visibleAt: time.Now().Add(f.delay)}
	f.machines = append(f.machines, m)
	return m
}

func (f *fakeCloud) Wait(ctx context.Context, ref cloud.ClusterRef, _ cloud.State) error {
	if err := f.fault("wait", ref.Zone); err != nil {
		return err
	}
	return retry.Pause(ctx, f.boot)
}

func (f *fakeCloud) Describe(_ context.Context, ref cloud.ClusterRef) (cloud.ClusterInfo, error) {
	if err := f.fault("describe", ref.Zone); err != nil {
		return cloud.ClusterInfo{}, err
	}
	found := f.list(ref)
	if len(found) == 0 {
		return cloud.ClusterInfo{}, cloud.ErrNotFound
	}
	return cloud.ClusterInfo{Instances: found, SSHUser: "ubuntu"}, nil
}

func (f *fakeCloud) Query(_ context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	if err := f.fault("query", ref.Zone); err != nil {
		return nil, err
	}
	return f.list(ref), nil
}

func (f *fakeCloud) list(ref cloud.ClusterRef) []cloud.Instance {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []cloud.Instance
	for _, m := range f.machines {
		byID := slices.Contains(ref.Instances, m.ID)
		if ref.Matches(m.Identity, m.Region, m.Zone) && (byID || (ref.Instances == nil && !time.Now().Before(m.visibleAt))) {
			out = append(out, m.Instance)
		}
	}
	return out
}

func (f *fakeCloud) Commit(_ context.Context, ref cloud.ClusterRef) error {
	err, applied := f.take("commit", ref.Zone)
	if err != nil && !applied {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.machines {
		if ref.Matches(m.Identity, m.Region, m.Zone) {
			m.Committed, m.Deadline = true, time.Time{}
		}
	}
	return err
}

func (f *fakeCloud) Stop(_ context.Context, ref cloud.ClusterRef) error {
	if err := f.fault("stop", ref.Zone); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.machines {
		if ref.Matches(m.Identity, m.Region, m.Zone) && (ref.Instances == nil || slices.Contains(ref.Instances, m.ID)) {
			m.State, m.ExternalIP = cloud.StateStopped, ""
		}
	}
	return nil
}

func (f *fakeCloud) Terminate(_ context.Context, ref cloud.ClusterRef) error {
	err, applied := f.take("terminate", ref.Zone)
	if err != nil && !applied {
		return err
	}
	doomed := f.list(ref)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.machines = slices.DeleteFunc(f.machines, func(m *fakeMachine) bool {
		return slices.ContainsFunc(doomed, func(i cloud.Instance) bool { return i.ID == m.ID })
	})
	if ref.Instances == nil { // disks that outlived their machines
		f.dropThings(ref, func(t cloud.Thing) bool { return t.Kind == cloud.ThingDisk })
	}
	return err
}

func (f *fakeCloud) dropThings(ref cloud.ClusterRef, which func(cloud.Thing) bool) {
	f.things = slices.DeleteFunc(f.things, func(t cloud.Thing) bool {
		return which(t) && ref.Owner == t.Ref.Owner && (ref.Cluster == "" || ref.Cluster == t.Ref.Cluster) && (ref.Generation == "" || ref.Generation == t.Ref.Generation)
	})
}

func (f *fakeCloud) OpenPorts(_ context.Context, ref cloud.ClusterRef, _ cloud.RunConfig, _ []cloud.PortRange) error {
	return f.fault("ports", ref.Zone)
}

func (f *fakeCloud) CleanupPorts(_ context.Context, ref cloud.ClusterRef) error {
	if err := f.fault("cleanup", ref.Zone); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropThings(ref, func(t cloud.Thing) bool { return t.Kind != cloud.ThingDisk })
	return nil
}

// Survey shows the things, and once there are any the machines, too.
func (f *fakeCloud) Survey(_ context.Context, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	if err := f.fault("survey", ref.Zone); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []cloud.Thing
	add := func(t cloud.Thing) {
		if shown, ok := ref.ThingOf(t.Kind, t.ID, t.Name, t.Ref.Tags(), t.Ref.Region); ok {
			shown.CreatedAt, shown.Committed = t.CreatedAt, t.Committed
			out = append(out, shown)
		}
	}
	for _, t := range f.things {
		add(t)
	}
	for _, m := range f.machines {
		if len(f.things) > 0 {
			id := m.Identity
			add(cloud.Thing{
				Kind: cloud.ThingMachine, ID: m.ID, CreatedAt: m.CreatedAt, Committed: m.Committed,
				Ref: cloud.ClusterRef{Owner: id.Owner, Cluster: id.Cluster, Generation: id.Generation, Region: m.Region},
			})
		}
	}
	return out, nil
}

func (f *fakeCloud) Classify(err error) cloud.Fault {
	switch {
	case errors.Is(err, errCapacity):
		return cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}
	case errors.Is(err, errServer):
		return cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeRegion}
	case errors.Is(err, errDenied):
		return cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}
	}
	return cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
}

// live returns the owner's living machines.
func (f *fakeCloud) live(owner string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []string
	for _, m := range f.machines {
		if m.Identity.Owner == owner {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// called counts the calls of an operation.
func (f *fakeCloud) called(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if strings.HasPrefix(c, op+" ") {
			n++
		}
	}
	return n
}

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
	cloud   *fakeCloud
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
func newBench(t *testing.T, dir string, fc *fakeCloud) *bench {
	t.Helper()
	registry, err := cloud.NewRegistry(fc)
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
	x.cloud.mu.Lock()
	defer x.cloud.mu.Unlock()
	for _, m := range x.cloud.machines {
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

func newFakeCloud() *fakeCloud { return &fakeCloud{account: "acct-1", boot: 30 * time.Second} }

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
