// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

const testKey = "key-canary"

// fake is a server that keeps machines, keys and firewalls, and misbehaves as
// told. The real server is for the conformance suite; the fake is for answers
// the real one never gives.
type fake struct {
	*httptest.Server
	key       string
	mu        sync.Mutex
	machines  []*instance
	tokens    map[string]*instance
	keys      []sshKey
	firewalls []firewall
	launches  []launchRequest
	calls     []string
	// intercept may answer a call itself, under the lock.
	intercept func(w http.ResponseWriter, r *http.Request) bool
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{tokens: map[string]*instance{}}
	mux := http.NewServeMux()
	handle := func(pattern string, h func(w http.ResponseWriter, r *http.Request)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.calls = append(f.calls, r.Method+" "+r.URL.Path)
			switch {
			case r.Header.Get("Authorization") != "Bearer "+f.key:
				refuse(w, http.StatusUnauthorized, codeUnauthorized, "bad key")
			case f.intercept == nil || !f.intercept(w, r):
				h(w, r)
			}
		})
	}
	handle("GET /v1/account", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, map[string]any{"id": "acct-1"}) })
	handle("GET /v1/images", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"images": []image{
			{ID: defaultCPUImage, Tags: []string{"skypilot:cpu"}, SSHUser: "fluffy"}, {ID: defaultGPUImage, SSHUser: "fluffy"},
		}})
	})
	handle("GET /v1/instances", func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, map[string]any{"instances": f.tagged(r.URL.Query()["tag"])})
	})
	handle("POST /v1/instances", f.launch)
	handle("/v1/instances/{id}", f.one)
	handle("/v1/instances/{id}/{verb}", f.change)
	handle("GET /v1/ssh-keys", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, map[string]any{"ssh_keys": f.keys}) })
	handle("POST /v1/ssh-keys", f.createKey)
	handle("GET /v1/firewalls", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"firewalls": f.firewalls})
	})
	handle("POST /v1/firewalls", f.createFirewall)
	handle("PUT /v1/firewalls/{id}/rules", func(w http.ResponseWriter, r *http.Request) {
		i := slices.IndexFunc(f.firewalls, func(fw firewall) bool { return fw.ID == r.PathValue("id") })
		_ = json.NewDecoder(r.Body).Decode(&f.firewalls[i])
		answer(w, 200, map[string]any{"firewall": f.firewalls[i]})
	})
	f.Server = httptest.NewTLSServer(mux)
	f.key = keyOf(f.Server)
	t.Cleanup(f.Close)
	return f
}

// keyOf returns the key of a server, which names its certificate.
func keyOf(s *httptest.Server) string {
	sum := sha256.Sum256(s.Certificate().Raw)
	return testKey + "-" + hex.EncodeToString(sum[:])
}

func answer(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, map[string]any{"error": map[string]string{"code": code, "message": message, "request_id": "req-1"}})
}

func (f *fake) tagged(tags []string) []*instance {
	out := []*instance{}
	for _, in := range f.machines {
		if !slices.ContainsFunc(tags, func(kv string) bool {
			k, v, _ := strings.Cut(kv, "=")
			return in.Tags[k] != v
		}) {
			out = append(out, in)
		}
	}
	return out
}

func (f *fake) launch(w http.ResponseWriter, r *http.Request) {
	var req launchRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, 400, codeInvalid, err.Error())
		return
	}
	f.launches = append(f.launches, req)
	if in, ok := f.tokens[req.ClientToken]; ok {
		answer(w, 200, map[string]any{"instance": in})
		return
	}
	in := f.add(req)
	answer(w, 201, map[string]any{"instance": in})
}

// add makes a machine that runs at once.
func (f *fake) add(req launchRequest) *instance {
	n := len(f.machines)
	in := &instance{
		ID: fmt.Sprintf("i-%d", n), Name: req.Name, Region: req.Region, Zone: req.Zone, InstanceType: req.InstanceType,
		Image: req.Image, Market: req.Market, State: "running", CreatedAt: time.Now(), ExpiresAt: req.ExpiresAt,
		PrivateIP: "127.0.0.9", PublicIP: "127.0.0.9", SSHPort: sshPort, Tags: req.Tags, FirewallID: req.FirewallID, HourlyUSD: 1,
	}
	f.machines = append(f.machines, in)
	f.tokens[req.ClientToken] = in
	return in
}

func (f *fake) find(w http.ResponseWriter, r *http.Request) *instance {
	for _, in := range f.machines {
		if in.ID == r.PathValue("id") {
			return in
		}
	}
	refuse(w, 404, codeNotFound, "no such instance")
	return nil
}

