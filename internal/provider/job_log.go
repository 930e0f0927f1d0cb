// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/skybroker/terraform-provider-sky/internal/job"
)

// progressEvery is how often a job that is waited for and does not change its
// status is mentioned in the provider's log.
const progressEvery = 10 * time.Second

// progress writes to the provider's log how a job goes: every new status, and
// in between how much it has said. It remembers when the job was seen last.
type progress struct {
	mu       sync.Mutex
	phase    job.Phase
	since    time.Time
	said     time.Time
	lastSeen time.Time
}

func (p *progress) saw(ctx context.Context, s job.Status, logged int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.lastSeen = now
	if s.Phase == p.phase && now.Sub(p.said) < progressEvery {
		return
	}
	if s.Phase != p.phase {
		p.phase, p.since = s.Phase, now
	}
	p.said = now
	tflog.Info(ctx, "the job is "+string(s.Phase), map[string]any{
		"for": now.Sub(p.since).Round(time.Second).String(), "log_bytes": logged, "restarts": s.Restarts, "reason": s.Reason,
	})
}

// begin counts from now on.
func (p *progress) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastSeen = time.Now()
}

// unseen is how long the job has not been seen.
func (p *progress) unseen() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.lastSeen)
}

// localLog is where the log of a job is copied to.
func localLog(b clusterBroker, cluster, id string) string {
	return filepath.Join(filepath.Dir(b.LogPath(cluster)), id+".log")
}

// logFile is where the log of a job is on this computer: where state says, unless
// that is in the state folder of another one.
func (h *jobHandle) logFile(m jobModel) string {
	path := expandHome(m.LogPath.ValueString())
	if h.stateDir == "" || strings.HasPrefix(path, h.stateDir+string(filepath.Separator)) {
		return path
	}
	return localLog(h.broker, h.cluster.Name, m.ID.ValueString())
}

// followLog copies the log until the job is over, from where the local copy ends.
func (h *jobHandle) followLog(ctx context.Context, m *jobModel) (job.Status, error) {
	file, size, err := openLog(h.logFile(*m))
	if err != nil {
		return job.Status{}, err
	}
	h.progress.begin()
	watched, stop := h.watch(tflog.SetField(tflog.SetField(ctx, "job", m.ID.ValueString()), "name", m.Name.ValueString()))
	defer stop()
	status, err := h.runner.WaitFrom(watched, m.id(), size, file)
	if end := (*endedError)(nil); err != nil && errors.As(context.Cause(watched), &end) {
		status, err = end.status, nil
	}
	if errors.Is(err, job.ErrNotFound) {
		status, err = lostStatus(headAnew), nil
	}
	err = errors.Join(err, file.Close())
	h.readTail(m)
	return status, err
}

// fetchLog appends to the local log what the job printed since. Nothing writes
// to the log of a job that is known to be lost; its copy on the head may have
// got shorter with the reboot, and would be read anew each time.
func (h *jobHandle) fetchLog(ctx context.Context, m *jobModel) error {
	if m.phase() == job.LostReboot {
		return nil
	}
	file, size, err := openLog(h.logFile(*m))
	if err != nil {
		return err
	}
	_, err = h.runner.Logs(ctx, m.id(), job.Merged, size, file)
	if errors.Is(err, job.ErrPruned) { // what is here stays
		_, err = fmt.Fprintf(file, "\n[sky: %v]\n", job.ErrPruned)
	}
	err = errors.Join(err, file.Close())
	h.readTail(m)
	return err
}

// openLog opens a local log for what comes next, and says how much it has.
func openLog(path string) (*os.File, int64, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, 0, fmt.Errorf("make the log's folder: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open the job's log: %w", err)
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, 0, fmt.Errorf("open the job's log: %w", errors.Join(err, file.Close()))
	}
	return file, size, nil
}

// Bounds of log_tail.
const (
	tailBytes = 16 << 10
	tailLines = 100
	// leastSecret is the length below which hiding a value would hide half a log.
	leastSecret = 4
)

// readTail fills in the end of the local log, less the secrets where they are
// known.
func (h *jobHandle) readTail(m *jobModel) {
	text, _, err := endOf(h.logFile(*m), tailBytes, tailLines)
	if err != nil {
		text = ""
	}
	for _, secret := range h.secrets {
		if len(secret) >= leastSecret {
			text = strings.ReplaceAll(text, secret, "(secret)")
		}
	}
	m.LogTail = types.StringValue(text)
}

// endOf is the end of a file, whole lines and valid UTF-8 within the bounds, and
// the size of the file.
func endOf(path string, most int64, lines int) (string, int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = file.Close() }()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return "", 0, err
	}
	from := max(size-most, 0)
	text, err := io.ReadAll(io.NewSectionReader(file, from, size-from))
	if err != nil {
		return "", 0, err
	}
	return lastLines(string(text), from > 0, lines), size, nil
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
