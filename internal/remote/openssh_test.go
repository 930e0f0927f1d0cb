// SPDX-License-Identifier: MPL-2.0

//go:build openssh && linux

package remote_test

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

func reach(t testing.TB, m *remotetest.Machine) *remote.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c, err := remote.DialWait(ctx, m.Target(), remote.Options{Signers: []ssh.Signer{m.Signer()}})
	if err != nil {
		t.Fatalf("%v\n%s", err, m.Log())
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestOpenSSHSuite is what every kind of machine must carry: scripts, codes,
// signals, files and trees.
func TestOpenSSHSuite(t *testing.T) {
	kinds := map[string]remotetest.MachineOptions{
		"plain":           {},
		"no sftp":         {Config: "Subsystem sftp /bin/false"},
		"banner":          {Config: "Banner /etc/services"},
		"profile prints":  {Profile: "echo 'Welcome, \\xff friend'; echo trouble >&2\n"},
		"busybox":         {Busybox: true},
		"no forwarding":   {Config: "DisableForwarding yes\nPermitTTY no"},
		"57 clock ahead":  {Clock: "+30y"},
		"57 clock behind": {Clock: "-30y"},
		"54 noexec tmp":   {Mount: "mount --bind /tmp /tmp; mount -o remount,bind,noexec /tmp"},
	}
	for name, o := range kinds {
		t.Run(name, func(t *testing.T) {
			m := remotetest.NewNet(t).NewMachine(o)
			c := reach(t, m)
			if out, err := c.Output(t.Context(), "echo out"); err != nil || out != "out\n" {
				t.Errorf("Output = %q, %v", out, err)
			}
			for script, want := range map[string]int{"exit 7": 7, "kill -KILL $$": 137} {
				if code, err := c.Run(t.Context(), remote.Command{Script: script}); err != nil || code != want {
					t.Errorf("%s: %d, %v, want %d", script, code, err, want)
				}
			}
			src := t.TempDir()
			write(t, src, odd)
			if err := c.PutTree(t.Context(), src, "~/w"); err != nil {
				t.Fatal(err)
			}
			same(t, read(t, filepath.Join(m.Home, "w")), odd)
			write(t, src, map[string]string{"plain": "changed"})
			if err := os.Remove(filepath.Join(src, "empty")); err != nil {
				t.Fatal(err)
			}
			if err := c.PutTree(t.Context(), src, "~/w"); err != nil {
				t.Fatal(err)
			}
			same(t, read(t, filepath.Join(m.Home, "w")), read(t, src))
			if err := c.Put(t.Context(), strings.NewReader("x\n\n"), "~/d/f", 0o600); err != nil {
				t.Error(err)
			}
			dest := t.TempDir()
			if _, err := c.Get(t.Context(), remote.Fetch{Base: "~/w", Patterns: []string{"sub/deep/*", "plain"}}, dest); err != nil {
				t.Error(err)
			}
			same(t, read(t, dest), map[string]string{"sub/deep/file": "2", "plain": "changed"})
			ctx, cancel := context.WithCancel(t.Context())
			started := &signalWriter{seen: make(chan struct{})}
			go func() { <-started.seen; cancel() }()
			if _, err := c.Run(ctx, remote.Command{Script: "echo started; exec sleep 1000", Stdout: started}); !errors.Is(err, context.Canceled) {
				t.Errorf("Run = %v", err)
			}
			eventually(t, "the cancelled command is gone", func() bool { return !strings.Contains(strings.Join(m.Processes(), "\n"), "sleep 1000") })
		})
	}
}

func TestOpenSSHKeys(t *testing.T) {
	n := remotetest.NewNet(t)
	m := n.NewMachine(remotetest.MachineOptions{})
	reach(t, m)
	var wrong *remote.HostKeyError
	t.Run("another key is pinned", func(t *testing.T) {
		target := m.Target()
		_, target.HostKey, _ = remote.NewHostKey()
		if _, err := remote.DialWait(t.Context(), target, remote.Options{Signers: []ssh.Signer{m.Signer()}}); !errors.As(err, &wrong) {
			t.Errorf("DialWait = %v, want *HostKeyError", err)
		}
	})
	t.Run("the key changed", func(t *testing.T) {
		old := m.Target()
		m.Stop()
		m.RotateHostKey()
		m.Start()
		reach(t, m)
		if _, err := remote.Dial(t.Context(), old, remote.Options{Signers: []ssh.Signer{m.Signer()}}); !errors.As(err, &wrong) {
			t.Errorf("Dial = %v, want *HostKeyError", err)
		}
	})
	t.Run("a key of another type", func(t *testing.T) {
		target := m.Target()
		target.HostKey = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
		if _, err := remote.Dial(t.Context(), target, remote.Options{Signers: []ssh.Signer{m.Signer()}}); !errors.As(err, &wrong) {
			t.Errorf("Dial = %v, want *HostKeyError", err)
		}
	})
	t.Run("key with a passphrase", func(t *testing.T) {
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("open sesame"))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "id")
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		signer, err := remote.LoadSigner(path, []byte("open sesame"))
		if err != nil {
			t.Fatal(err)
		}
		reach(t, n.NewMachine(remotetest.MachineOptions{Key: signer}))
	})
	t.Run("agent", func(t *testing.T) {
		dir := t.TempDir()
		socket := filepath.Join(dir, "agent")
		agent := exec.CommandContext(t.Context(), "ssh-agent", "-D", "-a", socket) //nolint:gosec // a test's own agent
		if err := agent.Start(); err != nil {
			t.Fatal(err)
		}
		private, public, err := remote.NewHostKey()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "id"), private, 0o600); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the agent has the key", func() bool {
			add := exec.CommandContext(t.Context(), "ssh-add", filepath.Join(dir, "id")) //nolint:gosec // a test's own key
			add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
			return add.Run() == nil
		})
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(public))
		if err != nil {
			t.Fatal(err)
		}
		signer, closer, err := remote.AgentSigner(t.Context(), socket, ssh.FingerprintSHA256(key))
		if err != nil {
			t.Fatal(err)
		}
		defer closer.Close()
		reach(t, n.NewMachine(remotetest.MachineOptions{Key: signer}))
	})
}

