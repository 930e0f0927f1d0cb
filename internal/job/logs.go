// SPDX-License-Identifier: MPL-2.0

package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Merged stands for all ranks in Logs: every line with its rank before it where
// the job has several nodes.
const Merged = -1

// Logs writes what a rank (or Merged) printed since offset, in bytes, up to
// now, and returns where to go on. No byte is lost or repeated by calls that
// each start at the last one's next, after an error too. While the job runs, a
// character whose bytes have not all arrived waits for the next call. A log that
// got shorter is announced in w and read from its start.
func (r *Runner) Logs(ctx context.Context, id ID, rank int, offset int64, w io.Writer) (next int64, err error) {
	for {
		chunk, err := r.chunk(ctx, id, rank, offset)
		if err != nil {
			return offset, fmt.Errorf("reading the log of job %s: %w", id, err)
		}
		if chunk.size < offset {
			if _, err := fmt.Fprintf(w, "\n[sky: the log was cut from %d to %d bytes; reading it from its start]\n", offset, chunk.size); err != nil {
				return offset, &writeError{err}
			}
			offset = 0
			continue
		}
		if chunk.text == "" { // nothing to ask the writer for
			return offset, nil
		}
		n, err := io.WriteString(w, chunk.text)
		offset += int64(n)
		if err != nil {
			return offset, &writeError{err}
		}
		if offset >= chunk.size {
			return offset, nil
		}
	}
}

// Tail writes the end of what a rank (or Merged) printed up to now, at most so
// many bytes, and returns the size of the whole log. torn says that the end
// starts within a line.
func (r *Runner) Tail(ctx context.Context, id ID, rank int, most int64, w io.Writer) (size int64, torn bool, err error) {
	whole, err := r.chunk(ctx, id, rank, math.MaxInt64/2) // the size alone
	if err != nil {
		return 0, false, fmt.Errorf("reading the log of job %s: %w", id, err)
	}
	from := max(whole.size-most, 0)
	size, err = r.Logs(ctx, id, rank, from, &atMost{w: w, left: most})
	if errors.Is(err, ErrEnough) { // it grew meanwhile
		err = nil
	}
	return max(size, whole.size), from > 0, err
}

// Plain leaves of what a job prints what does no harm in a terminal.
func Plain(text string) string { return remote.Plain(text) }

// ErrEnough is what a writer of logs returns that wants no more. Waiting goes on
// without the log; any other error of a writer ends it.
var ErrEnough = errors.New("there is enough of the log")

// atMost passes on so many bytes.
type atMost struct {
	w    io.Writer
	left int64
}

func (a *atMost) Write(p []byte) (int, error) {
	n, err := a.w.Write(p[:min(int64(len(p)), a.left)])
	a.left -= int64(n)
	if err == nil && n < len(p) {
		err = ErrEnough
	}
	return n, err //nolint:wrapcheck // Logs says what it is of
}

// writeError is a failure of the caller's writer, which asking again cannot cure.
type writeError struct{ err error }

func (e *writeError) Error() string { return "writing the job's log: " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

type chunk struct {
	size int64
	text string
}

func (r *Runner) chunk(ctx context.Context, id ID, rank int, offset int64) (chunk, error) {
	which := "all"
	if rank >= 0 {
		which = strconv.Itoa(rank)
	}
	out, err := r.ask(ctx, 0, id, fmt.Sprintf("log %s %d", which, offset))
	if err != nil {
		return chunk{}, err
	}
	header, text, ok := strings.Cut(out, "\n")
	if header == "pruned" {
		return chunk{}, ErrPruned
	}
	size, over, ok2 := strings.Cut(header, " ")
	n, err := strconv.ParseInt(size, 10, 64)
	if !ok || !ok2 || err != nil {
		return chunk{}, fmt.Errorf("unexpected answer %q", remote.Clean(header))
	}
	if over != "1" || offset+int64(len(text)) < n {
		text = text[:whole(text)]
	}
	return chunk{size: n, text: text}, nil
}

// whole is the length of text without a last character that may be incomplete.
func whole(text string) int {
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		at := len(text) - back
		if utf8.RuneStart(text[at]) {
			if !utf8.FullRuneInString(text[at:]) {
				return at
			}
			break
		}
	}
	return len(text)
}

// Wait follows a job until it is over, copying the merged log to log (which may
// be nil) until that has enough, whatever happens to the connection, until ctx ends. An UNKNOWN or
// LOST_REBOOT status is returned without an error: there is nothing to wait for.
func (r *Runner) Wait(ctx context.Context, id ID, log io.Writer) (Status, error) {
	return r.WaitFrom(ctx, id, 0, log)
}

// WaitFrom is Wait with a log of which so many bytes are there already.
func (r *Runner) WaitFrom(ctx context.Context, id ID, offset int64, log io.Writer) (Status, error) {
	if log == nil {
		log = io.Discard
	}
	var last Status
	enough := false
	err := retry.Poll(ctx, r.options.Poll, func(ctx context.Context) (bool, error) {
		status, err := r.Status(ctx, id) // before the log: after the end the log is whole
		if err != nil {
			return false, permanent(err)
		}
		last = status
		if !enough {
			offset, err = r.Logs(ctx, id, Merged, offset, log)
			enough = errors.Is(err, ErrEnough)
		}
		if r.options.Progress != nil {
			r.options.Progress(ctx, status, offset)
		}
		if err != nil && !enough {
			return false, permanent(err)
		}
		return status.Phase.Over(), nil
	})
	if err != nil {
		return last, fmt.Errorf("waiting for job %s: %w", id, err)
	}
	return last, nil
}

// permanent marks what no other connection will cure.
func permanent(err error) error {
	var key *remote.HostKeyError
	var auth *remote.AuthError
	var exit *remote.ExitError
	var write *writeError
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrPruned) || errors.As(err, &key) || errors.As(err, &auth) || errors.As(err, &exit) || errors.As(err, &write) {
		return retry.Stop(err)
	}
	return err
}
