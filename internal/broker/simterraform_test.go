// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker/gc"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

const (
	canary    = "canary-4711-secret"
	simName   = "sim"
	simOwner  = "sky-me"
	simZone   = "r1a" // the cheapest, tried first
	setupTime = 20 * time.Second
)

// simTerraform behaves as Terraform's core does to a provider: it keeps the
// state of one resource, saves what Create returns and nothing before, taints
// what came with an error, and forgets the result of a process that died.
type simTerraform struct {
	t       *testing.T
	cloud   *memcloud.Cloud
	rng     *rand.Rand
	dir     string
	spec    Spec
	state   *cluster.Cluster
	tainted bool
	resume  chan struct{}
	began   time.Time
	// process is the present run; cancel interrupts it as Ctrl-C does.
	process *memcloud.Process
	cancel  context.CancelFunc
	// arm prepares the process of the next run.
	arm       func(*memcloud.Process)
	setupExit int
	// full is the disk: entries whose event begins so are refused. nil is room.
	full   *journal.Event
	errors []error
	// steps are when setup scripts began, and setups how many did, by host.
	steps  map[*remote.Step]time.Time
	setups map[string]int
	// mostSetups is how often setup may begin on one machine.
	mostSetups int
	// running are the goroutines of all processes, the dead ones' too.
	running sync.WaitGroup
}

// newSimTerraform returns a world with neighbours. It must run in a bubble.
func newSimTerraform(t *testing.T, seed uint64) *simTerraform {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	world := memcloud.New()
	world.Caps.StopSpot = true
	world.Hide = time.Duration(rng.IntN(8000)) * time.Millisecond
	world.Boot = time.Duration(10+rng.IntN(50)) * time.Second
	x := &simTerraform{t: t, cloud: world, rng: rng, dir: memoryDir(t), resume: make(chan struct{}), began: time.Now(),
		steps: map[*remote.Step]time.Time{}, setups: map[string]int{}, mostSetups: 1}
	x.spec = twoNodes(simName)
	x.spec.Envs = map[string]string{"API_TOKEN": canary}
	x.spec.Setup, x.spec.Workdir = "install things", "/home/me/code"
	far := x.spec.Offers[2]
	far.Region, far.Zone, far.HourlyUSD = "r2", "r2a", 4
	x.spec.Offers = append(x.spec.Offers, far)
	for _, n := range neighbours() {
		x.cloud.Add(n, cloud.Placement{Offer: x.spec.Offers[1]}, time.Time{}, 0)
	}
	x.cloud.Watch = x.beforeCreate
	x.cloud.Launched = 0
	return x
}

