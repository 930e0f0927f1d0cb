// SPDX-License-Identifier: MPL-2.0

//go:build linux

package runpod

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"

	sshguests "github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/guests"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// guests are the containers of a fake RunPod. Each runs its start command, in a
// folder that is its root, and has an SSH server at a port of its own.
type guests struct {
	t   *testing.T
	dir string
}

func newGuests(t *testing.T) *guests {
	t.Helper()
	g := &guests{t: t, dir: t.TempDir()}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	g.script("ssh", fmt.Sprintf("exec '%s' fluffycloud ssh-client \"$@\"", executable))
	// What the start command runs of OpenSSH: the server's stand-in is a process that
	// a signal can be sent to, and keys are made by the test.
	g.script("sshd", "trap : HUP; (while :; do sleep 3600; done) & echo $! >\"$SKY_ROOT/run/sky-sshd.pid\"")
	g.script("ssh-keygen", fmt.Sprintf("while [ \"$1\" != -f ]; do shift; done; SKY_TEST_KEYGEN=$2 exec '%s'", executable))
	return g
}

// script puts a command onto the PATH of all pods.
func (g *guests) script(name, text string) {
	g.t.Helper()
	sshguests.Script(g.t, filepath.Join(g.dir, "bin"), name, text)
}

// root is the root of a pod.
func (g *guests) root(p *fakePod) string { return filepath.Join(g.dir, p.ID) }

// env is that of a pod's processes.
func (g *guests) env(root string) []string {
	return []string{"HOME=" + root + "/root", "SKY_ROOT=" + root, "PATH=" + filepath.Join(g.dir, "bin") + ":" + os.Getenv("PATH"), "USER=root", "RUNPOD_API_KEY=pods-own-key"}
}

// boot runs a pod's command, as a container does, and serves SSH under the host key
// and for the keys that the command put into place.
func (g *guests) boot(p *fakePod) (string, uint16, func()) {
	root := g.root(p)
	if err := os.MkdirAll(filepath.Join(root, "root"), 0o700); err != nil {
		g.t.Error(err)
	}
	start := exec.CommandContext(context.Background(), "/bin/sh", "-c", strings.ReplaceAll(p.Args, "/tmp/", root+"/"))
	start.Dir, start.Env = root, g.env(root)
	if err := start.Start(); err != nil {
		g.t.Error(err)
		return "", 0, func() {}
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = start.Wait() }() // it is killed
	end := func() {
		_ = start.Process.Kill() // it may have ended
		<-ended
		sshguests.KillAll("SKY_ROOT=" + root)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := retry.Poll(ctx, retry.Policy{Initial: time.Millisecond, Max: 20 * time.Millisecond}, func(context.Context) (bool, error) {
		_, err := os.Stat(filepath.Join(root, "run/sky-sshd.pid"))
		return err == nil, nil
	}); err != nil {
		g.t.Errorf("the start command brings up no SSH server: %v", err)
	}
	ip := fmt.Sprintf("127.66.%d.%d", p.number/250%250, p.number%250+2)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ip+":0")
	if err != nil {
		g.t.Error(err)
		return "", 0, end
	}
	server := g.server(root)
	go func() { _ = server.Serve(listener) }() // ends with Close
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	number, _ := strconv.ParseUint(port, 10, 16)
	return ip, uint16(number), func() { _ = server.Close(); end() }
}

func (g *guests) server(root string) *ssh.Server {
	server := &ssh.Server{
		PublicKeyHandler: func(ctx ssh.Context, key ssh.PublicKey) bool {
			line := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key)))
			keys, _ := os.ReadFile(filepath.Join(root, "root/.ssh/authorized_keys")) // absent is none
			return ctx.User() == "root" && strings.Contains(string(keys), line)
		},
		Handler: func(s ssh.Session) { sshguests.Run(s, filepath.Join(root, "root"), g.env(root)) },
	}
	server.ConnCallback = func(_ ssh.Context, conn net.Conn) net.Conn {
		text, err := os.ReadFile(filepath.Join(root, "etc/ssh/sky_host_key"))
		if err != nil {
			g.t.Error(err)
			return nil
		}
		signer, err := gossh.ParsePrivateKey(text)
		if err != nil {
			g.t.Error(err)
			return nil
		}
		server.AddHostKey(signer) // in place of the one before
		return conn
	}
	return server
}
