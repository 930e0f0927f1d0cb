// SPDX-License-Identifier: MPL-2.0

//go:build openssh && linux

package remote_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

// toTheEnd runs a step over as many connections as it takes.
func toTheEnd(t *testing.T, m *remotetest.Machine, s *remote.Step) (code, links int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		c, err := remote.DialWait(ctx, m.Target(), remote.Options{Signers: []ssh.Signer{m.Signer()}, KeepAlive: 500 * time.Millisecond})
		if err != nil {
			t.Fatalf("%v\n%s", err, m.Log())
		}
		code, err := c.RunStep(ctx, s)
		_ = c.Close()
		if !errors.As(err, new(*remote.LinkError)) {
			return code, links, err
		}
		links++
	}
	return -1, links, context.Cause(ctx)
}

// TestOpenSSHStep has scripts that cut themselves off in every way there is.
func TestOpenSSHStep(t *testing.T) {
	n := remotetest.NewNet(t)
	for kind, o := range map[string]remotetest.MachineOptions{"plain": {Boots: true}, "busybox": {Boots: true, Busybox: true}} {
		t.Run(kind, func(t *testing.T) {
			m := n.NewMachine(o)
			for script, want := range map[string]int{
				"exit 7":                                   7,
				"kill -KILL $$":                            137,
				"kill -KILL $PPID; sleep 1; exit 6":        6,
				"sleep 300 & exit 5":                       5,
				"trap 'exit 9' INT; kill -INT $$; sleep 5": 9,
			} {
				s := remote.NewStep(remote.Command{})
				s.Script = s.Watch(script)
				if code, _, err := toTheEnd(t, m, s); err != nil || code != want {
					t.Errorf("%s: %d, %v, want %d", script, code, err, want)
				}
			}
			t.Run("its own connection", func(t *testing.T) {
				out := newWatched("")
				s := remote.NewStep(remote.Command{Stdout: out, Script: `echo one
ps | grep '[s]shd' | while read -r pid _; do [ "$pid" = "$(cat ~/../sshd.pid 2>/dev/null)" ] || kill -9 "$pid"; done 2>/dev/null
sleep 2; echo two; exit 3`})
				if code, _, err := toTheEnd(t, m, s); err != nil || code != 3 || out.String() != "one\ntwo\n" {
					t.Errorf("%d, %v, %q", code, err, out.String())
				}
			})
			t.Run("a stall", func(t *testing.T) {
				out := newWatched("one")
				go func() {
					<-out.seen
					m.Cut()
					time.AfterFunc(3*time.Second, m.Join)
				}()
				s := remote.NewStep(remote.Command{Stdout: out, Script: "echo one; sleep 2; echo two; exit 3"})
				if code, links, err := toTheEnd(t, m, s); err != nil || code != 3 || links == 0 || out.String() != "one\ntwo\n" {
					t.Errorf("%d after %d lost connections, %v, %q", code, links, err, out.String())
				}
			})
			t.Run("a restart", func(t *testing.T) {
				out := newWatched("first")
				go func() {
					<-out.seen
					m.Stop()
					m.Start()
				}()
				s := remote.NewStep(remote.Command{Stdout: out, Script: `if [ "$SKY_SETUP_RESTARTS" = 0 ]; then echo first; sleep 300; fi; echo again; exit 4`})
				code, links, err := toTheEnd(t, m, s)
				if err != nil || code != 4 || links == 0 || !strings.HasPrefix(out.String(), "first\n") || !strings.HasSuffix(out.String(), "again\n") {
					t.Errorf("%d after %d lost connections, %v, %q", code, links, err, out.String())
				}
			})
			t.Run("restarts without an end", func(t *testing.T) {
				restart := make(chan struct{}, 10)
				go func() {
					for range restart {
						m.Stop()
						m.Start()
					}
				}()
				defer close(restart)
				s := remote.NewStep(remote.Command{Stdout: onLine(func() { restart <- struct{}{} }), Script: "echo up; sleep 300"})
				_, _, err := toTheEnd(t, m, s)
				if failed := (*remote.StepError)(nil); !errors.As(err, &failed) || !strings.Contains(err.Error(), "restarted 4 times") {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// onLine is called for every line "up".
type onLine func()

func (f onLine) Write(p []byte) (int, error) {
	for range strings.Count(string(p), "up\n") {
		f()
	}
	return len(p), nil
}
