// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

// prints is a job that prints a text and succeeds.
func prints(text string) *fakeRunner {
	return &fakeRunner{logs: text, wait: func(_ context.Context, log io.Writer) (job.Status, error) {
		_, err := io.WriteString(log, text)
		if err != nil && !errors.Is(err, job.ErrEnough) {
			return job.Status{}, err
		}
		return job.Status{Phase: job.Succeeded, FailedRank: -1}, nil
	}}
}

// TestLogPathOfAnEditedState is never written to.
func TestLogPathOfAnEditedState(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "authorized_keys")
	h, m := aHandle(t, prints("evil\n"))
	where := m.LogPath.ValueString()
	m.LogPath = types.StringValue(victim)
	if diags := h.follow(t.Context(), m, true); len(diags) > 0 {
		t.Error(diags)
	}
	if err := h.fetchLog(t.Context(), m); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(where); err != nil || string(text) != "evil\n" {
		t.Errorf("the log is %q, %v", text, err)
	}
	for _, id := range []string{"../" + filepath.Base(filepath.Dir(victim)) + "/x", "", "..", "a/b", `a\b`, "x.y"} {
		m.ID = types.StringValue(id)
		if err := h.fetchLog(t.Context(), m); err == nil {
			t.Errorf("the id %q was taken", id)
		}
	}
	if _, err := os.Stat(victim); err == nil {
		t.Error("a path of the state was written to")
	}
}

// TestJobEndsWithoutALog is a job whose log cannot be kept here.
func TestJobEndsWithoutALog(t *testing.T) {
	h, m := aHandle(t, prints("one\ntwo\n"))
	if err := os.WriteFile(filepath.Dir(m.LogPath.ValueString()), nil, 0o600); err != nil { // in the folder's place
		t.Fatal(err)
	}
	diags := h.follow(t.Context(), m, true)
	if diags.HasError() || len(diags) != 1 || !strings.Contains(diags[0].Summary(), "not kept on this computer") {
		t.Errorf("%v", diags)
	}
	if m.Status.ValueString() != "SUCCEEDED" || m.LogTail.ValueString() != "one\ntwo\n" {
		t.Errorf("%s, log tail %q", m.Status, m.LogTail.ValueString())
	}
}

// TestLogOnAFullDisk goes on without the file, and still knows the end.
func TestLogOnAFullDisk(t *testing.T) {
	c := openCopy(filepath.Join(t.TempDir(), "log"), 1<<20)
	if _, err := io.WriteString(c, "one\n"); err != nil {
		t.Fatal(err)
	}
	_ = c.file.Close() // so that writing fails
	if n, err := io.WriteString(c, "two\n"); n != 4 || err != nil || c.err == nil {
		t.Errorf("Write = %d, %v, noted %v", n, err, c.err)
	}
	if got := c.tail(); got != "one\ntwo\n" {
		t.Errorf("tail %q", got)
	}
}

// TestLogIsBoundedHere takes what max_log_mib allows, whatever comes, once.
func TestLogIsBoundedHere(t *testing.T) {
	h, m := aHandle(t, prints(strings.Repeat("a line of the log\n", 200_000)))
	m.MaxLogMiB = types.Int64Value(1)
	if diags := h.follow(t.Context(), m, true); len(diags) > 0 || m.Status.ValueString() != "SUCCEEDED" {
		t.Errorf("%s, %v", m.Status, diags)
	}
	for range 2 {
		info, err := os.Stat(m.LogPath.ValueString())
		if err != nil || info.Size() > 1<<20+noteSlack+100 || info.Size() < 1<<20 {
			t.Fatalf("%d bytes, %v", info.Size(), err)
		}
		if !strings.HasSuffix(m.LogTail.ValueString(), "bytes was dropped]\n") {
			t.Errorf("log tail %q", m.LogTail.ValueString())
		}
		m.Status = types.StringValue(string(job.Running))
		if err := h.fetchLog(t.Context(), m); err != nil {
			t.Error(err)
		}
	}
}

// TestErrorsArePlain is the last of several places that see to it.
func TestErrorsArePlain(t *testing.T) {
	err := errors.New("rank 0: \x1b]52;c;ZXZpbA==\x07 no\u202e such\nfile\x1b[2J")
	for _, text := range []string{session.ErrorDiag(t.Context(), "Launch", err).Detail(), (&withMore{err, "more"}).Error()} {
		if !strings.HasPrefix(text, "Rank 0:  no such\nfile.") && !strings.HasPrefix(text, " Rank 0:  no such\nfile.") {
			t.Errorf("%q", text)
		}
	}
}

// TestTailIsPlain has a job print what terminals obey; the file keeps it.
func TestTailIsPlain(t *testing.T) {
	const evil = "\x1b]52;c;ZXZpbA==\x07\x1b]0;title\x1b\\\x1b[2J10%\r20%\nab\x08\u202ec\u009b31md\n"
	h, m := aHandle(t, prints(evil))
	if diags := h.follow(t.Context(), m, true); len(diags) > 0 || m.LogTail.ValueString() != "20%\nabcd\n" {
		t.Errorf("log tail %q, %v", m.LogTail.ValueString(), diags)
	}
	if text, err := os.ReadFile(m.LogPath.ValueString()); err != nil || string(text) != evil {
		t.Errorf("the log is %q, %v", text, err)
	}
	h, m = aHandle(t, prints("can\x00ary\x1b[m-1\n"))
	h.secrets = map[string]string{"TOKEN": "canary-1"}
	if h.follow(t.Context(), m, true); m.LogTail.ValueString() != "(secret)\n" {
		t.Errorf("log tail %q", m.LogTail.ValueString())
	}
}

func TestLastLines(t *testing.T) {
	many := strings.Repeat("line\n", 150)
	tests := []struct {
		name, in string
		torn     bool
		want     string
	}{
		{"empty", "", false, ""},
		{"short", "a\nb\n", false, "a\nb\n"},
		{"no newline at the end", "a\nb", false, "a\nb"},
		{"many lines", many, false, strings.Repeat("line\n", tailLines)},
		{"torn first line", "alf\nwhole\n", true, "whole\n"},
		{"one endless line", "xxxx", true, "xxxx"},
		{"bad bytes", "a\xff\x00b", false, "a?b"},
	}
	for _, tt := range tests {
		if got := kit.Printable(lastLines(tt.in, tt.torn, tailLines)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
