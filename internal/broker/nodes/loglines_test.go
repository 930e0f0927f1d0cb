// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// logOf is the text of a provision.log into which something was written.
func logOf(t *testing.T, write func(l *logLines)) string {
	t.Helper()
	var out bytes.Buffer
	l := newLogLines(t.Context(), slog.New(slog.NewTextHandler(&out, nil)).With("cluster", "a name", "rank", 0, "script", "setup"))
	write(l)
	l.flush()
	return out.String()
}

// TestProvisionLogIsBounded prints two MiB of the shortest lines there are, which
// made 78 MB, and ends with something to find.
func TestProvisionLogIsBounded(t *testing.T) {
	text := logOf(t, func(l *logLines) {
		for range 1 << 10 {
			_, _ = io.WriteString(l, strings.Repeat("x\n", 1<<10))
		}
		_, _ = io.WriteString(l, "the reason\n")
	})
	if len(text) > 5<<20 || !strings.Contains(text, "bytes more, which are dropped") || !strings.Contains(text, `msg="the reason"`) {
		t.Errorf("%d bytes that end %q", len(text), text[max(0, len(text)-400):])
	}
}

// TestProvisionLogOfLongLines cuts a line and loses none of it.
func TestProvisionLogOfLongLines(t *testing.T) {
	const size = 100_000
	for name, end := range map[string]string{"ended": "\n", "not ended": ""} {
		for _, block := range []int{1000, 1 << 16, size} {
			var most int
			text := logOf(t, func(l *logLines) {
				for left := size; left > 0; left -= block {
					_, _ = io.WriteString(l, strings.Repeat("y", min(block, left)))
					most = max(most, len(l.buf))
				}
				_, _ = io.WriteString(l, end)
			})
			if got := strings.Count(text, "y"); got != size || strings.Count(text, "\n") != size/maxLogLine+1 || most > maxLogLine {
				t.Errorf("%s, %d at once: %d bytes in %d records, %d held", name, block, got, strings.Count(text, "\n"), most)
			}
		}
	}
}

// TestProvisionLogOfProgress shows the version of now and then, and the last; and
// nothing that a terminal obeys.
func TestProvisionLogOfProgress(t *testing.T) {
	text := logOf(t, func(l *logLines) {
		at := l.said
		l.now = func() time.Time { return at }
		for range 100 {
			at = at.Add(sayEvery / 10)
			_, _ = io.WriteString(l, "\rloading "+at.Sub(l.said).String()+strings.Repeat(".", 1000))
			if len(l.buf) > 2000 {
				t.Fatalf("%d bytes are held", len(l.buf))
			}
		}
		_, _ = io.WriteString(l, "\rall is \x1b[32mloaded\x1b[0m\x1b]0;title\a\r\nnext\n")
	})
	if n := strings.Count(text, "loading"); n < 5 || n > 20 {
		t.Errorf("%d versions: %s", n, text)
	}
	if !strings.Contains(text, `msg="all is loaded"`) || strings.Contains(text, "title") || strings.Contains(text, "x1b") || !strings.Contains(text, "msg=next") {
		t.Errorf("log: %s", text)
	}
}
