// SPDX-License-Identifier: MPL-2.0

//go:build linux

package gcp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/gliderlabs/ssh"
	"github.com/goccy/go-yaml"
	gossh "golang.org/x/crypto/ssh"
	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp/gcpfake"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// bootSSH runs a machine as an SSH server with the host key, and for the keys,
// that its metadata brought.
func bootSSH(t *testing.T, port int) func(in *compute.Instance) (string, func()) {
	return func(in *compute.Instance) (string, func()) {
		metadata := metadataOf(in.Metadata)
		var data struct {
			SSHKeys struct {
				Private string `yaml:"ed25519_private"`
			} `yaml:"ssh_keys"`
		}
		if err := yaml.Unmarshal([]byte(metadata[metaUserData]), &data); err != nil {
			t.Errorf("user data: %v", err)
		}
		address := fmt.Sprintf("127.77.%d.%d", in.Id/250%250, in.Id%250+2)
		listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, port))
		if err != nil {
			t.Errorf("listen: %v", err)
			return address, func() {}
		}
		home := t.TempDir()
		server := &ssh.Server{
			PublicKeyHandler: func(ctx ssh.Context, key ssh.PublicKey) bool {
				line := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key)))
				return ctx.User() == "ubuntu" && strings.Contains(metadata[metaSSHKeys], "ubuntu:"+line)
			},
			Handler: func(s ssh.Session) { runIn(s, home) },
		}
		if err := server.SetOption(ssh.HostKeyPEM([]byte(data.SSHKeys.Private))); err != nil {
			t.Errorf("host key: %v", err)
		}
		go func() { _ = server.Serve(listener) }()
		return address, func() { _ = server.Close() }
	}
}

func runIn(s ssh.Session, home string) {
	cmd := exec.CommandContext(s.Context(), "/bin/sh", "-c", s.RawCommand())
	cmd.Dir, cmd.Env = home, []string{"HOME=" + home, "PATH=/usr/local/bin:/usr/bin:/bin", "USER=ubuntu"}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return
	}
	cmd.Stdout, cmd.Stderr = s, s.Stderr()
	if err := cmd.Start(); err != nil {
		return
	}
	go func() { _, _ = io.Copy(stdin, s); _ = stdin.Close() }()
	err = cmd.Wait()
	var exit *exec.ExitError
	code := 0
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		code = 255
	}
	_ = s.Exit(code)
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener has no other
}

// runJob runs a job on the head, which sees what setup left.
func runJob(t *testing.T, c broker.Cluster) {
	t.Helper()
	on := job.Cluster{Name: c.Name, Cloud: c.Cloud, Region: c.Region, Zone: c.Zone, Generation: c.Generation, KeyPath: c.KeyPath, ProcessManager: "setsid"}
	for _, n := range c.Nodes {
		on.Nodes = append(on.Nodes, job.Node{
			Rank: n.Rank, Host: n.ExternalIP, Port: n.SSHPort, User: c.SSHUser, HostKey: n.HostKey, InternalIP: n.InternalIP,
		})
	}
	runner, err := job.New(on, job.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer runner.Close()
	id, err := runner.Submit(t.Context(), job.Spec{Name: "forecast", Run: "cat ~/setup.done; echo rain in $SKYPILOT_NODE_RANK", NumNodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	status, err := runner.Wait(t.Context(), id, &log)
	if err != nil || status.Phase != job.Succeeded || !strings.Contains(log.String(), "rank 0\n") || !strings.Contains(log.String(), "rain in 0\n") {
		t.Errorf("the job ended with %+v, %v: %s", status, err, log.String())
	}
}

// TestLaunchThroughTheBroker: the whole way from offers to machines that ran a
// setup script, over SSH with the pinned key, past a zone without capacity, and
// back to nothing.
func TestLaunchThroughTheBroker(t *testing.T) {
	port := freePort(t)
	a := account{Cloud: gcpfake.Start(t, gcpfake.Options{Boot: bootSSH(t, port)})}
	a.Inject(gcpfake.Fault{Method: "compute.instances.insert", Match: "us-central1-a", Code: "ZONE_RESOURCE_POOL_EXHAUSTED", Message: "no room"})
	registry, err := cloud.NewRegistry(Factory{tune: func(d *driver) { hurry(d); d.sshPort = port }})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{
		StateDir: t.TempDir(), Registry: registry, Credentials: func(string) cloud.Credentials { return a.Credentials() },
	})
	if err != nil {
		t.Fatal(err)
	}
	offer := a.Placement(2, cloud.OnDemand).Offer
	other := offer
	other.Zone, other.HourlyUSD = "us-central1-b", offer.HourlyUSD*2
	ctx := t.Context()
	c, err := b.Launch(ctx, broker.Spec{
		Name: "storm", Request: optimizer.Request{Alternatives: []cloud.Requirement{{Cloud: Name}}, Nodes: 2},
		Offers: []cloud.Offer{offer, other}, AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Setup: "echo rank $SKYPILOT_SETUP_NODE_RANK >setup.done", Labels: map[string]string{"team": "weather"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range a.Instances() {
		meta := metadataOf(in.Metadata)
		if lastPart(in.Zone) != "us-central1-b" || meta[metaCommitted] != committed || meta[metaStartup] != "" {
			t.Errorf("machine in %s, committed %q", in.Zone, meta[metaCommitted])
		}
	}
	if n := len(a.Instances()); n != 2 || len(c.Nodes) != 2 {
		t.Errorf("%d machines, %d nodes", n, len(c.Nodes))
	}
	var seen bytes.Buffer
	for _, n := range c.Nodes {
		fmt.Fprintf(&seen, "%+v\n", n)
	}
	if !strings.Contains(seen.String(), "ssh-ed25519") {
		t.Errorf("the nodes have no pinned host keys: %s", seen.String())
	}
	runJob(t, c)
	if err := b.Destroy(ctx, c); err != nil {
		t.Fatal(err)
	}
	if n := len(a.Instances()) + len(a.Disks()) + len(a.Firewalls()); n != 0 {
		t.Errorf("%d things are left", n)
	}
}
