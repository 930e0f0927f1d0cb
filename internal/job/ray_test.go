// SPDX-License-Identifier: MPL-2.0

//go:build ray && linux

package job_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
	"github.com/skybroker/terraform-provider-sky/internal/script"
)

const rayVersion = "2.60.0"

// TestRay is the suite in the ray runtime: real Ray on machines with addresses,
// homes and OpenSSH servers of their own.
func TestRay(t *testing.T) {
	lab := newRayLab(t)
	for _, tt := range slices.Concat(suite(), raySuite()) {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.test(t, lab.fleet)
		})
	}
}

// rayLab keeps the clusters that tests are given one after the other, one of
// each size: starting Ray takes longer than most tests.
type rayLab struct {
	t      testing.TB
	python string
	script []byte
	net    *remotetest.Net
	fleets [4]rayFleet // by size
}

type rayFleet struct {
	sync.Mutex // held by the test that uses it
	nodes      []*rayNode
	spec       cluster.Cluster
	signer     ssh.Signer
}

// rayNode is a machine with Ray, reached through a network that may fail.
type rayNode struct {
	*remotetest.Machine
	*remotetest.Proxy
	off bool
}

func newRayLab(t testing.TB) *rayLab {
	t.Helper()
	python := os.Getenv("SKY_TEST_RAY")
	if python == "" {
		python, _ = filepath.Abs("../../.tools/ray")
	}
	python, err := filepath.EvalSymlinks(python)
	if err == nil {
		_, err = os.Stat(filepath.Join(python, "complete-"+rayVersion))
	}
	if err != nil {
		t.Fatalf("this lane needs Ray %s in SKY_TEST_RAY or .tools/ray: run .ci/peers/test-ray: %v", rayVersion, err)
	}
	script, err := os.ReadFile("../../templates/ray.sh")
	if err != nil {
		t.Fatal(err)
	}
	return &rayLab{t: t, python: python, script: script, net: remotetest.NewNet(t)}
}

// fleet is a cluster of n nodes without jobs and without files.
func (l *rayLab) fleet(t testing.TB, n int) *fleet {
	t.Helper()
	known := &l.fleets[n]
	known.Lock()
	t.Cleanup(known.Unlock)
	if len(known.nodes) == 0 {
		l.boot(t, known, n)
	}
	f := &fleet{spec: known.spec, signer: known.signer, cuts: 8, brief: 15 * time.Second}
	f.spec.Generation = fmt.Sprint(time.Now().UnixNano())
	for _, m := range known.nodes {
		f.nodes = append(f.nodes, &node{Host: m.Machine.Host, Home: m.Home, machine: m})
	}
	f.runner = f.newRunner(t)
	t.Cleanup(func() {
		for _, m := range known.nodes {
			m.Set(remotetest.Behaviour{})
			var err error
			if m.off {
				m.Start()
				m.off = false
				_, err = m.output(":") // clean would kill what boots it
			}
			if err = errors.Join(err, m.clean()); err != nil {
				t.Error(err, m.Log())
			}
		}
	})
	return f
}

func (l *rayLab) boot(t testing.TB, f *rayFleet, n int) {
	t.Helper()
	f.spec = cluster.Cluster{
		Name: "test", Cloud: "fluffycloud", Region: "meadow-1", Zone: "meadow-1a", Runtime: cluster.RuntimeRay,
		Accelerators: "A100:0.5", SSHUser: "root",
	}
	secret := ""
	for rank := range n {
		m := l.net.NewMachine(remotetest.MachineOptions{Key: f.signer, Early: fmt.Sprintf(`mkdir -p "$home/.python"; mount --bind %q "$home/.python"`, l.python)})
		f.signer = m.Signer()
		node := &rayNode{Machine: m, Proxy: remotetest.NewProxy(l.t, m.Host+":22")}
		f.nodes = append(f.nodes, node)
		f.spec.Nodes = append(f.spec.Nodes, cluster.Node{
			Rank: rank, ExternalIP: node.Proxy.Host, SSHPort: node.Proxy.Port, HostKey: m.HostKey, InternalIP: m.Host,
		})
		secret = node.setUp(t, l.script, rank, f.nodes[0].Machine.Host, secret)
	}
}

