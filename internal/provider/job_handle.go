// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/job"
)

// jobRunner runs jobs on one cluster.
type jobRunner interface {
	Submit(ctx context.Context, spec job.Spec) (job.ID, error)
	Status(ctx context.Context, id job.ID) (job.Status, error)
	Logs(ctx context.Context, id job.ID, rank int, offset int64, w io.Writer) (int64, error)
	Wait(ctx context.Context, id job.ID, log io.Writer) (job.Status, error)
	Cancel(ctx context.Context, id job.ID) error
	Close() error
}

// newRunner is the real runner of a cluster's jobs.
func (d *providerData) newRunner(c broker.Cluster) (jobRunner, error) {
	if err := c.CheckKey(); err != nil {
		return nil, err
	}
	on, err := d.behindBastion(d.root, jobCluster(c))
	if err != nil {
		return nil, err
	}
	return job.New(on, job.Options{})
}

// jobCluster converts the broker's record to what jobs need of it.
func jobCluster(c broker.Cluster) job.Cluster {
	out := job.Cluster{
		Name: c.Name, Cloud: c.Cloud, Region: c.Region, Zone: c.Zone, Generation: c.Generation,
		AcceleratorsPerNode: c.AcceleratorsPerNode(), KeyPath: c.KeyPath, ProcessManager: c.ProcessManager,
	}
	for _, n := range c.Nodes {
		out.Nodes = append(out.Nodes, job.Node{
			Rank: n.Rank, Host: n.ExternalIP, Port: n.SSHPort, User: c.SSHUser, HostKey: n.HostKey, InternalIP: n.InternalIP,
		})
	}
	return out
}

// jobHandle is one operation on a job.
type jobHandle struct {
	broker   clusterBroker
	cluster  broker.Cluster
	runner   jobRunner
	stateDir string
}

func (h *jobHandle) close() { _ = h.runner.Close() }

// submit starts the job and fills in what is known of it then.
func (h *jobHandle) submit(ctx context.Context, m *jobModel) error {
	digest, err := pathDigest(m.Workdir)
	if err != nil {
		return err
	}
	m.WorkdirDigest, m.ClusterGeneration = digest, types.StringValue(h.cluster.Generation)
	runID, err := effectiveRunID(h.stateDir, *m)
	if err != nil {
		return err
	}
	id, err := h.runner.Submit(ctx, job.Spec{
		Name: m.Name.ValueString(), Run: m.Run.ValueString(), RunID: runID, NumNodes: int(m.NumNodes.ValueInt64()),
		Envs: stringMap(m.Envs), Workdir: expandHome(m.Workdir.ValueString()),
	})
	if err != nil {
		return err
	}
	m.ID = types.StringValue(string(id))
	m.LogPath = types.StringValue(filepath.Join(filepath.Dir(h.broker.LogPath(h.cluster.Name)), string(id)+".log"))
	m.LogTail = types.StringValue("")
	m.setStatus(job.Status{Phase: job.Init, FailedRank: -1})
	return nil
}

// follow waits for the job, if the model says so, else looks once. Whatever
// happens, the model is fully known afterwards.
func (h *jobHandle) follow(ctx context.Context, m *jobModel) diag.Diagnostics {
	var diags diag.Diagnostics
	status, err := h.observe(ctx, m)
	if err == nil {
		m.setStatus(status)
		if d := diagnose(*m, status); d != nil && m.Wait.ValueBool() {
			diags.Append(d)
		}
		return diags
	}
	doing := fmt.Sprintf("Wait for job %q", m.Name.ValueString())
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	if status, serr := h.runner.Status(last, job.ID(m.ID.ValueString())); serr == nil {
		m.setStatus(status)
	}
	m.readTail()
	if late := (timeoutError{}); ctx.Err() != nil && !errors.As(context.Cause(ctx), &late) {
		// No error: with one, Terraform would run the job a second time.
		diags.AddWarning(doing+" was interrupted", sentence(fmt.Sprintf("The job goes on: %s on cluster %s, last seen %s. The next apply waits for its end; "+
			"\"terraform destroy\" cancels it. Its log so far is in %s",
			m.ID.ValueString(), m.ClusterID.ValueString(), m.Status.ValueString(), m.LogPath.ValueString())))
		return diags
	}
	err = fmt.Errorf("%w\n\nThe job was not ended: %s on cluster %s, last seen %s. It is kept in state as tainted: the next apply cancels it and runs it anew, "+
		"unless you run terraform untaint first, after which a refresh brings its status up to date. Its log so far is in %s",
		err, m.ID.ValueString(), m.ClusterID.ValueString(), m.Status.ValueString(), m.LogPath.ValueString())
	diags.Append(errorDiag(ctx, doing, err))
	return diags
}