func TestOpenSSHBastion(t *testing.T) {
	n := remotetest.NewNet(t)
	bastion := n.NewMachine(remotetest.MachineOptions{})
	inner := n.NewMachine(remotetest.MachineOptions{Key: bastion.Signer(), Config: "AllowUsers root@" + bastion.Host})
	reach(t, bastion)
	target, via := inner.Target(), bastion.Target()
	target.Bastion = &via
	var c *remote.Client
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c, err := remote.DialWait(ctx, target, remote.Options{Signers: []ssh.Signer{bastion.Signer()}})
	if err != nil {
		t.Fatalf("%v\n%s", err, inner.Log())
	}
	defer c.Close()
	if out, err := c.Output(t.Context(), `echo "${SSH_CONNECTION%% *}"`); err != nil || strings.TrimSpace(out) != bastion.Host {
		t.Errorf("came from %q, %v, want the bastion %s", out, err, bastion.Host)
	}
}

func TestOpenSSHRefusals(t *testing.T) {
	tests := []struct {
		name string
		o    remotetest.MachineOptions
		do   func(context.Context, *remote.Client) error
		want string
	}{
		{"forced command", remotetest.MachineOptions{Config: "ForceCommand echo only backups here"}, run, "did not run our shell (exit code 0); it said: only backups here"},
		{"no sessions", remotetest.MachineOptions{Config: "MaxSessions 0"}, run, "opening a session"},
		{"no shell", remotetest.MachineOptions{Mount: `printf '#!/none' >"$dir/nosh"; chmod 755 "$dir/nosh"; usermod() { sed "s,^\(root:.*:\)[^:]*$,\1$dir/nosh," /etc/passwd >"$dir/passwd"; mount --bind "$dir/passwd" /etc/passwd; }; usermod`}, run, "did not run our shell"},
		{"read-only home", remotetest.MachineOptions{Mount: `mount -o remount,ro,bind /root`}, put, "Read-only file system"},
		{"disk full", remotetest.MachineOptions{Mount: `cp -a /root/.ssh "$dir/keys"; mount -t tmpfs -o size=1m none /root; cp -a "$dir/keys" /root/.ssh`}, put, "No space left on device"},
		{"disk full, tree", remotetest.MachineOptions{Mount: `cp -a /root/.ssh "$dir/keys"; mount -t tmpfs -o size=1m none /root; cp -a "$dir/keys" /root/.ssh`}, putTree, "No space left on device"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := reach(t, remotetest.NewNet(t).NewMachine(tt.o))
			err := tt.do(t.Context(), c)
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 1500 {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if !strings.Contains(tt.want, "shell") && !strings.Contains(tt.want, "session") {
				if out, err := c.Output(t.Context(), "ls -A ~ | grep -v -e '^[.]ssh$' -e '^[.]sky$'"); err == nil {
					t.Errorf("left behind: %q", out)
				}
			}
		})
	}
}