// conf is what the broker writes; see clusterconfig.Ray.
const rayConf = `version=%s
requirements='' pip_options='' interpreters=python3 preinstalled=$HOME/.python
rank=%d address=%s head=%s
gcs_port=6380 dashboard_port=8266 object_manager_port=8076 agent_port=52366 client_port=10111
object_store_bytes=104857600 cpus=%d gpus=1 resources='{"A100": 1}'
`

// setUp writes what the broker writes and returns the cluster's secret.
func (n *rayNode) setUp(t testing.TB, text []byte, rank int, head, secret string) string {
	t.Helper()
	dir := filepath.Join(n.Home, ".sky/ray")
	err := os.MkdirAll(dir, 0o700)
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "ray.sh"), []byte(script.OnNode(string(text))), 0o600))
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "conf"), fmt.Appendf(nil, rayConf, rayVersion, rank, n.Machine.Host, head, rayCPUs), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if secret != "" {
		if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		return secret
	}
	out, err := n.output("sh .sky/ray/ray.sh secret")
	if err != nil {
		t.Fatal(err, n.Log())
	}
	return out
}

func (n *rayNode) output(script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c, err := remote.DialWait(ctx, n.Target(), remote.Options{Signers: []ssh.Signer{n.Signer()}})
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.Output(ctx, script)
}