func (h *jobHandle) observe(ctx context.Context, m *jobModel) (job.Status, error) {
	id := job.ID(m.ID.ValueString())
	if !m.Wait.ValueBool() {
		status, err := h.runner.Status(ctx, id) // before the log: after the end the log is whole
		if err == nil {
			err = h.fetchLog(ctx, m)
		}
		return status, err
	}
	file, err := openLog(m.LogPath.ValueString(), os.O_TRUNC)
	if err != nil {
		return job.Status{}, err
	}
	status, err := h.runner.Wait(ctx, id, file)
	err = errors.Join(err, file.Close())
	m.readTail()
	return status, err
}

// fetchLog appends to the local log what the job printed since.
func (h *jobHandle) fetchLog(ctx context.Context, m *jobModel) error {
	file, err := openLog(m.LogPath.ValueString(), os.O_APPEND)
	if err != nil {
		return err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = h.runner.Logs(ctx, job.ID(m.ID.ValueString()), job.Merged, size, file)
	}
	err = errors.Join(err, file.Close())
	m.readTail()
	return err
}

func openLog(path string, how int) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the log's folder: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|how, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the job's log: %w", err)
	}
	return file, nil
}

// setStatus writes a status into the model.
func (m *jobModel) setStatus(s job.Status) {
	m.Status, m.StatusReason = types.StringValue(string(s.Phase)), types.StringValue(s.Reason)
	m.ExitCode, m.FailedRank = types.Int64Null(), types.Int64Null()
	if s.ExitCode != nil {
		m.ExitCode = types.Int64Value(int64(*s.ExitCode))
	}
	if s.FailedRank >= 0 {
		m.FailedRank = types.Int64Value(int64(s.FailedRank))
	}
	if m.SubmittedAt.IsUnknown() || m.SubmittedAt.ValueString() == "" {
		m.SubmittedAt = types.StringValue(s.SubmittedAt)
	}
	m.StartedAt, m.EndedAt = types.StringValue(s.StartedAt), types.StringValue(s.EndedAt)
}

// keepOutcome takes over what is known of an unchanged job.
func (m *jobModel) keepOutcome(old jobModel) {
	m.Status, m.StatusReason, m.ExitCode, m.FailedRank = old.Status, old.StatusReason, old.ExitCode, old.FailedRank
	m.StartedAt, m.EndedAt, m.LogTail, m.WorkdirDigest = old.StartedAt, old.EndedAt, old.LogTail, old.WorkdirDigest
}

// Bounds of log_tail.
const (
	tailBytes = 16 << 10
	tailLines = 100
)

// readTail fills in the end of the local log.
func (m *jobModel) readTail() {
	m.LogTail = types.StringValue(tailOf(m.LogPath.ValueString()))
}

// tailOf is the end of a file: whole lines and valid UTF-8 within the bounds.
func tailOf(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	from := max(size-tailBytes, 0)
	text, err := io.ReadAll(io.NewSectionReader(file, from, size-from))
	if err != nil {
		return ""
	}
	return lastLines(string(text), from > 0, tailLines)
}

// lastLines cuts to the last whole lines; torn says that the first one lacks
// its start.
func lastLines(text string, torn bool, n int) string {
	if torn {
		if _, rest, ok := strings.Cut(text, "\n"); ok && rest != "" {
			text = rest
		}
	}
	end := strings.TrimSuffix(text, "\n")
	lines := strings.Split(end, "\n")
	if len(lines) > n {
		text = strings.Join(lines[len(lines)-n:], "\n") + text[len(end):]
	}
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
}

// A job that was removed and is asked for again must run again, while one
// whose submission was cut off must not start twice. So what was removed is
// counted beside the state, and the count is part of the job's identity.

// effectiveRunID is the user's run_id with the number of the run, from the second on.
func effectiveRunID(stateDir string, m jobModel) (string, error) {
	n, err := removedCount(removedPath(stateDir, m))
	if err != nil || n == 0 {
		return m.RunID.ValueString(), err
	}
	return fmt.Sprintf("%s#%d", m.RunID.ValueString(), n+1), nil
}

func removedPath(stateDir string, m jobModel) string {
	sum := sha256.New()
	for _, part := range []string{
		m.ClusterID.ValueString(), m.ClusterGeneration.ValueString(), m.Name.ValueString(), m.Run.ValueString(),
		m.RunID.ValueString(), m.NumNodes.String(), m.Envs.String(), m.WorkdirDigest.ValueString(),
	} {
		_, _ = fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return filepath.Join(stateDir, "jobs", hex.EncodeToString(sum.Sum(nil))[:32])
}

func removedCount(path string) (int, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read how often the job was removed: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s holds no number; remove it: %w", path, err)
	}
	return n, nil
}

func noteRemoved(stateDir string, m jobModel) error {
	path := removedPath(stateDir, m)
	n, err := removedCount(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("note the job's removal: %w", err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(strconv.Itoa(n+1)+"\n"), 0o600); err != nil {
		return fmt.Errorf("note the job's removal: %w", err)
	}
	return os.Rename(tmp, path)
}
