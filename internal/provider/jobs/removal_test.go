// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// head is a cluster's head, whatever state it is in. Who cancels a job looks at
// the same time whether the head still answers.
type head struct {
	jobRunner
	mu                                sync.Mutex
	asked, cancelled, reaped, removed int
	frozen                            bool // what status is from now on: hangs
	status, cancel, remove            func(ctx context.Context) error
}

func (h *head) freeze() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frozen = true
}

func orNil(ctx context.Context, f func(context.Context) error) error {
	if f == nil {
		return nil
	}
	return f(ctx)
}

func (h *head) Status(ctx context.Context, _ job.ID) (job.Status, error) {
	h.mu.Lock()
	h.asked++
	status := h.status
	if h.frozen {
		status = hangs
	}
	h.mu.Unlock()
	return job.Status{Phase: job.Running}, orNil(ctx, status)
}

func (h *head) Peek(context.Context, job.ID) (job.Status, error) {
	return job.Status{Phase: job.Succeeded}, nil
}

func (h *head) Logs(context.Context, job.ID, int, int64, io.Writer) (int64, error) { return 0, nil }

func (h *head) Cancel(ctx context.Context, _ job.ID) error {
	h.cancelled++
	return orNil(ctx, h.cancel)
}
func (h *head) Reap(context.Context, job.ID) error { h.reaped++; return nil }
func (h *head) Remove(ctx context.Context, _ job.ID) error {
	h.removed++
	return orNil(ctx, h.remove)
}
func (h *head) Close() error { return nil }

// hangs is what a frozen machine does.
func hangs(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// fakeCloud is a broker that knows one cluster.
type fakeCloud struct {
	clusters
	cluster cluster.Cluster
	find    error
	dir     string // of logs
}

func (f *fakeCloud) FindGeneration(context.Context, string, broker.Whose) (cluster.Cluster, error) {
	return f.cluster, f.find
}

func (f *fakeCloud) Refresh(context.Context, cluster.Cluster) (cluster.Cluster, error) {
	return f.cluster, f.find
}

func (f *fakeCloud) LogPath(string) string { return filepath.Join(f.dir, "provision.log") }

// removal is one job on one cluster that is to be removed.
type removal struct {
	head  *head
	cloud *fakeCloud
	job   jobModel
	data  *session.Session
	open  error // of the runner
}

func newRemoval(t *testing.T) *removal {
	t.Helper()
	node := func(rank int) cluster.Node {
		return cluster.Node{Rank: rank, State: cloud.StateRunning, ExternalIP: "192.0.2.1", HostKey: "ssh-ed25519 AAAA"}
	}
	r := &removal{head: &head{}, cloud: &fakeCloud{cluster: cluster.Cluster{
		ID: "c/r/n", Name: "n", Generation: "g1", Status: cluster.StatusUp, Size: 2, Nodes: []cluster.Node{node(0), node(1)},
	}}, job: jobModel{
		ID: types.StringValue("0123"), Name: types.StringValue("j"), ClusterID: types.StringValue("c/r/n"), ClusterGeneration: types.StringValue("g1"),
		outcomeModel: outcomeModel{Status: types.StringValue("RUNNING")},
	}}
	r.data = session.Over(r.cloud, session.Settings{StateDir: t.TempDir()})
	r.cloud.dir = t.TempDir()
	return r
}

func (r *removal) resource() *jobResource {
	return &jobResource{data: r.data, runners: func(*session.Session, cluster.Cluster, *progress) (jobRunner, error) { return r.head, r.open }}
}

func (r *removal) run(ctx context.Context, f fate) diag.Diagnostic {
	return r.resource().remove(ctx, r.job, broker.Whose{Generation: "g1"}, f)
}

// TestRemovalOfAJob is what becomes of a job for every way in which its cluster
// can be, and everything that a plan can say of both.
func TestRemovalOfAJob(t *testing.T) {
	const none, warning, fault = "", "Warning", "Error"
	fail := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
	tests := []struct {
		name string
		set  func(r *removal)
		// What is said where the cluster goes too, where the job alone goes or the
		// plan was made elsewhere, and where the job comes back on the same cluster.
		goes, alone, replaced string
		text                  string
	}{
		{"answers", func(*removal) {}, none, none, none, ""},
		{"knows nothing of it", func(r *removal) { r.head.status, r.head.cancel = fail(job.ErrNotFound), fail(job.ErrNotFound) }, none, none, none, ""},
		{"is frozen", func(r *removal) { r.head.status = hangs }, warning, warning, fault, "does not answer"},
		{"freezes while it cancels", func(r *removal) {
			r.head.cancel = func(ctx context.Context) error { r.head.freeze(); return hangs(ctx) }
		}, warning, warning, fault, "does not answer"},
		{"refuses connections", func(r *removal) { r.head.status = fail(errors.New("connection refused")) }, warning, warning, fault, "connection refused"},
		{"is another machine", func(r *removal) { r.head.status = fail(&remote.HostKeyError{Host: "h"}) }, warning, fault, fault, "another machine"},
		{"refuses commands", func(r *removal) { r.head.status = fail(&remote.ExitError{Code: 1}) }, warning, fault, fault, "Exit code 1"},
		{"cannot cancel", func(r *removal) { r.head.cancel = fail(&remote.ExitError{Code: 2}) }, warning, fault, fault, "Exit code 2"},
		{"cancels and cannot note it", func(r *removal) { r.head.remove = fail(&remote.ExitError{Code: 2}) }, none, warning, none, ""},
		{"is gone", func(r *removal) {
			r.cloud.cluster.Status, r.cloud.cluster.Nodes[0] = cluster.StatusDegraded, cluster.Node{State: cloud.StateTerminated}
		}, warning, warning, warning, "does not run any more"},
		{"is stopped", func(r *removal) { r.cloud.cluster.Status = cluster.StatusStopped }, warning, warning, warning, "does not run"},
		{"was ended with its cluster", func(r *removal) { r.cloud.cluster.Status = cluster.StatusTerminated }, none, none, none, ""},
		{"is gone with its cluster", func(r *removal) { r.cloud.find = cloud.ErrNotFound }, none, none, none, ""},
		{"cannot be looked for", func(r *removal) { r.cloud.find = errors.New("no credentials") }, warning, fault, fault, "no credentials"},
		{"needs a key that is not here", func(r *removal) { r.open = &cluster.MissingKeyError{Cluster: "n", Err: errors.New("no such file")} }, warning, fault, fault, "SKY_SSH_PRIVATE_KEY"},
		{"accepts another key", func(r *removal) { r.head.status = fail(&remote.AuthError{Host: "h", Err: errors.New("denied")}) }, warning, fault, fault, "SKY_OWNER"},
		{"has no host key in the cloud", func(r *removal) { r.cloud.find = &cluster.MissingHostKeyError{Cluster: "n"} }, warning, fault, fault, "host key"},
		{"has a host key unknown here", func(r *removal) { r.cloud.cluster.Nodes[0].HostKey = "" }, warning, fault, fault, "host key"},
	}
	for _, tt := range tests {
		for _, why := range []struct {
			name, want string
			goes       bool
			fate       fate
		}{
			{"goes", tt.goes, true, fate{Plan: "this"}}, {"alone", tt.alone, false, fate{Plan: "this"}}, {"plan elsewhere", tt.alone, false, fate{}},
			{"replaced", tt.replaced, false, fate{Replaced: true}}, {"replaced with its cluster", tt.goes, false, fate{Replaced: true, ClusterToo: true}},
		} {
			t.Run(tt.name+", "+why.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRemoval(t)
					tt.set(r)
					if why.goes {
						r.data.NoteRemoval(t.Context(), "g1")
					}
					if why.fate.Plan != "" {
						why.fate.Plan = r.data.PlanName()
					}
					began := time.Now()
					d := r.run(t.Context(), why.fate)
					if got := severity(d); got != why.want {
						t.Errorf("%q, want %q: %v", got, why.want, d)
					}
					if took := time.Since(began); took > time.Minute {
						t.Errorf("it took %s", took)
					}
					if d == nil {
						return
					}
					if text := d.Detail(); !strings.Contains(text, "c/r/n") && tt.name != "cannot be looked for" ||
						d.Severity() == diag.SeverityError && !strings.Contains(text, tt.text) {
						t.Errorf("said: %s: %s", d.Summary(), text)
					}
				})
			})
		}
	}
}