// memoryDir is a private folder in memory where there is one: the matrix
// flushes to the disk thousands of times.
func memoryDir(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp("/dev/shm", "sky-faults-") //nolint:usetesting // in memory, not where TMPDIR is
	if err != nil {
		return stateDir(t)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	dir := filepath.Join(root, "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// neighbours are machines that nothing here may touch: somebody else's of the
// same name and generation, and our own of names that read alike.
func neighbours() []cloud.Identity {
	return []cloud.Identity{
		{Owner: "somebody-else", Cluster: simName, Generation: "abcdef", Attempt: 1},
		{Owner: simOwner, Cluster: "Sim", Generation: "abc1", Attempt: 1},
		{Owner: simOwner, Cluster: "sim-", Generation: "abc2", Attempt: 1},
		{},
	}
}

func (x *simTerraform) home() string { return "/home/me/project (default)" }

// broker is the provider of one run.
func (x *simTerraform) broker(p *memcloud.Process) *Broker {
	driver := &memcloud.Driver{Cloud: x.cloud, Process: p, Owner: simOwner, Cluster: simName, Forgetful: true}
	registry, err := cloud.NewRegistry(memcloud.Factory{Cloud: x.cloud, Driver: func() *memcloud.Driver { return driver }})
	if err != nil {
		x.t.Fatal(err)
	}
	templates := filepath.Join(x.dir, "..", "templates")
	err = os.MkdirAll(templates, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(templates, "nimbus.yaml.tmpl"), []byte("ssh_user: ubuntu\nuser_data: {{ .HostKey.Private | quote }}\n"), 0o600)
	}
	if err != nil {
		x.t.Fatal(err)
	}
	b, err := New(Config{
		StateDir: x.dir, Owner: simOwner, Home: x.home(), Registry: registry, TemplateDir: templates,
		Credentials: func(string) cloud.Credentials { return cloud.Credentials{} },
	})
	if err != nil {
		x.t.Fatal(err)
	}
	b.hooks.Append = func(line []byte) error { return x.beforeAppend(p, line) }
	b.dial = func(ctx context.Context, target remote.Target, _ []ssh.Signer) (nodes.Node, error) {
		return x.dial(ctx, driver, target)
	}
	return b
}

// beforeAppend is where the disk fills and the process dies in the midst of a
// line.
func (x *simTerraform) beforeAppend(p *memcloud.Process, line []byte) error {
	if p.Torn {
		old := p.OnKill
		p.OnKill = func() {
			if old != nil {
				old()
			}
			f, err := os.OpenFile(filepath.Join(x.clusterDir(), "journal.jsonl"), os.O_APPEND|os.O_WRONLY, 0o600)
			if err == nil {
				_, err = f.Write(line[:len(line)/2])
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				x.t.Error(err)
			}
		}
		defer func() { p.OnKill = old }()
	}
	if err := p.Point("journal"); err != nil {
		return err
	}
	// An event by its beginning: "c" is created, committing and committed.
	if x.full != nil && strings.Contains(string(line), `"event":"`+string(*x.full)) {
		return errors.New("no space left on device")
	}
	return nil
}

func (x *simTerraform) clusterDir() string {
	return statedir.Dir{Path: x.dir}.Cluster(simOwner, simName).Path()
}

// spoil puts a folder where a file for SSH is to be.
func (x *simTerraform) spoil() {
	if err := os.MkdirAll(filepath.Join(x.clusterDir(), "known_hosts", "x"), 0o700); err != nil {
		x.t.Error(err)
	}
}

// simNode is a machine over SSH. It answers as long as the machine lives.
type simNode struct {
	x    *simTerraform
	c    *memcloud.Client
	host string
}

func (x *simTerraform) dial(ctx context.Context, d *memcloud.Driver, target remote.Target) (nodes.Node, error) {
	n := simNode{x: x, c: d.At("ssh"), host: target.Host}
	for {
		err := n.c.Call(ctx, "dial", n.zone(), func(*memcloud.Fault) error { return n.up() })
		if err == nil {
			return n, nil
		}
		if !errors.Is(err, memcloud.ErrTimeout) {
			return nil, err
		}
		if perr := retry.Pause(ctx, 2*time.Second); perr != nil {
			return nil, errors.Join(perr, err)
		}
	}
}

// machine is what listens at the host; the caller holds no lock.
func (n simNode) zone() string {
	n.c.Mu.Lock()
	defer n.c.Mu.Unlock()
	for _, m := range n.c.Machines {
		if m.ExternalIP == n.host {
			return m.Zone
		}
	}
	return ""
}

// up fails where nobody answers; the caller holds the lock.
func (n simNode) up() error {
	for _, m := range n.c.Machines {
		if m.ExternalIP == n.host && m.Alive(time.Now()) && m.Gone.IsZero() && m.StoppedAt.IsZero() && !time.Now().Before(m.Runs) && !time.Now().Before(m.CutUntil) {
			return nil
		}
	}
	return memcloud.ErrTimeout
}

// call is a call over the connection, which is lost where the machine is silent.
func (n simNode) call(ctx context.Context, phase, op string, apply func() error) error {
	c := &memcloud.Client{Cloud: n.c.Cloud, Process: n.c.Process, Owner: n.c.Owner, Cluster: n.c.Cluster, Phase: phase}
	err := c.Call(ctx, op, n.zone(), func(*memcloud.Fault) error { return errors.Join(n.up(), apply()) })
	if errors.Is(err, memcloud.ErrTimeout) {
		return &remote.LinkError{Err: err, Begun: true}
	}
	return err
}

func nothing() error { return nil }

func (n simNode) Run(ctx context.Context, cmd remote.Command) (int, error) {
	if cmd.Script == ":" {
		return 0, n.call(ctx, "ssh", "probe", nothing)
	}
	return 0, n.call(ctx, "setup", "ask", nothing) // a question for the head's jobs
}

// RunStep is the user's setup. It begins once on a machine, and goes on by itself.
func (n simNode) RunStep(ctx context.Context, step *remote.Step) (int, error) {
	if step.Env["API_TOKEN"] != canary {
		n.x.t.Error("the setup script does not see the user's variables")
	}
	err := n.call(ctx, "setup", "run", func() error {
		if n.x.steps[step] == (time.Time{}) {
			n.x.steps[step] = time.Now()
			if n.x.setups[n.host]++; n.x.setups[n.host] > n.x.mostSetups {
				n.x.t.Errorf("setup was started %d times on one machine", n.x.setups[n.host])
			}
		}
		return nil
	})
	if err == nil {
		n.c.Mu.Lock()
		left := time.Until(n.x.steps[step].Add(setupTime))
		n.c.Mu.Unlock()
		err = retry.Pause(ctx, max(left, 0))
	}
	code := 0
	if err == nil {
		err = n.call(ctx, "setup", "exit", func() error {
			code = n.x.setupExit
			return nil
		})
	}
	return code, err
}

func (n simNode) PutTree(ctx context.Context, _, _ string, _ ...string) error {
	return n.call(ctx, "setup", "put", nothing)
}

func (n simNode) Close() error { return nil }

// beforeCreate checks what must be on the disk before a machine is made. It
// runs under the cloud's lock.
func (x *simTerraform) beforeCreate(id cloud.Identity) {
	if _, err := remote.LoadSigner(filepath.Join(x.clusterDir(), id.Generation, "id_ed25519"), nil); err != nil {
		x.t.Errorf("invariant 4: a create call before its key is on the disk: %v", err)
	}
	j, err := journal.Read(x.clusterDir())
	if err != nil {
		x.t.Errorf("invariant 1: %v", err)
		return
	}
	g := j.Find(id.Generation)
	if g == nil || !slices.ContainsFunc(g.Places, func(p journal.Place) bool { return p.Attempt == id.Attempt && !p.Removed }) {
		x.t.Errorf("invariant 1: a create call of %+v that the journal does not announce", id)
	}
}

// run is one run of the provider. save, if the process lives, becomes what
// Terraform saves. It reports whether the process was killed.
func (x *simTerraform) run(action func(context.Context, *Broker) (save func(), err error)) (killed bool, err error) {
	p := memcloud.NewProcess(x.resume)
	p.OnKill = func() { // the kernel frees what the dead held
		locks, _ := filepath.Glob(filepath.Join(x.dir, "clusters", "*", "lock"))
		for _, l := range locks {
			if err := os.Remove(l); err != nil {
				x.t.Error(err)
			}
		}
	}
	x.process = p
	if x.arm != nil {
		x.arm(p)
		x.arm = nil
	}
	b := x.broker(p)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	x.cancel = cancel
	type result struct {
		save func()
		err  error
	}
	done := make(chan result, 1)
	x.running.Go(func() {
		save, err := action(ctx, b)
		done <- result{save, err}
	})
	select {
	case r := <-done:
		if r.save != nil {
			r.save()
		}
		if r.err != nil {
			x.errors = append(x.errors, r.err)
		}
		return false, r.err
	case <-p.Died:
		return true, nil
	}
}

// apply makes the world as configured.
func (x *simTerraform) apply() (killed bool, err error) {
	state, tainted := x.state, x.tainted
	return x.run(func(ctx context.Context, b *Broker) (func(), error) {
		save := func() { x.state, x.tainted = state, tainted }
		if state != nil {
			fresh, err := b.Refresh(ctx, *state)
			switch {
			case errors.Is(err, cluster.ErrGone):
				state, tainted = nil, false
			case err != nil:
				return nil, err
			default:
				state = &fresh
			}
		}
		if state != nil && tainted {
			if err := b.NoteReplacement(ctx, simName); err != nil {
				return save, err
			}
			if err := b.Destroy(ctx, *state); err != nil {
				return save, err
			}
			state, tainted = nil, false
		}
		if state != nil {
			return save, nil
		}
		c, err := b.Launch(ctx, x.spec)
		if c.Generation != "" {
			state, tainted = &c, err != nil
		}
		return save, err
	})
}

func (x *simTerraform) destroy() (killed bool, err error) {
	if x.state == nil {
		return false, nil
	}
	c := *x.state
	return x.run(func(ctx context.Context, b *Broker) (func(), error) {
		if err := b.Destroy(ctx, c); err != nil {
			return nil, err
		}
		return func() { x.state, x.tainted = nil, false }, nil
	})
}

func (x *simTerraform) read() (killed bool, err error) {
	c := *x.state
	return x.run(func(ctx context.Context, b *Broker) (func(), error) {
		fresh, err := b.Refresh(ctx, c)
		if errors.Is(err, cluster.ErrGone) {
			return func() { x.state = nil }, nil
		}
		if err != nil {
			if !reflect.DeepEqual(fresh, c) {
				x.t.Errorf("a read that failed changed the cluster: %+v", fresh)
			}
			return nil, err
		}
		return func() { x.state = &fresh }, nil
	})
}

func (x *simTerraform) stop() (killed bool, err error) {
	c := *x.state
	return x.run(func(ctx context.Context, b *Broker) (func(), error) {
		fresh, err := b.Stop(ctx, c)
		return func() { x.state = &fresh }, err
	})
}

// resize brings the cluster to that many nodes.
func (x *simTerraform) resize(nodes int) (killed bool, err error) {
	c := *x.state
	return x.run(func(ctx context.Context, b *Broker) (func(), error) {
		fresh, err := b.Resize(ctx, c, x.spec, nodes)
		return func() { x.state = &fresh }, err
	})
}

// mine are the living machines of the cluster.
func (x *simTerraform) mine() []cloud.Instance {
	return slices.DeleteFunc(x.cloud.Of(simOwner), func(i cloud.Instance) bool {
		return i.Identity.Cluster != simName || i.State == cloud.StateTerminating
	})
}

// check asserts what holds at any time.
func (x *simTerraform) check(when string) {
	x.t.Helper()
	j, err := journal.Read(x.clusterDir())
	if err != nil {
		x.t.Errorf("%s: the journal: %v", when, err)
		return
	}
	committed := map[string]bool{}
	for _, in := range x.mine() {
		if in.Committed {
			committed[in.Identity.Generation] = true
		}
		inState := x.state != nil && (slices.Contains(x.state.InstanceIDs(), in.ID) || x.state.Generation == in.Identity.Generation)
		g := j.Find(in.Identity.Generation)
		inJournal := g != nil && slices.ContainsFunc(g.AllPlaces(), func(p journal.Place) bool {
			return p.Ref.Region == in.Region && (p.Ref.Zone == "" || p.Ref.Zone == in.Zone)
		})
		if !inState && !inJournal {
			x.t.Errorf("%s: invariant 1: machine %s (%+v) is in no state and in no journal", when, in.ID, in.Identity)
		}
		if !inState && !in.Committed && in.Deadline.IsZero() {
			x.t.Errorf("%s: machine %s is not committed and has no dead-man timer", when, in.ID)
		}
	}
	if len(committed) > 1 {
		x.t.Errorf("%s: invariant 2: %d complete generations are alive", when, len(committed))
	}
	x.checkNeighbours(when)
}

func (x *simTerraform) checkNeighbours(when string) {
	x.t.Helper()
	for _, n := range neighbours() {
		if !slices.ContainsFunc(x.cloud.Of(n.Owner), func(i cloud.Instance) bool { return i.Identity == n }) {
			x.t.Errorf("%s: invariant 8: the neighbour %+v is gone", when, n)
		}
	}
}

// recover is what a user does next: apply until it works, and in the end
// destroy. It asserts that every machine is accounted for, and then that
// nothing is left.
func (x *simTerraform) recover() {
	x.t.Helper()
	x.cloud.Mu.Lock()
	x.setupExit, x.full = 0, nil
	x.cloud.Faults, x.cloud.Expired = nil, false
	x.cloud.Mu.Unlock()
	if info, err := os.Stat(filepath.Join(x.clusterDir(), "known_hosts")); err == nil && info.IsDir() {
		if err := os.RemoveAll(filepath.Join(x.clusterDir(), "known_hosts")); err != nil {
			x.t.Fatal(err)
		}
	}
	var err error
	for range 3 {
		if _, err = x.apply(); err == nil {
			break
		}
	}
	if err != nil || x.state == nil {
		x.t.Fatalf("the recovery apply: %v", err)
	}
	x.check("after the recovery apply")
	var want []string
	for _, n := range x.state.Nodes {
		if n.State != cloud.StateTerminated {
			want = append(want, n.InstanceID)
		}
	}
	var extra []string
	for _, in := range x.mine() {
		if i := slices.Index(want, in.ID); i >= 0 {
			want = slices.Delete(want, i, i+1)
		} else if in.Committed || (in.Identity.Generation != x.state.Generation && !x.cloud.Mistake(in.ID)) {
			extra = append(extra, in.ID)
		}
	}
	if len(want)+len(extra) > 0 {
		x.t.Errorf("after the recovery apply: state has %v that do not live, and %v live that state does not have", want, extra)
	}
	for _, in := range x.mine() {
		if slices.Contains(x.state.InstanceIDs(), in.ID) && !in.Deadline.IsZero() {
			x.t.Errorf("after the recovery apply: state has %s, which will end itself at %s", in.ID, in.Deadline)
		}
	}
	listed := x.listed()
	if _, err := x.destroy(); err != nil {
		x.t.Fatalf("the recovery destroy: %v", err)
	}
	for _, in := range x.mine() {
		if slices.Contains(listed, in.ID) {
			x.t.Errorf("invariant 6: the destroy left %s, which was there to be seen", in.ID)
		}
	}
	if took := time.Since(x.began); took > 5*time.Hour {
		x.t.Errorf("invariant 7: took %s of virtual time", took)
	}
	if err := retry.Pause(x.t.Context(), 4*time.Second); err != nil {
		x.t.Fatal(err)
	}
	x.checkNothingLeft()
}

// listed are the living machines of the cluster that a list shows.
func (x *simTerraform) listed() []string {
	x.cloud.Mu.Lock()
	defer x.cloud.Mu.Unlock()
	var ids []string
	for _, m := range x.cloud.Machines {
		if m.Identity.Owner == simOwner && m.Identity.Cluster == simName && m.Alive(time.Now()) && !time.Now().Before(m.Visible) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

func (x *simTerraform) checkNothingLeft() {
	x.t.Helper()
	x.collect()
	if left := x.mine(); len(left) > 0 {
		x.t.Errorf("invariant 6: %d machines are left, %+v first", len(left), left[0])
	}
	if left := x.cloud.GroupsOf(simOwner); len(left) > 0 {
		x.t.Errorf("invariant 6: firewalls or keys are left: %+v", left)
	}
	x.cloud.Mu.Lock()
	if len(x.cloud.Duplicates) > 0 {
		x.t.Errorf("duplicate launches: %v", x.cloud.Duplicates)
	}
	x.cloud.Mu.Unlock()
	x.checkNeighbours("in the end")
	entries, err := os.ReadDir(x.clusterDir())
	if err != nil {
		x.t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() || e.Name() == "known_hosts" {
			x.t.Errorf("invariant 6: %s is left in the cluster's folder", e.Name())
		}
	}
	x.checkCanaries()
}

// collect has gc remove what the cloud made without telling, if anything of it
// came after the destroy.
func (x *simTerraform) collect() {
	x.t.Helper()
	left := x.mine()
	if !slices.ContainsFunc(left, func(i cloud.Instance) bool { return x.cloud.Mistake(i.ID) }) {
		return
	}
	if err := retry.Pause(x.t.Context(), 10*time.Second); err != nil { // until lists show it
		x.t.Fatal(err)
	}
	_, err := x.run(func(ctx context.Context, b *Broker) (func(), error) {
		report, err := gc.Collector{Down: b.down()}.Collect(ctx, gc.Options{Delete: true})
		return nil, errors.Join(err, report.Failure())
	})
	if err != nil {
		x.t.Errorf("gc: %v", err)
	}
}

// checkCanaries looks for secrets in every file and every error.
func (x *simTerraform) checkCanaries() {
	x.t.Helper()
	secrets := []string{canary, "PRIVATE KEY"}
	for _, err := range x.errors {
		for _, s := range secrets {
			if strings.Contains(err.Error(), s) {
				x.t.Errorf("invariant 5: an error holds a secret: %v", err)
			}
		}
	}
	err := filepath.WalkDir(x.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, s := range secrets {
			if strings.Contains(string(text), s) {
				x.t.Errorf("invariant 5: %s holds a secret", path)
			}
		}
		return err
	})
	if err != nil {
		x.t.Error(err)
	}
}

// counts is what cells did, summed up.
type counts struct{ cells, failed, launched, leaked, duplicates int }

// add takes a finished cell in.
func (c *counts) add(x *simTerraform, ok bool) {
	c.cells++
	if !ok {
		c.failed++
	}
	if x == nil {
		return
	}
	left := x.mine()
	x.cloud.Mu.Lock()
	defer x.cloud.Mu.Unlock()
	c.launched += x.cloud.Launched
	c.duplicates += len(x.cloud.Duplicates)
	c.leaked += len(left)
}

// String is the line that make test-faults adds up.
func (c counts) String() string {
	return fmt.Sprintf("COUNTS cells run %d, failed %d, machines launched %d, machines leaked %d, duplicate launches %d",
		c.cells, c.failed, c.launched, c.leaked, c.duplicates)
}

// end lets the goroutines of dead processes go.
func (x *simTerraform) end() {
	close(x.resume)
	x.running.Wait()
}
