// SPDX-License-Identifier: MPL-2.0

//go:build unix

package fluffycloud

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gofrs/flock"
	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
)

// thief takes the port of a dead server, as any user of the computer can, hears
// what comes and says yes to everything.
type thief struct {
	address string
	mu      sync.Mutex
	heard   bytes.Buffer
}

func (th *thief) Write(p []byte) (int, error) {
	th.mu.Lock()
	defer th.mu.Unlock()
	return th.heard.Write(p)
}

// knows fails the test if any of the secrets was said to the thief.
func (th *thief) knows(t *testing.T, secrets ...string) {
	t.Helper()
	th.mu.Lock()
	defer th.mu.Unlock()
	for _, secret := range append(secrets, "Bearer", "/v1/", "/self/") {
		if bytes.Contains(th.heard.Bytes(), []byte(secret)) {
			t.Errorf("the listener on the dead server's port heard %q", secret)
		}
	}
}

// newThief listens on address until the end of the test, with a certificate of
// its own or without any.
func newThief(t *testing.T, address string, secure bool) *thief {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	th := &thief{address: ln.Addr().String()}
	if secure {
		certificate, err := newCertificate()
		if err != nil {
			t.Fatal(err)
		}
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go th.answer(conn)
		}
	}()
	t.Cleanup(func() { _ = ln.Close() })
	return th
}

func (th *thief) answer(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	first := make([]byte, 16<<10)
	n, _ := conn.Read(first)
	_, _ = th.Write(first[:n])
	body := `{"id":"acct-evil","url":"evil","running":true,"instances":[],"status":"terminated"}`
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
	_, _ = io.Copy(th, conn)
}

// deadServer starts a server with one machine and kills it. It returns the
// address it had, and its secrets.
func deadServer(t *testing.T) (s *served, machine Instance, address string, secrets []string) {
	t.Helper()
	state := t.TempDir()
	s = &served{cloud: &cloud{t: t, dir: filepath.Join(state, "fluffycloud")}, state: state}
	t.Cleanup(func() {
		if _, errOut, code := command(t, "", "stop", "--force", "--state-dir", state); code != 0 {
			t.Error(errOut)
		}
	})
	s.serve()
	api, err := connect(t.Context(), s.dir)
	if err != nil {
		t.Fatal(err)
	}
	s.srv = &Server{opts: Options{Dir: s.dir}} // for the paths only
	s.login, _ = newSigner(t)
	machine = s.machine(api)
	u, err := url.Parse(api.url)
	if err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(guest.Paths{Dir: filepath.Join(s.dir, "machines", machine.ID)}.Token())
	if err != nil {
		t.Fatal(err)
	}
	s.killAfter(0)
	return s, machine, u.Host, []string{api.key[:24], strings.TrimSpace(string(token))}
}

// machine launches one that can be logged in to.
func (s *served) machine(api *client) Instance {
	s.t.Helper()
	var key struct {
		SSHKey SSHKey `json:"ssh_key"`
	}
	in := map[string]any{"name": "login", "public_key": string(ssh.MarshalAuthorizedKey(s.login.PublicKey()))}
	if err := api.call(s.t.Context(), "POST", "/v1/ssh-keys", in, &key); err != nil {
		s.t.Fatal(err)
	}
	req := launchRequest{Name: "one", Region: "meadow-1", Zone: "meadow-1a", InstanceType: "puff-2", SSHKeyIDs: []string{key.SSHKey.ID}}
	var made instanceAnswer
	if err := api.call(s.t.Context(), "POST", "/v1/instances", req, &made); err != nil {
		s.t.Fatal(err)
	}
	s.all(api, map[string]bool{made.Instance.ID: true}, StateRunning)
	if err := api.call(s.t.Context(), "GET", "/v1/instances/"+made.Instance.ID, nil, &made); err != nil {
		s.t.Fatal(err)
	}
	return made.Instance
}

// TestTheCommandsDoNotTrustAPort: status, stop and faults say nothing to a
// listener on a dead server's port, and believe nothing of it.
func TestTheCommandsDoNotTrustAPort(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%t", secure), func(t *testing.T) {
			s, machine, address, secrets := deadServer(t)
			th, pid := newThief(t, address, secure), s.machinePID(machine.ID)
			out, errOut, code := command(t, "", "status", "--json", "--state-dir", s.state)
			var v inventory
			if err := json.Unmarshal([]byte(out), &v); err != nil || code != 0 || v.Running || len(v.Instances) != 1 {
				t.Errorf("status believes the listener: %d %v: %s%s", code, err, out, errOut)
			}
			if _, errOut, code := command(t, "", "faults", "list", "--state-dir", s.state); code != 1 || !strings.Contains(errOut, "start it with") {
				t.Errorf("faults: %d %s", code, errOut)
			}
			if out, errOut, code := command(t, "", "stop", "--force", "--state-dir", s.state); code != 0 || !strings.Contains(out, "terminated: 1 machine.") {
				t.Errorf("stop: %d %s%s", code, out, errOut)
			}
			if alive(pid) {
				t.Error("the machine outlived its end")
			}
			th.knows(t, secrets...)
		})
	}
}

// TestAMachineDoesNotTrustAPort: a machine that ends itself says its token to
// no listener on the dead server's port, and ends although that says yes.
func TestAMachineDoesNotTrustAPort(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%t", secure), func(t *testing.T) {
			s, machine, address, secrets := deadServer(t)
			th := newThief(t, address, secure)
			pid := s.machinePID(machine.ID)
			session, err := s.dial(machine).NewSession()
			if err != nil {
				t.Fatal(err)
			}
			_ = session.Run("fluffycloud-self terminate") // cut off by the machine's end
			s.until("the machine ended itself", func() bool { return !alive(pid) })
			th.knows(t, secrets...)
		})
	}
}

// TestAnOlderServer is told from a dead one by its lock, and is sent nothing.
func TestAnOlderServer(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	dir := filepath.Join(state, "fluffycloud")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	th := newThief(t, "127.0.0.1:0", false)
	older := guest.Server{URL: "http://" + th.address, PID: 4711, Version: "0.0.9"}
	if err := guest.WriteJSON(filepath.Join(dir, "server.json"), older); err != nil {
		t.Fatal(err)
	}
	if err := writeAPIKey(dir, "fluffy-old"); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(lockFile(dir))
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"stop"}, {"faults", "list"}, {"serve"}} {
		_, errOut, code := command(t, "", append(args, "--state-dir", state)...)
		if code != 1 || !strings.Contains(errOut, "0.0.9") || !strings.Contains(errOut, "kill 4711") {
			t.Errorf("%v: %d: %s", args, code, errOut)
		}
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if out, errOut, code := command(t, "", "status", "--state-dir", state); code != 0 || !strings.Contains(out, "No FluffyCloud server") {
		t.Errorf("what a dead one left: %d: %s%s", code, out, errOut)
	}
	th.knows(t, "fluffy-old")
}
