// SPDX-License-Identifier: MPL-2.0

package remote_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

func TestMain(m *testing.M) { remotetest.Main(m) }

func options(n *remotetest.Node) remote.Options {
	return remote.Options{Signers: []ssh.Signer{n.Signer()}, HandshakeTimeout: 10 * time.Second}
}

func dial(t testing.TB, n *remotetest.Node) *remote.Client {
	t.Helper()
	c, err := remote.Dial(t.Context(), n.Target(), options(n))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestRun(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	c := dial(t, n)
	tests := []struct {
		name     string
		cmd      remote.Command
		code     int
		out, err string
	}{
		{"output and code", remote.Command{Script: "echo out; echo err >&2; exit 7"}, 7, "out\n", "err\n"},
		{"signal", remote.Command{Script: "kill -TERM $$"}, 128 + 15, "", ""},
		{"stdin", remote.Command{Script: "read -r first; cat", Stdin: strings.NewReader("a\nb\nc")}, 0, "b\nc", ""},
		{"stdin without end of line", remote.Command{Script: "cat", Stdin: strings.NewReader("x")}, 0, "x", ""},
		{"no stdin", remote.Command{Script: "cat; echo end"}, 0, "end\n", ""},
		{"env", remote.Command{Script: `printf %s "$A"`, Env: map[string]string{"A": "it's \"$HOME\" `x`\n\\"}}, 0, "it's \"$HOME\" `x`\n\\", ""},
		{"env and stdin", remote.Command{Script: `printf %s "$A"; cat`, Env: map[string]string{"A": "1\n2"}, Stdin: strings.NewReader("3")}, 0, "1\n23", ""},
		{"dir", remote.Command{Script: "basename \"$PWD\"", Dir: "/tmp"}, 0, "tmp\n", ""},
		{"missing dir", remote.Command{Script: "echo no", Dir: "/none"}, 126, "", ""},
		{"not in argv", remote.Command{Script: "tr '\\0' ' ' </proc/$$/cmdline | grep -c canary", Env: map[string]string{"S": "canary"}}, 1, "0\n", ""},
		{"daemon keeps stdio", remote.Command{Script: "sleep 100 & echo done"}, 0, "done\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			tt.cmd.Stdout, tt.cmd.Stderr = &out, &errOut
			code, err := c.Run(t.Context(), tt.cmd)
			if err != nil || code != tt.code {
				t.Fatalf("Run = %d, %v, want %d; stderr %q", code, err, tt.code, errOut.String())
			}
			if out.String() != tt.out || (tt.err != "" && errOut.String() != tt.err) {
				t.Errorf("printed %q and %q, want %q and %q", out.String(), errOut.String(), tt.out, tt.err)
			}
		})
	}
	if n.Dials() != 1 {
		t.Errorf("%d connections, want one for all commands", n.Dials())
	}
}

func TestRunRefusesBadInput(t *testing.T) {
	c := dial(t, remotetest.NewNode(t, remotetest.Behaviour{}))
	for name, cmd := range map[string]remote.Command{
		"name":  {Env: map[string]string{"A-B": "x"}},
		"code":  {Env: map[string]string{"$(x)": "x"}},
		"value": {Env: map[string]string{"A": "x\x00"}},
		"dir":   {Dir: "a\x00b"},
	} {
		if _, err := c.Run(t.Context(), cmd); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestManyCommandsOneConnection(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	c := dial(t, n)
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			if out, err := c.Output(t.Context(), "echo x"); err != nil || out != "x\n" {
				t.Errorf("Output = %q, %v", out, err)
			}
		})
	}
	all.Wait()
	if n.Dials() != 1 {
		t.Errorf("%d connections, want 1", n.Dials())
	}
}

func TestCancelEndsTheCommand(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	c := dial(t, n)
	ctx, cancel := context.WithCancel(t.Context())
	started := &signalWriter{seen: make(chan struct{})}
	go func() {
		<-started.seen
		cancel()
	}()
	_, err := c.Run(ctx, remote.Command{Script: "echo started; sleep 1000", Stdout: started})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Run = %v, want context.Canceled", err)
	}
	eventually(t, "the command is gone", func() bool { return len(n.Processes()) == 0 })
	if _, err := c.Output(t.Context(), "echo still here"); err != nil {
		t.Errorf("the connection did not survive a cancelled command: %v", err)
	}
}

