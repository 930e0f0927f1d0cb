// SPDX-License-Identifier: MPL-2.0

//go:build aws

package aws

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	gssh "github.com/gliderlabs/ssh"
	"github.com/goccy/go-yaml"
	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// machines boots an SSH server for every machine that moto pretends to launch,
// from the user data of the call: its host key, its authorized keys.
type machines struct {
	t   *testing.T
	dir string
	// inside tells a machine's private address. Where it is set, machines are
	// behind a gate: they listen where only the gate and their siblings know.
	// Without it they listen on port 22 of a loopback address each, which needs
	// root, or a system that lets everybody have that port.
	inside func(id string) string

	mu   sync.Mutex
	next int
	at   map[string]string // address by instance
	real map[string]string // host:port by private address
}

func newMachines(t *testing.T) *machines {
	t.Helper()
	m := &machines{t: t, dir: t.TempDir(), at: map[string]string{}, real: map[string]string{}}
	for _, folder := range []string{"bin", "hosts"} {
		if err := os.Mkdir(filepath.Join(m.dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *machines) address(id string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at[id]
}

func (m *machines) launched() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []string
	for id := range m.at {
		ids = append(ids, id)
	}
	return ids
}

// boot is told of a launch.
func (m *machines) boot(id string, form url.Values) {
	m.mu.Lock()
	m.next++
	where := fmt.Sprintf("127.44.0.%d:22", m.next)
	m.at[id] = strings.TrimSuffix(where, ":22")
	m.mu.Unlock()
	if m.inside != nil {
		where = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", where)
	if err == nil && m.inside != nil {
		err = m.hide(m.inside(id), listener.Addr().String())
	}
	if err == nil {
		err = m.serve(id, listener, form.Get("UserData"))
	}
	if err != nil {
		m.t.Errorf("machine %s does not boot: %v", id, err)
	}
}

// hide makes a private address known to the gate and to the machines' ssh.
func (m *machines) hide(private, actual string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.real[private] = actual
	return os.WriteFile(filepath.Join(m.dir, "hosts", private), []byte(strings.Replace(actual, "127.0.0.1:", "", 1)), 0o600)
}

// behind is where a private address really listens.
func (m *machines) behind(private string) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	actual, ok := m.real[private]
	return actual, ok
}

func (m *machines) serve(id string, listener net.Listener, encoded string) error {
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
		Handler: func(s gssh.Session) { _ = s.Exit(m.run(s, home)) }, // the caller sees a session without exit as broken
		PublicKeyHandler: func(c gssh.Context, key gssh.PublicKey) bool {
			line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
			added, _ := os.ReadFile(filepath.Join(home, ".ssh", "authorized_keys")) // absent until somebody adds one
			return c.User() == "ubuntu" && slices.ContainsFunc(append(strings.Split(string(added), "\n"), config.Authorized...),
				func(a string) bool { return strings.Contains(a, line) })
		},
	}
	server.AddHostKey(signer)
	m.t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }() // ends with Close
	return nil
}

// insideSSH stands for ssh on machines behind a gate: it goes where a private
// address really listens, and still checks the key of the private address.
const insideSSH = `#!/bin/sh
for word; do
  case $word in
    *@*) [ -f '%[1]s/'"${word#*@}" ] && host=${word#*@} ;;
  esac
done
[ -z "$host" ] || set -- -o HostName=127.0.0.1 -o Port="$(cat '%[1]s/'"$host")" -o HostKeyAlias="$host" "$@"
exec '%[2]s' "$@"
`

func (m *machines) run(s gssh.Session, home string) int {
	cmd := exec.CommandContext(s.Context(), "/bin/sh", "-c", s.RawCommand())
	cmd.Dir, cmd.Env = home, []string{"HOME=" + home, "USER=ubuntu", "PATH=" + filepath.Join(m.dir, "bin") + ":" + os.Getenv("PATH")}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s, s, s.Stderr()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return 127
	}
	return cmd.ProcessState.ExitCode()
}

// gate is a bastion: it lets one key in, runs nothing, and forwards to the
// machines' private addresses.
type gate struct {
	host, hostKey, keyPath string
	port                   int
	passed                 atomic.Int64
}

const gateUser = "keeper"

func newGate(t *testing.T, m *machines) *gate {
	t.Helper()
	actual, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatalf("the machines reach one another with OpenSSH's client: %v", err)
	}
	script := fmt.Sprintf(insideSSH, filepath.Join(m.dir, "hosts"), actual)
	if err := os.WriteFile(filepath.Join(m.dir, "bin", "ssh"), []byte(script), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	g := &gate{host: "127.0.0.1", keyPath: filepath.Join(t.TempDir(), "keeper", "id_ed25519")}
	allowed, err := remote.EnsureKeyPair(g.keyPath)
	if err != nil {
		t.Fatal(err)
	}
	private, public, err := remote.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	g.hostKey = public
	server := &gssh.Server{
		PublicKeyHandler: func(c gssh.Context, key gssh.PublicKey) bool {
			return c.User() == gateUser && remote.AuthorizedKey(key) == allowed
		},
		ChannelHandlers: map[string]gssh.ChannelHandler{
			"direct-tcpip": func(_ *gssh.Server, _ *ssh.ServerConn, c ssh.NewChannel, _ gssh.Context) { g.forward(m, c) },
		},
	}
	server.AddHostKey(signer)
	listener, err := net.Listen("tcp", g.host+":0")
	if err != nil {
		t.Fatal(err)
	}
	g.port = listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }() // ends with Close
	return g
}

func (g *gate) forward(m *machines, c ssh.NewChannel) {
	var to struct {
		Host     string
		Port     uint32
		FromHost string
		FromPort uint32
	}
	if ssh.Unmarshal(c.ExtraData(), &to) != nil {
		_ = c.Reject(ssh.ConnectionFailed, "bad request")
		return
	}
	actual, ok := m.behind(to.Host)
	if !ok || to.Port != sshPort {
		_ = c.Reject(ssh.Prohibited, "no machine at "+net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
		return
	}
	conn, err := net.Dial("tcp", actual)
	if err != nil {
		_ = c.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	channel, requests, err := c.Accept()
	if err != nil {
		_ = conn.Close()
		return
	}
	g.passed.Add(1)
	go ssh.DiscardRequests(requests)
	go func() {
		_, _ = io.Copy(conn, channel) // either end may go first
		_ = conn.Close()
	}()
	_, _ = io.Copy(channel, conn)
	_ = channel.Close()
}
