// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// thief is what another user of the computer puts on the port of a dead server:
// it hears all that comes and answers as the server would.
type thief struct {
	*httptest.Server
	mu    sync.Mutex
	heard []string
}

func newThief(t *testing.T, address string, secure bool) *thief {
	t.Helper()
	th := &thief{}
	th.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		th.mu.Lock()
		defer th.mu.Unlock()
		th.heard = append(th.heard, fmt.Sprintf("%s %s %v", r.Method, r.URL, r.Header))
		answer(w, 200, map[string]any{"id": "acct-evil", "instances": []instance{}})
	}))
	_ = th.Listener.Close()
	var err error
	if th.Listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", address); err != nil {
		t.Fatal(err)
	}
	if secure {
		th.StartTLS()
	} else {
		th.Start()
	}
	t.Cleanup(th.Close)
	return th
}

// heardNothing fails the test if anybody spoke to the thief.
func (th *thief) heardNothing(t *testing.T) {
	t.Helper()
	th.mu.Lock()
	defer th.mu.Unlock()
	if len(th.heard) > 0 {
		t.Errorf("the listener on the dead server's port heard %q", th.heard)
	}
}

// killServer kills the server of the state folder, and returns the address it had.
func killServer(t *testing.T, creds cloud.Credentials) string {
	t.Helper()
	dir := filepath.Join(creds.StateDir, Name)
	data, err := os.ReadFile(filepath.Join(dir, "server.json"))
	if err != nil {
		t.Fatal(err)
	}
	var where struct {
		URL string `json:"url"`
		PID int    `json:"pid"`
	}
	if err := json.Unmarshal(data, &where); err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(where.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(filepath.Join(dir, "server.lock"))
	if ok, err := lock.TryLockContext(t.Context(), time.Millisecond); !ok || err != nil {
		t.Fatalf("the server did not die: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(where.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// realServer is the account of a state folder whose server is the real one, in
// a process of its own.
func realServer(t *testing.T) (cloud.Credentials, cloud.Session) {
	t.Helper()
	creds := cloud.Credentials{StateDir: t.TempDir(), Executable: mustExecutable(t)}
	t.Cleanup(func() {
		//nolint:gosec // the test's own binary
		out, err := exec.Command(creds.Executable, "fluffycloud", "stop", "--force", "--state-dir", creds.StateDir).CombinedOutput()
		if err != nil {
			t.Errorf("stop the server: %v: %s", err, out)
		}
	})
	session, err := Factory{}.Open(t.Context(), creds)
	if err != nil {
		t.Fatal(err)
	}
	return creds, session
}

// TestAPortIsNotTrusted: whoever took the port of a dead server hears nothing
// and is believed nothing, neither by a new run nor by one that had spoken to
// the server before. Both find the cloud again, with its account and machines.
func TestAPortIsNotTrusted(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%t", secure), func(t *testing.T) {
			creds, before := realServer(t)
			key, err := os.ReadFile(filepath.Join(creds.StateDir, Name, "api_key"))
			if err != nil {
				t.Fatal(err)
			}
			th := newThief(t, killServer(t, creds), secure)
			account, err := clientOf(t, before).accountID(t.Context())
			if err != nil || account != before.Account {
				t.Errorf("the run that goes on: account %q, %v, want %q", account, err, before.Account)
			}
			after, err := Factory{}.Open(t.Context(), creds)
			if err != nil || after.Account != before.Account {
				t.Errorf("the next run: account %q, %v, want %q", after.Account, err, before.Account)
			}
			again, err := os.ReadFile(filepath.Join(creds.StateDir, Name, "api_key"))
			if err != nil || bytes.Equal(key, again) {
				t.Errorf("the key of the dead server still opens its successor (%v)", err)
			}
			th.heardNothing(t)
		})
	}
}

// TestAnEndpointIsNotTrusted: the same for a server that the user runs.
func TestAnEndpointIsNotTrusted(t *testing.T) {
	creds, _ := realServer(t)
	key, err := os.ReadFile(filepath.Join(creds.StateDir, Name, "api_key"))
	if err != nil {
		t.Fatal(err)
	}
	address := killServer(t, creds)
	th := newThief(t, address, true)
	_, err = Factory{}.Open(t.Context(), cloud.Credentials{Values: map[string]string{
		"endpoint": "https://" + address, "api_key": strings.TrimSpace(string(key)),
	}})
	if !errors.Is(err, errStranger) || classify(err).Kind != cloud.KindAuth {
		t.Errorf("Open = %v, want that a stranger listens", err)
	}
	th.heardNothing(t)
}

// TestAnotherAccountIsNoSuccessor: a cloud whose store was lost has no machines,
// which must not pass for the end of those that were launched.
func TestAnotherAccountIsNoSuccessor(t *testing.T) {
	creds, before := realServer(t)
	killServer(t, creds)
	if err := os.Remove(filepath.Join(creds.StateDir, Name, "fluffycloud.db")); err != nil {
		t.Fatal(err)
	}
	_, err := clientOf(t, before).instances(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "has another account") || classify(err).Kind != cloud.KindAuth {
		t.Errorf("instances = %v, want that the account is another", err)
	}
}

// TestAnOlderServer: it cannot prove itself, so it is sent nothing, and the
// error says what to do.
func TestAnOlderServer(t *testing.T) {
	creds := cloud.Credentials{StateDir: t.TempDir(), Executable: mustExecutable(t)}
	dir := filepath.Join(creds.StateDir, Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	th := newThief(t, "127.0.0.1:0", false)
	for name, text := range map[string]string{
		"server.json": fmt.Sprintf(`{"url":%q,"pid":4711,"version":"0.0.9"}`, th.URL), "api_key": "fluffy-old\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lock := flock.New(filepath.Join(dir, "server.lock"))
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	_, err := Factory{}.Open(t.Context(), creds)
	if err == nil || !strings.Contains(err.Error(), "an older version (0.0.9, process 4711)") || !strings.Contains(err.Error(), "kill 4711") {
		t.Errorf("Open = %v, want the older server and what to do", err)
	}
	th.heardNothing(t)
}

func TestAFolderOthersCanChange(t *testing.T) {
	creds := cloud.Credentials{StateDir: t.TempDir(), Executable: mustExecutable(t)}
	dir := filepath.Join(creds.StateDir, Name)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, 0o777)); err != nil { //nolint:gosec // what is to be refused
		t.Fatal(err)
	}
	if _, err := (Factory{}).Open(t.Context(), creds); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("Open = %v, want that others may change the folder", err)
	}
}

func clientOf(t *testing.T, session cloud.Session) *client {
	t.Helper()
	d, ok := session.Provisioner.(*driver)
	if !ok {
		t.Fatalf("the provisioner is a %T", session.Provisioner)
	}
	return d.c
}

// TestADeadServerEndsTheWait: where no other server can be started, a call ends
// at once with what stands in the way, and is not taken for trouble that passes.
func TestADeadServerEndsTheWait(t *testing.T) {
	creds, before := realServer(t)
	killServer(t, creds)
	log := filepath.Join(creds.StateDir, Name, "server.log")
	if err := errors.Join(os.Remove(log), os.Mkdir(log, 0o700)); err != nil {
		t.Fatal(err)
	}
	err := before.Provisioner.Terminate(t.Context(), cloud.ClusterRef{Owner: "o", Cluster: "c", Cloud: Name})
	if err == nil || !strings.Contains(err.Error(), "is gone, and no other could be started") || !strings.Contains(err.Error(), log) {
		t.Errorf("Terminate = %v, want the dead server and what stands in the way", err)
	}
	if got := classify(err).Kind; got != cloud.KindAuth {
		t.Errorf("classified as %s", got)
	}
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
}