func severity(d diag.Diagnostic) string {
	if d == nil {
		return ""
	}
	return d.Severity().String()
}

// TestRemovalGivesAHeadThatAnswersItsTime lets a job use its grace period.
func TestRemovalGivesAHeadThatAnswersItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemoval(t)
		r.head.cancel = func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(8 * time.Minute):
				return nil
			}
		}
		if d := r.run(t.Context(), fate{Plan: "this"}); d != nil || r.head.removed != 1 {
			t.Errorf("%v; removals noted: %d", d, r.head.removed)
		}
	})
}

// TestRemovalOfSeveralJobs waits for a silent head once, and tells the other nodes
// of each job.
func TestRemovalOfSeveralJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemoval(t)
		r.head.status = hangs
		began := time.Now()
		for range 5 {
			if d := r.run(t.Context(), fate{Plan: "this"}); severity(d) != "Warning" {
				t.Errorf("%v", d)
			}
		}
		if took := time.Since(began); took > time.Minute || r.head.reaped != 5 {
			t.Errorf("it took %s, and the other nodes were told of %d jobs", took, r.head.reaped)
		}
	})
}

// TestRemovalOfAnEndedJob asks nobody where the cluster goes too, and says where
// the same job would not run again.
func TestRemovalOfAnEndedJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemoval(t)
		r.job.Status = types.StringValue("SUCCEEDED")
		if d := r.run(t.Context(), fate{}); d != nil || r.head.removed != 1 || r.head.cancelled != 0 {
			t.Errorf("%v; %+v", d, r.head)
		}
		r.head.status = hangs
		if d := r.run(t.Context(), fate{}); severity(d) != "Warning" || !strings.Contains(d.Detail(), "change run_id") {
			t.Errorf("%v", d)
		}
		r.data.NoteRemoval(t.Context(), "g1")
		asked := r.head.asked
		if d := r.run(t.Context(), fate{Plan: r.data.PlanName()}); d != nil || r.head.asked != asked {
			t.Errorf("%v; asked %d times", d, r.head.asked-asked)
		}
	})
}

// TestRemovalInterrupted keeps the job in state.
func TestRemovalInterrupted(t *testing.T) {
	r := newRemoval(t)
	ctx, cancel := context.WithCancel(t.Context())
	r.head.status = func(ctx context.Context) error { cancel(); return fmt.Errorf("dial: %w", ctx.Err()) }
	if d := r.run(ctx, fate{Plan: "this"}); severity(d) != "Error" || !strings.Contains(d.Summary(), "interrupted") {
		t.Errorf("%v", d)
	}
}
