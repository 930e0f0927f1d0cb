// SPDX-License-Identifier: MPL-2.0

// Package remotetest offers machines for tests: SSH servers in this process, on
// loopback addresses of their own, whose commands are real processes with a
// home folder of their own. They can be told to misbehave, and can reach one
// another with an `ssh` that is the test binary itself (see Main).
package remotetest

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// User is the only user a Node lets in.
const User = "tester"

// Behaviour is what a Node does wrong. The zero value does everything right.
type Behaviour struct {
	SaysNothing   bool   // accepts TCP and never speaks
	EndlessBanner bool   // greets with lines that never end
	NeverKex      bool   // sends its version and no key exchange
	RefuseExec    bool   // lets users in and runs nothing
	Banner        string // shown at authentication
	Noise         string // printed by the login shell's profile on both streams
	ForcedCommand string // run in place of every command
	NoExitStatus  bool   // closes sessions without a status
	// Plain runs commands as a user who is not root, to whom files say no: nobody,
	// where the test itself is root. The home folder must be Own's.
	Plain bool
	Env   []string
	// Path holds the node's programs, sh among them, where they are others than
	// the host's: a busybox, say. The environment variable SKY_TEST_SYSTEM_PATH
	// stands in for it, so that a whole suite can run on another system.
	Path string
	// RefuseKeys says how many authentications are refused before one counts.
	RefuseKeys int
	// DropAfter closes a connection once that many bytes arrived on it; 0 never.
	DropAfter int64
	// DropAfterSent closes a connection once that many bytes were sent on it.
	DropAfterSent int64
	// Forks, where set, counts what commands start.
	Forks *Forks
}

// Node is one machine.
type Node struct {
	Host, HostKey, Home string
	Port                int

	t        testing.TB
	id       string
	bin      string
	listener net.Listener
	hostKey  ssh.Signer
	client   ssh.Signer
	refused  atomic.Int64
	dials    atomic.Int64
	sessions atomic.Int64

	mu        sync.Mutex
	behaviour Behaviour
	conns     map[net.Conn]bool
}

// NewNode starts a machine that ends, with everything it started, with the test.
func NewNode(t testing.TB, b Behaviour) *Node {
	t.Helper()
	dir := t.TempDir()
	n := &Node{t: t, id: randomID(), Home: filepath.Join(dir, "the home"), bin: filepath.Join(dir, "bin"), behaviour: b, conns: map[net.Conn]bool{}}
	n.hostKey, n.HostKey = newKey(t)
	n.client, _ = newKey(t)
	for _, d := range []string{n.Home, n.bin} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	n.writeSSH()
	n.listen("127.0.0.1:0")
	t.Cleanup(n.Close)
	return n
}

func randomID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func newKey(t testing.TB) (ssh.Signer, string) {
	t.Helper()
	private, public, err := remote.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, public
}

func (n *Node) listen(addr string) {
	n.t.Helper()
	if runtime.GOOS == "linux" && strings.HasSuffix(addr, ":0") {
		var b [2]byte
		_, _ = rand.Read(b[:])
		addr = fmt.Sprintf("127.77.%d.%d:0", b[0], 1+int(b[1])%250)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		n.t.Fatal(err)
	}
	n.listener = l
	if n.Port == 0 { // Up answers where the node was before, and clients read the address meanwhile
		at := l.Addr().(*net.TCPAddr) //nolint:forcetypeassert // a TCP listener
		n.Host, n.Port = at.IP.String(), at.Port
	}
	go n.serve(l)
}

// Target is where the node answers, its key pinned.
func (n *Node) Target() remote.Target {
	return remote.Target{Host: n.Host, Port: n.Port, User: User, HostKey: n.HostKey}
}

// Signer is the key of the node's own user.
func (n *Node) Signer() ssh.Signer { return n.client }

// Trust lets the holder of a signer in as well.
func (n *Node) Trust(s ssh.Signer) {
	n.t.Helper()
	if err := os.MkdirAll(filepath.Join(n.Home, ".ssh"), 0o700); err != nil {
		n.t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(n.Home, ".ssh", "authorized_keys"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	_, err = f.Write(ssh.MarshalAuthorizedKey(s.PublicKey()))
	if err = errors.Join(err, f.Close()); err != nil {
		n.t.Fatal(err)
	}
}

// Set changes what the node does wrong from the next connection on.
func (n *Node) Set(b Behaviour) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.behaviour = b
}

func (n *Node) now() Behaviour {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := n.behaviour
	if b.Path == "" {
		b.Path = os.Getenv("SKY_TEST_SYSTEM_PATH")
	}
	return b
}

// Dials is how many TCP connections came in.
func (n *Node) Dials() int { return int(n.dials.Load()) }

// Sessions is how many sessions were opened.
func (n *Node) Sessions() int { return int(n.sessions.Load()) }

// Drop cuts every connection, as a network does. Processes live on.
func (n *Node) Drop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		_ = c.Close()
	}
}

// Down stops answering; Up answers at the same address again.
func (n *Node) Down() {
	_ = n.listener.Close()
	n.Drop()
}

// Up undoes Down.
func (n *Node) Up() {
	n.t.Helper()
	n.listen(net.JoinHostPort(n.Host, strconv.Itoa(n.Port)))
}

// Close ends the node and its processes.
func (n *Node) Close() {
	n.Down()
	n.KillAll()
}

func (n *Node) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		n.dials.Add(1)
		n.mu.Lock()
		n.conns[conn] = true
		n.mu.Unlock()
		go func() {
			defer func() {
				_ = conn.Close()
				n.mu.Lock()
				delete(n.conns, conn)
				n.mu.Unlock()
			}()
			n.greet(conn, n.now())
		}()
	}
}

func (n *Node) greet(conn net.Conn, b Behaviour) {
	switch {
	case b.SaysNothing:
		_, _ = io.Copy(io.Discard, conn)
	case b.EndlessBanner:
		for {
			if _, err := io.WriteString(conn, "you are welcome\r\n"); err != nil {
				return
			}
		}
	case b.NeverKex:
		_, _ = io.WriteString(conn, "SSH-2.0-tarpit\r\n")
		_, _ = io.Copy(io.Discard, conn)
	case b.DropAfter > 0 || b.DropAfterSent > 0:
		n.speak(&dropper{Conn: conn, in: b.DropAfter, out: b.DropAfterSent}, b)
	default:
		n.speak(conn, b)
	}
}

// dropper closes a connection after so many bytes one way.
type dropper struct {
	net.Conn
	in, out int64
	read    int64
	wrote   int64
}

func (d *dropper) Read(p []byte) (int, error) {
	if d.in > 0 && int64(len(p)) > d.in-d.read {
		p = p[:max(d.in-d.read, 0)]
		if len(p) == 0 {
			_ = d.Conn.Close()
			return 0, io.EOF
		}
	}
	k, err := d.Conn.Read(p)
	d.read += int64(k)
	return k, err
}

func (d *dropper) Write(p []byte) (int, error) {
	if d.out > 0 && d.wrote+int64(len(p)) > d.out {
		k, _ := d.Conn.Write(p[:max(d.out-d.wrote, 0)])
		d.wrote += int64(k)
		_ = d.Conn.Close()
		return k, io.ErrClosedPipe
	}
	k, err := d.Conn.Write(p)
	d.wrote += int64(k)
	return k, err
}
