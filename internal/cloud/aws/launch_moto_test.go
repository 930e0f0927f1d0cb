// SPDX-License-Identifier: MPL-2.0

//go:build aws

package aws

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gssh "github.com/gliderlabs/ssh"
	"github.com/goccy/go-yaml"
	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// machines boots an SSH server for every machine that moto pretends to launch,
// from the user data of the call: its host key, its authorized keys.
type machines struct {
	t    *testing.T
	dir  string
	mu   sync.Mutex
	next int
	at   map[string]string // address by instance
}

func (m *machines) address(id string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at[id]
}

// boot is told of a launch. Port 22 of a loopback address needs root, or a
// system that lets everybody have it.
func (m *machines) boot(id string, form url.Values) {
	m.mu.Lock()
	m.next++
	address := fmt.Sprintf("127.44.0.%d", m.next)
	m.at[id] = address
	m.mu.Unlock()
	if err := m.serve(id, address, form.Get("UserData")); err != nil {
		m.t.Errorf("machine %s does not boot: %v", id, err)
	}
}

func (m *machines) serve(id, address, encoded string) error {
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return err
	}
	parts, err := dataParts(data)
	if err != nil {
		return err
	}
	var config struct {
		Keys struct {
			Private string `yaml:"ed25519_private"`
		} `yaml:"ssh_keys"`
		Authorized []string `yaml:"ssh_authorized_keys"`
	}
	if err := yaml.Unmarshal([]byte(parts["text/cloud-config"]), &config); err != nil {
		return err
	}
	signer, err := ssh.ParsePrivateKey([]byte(config.Keys.Private))
	if err != nil {
		return err
	}
	home := filepath.Join(m.dir, id)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	server := &gssh.Server{
		Handler: func(s gssh.Session) { _ = s.Exit(run(s, home)) }, // the caller sees a session without exit as broken
		PublicKeyHandler: func(c gssh.Context, key gssh.PublicKey) bool {
			line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
			added, _ := os.ReadFile(filepath.Join(home, ".ssh", "authorized_keys")) // absent until somebody adds one
			return c.User() == "ubuntu" && slices.ContainsFunc(append(strings.Split(string(added), "\n"), config.Authorized...),
				func(a string) bool { return strings.Contains(a, line) })
		},
	}
	server.AddHostKey(signer)
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "22"))
	if err != nil {
		return err
	}
	m.t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }() // ends with Close
	return nil
}

func run(s gssh.Session, home string) int {
	cmd := exec.CommandContext(s.Context(), "/bin/sh", "-c", s.RawCommand())
	cmd.Dir, cmd.Env = home, []string{"HOME=" + home, "USER=ubuntu", "PATH=" + os.Getenv("PATH")}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s, s, s.Stderr()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return 127
	}
	return cmd.ProcessState.ExitCode()
}

// TestMotoLaunch goes the whole way from a request to machines with their setup
// done, over pinned SSH, past a zone without room, and back to nothing.
func TestMotoLaunch(t *testing.T) {
	m := &machines{t: t, dir: t.TempDir(), at: map[string]string{}}
	h := newMotoHarness(t, &ec2proxy.Proxy{Launched: m.boot, Address: m.address})
	h.proxy.Inject(ec2proxy.Fault{
		Action: "RunInstances", Match: map[string]string{"Placement.AvailabilityZone": testZone},
		Status: 500, Code: "InsufficientInstanceCapacity", Message: "no room here",
	})
	registry, err := cloud.NewRegistry(h.Factory())
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	if err := os.Chmod(state, 0o700); err != nil { //nolint:gosec // a folder needs its x
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{
		StateDir: state, Home: "test", Registry: registry, Credentials: func(string) cloud.Credentials { return h.Credentials() },
		Timeouts: broker.Timeouts{SSH: 2 * time.Minute, Gone: 100 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	before, err := h.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first, second := h.Placement(2, cloud.OnDemand).Offer, h.Placement(2, cloud.OnDemand).Offer
	second.Zone, second.HourlyUSD = "us-east-1c", 0.2
	cluster, err := b.Launch(t.Context(), broker.Spec{
		Name:    "train",
		Request: optimizer.Request{Alternatives: []cloud.Requirement{{Cloud: Name, CPUs: cloud.Quantity{Value: 2}}}, Nodes: 2},
		Offers:  []cloud.Offer{first, second}, AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Setup: "echo rank $SKYPILOT_SETUP_NODE_RANK of $SKYPILOT_NUM_NODES >~/done",
	})
	if err != nil {
		t.Fatal(err)
	}
	if cluster.Zone != "us-east-1c" || cluster.Account != fakeAccount || len(cluster.Nodes) != 2 {
		t.Errorf("the cluster is %+v", cluster)
	}
	for _, n := range cluster.Nodes {
		text, err := os.ReadFile(filepath.Join(m.dir, n.InstanceID, "done"))
		if want := fmt.Sprintf("rank %d of 2\n", n.Rank); err != nil || string(text) != want {
			t.Errorf("setup on rank %d wrote %q, want %q: %v", n.Rank, text, want, err)
		}
	}
	if got, err := b.Refresh(t.Context(), cluster); err != nil || got.Status != broker.StatusUp {
		t.Errorf("Refresh = %s, %v", got.Status, err)
	}
	if err := b.Destroy(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}
	after, err := h.Count(t.Context())
	if err != nil || after != before {
		t.Errorf("left are %+v, before %+v: %v", after, before, err)
	}
	checkRequests(t, h.proxy)
	checkPolicy(t, h.proxy)
}
