// SPDX-License-Identifier: MPL-2.0

//go:build unix

package fluffycloud

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/procs"
)

// TestAServerKilledAnywhere kills the server's process a little later each
// time, first while machines come up, then while they go. Each repeated call
// finds what the last one began, and no process is lost.
func TestAServerKilledAnywhere(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	s := &served{cloud: &cloud{t: t, dir: filepath.Join(state, "fluffycloud")}, state: state}
	t.Cleanup(func() {
		if _, errOut, code := command(t, "", "stop", "--force", "--state-dir", state); code != 0 {
			t.Error(errOut)
		}
	})
	for round := range 6 {
		life := time.Duration(round*25) * time.Millisecond
		ids := make(map[string]bool)
		for attempt := range 2 {
			s.serve()
			api, err := connect(t.Context(), s.dir)
			if err != nil {
				t.Fatal(err)
			}
			for n := range 3 {
				req := launchRequest{
					Name: fmt.Sprintf("m-%d-%d", round, n), ClientToken: fmt.Sprintf("t-%d-%d", round, n),
					Region: "meadow-1", Zone: "meadow-1a", InstanceType: "puff-2",
				}
				var made instanceAnswer
				if err := api.call(t.Context(), "POST", "/v1/instances", req, &made); err != nil {
					t.Fatal(err)
				}
				ids[made.Instance.ID] = true
			}
			if attempt == 0 {
				s.killAfter(life)
			}
		}
		if len(ids) != 3 {
			t.Fatalf("three tokens made %d machines", len(ids))
		}
		api, err := connect(t.Context(), s.dir)
		if err != nil {
			t.Fatal(err)
		}
		s.all(api, ids, StateRunning)
		for id := range ids {
			if err := api.call(t.Context(), "DELETE", "/v1/instances/"+id, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		s.killAfter(life)
		s.serve()
		if api, err = connect(t.Context(), s.dir); err != nil {
			t.Fatal(err)
		}
		s.all(api, ids, StateTerminated)
		if left, err := procs.Tree(procs.ID{}, procs.Marks{Dir: filepath.Join(s.dir, "machines")}); err != nil || len(left) > 0 {
			t.Fatalf("left: %v, %v", left, err)
		}
		s.killAfter(0)
	}
}

// killAfter kills the server's process.
func (s *served) killAfter(life time.Duration) {
	s.t.Helper()
	<-time.After(life)
	_ = s.server.Process.Kill()
	s.until("the server is dead", func() bool { return !alive(s.server.Process.Pid) })
}

// all waits until every machine is in the state.
func (s *served) all(api *client, ids map[string]bool, want State) {
	s.t.Helper()
	for id := range ids {
		var i instanceAnswer
		s.until(id+" is "+string(want), func() bool {
			return api.call(s.t.Context(), "GET", "/v1/instances/"+id, nil, &i) == nil && i.Instance.State == want
		})
	}
}