func (f *fake) one(w http.ResponseWriter, r *http.Request) {
	in := f.find(w, r)
	if in == nil {
		return
	}
	if r.Method == http.MethodDelete {
		in.State, in.StateReason = "terminated", "user_request"
	}
	answer(w, 200, map[string]any{"instance": in})
}

func (f *fake) change(w http.ResponseWriter, r *http.Request) {
	in := f.find(w, r)
	if in == nil {
		return
	}
	switch r.PathValue("verb") {
	case "stop":
		in.State = "stopped"
	case "start":
		in.State = "running"
	case "expiry":
		in.ExpiresAt = nil
	case "tags":
		var body struct {
			Set    map[string]string `json:"set"`
			Remove []string          `json:"remove"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		for k, v := range body.Set {
			in.Tags[k] = v
		}
		for _, k := range body.Remove {
			delete(in.Tags, k)
		}
	}
	answer(w, 202, map[string]any{"instance": in})
}

func (f *fake) createKey(w http.ResponseWriter, r *http.Request) {
	var k sshKey
	_ = json.NewDecoder(r.Body).Decode(&k)
	if slices.ContainsFunc(f.keys, func(have sshKey) bool { return have.Name == k.Name }) {
		refuse(w, 409, codeConflict, "the name is taken")
		return
	}
	k.ID = fmt.Sprintf("key-%d", len(f.keys))
	f.keys = append(f.keys, k)
	answer(w, 201, map[string]any{"ssh_key": k})
}

func (f *fake) createFirewall(w http.ResponseWriter, r *http.Request) {
	var fw firewall
	_ = json.NewDecoder(r.Body).Decode(&fw)
	fw.ID = fmt.Sprintf("fw-%d", len(f.firewalls))
	f.firewalls = append(f.firewalls, fw)
	answer(w, 201, map[string]any{"firewall": fw})
}

// on makes the fake answer calls of a method and path its own way, the first
// times of them; 0 is all.
func (f *fake) on(method, path string, times int, h func(w http.ResponseWriter, r *http.Request)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, left := f.intercept, times
	f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == method && r.URL.Path == path && (times == 0 || left > 0) {
			left--
			h(w, r)
			return true
		}
		return before != nil && before(w, r)
	}
}

func (f *fake) count(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if c == call {
			n++
		}
	}
	return n
}

// edit changes the fake's state while calls are under way.
func (f *fake) edit(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// client returns a client that waits milliseconds where a real one waits seconds.
func (f *fake) client(t *testing.T) *client {
	t.Helper()
	c, err := newClient(f.URL, f.key)
	if err != nil {
		t.Fatal(err)
	}
	c.policy = retry.Policy{Initial: time.Millisecond, Max: time.Millisecond, Attempts: 4}
	c.maxRetryAfter = time.Millisecond
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

func (f *fake) driver(t *testing.T) *driver {
	t.Helper()
	d := newDriver(f.client(t))
	d.Poll = retry.Policy{Initial: time.Millisecond, Max: time.Millisecond}
	return d
}

var testRef = cloud.ClusterRef{Owner: "o", Cluster: "c", Generation: "g", Cloud: Name, Region: "meadow-1", Zone: "meadow-1a"}

func testSpec(nodes int) (cloud.ClusterSpec, cloud.Placement) {
	spec := cloud.ClusterSpec{Ref: testRef, AuthorizedKeys: []string{"ssh-ed25519 AAAA me"}}
	for rank := range nodes {
		spec.Nodes = append(spec.Nodes, cloud.NodeSpec{
			Identity: cloud.Identity{Owner: "o", Cluster: "c", Generation: "g", Rank: rank},
			UserData: fmt.Appendf(nil, "#!/bin/sh\n# secret of rank %d\n", rank),
		})
	}
	return spec, cloud.Placement{Nodes: nodes, Offer: cloud.Offer{
		Cloud: Name, Region: "meadow-1", Zone: "meadow-1a", Market: cloud.OnDemand, HourlyUSD: 1,
		InstanceType: cloud.InstanceType{Name: "small"},
	}}
}

// up launches a cluster on the fake.
func up(t *testing.T, d *driver, nodes int) (cloud.RunConfig, cloud.RunRecord) {
	t.Helper()
	spec, at := testSpec(nodes)
	cfg, err := d.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	record, err := d.Run(t.Context(), testRef, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, record
}
