// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// Bounds of log_tail, and of the local copy of a log.
const (
	tailBytes = 16 << 10
	tailLines = 100
	// leastSecret is the length below which hiding a value would hide half a log.
	leastSecret = 4
	// defaultLogMiB is max_log_mib where nothing is said of it.
	defaultLogMiB = 1024
	// noteSlack is for what the cluster adds to a log, such as that it was cut.
	noteSlack = 64 << 10
)

var plainName = regexp.MustCompile(`^[0-9A-Za-z]+$`)

// localLog is where the log of a job is copied to. What the state says of that
// is of no account: it would be a place to write.
func localLog(b clusters, cluster, id string) (string, error) {
	if !plainName.MatchString(id) {
		return "", fmt.Errorf("%q is no job's id", kit.Printable(id))
	}
	return filepath.Join(filepath.Dir(b.LogPath(cluster)), id+".log"), nil
}

// logPath is where the job's log is copied to, for people.
func (h *jobHandle) logPath(m *jobModel) string {
	path, err := localLog(h.broker, h.cluster.Name, m.ID.ValueString())
	if err != nil {
		return "(nowhere)"
	}
	return kit.LocalText(path)
}

// logCopy is the local copy of a job's log. A job is followed to its end where
// no copy can be made: then only its end is kept, in memory. It takes what
// max_log_mib allows, whatever the node sends.
type logCopy struct {
	file *os.File // nil where there is none
	size int64    // of the file, or of what came
	most int64
	end  []byte // of what came
	err  error  // why the copy is not whole
}

func openCopy(path string, most int64) *logCopy {
	c := &logCopy{most: most}
	c.file, c.size, c.err = openLog(path)
	return c
}

// full reports whether no more is taken.
func (c *logCopy) full() bool { return c.size >= c.most }

// Write implements io.Writer. Beyond the bound it fails with job.ErrEnough, and
// never because of the file.
func (c *logCopy) Write(p []byte) (int, error) {
	n := len(p)
	if over := c.size + int64(n) - c.most; over > 0 {
		n = max(n-int(over), 0)
	}
	c.keep(p[:n])
	if n < len(p) {
		c.keep(fmt.Appendf(nil, "\n[sky: what came after %d bytes was dropped]\n", c.most))
		return n, job.ErrEnough
	}
	return n, nil
}

func (c *logCopy) keep(p []byte) {
	c.size += int64(len(p))
	c.end = append(c.end, p...)
	if over := len(c.end) - tailBytes; over > 0 {
		c.end = append(c.end[:0], c.end[over:]...)
	}
	if c.file == nil || c.err != nil {
		return
	}
	if _, err := c.file.Write(p); err != nil {
		c.err = fmt.Errorf("write the job's log: %w", err)
	}
}

// tail is the end of the copy.
func (c *logCopy) tail() string {
	if c.file != nil && c.err == nil {
		if text, _, err := endOf(c.file.Name(), tailBytes, tailLines); err == nil {
			return text
		}
	}
	return lastLines(string(c.end), c.size > int64(len(c.end)), tailLines)
}

// copyLog has f write to the local copy of the job's log from where that ends,
// and then fills in log_tail.
func (h *jobHandle) copyLog(m *jobModel, f func(from int64, c *logCopy) error) error {
	path, err := localLog(h.broker, h.cluster.Name, m.ID.ValueString())
	if err != nil {
		return err
	}
	c := openCopy(path, cmp.Or(m.MaxLogMiB.ValueInt64(), defaultLogMiB)<<20+noteSlack)
	err = f(c.size, c)
	m.LogTail = types.StringValue(h.shown(c.tail()))
	if c.file != nil {
		c.err = errors.Join(c.err, c.file.Close())
	}
	h.uncopied = errors.Join(h.uncopied, c.err)
	return err
}

// followLog copies the log until the job is over, from where the local copy ends.
func (h *jobHandle) followLog(ctx context.Context, m *jobModel) (job.Status, error) {
	h.progress.begin()
	watched, stop := h.watch(tflog.SetField(tflog.SetField(ctx, "job", m.ID.ValueString()), "name", m.Name.ValueString()))
	defer stop()
	var status job.Status
	err := h.copyLog(m, func(from int64, c *logCopy) (err error) {
		status, err = h.runner.WaitFrom(watched, m.id(), from, c)
		return err
	})
	if end := (*endedError)(nil); err != nil && errors.As(context.Cause(watched), &end) {
		status, err = end.status, nil
	}
	if errors.Is(err, job.ErrNotFound) {
		status, err = lostStatus(headAnew), nil
	}
	return status, err
}

// fetchLog appends to the local log what the job printed since. Nothing writes
// to the log of a job that is known to be lost; its copy on the head may have
// got shorter with the reboot, and would be read anew each time.
func (h *jobHandle) fetchLog(ctx context.Context, m *jobModel) error {
	if m.phase() == job.LostReboot {
		return nil
	}
	return h.copyLog(m, func(from int64, c *logCopy) error {
		if c.full() {
			return nil
		}
		_, err := h.runner.Logs(ctx, m.id(), job.Merged, from, c)
		if errors.Is(err, job.ErrPruned) { // what is here stays
			_, err = fmt.Fprintf(c, "\n[sky: %v]\n", job.ErrPruned)
		}
		if errors.Is(err, job.ErrEnough) {
			err = nil
		}
		return err
	})
}

// unkept warns that the local copy of the log is not whole.
func (h *jobHandle) unkept(m *jobModel) diag.Diagnostics {
	if h.uncopied == nil {
		return nil
	}
	return diag.Diagnostics{diag.NewWarningDiagnostic(fmt.Sprintf("The log of job %q is not kept on this computer", m.Name.ValueString()),
		kit.Sentence(h.uncopied.Error())+" The job is not affected; sky_job_logs reads its log from the cluster.")}
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

// shown is what Terraform gets of a log: less what terminals obey, and less the
// secrets, where they are known; the cluster has hidden them before.
func (h *jobHandle) shown(text string) string {
	for range 2 { // what is dropped may have stood within a secret
		for _, secret := range h.secrets {
			if len(secret) >= leastSecret {
				text = strings.ReplaceAll(text, secret, "(secret)")
			}
		}
		text = kit.Printable(text)
	}
	return text
}
