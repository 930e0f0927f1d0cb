// SPDX-License-Identifier: MPL-2.0

package job_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/job"
)

// release lets a job go on that waits for ~/go on each of its nodes.
func (f *fleet) release(t *testing.T) {
	t.Helper()
	for _, n := range f.nodes {
		if err := os.WriteFile(filepath.Join(n.Home, "go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// logOf is a rank's log so far, or the merged one.
func (f *fleet) logOf(t testing.TB, id job.ID, rank int) string {
	t.Helper()
	var log bytes.Buffer
	if _, err := f.runner.Logs(t.Context(), id, rank, 0, &log); err != nil {
		t.Fatal(err)
	}
	return log.String()
}

// testSecretsAreHiddenInLogs prints secrets in every way that a log has to stand:
// in setup, at once, in two halves with a long pause between, over several lines, a
// line at a time, within a long line over many blocks, and cut off in the end.
func testSecretsAreHiddenInLogs(t *testing.T, newFleet fleets) {
	long := strings.Repeat("0123456789abcdef", 300)
	secrets := map[string]string{
		"TOKEN":  "canary-4711-'quoted' \\n $(x)",
		"PREFIX": "canary-4711", // the beginning of another one
		"KEY":    "-----BEGIN-----\ncanaryline1/abc\ncanaryline2+def\n==\n-----END-----\n",
		"LONG":   "canary" + long,
		"SHORT":  "abc",
	}
	const run = `echo "visible abc $TOKEN."; echo "$KEY"; echo "$KEY" | sed 's/^/  | /'; echo "$LONG"; echo "$PREFIX" >&2
head -c 100001 /dev/zero | tr '\0' x; printf '%s' "$TOKEN"; head -c 100003 /dev/zero | tr '\0' y; printf '%s\n' "$TOKEN"
printf 'half %s' "${TOKEN%??????????}"; touch ~/half; while [ ! -e ~/go ]; do sleep 0.1; done
printf '%s\n' "${TOKEN#??????????????????}"; i=0; while [ $i -lt 300 ]; do echo "$i $TOKEN $PREFIX"; i=$((i + 1)); done
env; printf 'cut off %s' "${TOKEN%?}"; exit 3`
	for nodes := range 2 {
		t.Run(fmt.Sprint(nodes+1), func(t *testing.T) {
			f := newFleet(t, nodes+1)
			id := f.submit(t, job.Spec{Name: "secret", Secrets: secrets, Setup: `echo "in setup: $TOKEN"`, Run: run})
			eventually(t, "half a secret was printed", func() bool {
				_, err := os.Stat(filepath.Join(f.nodes[nodes].Home, "half"))
				return err == nil && strings.Contains(f.logOf(t, id, nodes), "half ")
			})
			f.release(t)
			status, log := f.wait(t, id)
			if status.Phase != job.Failed || code(status) != "3" {
				t.Errorf("%+v", status)
			}
			for _, want := range []string{"visible abc (secret).\n", "in setup: (secret)\n", "half (secret)\n", "299 (secret) (secret)\n", "  | (secret)\n", "cut off (secret)"} {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %q; it ends %q", want, log[max(0, len(log)-600):])
				}
			}
			f.traceless(t, "canary", "abcdef", "4711", "(x)")
		})
	}
}

// traceless fails where a file on any node holds one of the texts.
func (f *fleet) traceless(t *testing.T, texts ...string) {
	t.Helper()
	for rank, n := range f.nodes {
		err := filepath.WalkDir(n.Home, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			for _, text := range texts {
				if at := bytes.Index(data, []byte(text)); at >= 0 {
					t.Errorf("rank %d: %s holds %q: %q", rank, path, text, data[max(0, at-50):min(len(data), at+50)])
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// testProgressBars writes over a line, without an end to it: its latest version is
// to be seen while it goes on, and few of the others ever.
func testProgressBars(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	id := f.submit(t, job.Spec{Name: "bar", Run: `[ "$SKYPILOT_NODE_RANK" = 1 ] || exec true
printf '1%%\r2%%\r'; while [ ! -e ~/go ]; do sleep 0.1; done
i=0; while [ $i -lt 20000 ]; do printf 'at %s \r' $i; i=$((i + 1)); done; printf '100%%\r\nlast'`})
	eventually(t, "the bar is seen", func() bool { return strings.Contains(f.logOf(t, id, job.Merged), "(rank 1) 2%\n") })
	f.release(t)
	status, log := f.wait(t, id)
	if status.Phase != job.Succeeded || len(log) > 2000 || !strings.HasSuffix(log, "(rank 1) 100%\n(rank 1) last\n") {
		t.Errorf("%+v, %d bytes that end %q", status, len(log), log[max(0, len(log)-300):])
	}
	if raw := f.logOf(t, id, 1); !strings.Contains(raw, "at 1 \rat 2 \r") {
		t.Errorf("the rank's own log is not as it was printed: %.80q", raw)
	}
}

// testLinesOfAGang prints a line longer than any memory should hold, and last
// lines without an end.
func testLinesOfAGang(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	const size = 8 << 20
	id := f.submit(t, job.Spec{Name: "lines", Run: fmt.Sprintf(`[ "$SKYPILOT_NODE_RANK" = 0 ] || { printf 'no end'; exit; }
head -c %d /dev/zero | tr '\0' x; printf '\nno end'`, size)})
	status, log := f.wait(t, id)
	if status.Phase != job.Succeeded {
		t.Fatalf("%+v", status)
	}
	got := 0
	for line := range strings.Lines(log) {
		text, ok := strings.CutPrefix(line, "(rank 0) x")
		if len(line) > 16<<10+20 || !strings.HasPrefix(line, "(rank ") || !strings.HasSuffix(line, "\n") {
			t.Fatalf("a line of %d bytes: %.80q", len(line), line)
		}
		if ok {
			got += len(text)
		} else if want := "no end\n"; line[len("(rank 0) "):] != want {
			t.Errorf("line %q, want the rank and %q", line, want)
		}
	}
	if got != size || strings.Count(log, "no end\n") != 2 {
		t.Errorf("%d bytes of the line, want %d; the log ends %q", got, size, log[max(0, len(log)-80):])
	}
}

// TestHostileStatus is cleaned of what terminals obey, and of times that are none.
func TestHostileStatus(t *testing.T) {
	f := sshFleet(t, 1)
	id := f.submit(t, job.Spec{Name: "x", Run: "exit 3"})
	f.wait(t, id)
	text := "phase=FAILED\ncode=3\nrank=0\nended=\x1b[2Jnever\nreason=\x1b]52;c;ZXZpbA==\x07over\u202e" + strings.Repeat("x", 5000) + "\n"
	if err := os.WriteFile(f.jobFile(0, id, "exit"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := f.runner.Status(t.Context(), id)
	if err != nil || s.EndedAt != "" || len(s.Reason) > 700 || strings.ContainsAny(s.Reason, "\x1b\x07\u202e") {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestEnoughOfALog ends no wait.
func TestEnoughOfALog(t *testing.T) {
	f := sshFleet(t, 1)
	id := f.submit(t, job.Spec{Name: "x", Run: "seq 1000; while [ ! -e ~/go ]; do sleep 0.1; done; seq 1000"})
	w := &sated{left: 10, full: func() { f.release(t) }}
	status, err := f.runner.Wait(t.Context(), id, w)
	if err != nil || status.Phase != job.Succeeded || w.got != 10 || w.asked != 1 {
		t.Errorf("%+v, %v, %d bytes, %d times", status, err, w.got, w.asked)
	}
	var end bytes.Buffer
	if size, torn, err := f.runner.Tail(t.Context(), id, job.Merged, 9, &end); err != nil || !torn || size < 7000 || end.String() != "999\n1000\n" {
		t.Errorf("Tail = %d, %t, %v, %q", size, torn, err, end.String())
	}
}

type sated struct {
	left, got, asked int
	full             func()
}

func (s *sated) Write(p []byte) (int, error) {
	s.asked++
	n := min(len(p), s.left)
	s.left -= n
	s.got += n
	if n < len(p) {
		s.full()
		return n, job.ErrEnough
	}
	return n, nil
}
