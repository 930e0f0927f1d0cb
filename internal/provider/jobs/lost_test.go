// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/job"
)

// without is a cluster of two that has lost a rank.
func without(rank int) func(int, cluster.Cluster) cluster.Cluster {
	return func(_ int, c cluster.Cluster) cluster.Cluster {
		c.Status, c.Size = cluster.StatusDegraded, 2
		c.Nodes = []cluster.Node{{Rank: 0, State: cloud.StateRunning}, {Rank: 1, State: cloud.StateRunning}}
		if rank >= 0 {
			c.Nodes[rank].State = cloud.StateTerminated
		}
		return c
	}
}

// silentHead is a runner whose head does not answer, for so long.
func silentHead(d time.Duration) *fakeRunner {
	return &fakeRunner{err: errors.New("no route to host"), wait: func(ctx context.Context, _ io.Writer) (job.Status, error) {
		select {
		case <-ctx.Done():
			return job.Status{}, context.Cause(ctx)
		case <-time.After(d):
			return job.Status{Phase: job.Succeeded, FailedRank: -1}, nil
		}
	}}
}

// A head that does not answer is waited for as its cloud's word says: two minutes
// at most where that is gone, long where it runs.
func TestHeadThatDoesNotAnswer(t *testing.T) {
	tests := []struct {
		name   string
		sees   func(int, cluster.Cluster) cluster.Cluster
		err    error
		back   time.Duration // when the head answers again
		status string
		says   string
		within time.Duration
	}{
		{name: "head gone", sees: without(0), back: 24 * time.Hour, status: "LOST", says: "makes lost nodes anew", within: 2 * time.Minute},
		{name: "all gone", err: cluster.ErrGone, back: 24 * time.Hour, status: "LOST", says: "machines it ran on are gone", within: 2 * time.Minute},
		{name: "gone in one look only", sees: func(look int, c cluster.Cluster) cluster.Cluster {
			return without([]int{0, -1, -1, -1}[min(look-1, 3)])(look, c)
		}, back: time.Hour, status: "SUCCEEDED", within: 2 * time.Hour},
		{name: "a worker gone", sees: without(1), back: time.Hour, status: "SUCCEEDED", within: 2 * time.Hour},
		{name: "the cloud cannot be asked", err: errors.New("503"), back: 2 * time.Hour, status: "SUCCEEDED", within: 3 * time.Hour},
		{name: "runs and is silent", sees: without(-1), back: 24 * time.Hour, status: "RUNNING", says: "not answered for 3h0m0s, although its cloud says that it runs", within: 4 * time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, m := aHandle(t, silentHead(tt.back))
				m.Status = types.StringValue("RUNNING")
				h.broker = &fakeRefresh{sees: tt.sees, err: tt.err, dir: t.TempDir()}
				began := time.Now()
				diags := h.follow(t.Context(), m, true)
				if took := time.Since(began); took > tt.within {
					t.Errorf("it took %s", took)
				}
				text := fmt.Sprint(diags)
				if m.Status.ValueString() != tt.status || !strings.Contains(text, tt.says) || strings.Contains(text, "goes on:") {
					t.Errorf("%s, %s", m.Status, text)
				}
			})
		})
	}
}

// A job that the head knows nothing of was lost with the head before.
func TestJobOfAnEarlierHead(t *testing.T) {
	h, m := aHandle(t, &fakeRunner{wait: func(context.Context, io.Writer) (job.Status, error) {
		return job.Status{}, fmt.Errorf("waiting: %w", job.ErrNotFound)
	}})
	diags := h.follow(t.Context(), m, false)
	if m.Status.ValueString() != "LOST" || !diags.HasError() || !strings.Contains(diags[0].Detail(), "change run_id") {
		t.Errorf("%s, %v", m.Status, diags)
	}
}

// A refresh says LOST where the cloud has said twice that the head is gone.
func TestRefreshOfALostJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for rank, want := range map[int]bool{0: true, 1: false, -1: false} {
			h, _ := aHandle(t, silentHead(0))
			b := &fakeRefresh{sees: without(rank), dir: t.TempDir()}
			h.broker = b
			if got := h.lostSince(t.Context()); (got != nil) != want || want && b.looks != 2 {
				t.Errorf("rank %d gone: %+v after %d looks", rank, got, b.looks)
			}
		}
	})
}

// noPrivate is the private data of a state that has none.
type noPrivate struct{}

func (noPrivate) GetKey(context.Context, string) ([]byte, diag.Diagnostics) { return nil, nil }
func (noPrivate) SetKey(context.Context, string, []byte) diag.Diagnostics   { return nil }

// A job whose cluster removed itself is lost; one whose cluster stopped is not: its
// record is on the disk.
func TestRefreshOfAJobWhoseClusterEnded(t *testing.T) {
	for status, want := range map[cluster.Status]string{cluster.StatusTerminated: "LOST", cluster.StatusStopped: "RUNNING"} {
		t.Run(string(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRemoval(t)
				r.cloud.cluster.Status = status
				_, err := r.resource().look(t.Context(), &r.job, noPrivate{}, noPrivate{})
				if got := r.job.Status.ValueString(); got != want || (err == nil) != (want == "LOST") {
					t.Errorf("%s, %v", got, err)
				}
				h, m := aHandle(t, silentHead(24*time.Hour))
				h.broker, h.cluster, m.Status = r.cloud, r.cloud.cluster, types.StringValue("RUNNING")
				began := time.Now()
				h.follow(t.Context(), m, false)
				if took := time.Since(began); want == "LOST" && (m.Status.ValueString() != want || took > 10*time.Second) {
					t.Errorf("an apply says %s after %s", m.Status, took)
				}
			})
		})
	}
}

// A refresh leaves no mark that a job's end was read: a plan forgets it.
func TestRefreshLeavesNoMark(t *testing.T) {
	r := newRemoval(t)
	r.head.status = func(context.Context) error { return errors.New("marked as read") }
	if _, err := r.resource().look(t.Context(), &r.job, noPrivate{}, noPrivate{}); err != nil || r.job.Status.ValueString() != "SUCCEEDED" {
		t.Errorf("%s, %v", r.job.Status, err)
	}
}

// What is planned for a lost job follows from its settings.
func TestPlanOfALostJob(t *testing.T) {
	codes := types.ListValueMust(types.Int64Type, []attr.Value{types.Int64Value(1)})
	for _, tt := range []struct {
		name  string
		phase job.Phase
		codes types.List
		most  types.Int64
		again bool
		warns string
	}{
		{"may be started again", job.Lost, codes, types.Int64Null(), true, "runs again"},
		{"no restart is left", job.Lost, codes, types.Int64Value(0), false, "change run_id"},
		{"nothing is said", job.Lost, types.ListNull(types.Int64Type), types.Int64Null(), false, "change run_id"},
		{"failed", job.Failed, codes, types.Int64Null(), false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, m := aHandle(t, nil)
			m.RecoverOnExitCodes, m.MaxRestarts = tt.codes, tt.most
			m.setStatus(job.Status{Phase: tt.phase, FailedRank: -1, Reason: headGone})
			old := *m
			var resp resource.ModifyPlanResponse
			m.planOutcome(old)
			m.planLost(old, &resp)
			if again := len(resp.RequiresReplace) > 0 && m.Status.IsUnknown(); again != tt.again {
				t.Errorf("runs again: %t", again)
			}
			if text := fmt.Sprint(resp.Diagnostics); !strings.Contains(text, tt.warns) || (tt.warns == "") != (len(resp.Diagnostics) == 0) {
				t.Errorf("diagnostics %s", text)
			}
		})
	}
}
