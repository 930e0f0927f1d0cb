// SPDX-License-Identifier: MPL-2.0

package remote_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

// watched is output that says when a text has come.
type watched struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	want string
	seen chan struct{}
}

func newWatched(want string) *watched { return &watched{want: want, seen: make(chan struct{})} }

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(p)
	if w.want != "" && strings.Contains(w.buf.String(), w.want) {
		close(w.seen)
		w.want = ""
	}
	return len(p), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

func TestStep(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	c := dial(t, n)
	tests := []struct {
		name   string
		cmd    remote.Command
		code   int
		out    string
		failed string
	}{
		{name: "output and code", cmd: remote.Command{Script: "echo out; echo err >&2; exit 7"}, code: 7, out: "out\nerr\n"},
		{name: "nothing", cmd: remote.Command{Script: ""}},
		{name: "signal", cmd: remote.Command{Script: "kill -TERM $$; sleep 100"}, code: 128 + 15, out: "*"},
		{name: "env", cmd: remote.Command{Script: `printf %s "$A$SKY_SETUP_RESTARTS"`, Env: map[string]string{"A": "it's \"$HOME\" `x`\n\\"}}, out: "it's \"$HOME\" `x`\n\\0"},
		{name: "hostile env", cmd: remote.Command{Script: "exit 3", Env: map[string]string{"HOME": "/none", "dir": "/none", "PATH": "/none", "IFS": "x"}}, code: 3},
		{name: "its parent is killed", cmd: remote.Command{Script: "echo one; kill -9 $PPID; sleep 1; echo two; exit 5"}, code: 5, out: "one\ntwo\n"},
		{name: "all of it is killed", cmd: remote.Command{Script: "kill -9 $PPID $$"}, failed: "left no record"},
		{name: "a daemon stays", cmd: remote.Command{Script: "sleep 30 & echo done"}, out: "done\n"},
		{name: "signals are as in a login", cmd: remote.Command{Script: `grep SigIgn /proc/$$/status | tr 'a-f1-9' xxxxxxxxxxxxxxx | tail -c 5`}, out: "0000"},
		{name: "much output", cmd: remote.Command{Script: "i=0; while [ $i -lt 40000 ]; do echo 0123456789012345678901234567890123456789012345678; i=$((i+1)); done"},
			out: strings.Repeat("0123456789012345678901234567890123456789012345678\n", 40000)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "signals are as in a login" && os.Getenv("SKY_TEST_SYSTEM_PATH") != "" {
				// busybox has nothing that starts a step without ignoring SIGINT and
				// SIGQUIT; internal/script resets them where the node can.
				tt.out = "000x"
			}
			out := newWatched("")
			tt.cmd.Stdout = out
			step := remote.NewStep(tt.cmd)
			step.Script = step.Watch(step.Script)
			code, err := c.RunStep(t.Context(), step)
			if failed := (*remote.StepError)(nil); tt.failed != "" {
				if !errors.As(err, &failed) || !strings.Contains(err.Error(), tt.failed) {
					t.Errorf("RunStep = %d, %v, want an error with %q", code, err, tt.failed)
				}
				return
			}
			if err != nil || code != tt.code {
				t.Fatalf("RunStep = %d, %v, want %d", code, err, tt.code)
			}
			if got := strings.TrimSpace(out.String()); tt.out != "*" && got != strings.TrimSpace(tt.out) { // a shell may comment on a signal
				t.Errorf("printed %.200q, want %.200q", got, tt.out)
			}
		})
	}
	if left, err := c.Output(t.Context(), "cd ~/.sky/steps && ls -A | wc -l"); err != nil || strings.TrimSpace(left) > "1" {
		t.Errorf("records of %q steps are left, %v", left, err)
	}
}

// A step runs once and to its end over connections that are cut, one that it
// cuts itself among them, and every byte of its output comes once.
func TestStepOutlivesConnections(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	out := newWatched("line 3")
	step := remote.NewStep(remote.Command{Stdout: out, Script: `echo start >>~/starts
i=0; while [ $i -lt 8 ]; do i=$((i+1)); echo line $i; sleep 0.3; done; exit 4`})
	go func() {
		<-out.seen
		n.Drop()
	}()
	var links int
	for {
		code, err := dial(t, n).RunStep(t.Context(), step)
		if lost := (*remote.LinkError)(nil); errors.As(err, &lost) {
			links++
			continue
		}
		if err != nil || code != 4 {
			t.Fatalf("RunStep = %d, %v, want 4", code, err)
		}
		break
	}
	if links == 0 {
		t.Error("no connection was lost")
	}
	want := "line 1\nline 2\nline 3\nline 4\nline 5\nline 6\nline 7\nline 8\n"
	if out.String() != want {
		t.Errorf("printed %q", out.String())
	}
	if starts, err := dial(t, n).Output(t.Context(), "cat ~/starts"); err != nil || starts != "start\n" {
		t.Errorf("it was started so: %q, %v", starts, err)
	}
}

// A step that nobody waits for any more is ended, with what it started; one that
// an apply left behind ends before the next begins.
func TestStepEnds(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	ctx, cancel := context.WithCancel(t.Context())
	out := newWatched("up")
	go func() {
		<-out.seen
		cancel()
	}()
	_, err := dial(t, n).RunStep(ctx, remote.NewStep(remote.Command{Script: "sleep 1000 & echo up; sleep 1000", Stdout: out}))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("RunStep = %v, want context.Canceled", err)
	}
	eventually(t, "the step is gone", func() bool { return len(n.Processes()) == 0 })

	out = newWatched("up")
	c := dial(t, n)
	gone := make(chan error, 1)
	go func() {
		_, err := c.RunStep(t.Context(), remote.NewStep(remote.Command{Script: "trap '' TERM; echo up; sleep 1000", Stdout: out}))
		gone <- err
	}()
	<-out.seen
	n.Drop()
	if err := <-gone; err == nil {
		t.Error("a lost connection is no error")
	}
	out = newWatched("up")
	after := remote.NewStep(remote.Command{Script: "echo up; read -r x <~/go", Stdout: out})
	c = dial(t, n)
	if _, err := c.Output(t.Context(), "mkfifo ~/go"); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := c.RunStep(t.Context(), after)
		gone <- err
	}()
	<-out.seen
	for _, p := range n.Processes() {
		if strings.Contains(p, "sleep 1000") {
			t.Errorf("the step of before runs on beside the next: %s", p)
		}
	}
	if _, err := dial(t, n).Output(t.Context(), "echo >~/go"); err != nil {
		t.Fatal(err)
	}
	if err := <-gone; err != nil {
		t.Error(err)
	}
}

// A lost connection is told from what a script or a folder does.
func TestLinkErrors(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	c := dial(t, n)
	lost := (*remote.LinkError)(nil)
	if err := c.PutTree(t.Context(), t.TempDir(), "/proc/none/x"); err == nil || errors.As(err, &lost) {
		t.Errorf("an upload that cannot be: %v", err)
	}
	n.Drop()
	<-c.Done()
	if err := c.PutTree(t.Context(), t.TempDir(), "~/x"); !errors.As(err, &lost) || lost.Begun {
		t.Errorf("an upload on a connection that is gone: %v", err)
	}
	n.Set(remotetest.Behaviour{NoExitStatus: true})
	if _, err := dial(t, n).Run(t.Context(), remote.Command{Script: ":"}); !errors.As(err, &lost) || !lost.Begun {
		t.Errorf("a command without a status: %v", err)
	}
}
