// SPDX-License-Identifier: MPL-2.0

//go:build unix

package gcp

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// metadataServer is Google's, as far as the timer asks it, and the one call of
// Compute Engine that the timer may make.
type metadataServer struct {
	*httptest.Server
	mu         sync.Mutex
	attributes string
	token      string
	forbidden  bool
	deleted    chan string
	looks      chan struct{}
}

func newMetadataServer(t *testing.T, attributes, token string) *metadataServer {
	t.Helper()
	m := &metadataServer{attributes: attributes, token: token, deleted: make(chan string, 8), looks: make(chan struct{}, 1000)}
	answer := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Metadata-Flavor") != "Google" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			_, _ = io.WriteString(w, text)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /md/instance/attributes/", func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.looks <- struct{}{}
		answer(m.attributes)(w, r)
	})
	mux.HandleFunc("GET /md/instance/service-accounts/default/token", func(w http.ResponseWriter, r *http.Request) {
		if m.token == "" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		answer(`{"access_token":"`+m.token+`","expires_in":3599,"token_type":"Bearer"}`)(w, r)
	})
	mux.HandleFunc("GET /md/project/project-id", answer("acme-weather"))
	mux.HandleFunc("GET /md/instance/zone", answer("projects/4711/zones/us-central1-a"))
	mux.HandleFunc("GET /md/instance/id", answer("1001"))
	mux.HandleFunc("DELETE /", func(w http.ResponseWriter, r *http.Request) {
		if m.forbidden || r.Header.Get("Authorization") != "Bearer "+m.token {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		m.deleted <- r.URL.Path
	})
	m.Server = httptest.NewServer(mux)
	t.Cleanup(m.Close)
	return m
}

// arm runs the script as the guest agent would, with commands of the test's own
// in the place of those that end a machine. The channel is closed at shutdown.
func arm(t *testing.T, m *metadataServer, deadline time.Time) <-chan struct{} {
	t.Helper()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "down")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"shutdown": "echo down >" + fifo + "; exec sleep 60", "poweroff": "exit 1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil { //nolint:gosec // it is to be run
			t.Fatal(err)
		}
	}
	script := filepath.Join(dir, "startup")
	// The timer is left in the foreground, so that it ends with the test.
	text := strings.Replace(deadMan(deadline), "setsid /bin/sh \"$state/dead-man\" </dev/null >/dev/null 2>&1 &", "exec /bin/sh \"$state/dead-man\"", 1)
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "/bin/sh", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "SKY_RUN="+filepath.Join(dir, "run"), "SKY_METADATA="+m.URL+"/md", "SKY_COMPUTE="+m.URL, "SKY_PAUSE=0.05")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	down := make(chan struct{})
	go func() {
		if text, _ := os.ReadFile(fifo); len(text) > 0 {
			close(down)
		}
	}()
	t.Cleanup(func() { // the reader goes, too
		if f, err := os.OpenFile(fifo, os.O_RDWR|syscall.O_NONBLOCK, 0); err == nil {
			_ = f.Close()
		}
	})
	return down
}

func TestDeadManScriptShutsDown(t *testing.T) {
	m := newMetadataServer(t, "ssh-keys\nsky-deadline\n", "")
	<-arm(t, m, time.Now().Add(-time.Second))
	if len(m.deleted) > 0 {
		t.Error("a machine without a service account deleted itself")
	}
}

func TestDeadManScriptDeletes(t *testing.T) {
	m := newMetadataServer(t, "sky-deadline\n", "token-of-the-machine")
	arm(t, m, time.Now().Add(-time.Second))
	if got, want := <-m.deleted, "/compute/v1/projects/acme-weather/zones/us-central1-a/instances/1001"; got != want {
		t.Errorf("it deleted %s, want %s", got, want)
	}
}

func TestDeadManScriptMayNotDelete(t *testing.T) {
	m := newMetadataServer(t, "sky-deadline\n", "token-of-the-machine")
	m.forbidden = true
	<-arm(t, m, time.Now().Add(-time.Second))
}

// TestDeadManScriptSpares: what is recorded, what shows no timer, and what is
// not due stays.
func TestDeadManScriptSpares(t *testing.T) {
	for name, tt := range map[string]struct {
		attributes string
		deadline   time.Time
		looks      int
	}{
		"recorded":     {"sky-deadline\nsky-committed\n", time.Now().Add(-time.Second), 1},
		"not armed":    {"ssh-keys\n", time.Now().Add(-time.Second), 4},
		"another mark": {"not-sky-deadline\nsky-deadline-too\n", time.Now().Add(-time.Second), 4},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMetadataServer(t, tt.attributes, "token")
			down := arm(t, m, tt.deadline)
			for range tt.looks {
				<-m.looks
			}
			select {
			case <-down:
				t.Error("the machine went down")
			case <-m.deleted:
				t.Error("the machine was deleted")
			default:
			}
		})
	}
}
