// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// tail keeps the last bytes written to it.
type tail struct {
	limit int
	buf   []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.limit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return remote.Scrub(string(t.buf)) }

const (
	// maxLogLine bounds one record; a longer line is cut into several.
	maxLogLine = 16 << 10
	// maxLogged bounds the records of one script on one node, in bytes: what
	// comes later is dropped, but for its end.
	maxLogged = 4 << 20
	// recordCost is about what a record takes beside its text.
	recordCost = 200
	// lastLogged is how many lines of what was dropped are logged in the end.
	lastLogged = 20
)

// logLines turns what a script prints into log records, a line each, without
// what terminals obey. Of a line that is written over, as progress bars are, it
// logs the version of every sayEvery, and the last.
type logLines struct {
	ctx context.Context //nolint:containedctx // an io.Writer cannot take one a call
	log *slog.Logger
	now func() time.Time

	buf     []byte
	said    time.Time // when a version of the line was logged
	logged  int
	dropped int
	end     tail
}

func newLogLines(ctx context.Context, log *slog.Logger) *logLines {
	return &logLines{ctx: ctx, log: log, now: time.Now, said: time.Now(), end: tail{limit: 4 << 10}}
}

// Write implements io.Writer; it never fails.
func (l *logLines) Write(p []byte) (int, error) {
	l.buf = append(l.buf, p...)
	for {
		line, rest, whole := bytes.Cut(l.buf, []byte{'\n'})
		if whole && len(line) <= maxLogLine {
			l.emit(line)
			l.buf = rest
			continue
		}
		if !whole {
			l.overwrite()
		}
		if len(l.buf) < maxLogLine {
			return len(p), nil
		}
		l.emit(l.buf[:maxLogLine])
		l.buf = l.buf[maxLogLine:]
	}
}

// overwrite forgets the earlier versions of a line that has no end yet, and now
// and then logs the present one.
func (l *logLines) overwrite() {
	at := bytes.LastIndexByte(bytes.TrimRight(l.buf, "\r"), '\r')
	if at < 0 {
		return
	}
	l.buf = append(l.buf[:0], l.buf[at+1:]...)
	if now := l.now(); now.Sub(l.said) >= sayEvery {
		l.said = now
		l.emit(l.buf)
	}
}

func (l *logLines) emit(line []byte) {
	text := remote.Plain(string(line))
	if cost := len(text) + recordCost; l.dropped == 0 && l.logged+cost <= maxLogged {
		l.logged += cost
		l.log.InfoContext(l.ctx, text)
		return
	}
	l.dropped += len(line) + 1
	_, _ = l.end.Write(append(bytes.Clone(line), '\n')) // which does not fail
}

// flush logs what is left.
func (l *logLines) flush() {
	if len(l.buf) > 0 {
		l.emit(l.buf)
		l.buf = nil
	}
	if l.dropped == 0 {
		return
	}
	l.log.WarnContext(l.ctx, fmt.Sprintf("sky: it printed %d bytes more, which are dropped; their end follows", l.dropped))
	lines := strings.Split(l.end.String(), "\n")
	for _, line := range lines[max(0, len(lines)-lastLogged):] {
		l.log.InfoContext(l.ctx, line)
	}
	l.dropped = 0
}
