// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"

	server "github.com/skybroker/terraform-provider-sky/internal/fluffycloud"
)

// TestMain lets the test binary stand in for the provider's: as the machines
// of the real server, as that server, or, where a file in the state folder says
// so, as a stub that only knows its account or fails.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[2] == "serve" && exists(filepath.Join(os.Args[4], "stub")) {
		if err := serveStub(filepath.Join(os.Args[4], Name)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		return
	}
	if handled, code := server.Main(os.Args); handled {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// serveStub serves until it is told to stop, a minute at most.
func serveStub(dir string) error {
	if text, err := os.ReadFile(filepath.Join(dir, "fail")); err == nil {
		return errors.New(string(text))
	}
	lock := flock.New(filepath.Join(dir, "server.lock"))
	if ok, err := lock.TryLock(); !ok || err != nil { // another one serves
		return errors.Join(err, os.WriteFile(filepath.Join(dir, "refused"), nil, 0o600))
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	mux := http.NewServeMux()
	s := httptest.NewTLSServer(mux)
	defer s.Close()
	key := keyOf(s)
	mux.HandleFunc("/v1/account", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+key {
			refuse(w, 401, codeUnauthorized, "bad key")
			return
		}
		answer(w, 200, map[string]any{"id": "acct-stub"})
	})
	environ, _ := json.Marshal(os.Environ())
	starts, err := os.OpenFile(filepath.Join(dir, "starts"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(starts, "%s\n", environ)
	}
	where, _ := json.Marshal(map[string]any{"url": s.URL, "pid": os.Getpid()})
	if err := errors.Join(err, starts.Close(),
		os.WriteFile(filepath.Join(dir, "api_key"), []byte(key+"\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "server.json"), where, 0o600)); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// credentials are those of a provider with an empty state folder; the server
// it starts is stopped at the end of the test.
func credentials(t *testing.T) cloud.Credentials {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	creds := cloud.Credentials{StateDir: t.TempDir(), Executable: exe}
	if err := os.WriteFile(filepath.Join(creds.StateDir, "stub"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopStub(t, filepath.Join(creds.StateDir, Name)) })
	return creds
}

// stopStub stops the server of a folder and waits until it let go of its lock.
func stopStub(t *testing.T, dir string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "server.json"))
	if err != nil {
		return
	}
	var where struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal(data, &where); err != nil || where.PID == 0 {
		return // not one of ours
	}
	if p, err := os.FindProcess(where.PID); err == nil {
		_ = p.Kill()
	}
	if _, err := flock.New(filepath.Join(dir, "server.lock")).TryLockContext(context.Background(), time.Millisecond); err != nil {
		t.Errorf("the server did not end: %v", err)
	}
}

func starts(t *testing.T, creds cloud.Credentials) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(creds.StateDir, Name, "starts"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

func TestStartsOnFirstUse(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "canary")
	creds := credentials(t)
	for range 2 {
		session, err := Factory{}.Open(t.Context(), creds)
		if err != nil || session.Account != "acct-stub" {
			t.Fatalf("Open = %q, %v", session.Account, err)
		}
	}
	got := starts(t, creds)
	if len(got) != 1 {
		t.Errorf("the server was started %d times, want once", len(got))
	}
	if strings.Contains(got[0], "canary") || !strings.Contains(got[0], "PATH=") {
		t.Errorf("the server's environment is %s", got[0])
	}
	for name, mode := range map[string]os.FileMode{".": 0o700, "server.log": 0o600, "start.lock": 0o600} {
		info, err := os.Stat(filepath.Join(creds.StateDir, Name, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v (%v), want %v", name, info.Mode().Perm(), err, mode)
		}
	}
}

// TestStartsTheRealServer and stops it again as its user would.
func TestStartsTheRealServer(t *testing.T) {
	creds := cloud.Credentials{StateDir: t.TempDir(), Executable: mustExecutable(t)}
	stop := func() ([]byte, error) {
		//nolint:gosec // the test's own binary
		return exec.CommandContext(context.Background(), creds.Executable, "fluffycloud", "stop", "--force", "--state-dir", creds.StateDir).CombinedOutput()
	}
	t.Cleanup(func() {
		if out, err := stop(); err != nil {
			t.Errorf("stop the server: %v: %s", err, out)
		}
	})
	first, err := Factory{}.Open(t.Context(), creds)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Factory{}.Open(t.Context(), creds)
	if err != nil || second.Account != first.Account || first.Account == "" {
		t.Errorf("accounts %q and %q, %v", first.Account, second.Account, err)
	}
	if out, err := stop(); err != nil {
		t.Fatalf("stop the server: %v: %s", err, out)
	}
	again, err := Factory{}.Open(t.Context(), creds)
	if err != nil || again.Account != first.Account {
		t.Errorf("after a restart the account is %q, was %q, %v", again.Account, first.Account, err)
	}
}

// A server that serves and refuses the key is not waited for.
func TestServerThatRefusesItsKey(t *testing.T) {
	creds := credentials(t)
	if _, err := (Factory{}).Open(t.Context(), creds); err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(creds.StateDir, Name, "api_key")
	key, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, append([]byte("wrong-"), key...), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Factory{}.Open(t.Context(), creds)
	if !refusesKey(err) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open = %v, want the server's refusal at once", err)
	}
}

func TestStartsOnceFromManySides(t *testing.T) {
	creds := credentials(t)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = Factory{}.Open(t.Context(), creds) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got := starts(t, creds); len(got) != 1 {
		t.Errorf("the server was started %d times, want once", len(got))
	}
}

// TestStartsAfterACrash: what the dead server left behind does not confuse.
func TestStartsAfterACrash(t *testing.T) {
	creds := credentials(t)
	dir := filepath.Join(creds.StateDir, Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := fmt.Sprintf(`{"url":"http://%s"}`, listener.Addr())
	_ = listener.Close()
	for name, text := range map[string]string{"server.json": dead, "api_key": "old"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := (Factory{}).Open(t.Context(), creds); err != nil {
		t.Error(err)
	}
}

func TestTornServerFile(t *testing.T) {
	creds := credentials(t)
	dir := filepath.Join(creds.StateDir, Name)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "server.json"), []byte(`{"url":"ht`), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := (Factory{}).Open(t.Context(), creds); err != nil {
		t.Error(err)
	}
}

func TestServerThatFails(t *testing.T) {
	creds := credentials(t)
	dir := filepath.Join(creds.StateDir, Name)
	if err := errors.Join(os.MkdirAll(dir, 0o700),
		os.WriteFile(filepath.Join(dir, "server.log"), []byte(strings.Repeat("old news\n", 1000)), 0o600),
		os.WriteFile(filepath.Join(dir, "fail"), []byte("the disk is full of clouds"), 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err := Factory{}.Open(t.Context(), creds)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(err.Error(), "the disk is full of clouds") || strings.Contains(err.Error(), "old news") {
		t.Errorf("Open = %v, want the exit and what the log says of it", err)
	}
}

func TestServerThatNeverAnswers(t *testing.T) {
	s := starter{stateDir: t.TempDir(), executable: mustExecutable(t), timeout: 300 * time.Millisecond}
	if err := errors.Join(os.MkdirAll(s.dir(), 0o700), os.WriteFile(filepath.Join(s.stateDir, "stub"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(filepath.Join(s.dir(), "server.lock"))
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	_, err := s.ensure(t.Context())
	// The server that was started may only now come to see that it is not wanted.
	refused := func(context.Context) (bool, error) { return exists(filepath.Join(s.dir(), "refused")), nil }
	if err := retry.Poll(t.Context(), retry.Policy{Initial: time.Millisecond}, refused); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "server.log says nothing") {
		t.Errorf("ensure = %v, want the end of patience and the log", err)
	}
}

func mustExecutable(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func TestNoProgramToStart(t *testing.T) {
	_, err := Factory{}.Open(t.Context(), cloud.Credentials{StateDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "no program") {
		t.Errorf("Open = %v", err)
	}
	_, err = Factory{}.Open(t.Context(), cloud.Credentials{StateDir: t.TempDir(), Executable: "/no/such/program"})
	if err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("Open = %v", err)
	}
}

func TestPlainEnviron(t *testing.T) {
	got := plainEnviron([]string{"PATH=/bin", "AWS_SECRET_ACCESS_KEY=x", "LC_ALL=C", "FLUFFYCLOUD_API_KEY=x", "Path=C:", "odd"})
	if want := []string{"PATH=/bin", "LC_ALL=C", "Path=C:"}; !slices.Equal(got, want) {
		t.Errorf("plainEnviron = %v, want %v", got, want)
	}
}
