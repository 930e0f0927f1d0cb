// SPDX-License-Identifier: MPL-2.0

//go:build ray && linux

package job_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

const rayVersion = "2.60.0"

// TestRay is the suite in the ray runtime: real Ray on machines with addresses,
// homes and OpenSSH servers of their own.
func TestRay(t *testing.T) {
	lab := newRayLab(t)
	for _, tt := range suite() {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, lab.fleet) })
	}
	for _, tt := range raySuite() {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, lab.fleet) })
	}
}

// rayLab keeps the clusters that tests are given one after the other, one of
// each size: starting Ray takes longer than most tests.
type rayLab struct {
	t      testing.TB
	python string
	script []byte
	net    *remotetest.Net
	fleets map[int]*rayFleet
}

type rayFleet struct {
	nodes  []*rayNode
	spec   job.Cluster
	signer ssh.Signer
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
	return &rayLab{t: t, python: python, script: script, net: remotetest.NewNet(t), fleets: map[int]*rayFleet{}}
}

// fleet is a cluster of n nodes without jobs and without files.
func (l *rayLab) fleet(t testing.TB, n int) *fleet {
	t.Helper()
	known := l.fleets[n]
	if known == nil {
		known = l.boot(t, n)
		l.fleets[n] = known
	}
	f := &fleet{spec: known.spec, signer: known.signer}
	f.spec.Generation = fmt.Sprint(time.Now().UnixNano())
	for _, m := range known.nodes {
		f.nodes = append(f.nodes, &node{Host: m.Machine.Host, Home: m.Home, machine: m})
	}
	f.runner = f.newRunner(t)
	t.Cleanup(func() {
		for _, m := range known.nodes {
			m.Set(remotetest.Behaviour{})
			if m.off {
				m.Start()
				m.off = false
			}
			if err := m.clean(); err != nil {
				t.Error(err)
			}
		}
	})
	return f
}

func (l *rayLab) boot(t testing.TB, n int) *rayFleet {
	t.Helper()
	f := &rayFleet{spec: job.Cluster{
		Name: "test", Cloud: "fluffycloud", Region: "meadow-1", Zone: "meadow-1a", Runtime: job.RuntimeRay,
		Accelerator: "A100", AcceleratorsPerNode: 0.5,
	}}
	secret := ""
	for rank := range n {
		m := l.net.NewMachine(remotetest.MachineOptions{Key: f.signer, Early: fmt.Sprintf(`mkdir -p "$home/.python"; mount --bind %q "$home/.python"`, l.python)})
		f.signer = m.Signer()
		node := &rayNode{Machine: m, Proxy: remotetest.NewProxy(l.t, m.Host+":22")}
		f.nodes = append(f.nodes, node)
		f.spec.Nodes = append(f.spec.Nodes, job.Node{
			Rank: rank, Host: node.Proxy.Host, Port: node.Proxy.Port, User: "root", HostKey: m.HostKey, InternalIP: m.Host, InternalPort: 22,
		})
		secret = node.setUp(t, l.script, rank, f.nodes[0].Machine.Host, secret)
	}
	return f
}

// conf is what the broker writes; see clusterconfig.Ray.
const rayConf = `version=%s
requirements='' pip_options='' interpreters=python3 preinstalled=$HOME/.python
rank=%d address=%s head=%s
gcs_port=6380 dashboard_port=8266 object_manager_port=8076 agent_port=52366 client_port=10111
object_store_bytes=104857600 cpus=4 gpus=1 resources='{"A100": 1}'
`

// setUp writes what the broker writes and returns the cluster's secret.
func (n *rayNode) setUp(t testing.TB, script []byte, rank int, head, secret string) string {
	t.Helper()
	dir := filepath.Join(n.Home, ".sky/ray")
	err := os.MkdirAll(dir, 0o700)
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "ray.sh"), script, 0o600))
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "conf"), fmt.Appendf(nil, rayConf, rayVersion, rank, n.Machine.Host, head), 0o600))
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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
	_, err := n.output(`for p in $(grep -lsF SKY_JOB_MARK= /proc/[0-9]*/environ); do p=${p#/proc/}; kill -9 "${p%/environ}" 2>/dev/null; done
for p in $(grep -lsE "runner.sh|driver.py" /proc/[0-9]*/cmdline); do p=${p#/proc/}; [ "${p%/cmdline}" = $$ ] || kill -9 "${p%/cmdline}" 2>/dev/null; done
rm -rf ~/.sky/jobs ~/.sky/queue ~/sky_workdir ~/results
find ~ -maxdepth 1 -type f -delete`)
	return err
}

// Processes lists what jobs run on the machine: all but Ray's own.
func (n *rayNode) Processes() []string {
	var all []string
	for pid, line := range n.Commands() {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		rays := strings.HasPrefix(line, "ray-dashboard-") || strings.HasPrefix(line, "ray::") || strings.Contains(string(env), "SKY_RAY_RUN=")
		if err != nil || rays && !strings.Contains(line, "driver.py") {
			continue
		}
		all = append(all, line)
	}
	return all
}

func (n *rayNode) KillAll() { n.Machine.KillAll() }

// Close is a power cut. The machine is there again for the next test.
func (n *rayNode) Close() {
	n.Machine.Stop()
	n.off = true
}

func raySuite() []suiteTest {
	return []suiteTest{}
}
