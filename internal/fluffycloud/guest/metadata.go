// SPDX-License-Identifier: MPL-2.0

//go:build unix

package guest

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// metadata answers the machine's own processes: who they run on, and how to
// stop or terminate the machine. Only the machine's token opens it.
type metadata struct {
	paths Paths
	cfg   Config
	// leave ends the machine from the inside, after the request was noted.
	leave func()
	// restart starts the machine anew, as its own reboot does.
	restart func()
	// logins counts the open SSH connections.
	logins *atomic.Int64
}

func (m *metadata) serve(ctx context.Context, ln net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /self", m.describe)
	mux.HandleFunc("GET /self/sessions", m.sessions)
	mux.HandleFunc("POST /self/stop", func(w http.ResponseWriter, r *http.Request) { m.act(w, r, "stop") })
	mux.HandleFunc("POST /self/terminate", func(w http.ResponseWriter, r *http.Request) { m.act(w, r, "terminate") })
	mux.HandleFunc("POST /self/reboot", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		go m.restart()
	})
	srv := &http.Server{Handler: m.guard(mux), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	_ = srv.Serve(ln)
}

func (m *metadata) guard(next http.Handler) http.Handler {
	want := []byte("Bearer " + m.cfg.Token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			http.Error(w, "the machine's token is missing or wrong", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (m *metadata) describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{
		"id": m.cfg.ID, "name": m.cfg.Name, "region": m.cfg.Region, "zone": m.cfg.Zone, "instance_type": m.cfg.Type,
	})
}

// sessions prints a line for each open SSH connection.
func (m *metadata) sessions(w http.ResponseWriter, _ *http.Request) {
	for range m.logins.Load() {
		_, _ = io.WriteString(w, User+"\n")
	}
}

// act passes the request on to the cloud. A cloud that does not answer finds
// the request on its return; the machine ends by itself meanwhile.
func (m *metadata) act(w http.ResponseWriter, r *http.Request, action string) {
	status, body, err := m.forward(r.Context(), action)
	if err == nil {
		w.WriteHeader(status)
		_, _ = w.Write(body)
		return
	}
	if err := WriteJSON(m.paths.SelfRequest(), SelfRequest{Action: action}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, "the cloud does not answer; it will find the request\n")
	go m.leave()
}

func (m *metadata) forward(ctx context.Context, action string) (int, []byte, error) {
	var server Server
	if err := ReadJSON(m.cfg.ServerFile, &server); err != nil || !server.Proves() {
		return 0, nil, errors.Join(errors.New("no cloud is known"), err)
	}
	client := server.Client(10 * time.Second)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/self/"+action, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("ask the cloud: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+m.cfg.Token)
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("ask the cloud: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, body, err
}