type signalWriter struct {
	once sync.Once
	seen chan struct{}
}

func (w *signalWriter) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.seen) })
	return len(p), nil
}

// eventually polls for what another process does; the bound only ends a broken test.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for now := range time.Tick(10 * time.Millisecond) {
		if f() {
			return
		}
		if now.After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestBastion(t *testing.T) {
	bastion, inner := remotetest.NewNode(t, remotetest.Behaviour{}), remotetest.NewNode(t, remotetest.Behaviour{})
	target, via := inner.Target(), bastion.Target()
	target.Bastion = &via
	o := options(inner)
	o.Signers = append(o.Signers, bastion.Signer())
	c, err := remote.Dial(t.Context(), target, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if out, err := c.Output(t.Context(), "echo inside"); err != nil || out != "inside\n" {
		t.Errorf("Output = %q, %v", out, err)
	}
	via.HostKey = inner.HostKey
	var wrong *remote.HostKeyError
	if _, err := remote.Dial(t.Context(), target, o); !errors.As(err, &wrong) {
		t.Errorf("Dial through a bastion with another key = %v, want *HostKeyError", err)
	}
	via.HostKey = ""
	if _, err := remote.Dial(t.Context(), target, o); err == nil {
		t.Error("Dial through a bastion without a pinned key succeeded")
	}
	inner.Set(remotetest.Behaviour{NeverKex: true})
	via.HostKey, o.HandshakeTimeout = bastion.HostKey, 300*time.Millisecond
	if _, err := remote.Dial(t.Context(), target, o); err == nil {
		t.Error("Dial of a silent machine behind a bastion succeeded")
	}
}

func TestDoneAndKeepAlive(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	o := options(n)
	o.KeepAlive = 20 * time.Millisecond
	c, err := remote.Dial(t.Context(), n.Target(), o)
	if err != nil {
		t.Fatal(err)
	}
	n.Drop()
	<-c.Done()
	if _, err := c.Output(t.Context(), "true"); !errors.Is(err, remote.ErrClosed) {
		t.Errorf("Output on a lost connection = %v, want ErrClosed", err)
	}
}

func TestDialWait(t *testing.T) {
	t.Run("comes up late, keys later", func(t *testing.T) {
		n := remotetest.NewNode(t, remotetest.Behaviour{RefuseKeys: 3})
		n.Down()
		late := time.AfterFunc(50*time.Millisecond, n.Up)
		defer late.Stop()
		c, err := remote.DialWait(t.Context(), n.Target(), options(n))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	})
	t.Run("wrong key ends it", func(t *testing.T) {
		n, other := remotetest.NewNode(t, remotetest.Behaviour{}), remotetest.NewNode(t, remotetest.Behaviour{})
		target := n.Target()
		target.HostKey = other.HostKey
		var wrong *remote.HostKeyError
		if _, err := remote.DialWait(t.Context(), target, options(n)); !errors.As(err, &wrong) || wrong.Want == wrong.Got {
			t.Errorf("DialWait = %v, want *HostKeyError", err)
		}
		if n.Dials() != 1 {
			t.Errorf("%d dials, want 1", n.Dials())
		}
	})
	t.Run("refused for good", func(t *testing.T) {
		n := remotetest.NewNode(t, remotetest.Behaviour{RefuseKeys: 1 << 30})
		o := options(n)
		o.AuthRetry = 50 * time.Millisecond
		var auth *remote.AuthError
		if _, err := remote.DialWait(t.Context(), n.Target(), o); !errors.As(err, &auth) {
			t.Errorf("DialWait = %v, want *AuthError", err)
		}
	})
	t.Run("context ends", func(t *testing.T) {
		n := remotetest.NewNode(t, remotetest.Behaviour{SaysNothing: true})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := remote.DialWait(ctx, n.Target(), options(n)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("DialWait = %v, want DeadlineExceeded", err)
		}
	})
}

// TestMisbehavingServers is reliability.md 6, 46 to 52 and 56: whatever a server
// does, an error comes in bounded time and size and without its control characters.
func TestMisbehavingServers(t *testing.T) {
	tests := []struct {
		name string
		b    remotetest.Behaviour
		want string // of the error of Dial or of the command; empty is success
	}{
		{"46 accepts and says nothing", remotetest.Behaviour{SaysNothing: true}, "no SSH handshake in time"},
		{"47 endless greeting", remotetest.Behaviour{EndlessBanner: true}, "handshake"},
		{"47 huge banner", remotetest.Behaviour{Banner: strings.Repeat("hello\x1b[2J\n", 2000)}, ""},
		{"49 never-ending key exchange", remotetest.Behaviour{NeverKex: true}, "no SSH handshake in time"},
		{"50 refuses exec", remotetest.Behaviour{RefuseExec: true}, "refuses to run commands"},
		{"50 forced command", remotetest.Behaviour{ForcedCommand: "printf 'only sftp here\\033[31m'; exit 1"}, "did not run our shell (exit code 1); it said: only sftp here"},
		{"51 profile prints", remotetest.Behaviour{Noise: "Welcome!\nYou have \xff mail\n"}, ""},
		{"51 profile prints without end", remotetest.Behaviour{Noise: strings.Repeat("noise", 5000)}, ""},
		{"52 no exit status", remotetest.Behaviour{NoExitStatus: true}, "without an exit status"},
		{"55 no sh", remotetest.Behaviour{ForcedCommand: "/none/sh -c true"}, "did not run our shell (exit code 127)"},
		{"dies mid-command", remotetest.Behaviour{DropAfterSent: 5000}, "connection closed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := remotetest.NewNode(t, tt.b)
			o := options(n)
			if tt.b.SaysNothing || tt.b.NeverKex || tt.b.EndlessBanner {
				o.HandshakeTimeout = 300 * time.Millisecond
			}
			c, err := remote.Dial(t.Context(), n.Target(), o)
			out := ""
			if err == nil {
				defer c.Close()
				script := "echo payload"
				if tt.b.DropAfterSent > 0 {
					script = "yes"
				}
				out, err = c.Output(t.Context(), script)
			}
			if tt.want == "" {
				if err != nil || out != "payload\n" {
					t.Fatalf("Output = %q, %v", out, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
			if len(err.Error()) > 1500 || strings.ContainsAny(err.Error(), "\x1b\x00") {
				t.Errorf("unfit error: %q", err)
			}
		})
	}
}

func TestHugeStderrIsBounded(t *testing.T) {
	c := dial(t, remotetest.NewNode(t, remotetest.Behaviour{}))
	_, err := c.Output(t.Context(), `yes "noise $(printf '\033[31m')" | head -c 5000004 >&2; echo the reason >&2; exit 3`)
	var exit *remote.ExitError
	if !errors.As(err, &exit) || exit.Code != 3 || !strings.HasSuffix(exit.Stderr, "the reason") || len(err.Error()) > 1500 {
		t.Errorf("Output = %v", err)
	}
}

func TestTrustOnFirstUse(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	target, o := n.Target(), options(n)
	target.HostKey = ""
	if _, err := remote.Dial(t.Context(), target, o); err == nil || n.Dials() != 0 {
		t.Fatalf("Dial without a pinned key = %v after %d connections, want a refusal before any", err, n.Dials())
	}
	seen := ""
	o.TrustOnFirstUse = func(key string) error { seen = key; return nil }
	c, err := remote.Dial(t.Context(), target, o)
	if err != nil || seen != n.HostKey {
		t.Fatalf("Dial = %v, saw %q, want %q", err, seen, n.HostKey)
	}
	_ = c.Close()
	o.TrustOnFirstUse = func(string) error { return errors.New("never seen it") }
	if _, err := remote.Dial(t.Context(), target, o); err == nil || !strings.Contains(err.Error(), "never seen it") {
		t.Errorf("Dial = %v", err)
	}
}

func TestOutputIsCapped(t *testing.T) {
	c := dial(t, remotetest.NewNode(t, remotetest.Behaviour{}))
	if _, err := c.Output(t.Context(), "head -c 20000000 /dev/zero"); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("Output = %v", err)
	}
	// A caller's own writer gets everything.
	var n countWriter
	if code, err := c.Run(t.Context(), remote.Command{Script: "head -c 20000000 /dev/zero", Stdout: &n}); err != nil || code != 0 || n != 20000000 {
		t.Errorf("Run = %d, %v, %d bytes", code, err, n)
	}
}

type countWriter int

func (c *countWriter) Write(p []byte) (int, error) { *c += countWriter(len(p)); return len(p), nil }

var _ io.Writer = (*countWriter)(nil)
