// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// fakeRunner is a cluster with one job.
type fakeRunner struct {
	jobRunner
	status  job.Status
	err     error // of everything
	logs    string
	wait    func(ctx context.Context, log io.Writer) (job.Status, error)
	outputs func(rank int, want job.Outputs) (job.Fetched, error)
}

func (f *fakeRunner) Status(context.Context, job.ID) (job.Status, error) { return f.status, f.err }

func (f *fakeRunner) Logs(_ context.Context, _ job.ID, _ int, offset int64, w io.Writer) (int64, error) {
	if f.logs == "" {
		return 0, f.err
	}
	if offset > int64(len(f.logs)) { // as after a reboot that lost some of it
		offset = 0
	}
	n, err := io.WriteString(w, f.logs[offset:])
	return offset + int64(n), err
}

func (f *fakeRunner) WaitFrom(ctx context.Context, _ job.ID, _ int64, log io.Writer) (job.Status, error) {
	return f.wait(ctx, log)
}

func (f *fakeRunner) Outputs(_ context.Context, _ job.ID, rank int, want job.Outputs, _ string) (job.Fetched, error) {
	return f.outputs(rank, want)
}

// fakeRefresh is a broker that is only asked whether machines live.
type fakeRefresh struct {
	clusters
	err error
	// sees is the cluster at the nth look, from 1 on; nil is what was given.
	sees  func(look int, c cluster.Cluster) cluster.Cluster
	looks int
	dir   string // of logs
}

func (f *fakeRefresh) LogPath(string) string { return filepath.Join(f.dir, "provision.log") }

func (f *fakeRefresh) Refresh(_ context.Context, c cluster.Cluster) (cluster.Cluster, error) {
	f.looks++
	if f.sees != nil {
		c = f.sees(f.looks, c)
	}
	return c, f.err
}

func aHandle(t *testing.T, r *fakeRunner) (*jobHandle, *jobModel) {
	t.Helper()
	m := &jobModel{
		ID: types.StringValue("0123"), Name: types.StringValue("j"), ClusterID: types.StringValue("c/r/n"), NumNodes: types.Int64Value(2),
		Wait: types.BoolValue(true), LogPath: types.StringValue(""), Outputs: types.ObjectNull(nil),
	}
	h := &jobHandle{broker: &fakeRefresh{dir: filepath.Join(t.TempDir(), "logs")}, runner: r, progress: &progress{}}
	m.LogPath = types.StringValue(h.logPath(m))
	return h, m
}

// TestJobOutlivedByNobody waits for a job whose machines go: the wait ends long
// before its timeout, and claims nothing of the job's end.
func TestJobOutlivedByNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, m := aHandle(t, &fakeRunner{err: errors.New("no route to host"), wait: func(ctx context.Context, _ io.Writer) (job.Status, error) {
			<-ctx.Done() // it dials on
			return job.Status{}, context.Cause(ctx)
		}})
		h.broker.(*fakeRefresh).err = fmt.Errorf("asked twice: %w", cluster.ErrGone) //nolint:forcetypeassert // aHandle's
		began := time.Now()
		diags := h.follow(t.Context(), m, true)
		if took := time.Since(began); took < lossAfter || took > 3*lossAfter {
			t.Errorf("it took %s", took)
		}
		if m.Status.ValueString() != "LOST" || !diags.HasError() || !strings.Contains(diags[0].Detail(), "machines it ran on are gone") {
			t.Errorf("%s, %v", m.Status, diags)
		}
	})
}

// TestUnreachableJobIsWaitedFor is trouble on the way: the machines are there.
func TestUnreachableJobIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, m := aHandle(t, &fakeRunner{wait: func(ctx context.Context, _ io.Writer) (job.Status, error) {
			select {
			case <-ctx.Done():
				return job.Status{}, context.Cause(ctx)
			case <-time.After(2 * time.Hour):
				return job.Status{Phase: job.Succeeded, FailedRank: -1}, nil
			}
		}})
		if diags := h.follow(t.Context(), m, true); len(diags) > 0 || m.Status.ValueString() != "SUCCEEDED" {
			t.Errorf("%s, %v", m.Status, diags)
		}
	})
}

// TestTroubleWhileWaiting taints nothing where a job was created, and is an
// error where that taints nothing.
func TestTroubleWhileWaiting(t *testing.T) {
	for _, created := range []bool{true, false} {
		h, m := aHandle(t, &fakeRunner{
			status: job.Status{Phase: job.Running, FailedRank: -1},
			wait: func(context.Context, io.Writer) (job.Status, error) {
				return job.Status{}, errors.New("writing the job's log: disk full")
			},
		})
		diags := h.follow(t.Context(), m, created)
		if len(diags) != 1 || (diags[0].Severity() == diag.SeverityError) == created || m.Status.ValueString() != "RUNNING" {
			t.Errorf("created %t: %s, %v", created, m.Status, diags)
		}
		if text := diags[0].Detail(); !strings.Contains(text, "disk full.") || !strings.Contains(text, "not run again") {
			t.Errorf("created %t: %s", created, text)
		}
	}
}