// clean ends what a test left and removes its files. Ray stays.
func (n *rayNode) clean() error {
	for range 50 {
		left := n.jobs()
		if len(left) == 0 {
			break
		}
		for pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_, err := n.output(`rm -rf ~/.sky/jobs ~/.sky/queue ~/sky_workdir; find ~ -maxdepth 1 -type f -delete`)
	return err
}

// Processes lists what jobs run on the machine: all but Ray's own.
func (n *rayNode) Processes() []string { return slices.Collect(maps.Values(n.jobs())) }

func (n *rayNode) jobs() map[int]string {
	all := n.Commands()
	for pid, line := range all {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		rays := strings.HasPrefix(line, "ray-dashboard-") || strings.HasPrefix(line, "ray::") || strings.Contains(string(env), "SKY_RAY_RUN=")
		if err != nil || rays && !strings.Contains(line, "driver.py") {
			delete(all, pid)
		}
	}
	return all
}

func (n *rayNode) KillAll() { n.Machine.KillAll() }

// Close is a power cut. The machine is there again for the next test.
func (n *rayNode) Close() {
	n.Machine.Stop()
	n.off = true
}

// raySuite is what this runtime does besides.
func raySuite() []suiteTest {
	return []suiteTest{
		{"Order", testRayOrder},
		{"TooMuch", testRayTooMuch},
		{"Surroundings", testRaySurroundings},
		{"NoTrace", testRayNoTrace},
		{"OnAnyNode", testRayOnAnyNode},
	}
}

// testRayOrder has a large job wait for a small one, and a smaller one behind
// it that would fit: none passes another.
func testRayOrder(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	submit := func(name string, cpus float64, run string) job.ID {
		return f.submit(t, job.Spec{Name: name, Run: run, Resources: &job.Resources{CPUs: cpus}})
	}
	first := submit("first", 1, "while [ ! -e ~/go ]; do sleep 0.1; done; echo first >>~/order")
	f.phase(t, first, job.Running)
	all := submit("all", rayCPUs, "echo all >>~/order")
	small := submit("small", 1, "echo small >>~/order")
	for range 10 {
		for _, id := range []job.ID{all, small} {
			if s, err := f.runner.Status(t.Context(), id); err != nil || s.Phase != job.Pending {
				t.Errorf("%+v, %v, want it to wait", s, err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(f.nodes[0].Home, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []job.ID{first, all, small} {
		if s, log := f.wait(t, id); s.Phase != job.Succeeded {
			t.Errorf("%+v, log %q", s, log)
		}
	}
	order, _ := os.ReadFile(filepath.Join(f.nodes[0].Home, "order"))
	if string(order) != "first\nall\nsmall\n" {
		t.Errorf("order %q", order)
	}
}

func testRayTooMuch(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	s, _ := f.run(t, job.Spec{Name: "large", Run: "true", Resources: &job.Resources{CPUs: 64}})
	if s.Phase != job.FailedDriver || !strings.Contains(s.Reason, "64 CPU") {
		t.Errorf("%+v", s)
	}
	for name, r := range map[string]job.Resources{
		"too many": {Accelerators: 2}, "others": {Accelerator: "H100", Accelerators: 0.5}, "negative": {CPUs: -1},
	} {
		if _, err := f.runner.Submit(t.Context(), job.Spec{Name: "x", Run: "true", Resources: &r}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	f.idle(t)
}

// testRaySurroundings looks from inside a job: Ray is not to be noticed, but
// for the devices it hands out.
func testRaySurroundings(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	s, log := f.run(t, job.Spec{Name: "look", Run: `
env | grep -e '^RAY_' -e '^SKY_RAY' -e '^PYTHON' -e '^OMP_'
echo "devices: $CUDA_VISIBLE_DEVICES, nice: $(ps -o ni= -p $$ | tr -d ' '), here: $PWD"
python3 -c 'import ray' 2>&1 | tail -n 1
python3 -c '
import socket, sys, urllib.request, urllib.error
try:
    urllib.request.urlopen("http://" + sys.argv[1] + ":8266/api/version", timeout=10)
except urllib.error.HTTPError as e:
    print("without the token:", e.code)
try:
    socket.create_connection(("127.0.0.1", 8266), timeout=10)
except OSError as e:
    print("from elsewhere:", type(e).__name__)' "$SKYPILOT_NODE_IPS"`})
	want := "PYTHONUNBUFFERED=1\ndevices: 0, nice: 0, here: /root/sky_workdir\nModuleNotFoundError: No module named 'ray'\nwithout the token: 401\nfrom elsewhere: ConnectionRefusedError\n"
	if s.Phase != job.Succeeded || log != want {
		t.Errorf("%+v, log %q, want %q", s, log, want)
	}
}

// testRayNoTrace is SecretsLeaveNoTrace for Ray's own files.
func testRayNoTrace(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	s, _ := f.run(t, job.Spec{Name: "secret", Secrets: map[string]string{"TOKEN": "canary-4712"}, Run: `[ "$TOKEN" = "canary""-4712" ]`})
	if s.Phase != job.Succeeded {
		t.Errorf("%+v", s)
	}
	for rank, n := range f.nodes {
		m, ok := n.machine.(*rayNode)
		if !ok {
			t.Fatalf("rank %d has no Ray", rank)
		}
		out, err := m.output("grep -rls canary-4712 /tmp/sky-ray-* ~/.sky/ray || :")
		if err != nil || strings.TrimSpace(out) != "" {
			t.Errorf("rank %d: %q holds the secret, %v", rank, out, err)
		}
	}
}

// testRayOnAnyNode fills the nodes with jobs of one node each.
func testRayOnAnyNode(t *testing.T, newFleet fleets) {
	f := newFleet(t, 3)
	var ids []job.ID
	for i := range 3 {
		ids = append(ids, f.submit(t, job.Spec{Name: fmt.Sprint("one", i), NumNodes: 1, Grace: time.Second, Resources: &job.Resources{CPUs: rayCPUs},
			Workdir: t.TempDir(), Run: "echo $SKY_JOB_ID >mine; echo $SKYPILOT_NODE_IPS; sleep 1000"}))
	}
	seen := map[string]bool{}
	for _, id := range ids {
		f.phase(t, id, job.Running)
		eventually(t, "it says where it is", func() bool {
			var log strings.Builder
			_, err := f.runner.Logs(t.Context(), id, 0, 0, &log)
			seen[strings.TrimSpace(log.String())] = true
			return err == nil && log.Len() > 0
		})
	}
	delete(seen, "")
	for _, n := range f.nodes {
		if !seen[n.Host] {
			t.Errorf("no job on %s: %v", n.Host, seen)
		}
	}
	for _, id := range ids { // each made a file, on the node it is on
		dest := t.TempDir()
		_, err := f.runner.Outputs(t.Context(), id, 0, job.Outputs{Patterns: []string{"mine"}}, dest)
		mine, _ := os.ReadFile(filepath.Join(dest, "mine"))
		if err != nil || strings.TrimSpace(string(mine)) != string(id) {
			t.Errorf("the output of %s: %q, %v", id, mine, err)
		}
		spared := 0
		for rank := range f.nodes {
			if _, err := os.Stat(f.jobFile(rank, id, "ended")); err == nil {
				spared++
			}
		}
		if spared != 2 {
			t.Errorf("%d nodes know that %s does not run there, want 2", spared, id)
		}
	}
	for _, id := range ids {
		if err := f.runner.Cancel(t.Context(), id); err != nil {
			t.Error(err)
		}
		f.phase(t, id, job.Cancelled)
	}
	for _, n := range f.nodes { // Cancel has ended the processes wherever they were
		for _, p := range n.Processes() {
			if strings.Contains(p, "sleep 1000") {
				t.Errorf("%s still runs %q", n.Host, p)
			}
		}
	}
	f.idle(t)
}

// TestRayInstalls has a machine without Ray install it, and run a job.
func TestRayInstalls(t *testing.T) {
	l := newRayLab(t)
	wheels := l.python + "-wheels"
	m := l.net.NewMachine(remotetest.MachineOptions{Early: fmt.Sprintf(`mkdir -p "$home/wheels"; mount --bind %q "$home/wheels"`, wheels)})
	n := &rayNode{Machine: m, Proxy: remotetest.NewProxy(t, m.Host+":22")}
	n.setUp(t, l.script, 0, m.Host, "")
	piece, err := os.ReadFile("../../templates/ray.piece.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(piece), "requirements: [")
	requirements, _, _ := strings.Cut(rest, "]\n")
	more := fmt.Sprintf("preinstalled='' requirements='%s' pip_options='--no-index --find-links %s'\n", strings.NewReplacer(`"`, "", ",", "").Replace(requirements), "/root/wheels")
	conf := filepath.Join(m.Home, ".sky/ray/conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(more, "/root/wheels", "/root/nothing", 1)
	if err := os.WriteFile(conf, append(text, broken...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.output("sh .sky/ray/ray.sh install"); err == nil || !strings.Contains(err.Error(), "could not be installed") {
		t.Errorf("an installation without packages: %v", err)
	}
	if err := os.WriteFile(conf, append(text, more...), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := n.output("sh .sky/ray/ray.sh install"); err != nil {
			t.Fatal(err)
		}
	}
	f := &fleet{signer: m.Signer(), nodes: []*node{{Host: m.Host, Home: m.Home, machine: n}}, spec: cluster.Cluster{
		Name: "fresh", Generation: "g1", SSHUser: "root", Runtime: cluster.RuntimeRay,
		Nodes: []cluster.Node{{ExternalIP: n.Proxy.Host, SSHPort: n.Proxy.Port, HostKey: m.HostKey, InternalIP: m.Host}},
	}}
	f.runner = f.newRunner(t)
	if s, log := f.run(t, job.Spec{Name: "first", Run: "echo here"}); s.Phase != job.Succeeded || log != "here\n" {
		t.Errorf("%+v, log %q", s, log)
	}
	if _, err := n.output("sh .sky/ray/ray.sh down"); err != nil {
		t.Error(err)
	}
	if left := m.Processes(); len(left) > 0 {
		t.Errorf("after its end Ray left %q", left)
	}
}