func run(ctx context.Context, c *remote.Client) error {
	_, err := c.Output(ctx, "echo x")
	return err
}

func put(ctx context.Context, c *remote.Client) error {
	return c.Put(ctx, strings.NewReader(strings.Repeat("x", 5<<20)), "~/d", 0o600)
}

func putTree(ctx context.Context, c *remote.Client) error {
	dir, err := os.MkdirTemp("", "tree")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 5<<20), 0o600); err != nil {
		return err
	}
	return c.PutTree(ctx, dir, "~/w")
}

func TestOpenSSHDies(t *testing.T) {
	n := remotetest.NewNet(t)
	t.Run("power cut", func(t *testing.T) {
		m := n.NewMachine(remotetest.MachineOptions{})
		c := reach(t, m)
		started := &signalWriter{seen: make(chan struct{})}
		stopped := make(chan struct{})
		go func() { <-started.seen; m.Stop(); close(stopped) }()
		if _, err := c.Run(t.Context(), remote.Command{Script: "echo started; sleep 1000", Stdout: started}); err == nil {
			t.Error("a command outlived its machine")
		}
		<-stopped // the connection is lost before the machine is all gone
		m.Start()
		reach(t, m)
	})
	t.Run("accepts TCP and says nothing", func(t *testing.T) {
		m := n.NewMachine(remotetest.MachineOptions{})
		reach(t, m)
		m.Freeze()
		_, err := remote.Dial(t.Context(), m.Target(), remote.Options{Signers: []ssh.Signer{m.Signer()}, HandshakeTimeout: 500 * time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), "no SSH handshake in time") {
			t.Errorf("Dial = %v, want no handshake in time", err)
		}
		m.Thaw()
		reach(t, m)
	})
	t.Run("58 reboots mid-command", func(t *testing.T) {
		m := n.NewMachine(remotetest.MachineOptions{})
		c := reach(t, m)
		_, err := c.Output(t.Context(), "echo secret-to-nobody >&2; kill -9 $(ps -o pid= -C sshd) 2>/dev/null; sleep 1000")
		if err == nil || !errors.Is(err, remote.ErrClosed) || len(err.Error()) > 1500 || strings.Contains(err.Error(), "secret") {
			t.Errorf("Output = %v, want a closed connection", err)
		}
		m.Stop()
		m.Start()
		reach(t, m)
	})
	t.Run("off the network", func(t *testing.T) {
		m := n.NewMachine(remotetest.MachineOptions{})
		reach(t, m)
		c, err := remote.Dial(t.Context(), m.Target(), remote.Options{Signers: []ssh.Signer{m.Signer()}, KeepAlive: 300 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		m.Cut()
		if _, err := c.Output(t.Context(), "sleep 1000"); !errors.Is(err, remote.ErrClosed) || !strings.Contains(err.Error(), "keepalive") {
			t.Errorf("Output = %v, want a missed keepalive", err)
		}
		m.Join()
		reach(t, m)
	})
}
