// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"time"

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

// endOf is the end of a file, whole lines within the bounds, and the size of the
// file.
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
	return text
}