// TestOutputsOfAFailedJob are what there is of them.
func TestOutputsOfAFailedJob(t *testing.T) {
	code := 3
	h, m := aHandle(t, &fakeRunner{
		wait: func(context.Context, io.Writer) (job.Status, error) {
			return job.Status{Phase: job.Failed, FailedRank: 1, ExitCode: &code, ExitCodes: map[int]int{1: 3}}, nil
		},
		outputs: func(rank int, want job.Outputs) (job.Fetched, error) {
			if !want.Partial {
				return job.Fetched{}, fmt.Errorf("outputs: %w", job.ErrNoOutput)
			}
			if want.MaxBytes != 5<<20 || want.MaxFiles != 7 {
				t.Errorf("bounds %d and %d", want.MaxBytes, want.MaxFiles)
			}
			if rank == 0 {
				return job.Fetched{Files: []string{"f0"}}, errors.New("disk full")
			}
			refused := make([]job.Refusal, 12)
			for i := range refused {
				refused[i] = job.Refusal{Name: fmt.Sprintf("link%d", i), Why: "it is a link\x1b[2J"}
			}
			return job.Fetched{Files: []string{fmt.Sprintf("f%d", rank)}, Refused: refused}, nil
		},
	})
	list := types.ListValueMust(types.StringType, []attr.Value{types.StringValue("none"), types.StringValue("f*")})
	m.Outputs = types.ObjectValueMust(map[string]attr.Type{"files": list.Type(t.Context()), "folder": types.StringType, "all_nodes": types.BoolType, "max_size_mib": types.Int64Type, "max_files": types.Int64Type},
		map[string]attr.Value{"files": list, "folder": types.StringValue("out"), "all_nodes": types.BoolValue(true), "max_size_mib": types.Int64Value(5), "max_files": types.Int64Value(7)})
	diags := h.follow(t.Context(), m, true)
	if !diags.HasError() || !strings.Contains(diags[len(diags)-1].Summary(), "exit code 3 on rank 1") {
		t.Errorf("%v", diags)
	}
	if len(diags) != 3 || !strings.Contains(diags[1].Detail(), "isk full") || strings.Contains(diags[1].Detail(), "next apply") {
		t.Fatalf("what did not come is not said: %v", diags)
	}
	if text := diags[0].Detail(); diags[0].Severity() != diag.SeverityWarning || !strings.Contains(text, "rank 1: link9: it is a link\n rank 1: and 2 more") {
		t.Errorf("what was refused is not said: %q", text)
	}
	if got := kit.StringList(m.OutputFiles); !slices.Equal(got, []string{"out/rank-0/f0", "out/rank-1/f1"}) {
		t.Errorf("outputs %q", got)
	}
	if want := types.ListValueMust(types.Int64Type, []attr.Value{types.Int64Null(), types.Int64Value(3)}); !m.ExitCodes.Equal(want) {
		t.Errorf("exit codes %s, want %s", m.ExitCodes, want)
	}
}

// TestPrunedLog keeps the local copy and says why there is no more.
func TestPrunedLog(t *testing.T) {
	h, m := aHandle(t, &fakeRunner{err: fmt.Errorf("reading: %w", job.ErrPruned)})
	if err := os.MkdirAll(filepath.Dir(m.LogPath.ValueString()), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.LogPath.ValueString(), []byte("what came before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.fetchLog(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if tail := m.LogTail.ValueString(); !strings.HasPrefix(tail, "what came before\n") || !strings.Contains(tail, "were pruned on the cluster") {
		t.Errorf("log tail %q", tail)
	}
}

// TestLogOfALostJob is read once after the reboot: the cluster's copy may have
// lost its end, and would come again with every refresh.
func TestLogOfALostJob(t *testing.T) {
	r := &fakeRunner{logs: "one\n"}
	h, m := aHandle(t, r)
	m.Status = types.StringValue(string(job.Running))
	for range 3 {
		if err := h.fetchLog(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		r.logs = "o"
		m.Status = types.StringValue(string(job.LostReboot))
	}
	if got := m.LogTail.ValueString(); got != "one\n" {
		t.Errorf("log %q", got)
	}
}

func TestTailHidesSecrets(t *testing.T) {
	h, m := aHandle(t, &fakeRunner{wait: func(_ context.Context, log io.Writer) (job.Status, error) {
		_, err := io.WriteString(log, "+ curl -H canary-1 --id abc\n")
		return job.Status{Phase: job.Succeeded, FailedRank: -1}, err
	}})
	h.secrets = map[string]string{"TOKEN": "canary-1", "SHORT": "abc"}
	if diags := h.follow(t.Context(), m, true); len(diags) > 0 || m.LogTail.ValueString() != "+ curl -H (secret) --id abc\n" {
		t.Errorf("%q, %v", m.LogTail.ValueString(), diags)
	}
}
