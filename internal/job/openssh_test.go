// SPDX-License-Identifier: MPL-2.0

//go:build openssh && linux

package job_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

// openSSH is a cluster of machines with OpenSSH's server, client and key generator.
type openSSH struct {
	machines []*remotetest.Machine
	runner   *job.Runner
}

func newOpenSSH(t *testing.T, n int, o remotetest.MachineOptions, manager string) *openSSH {
	t.Helper()
	network := remotetest.NewNet(t)
	f := &openSSH{}
	c := cluster.Cluster{Name: "real", Generation: "g1", SSHUser: "root", ProcessManager: manager}
	for rank := range n {
		m := network.NewMachine(o)
		o.Key = m.Signer()
		f.machines = append(f.machines, m)
		c.Nodes = append(c.Nodes, cluster.Node{Rank: rank, ExternalIP: m.Host, SSHPort: 22, HostKey: m.HostKey})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		client, err := remote.DialWait(ctx, m.Target(), remote.Options{Signers: []ssh.Signer{m.Signer()}})
		cancel()
		if err != nil {
			t.Fatal(err, m.Log())
		}
		if o.Systemd {
			eventually(t, "systemd is on the bus", func() bool {
				_, err := client.Output(t.Context(), "busctl status org.freedesktop.systemd1")
				return err == nil
			})
		}
		_ = client.Close()
	}
	var err error
	if f.runner, err = job.New(c, job.Options{Signers: []ssh.Signer{o.Key}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.runner.Close() })
	return f
}

func (f *openSSH) idle(t *testing.T) {
	t.Helper()
	for rank := range f.machines {
		f.idleRank(t, rank)
	}
}

func (f *openSSH) idleRank(t *testing.T, rank int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for now := range time.Tick(20 * time.Millisecond) {
		left := f.machines[rank].Processes()
		if len(left) == 0 {
			return
		}
		if now.After(deadline) {
			t.Fatalf("rank %d still runs %q", rank, left)
		}
	}
}

func (f *openSSH) wait(t *testing.T, spec job.Spec) (job.Status, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	id, err := f.runner.Submit(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	status, err := f.runner.Wait(ctx, id, &log)
	if err != nil {
		t.Fatal(err, log.String())
	}
	return status, log.String()
}

func TestOpenSSHGang(t *testing.T) {
	for name, o := range map[string]remotetest.MachineOptions{
		"plain":   {},
		"busybox": {Busybox: true},
		"noisy":   {Profile: "echo noise; echo more >&2\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newOpenSSH(t, 3, o, "setsid")
			status, log := f.wait(t, job.Spec{Name: "ok", Workdir: t.TempDir(), Run: `hostname; echo "$SKYPILOT_NODE_RANK/$SKYPILOT_NUM_NODES"; pwd`, Secrets: map[string]string{"S": "x"}})
			if status.Phase != job.Succeeded || !strings.Contains(log, "(rank 2) 2/3\n") || strings.Count(log, "/root/sky_workdir") != 3 {
				t.Errorf("%+v, log %q", status, log)
			}
			f.idle(t)
			status, _ = f.wait(t, job.Spec{Name: "fails", Grace: time.Second, Run: `trap '' TERM
[ "$SKYPILOT_NODE_RANK" != 2 ] || { sleep 0.5; exit 9; }
setsid sleep 1000 & sleep 1000; sleep 1000`})
			if status.Phase != job.Failed || status.FailedRank != 2 || fmt.Sprint(status.ExitCodes) != "map[0:137 1:137 2:9]" {
				t.Errorf("%+v", status)
			}
			f.idle(t)
			id, err := f.runner.Submit(t.Context(), job.Spec{Name: "cancelled", Grace: time.Second, Run: `trap '' TERM; setsid sleep 1000 & sleep 1000; sleep 1000`})
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "it runs", func() bool {
				s, err := f.runner.Status(t.Context(), id)
				return err == nil && s.Phase == job.Running
			})
			if err := f.runner.Cancel(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			f.idle(t)
		})
	}
}

// TestOpenSSHSystemd has a real systemd hold the ranks: even a process that hides its
// environment and its session from us ends with its rank.
func TestOpenSSHSystemd(t *testing.T) {
	f := newOpenSSH(t, 2, remotetest.MachineOptions{Systemd: true}, "auto")
	hide := `(env -i setsid sleep 4711 &)
`
	status, log := f.wait(t, job.Spec{Name: "ok", Run: hide + `cat /proc/self/cgroup
# Signals 32 and 33 are the C library's own.
echo "ignored $((0x$(sed -n 's/^SigIgn:[[:space:]]*//p' /proc/self/status) & ~0x180000000))"; sleep 0.2`})
	if status.Phase != job.Succeeded || strings.Count(log, ".scope") != 2 || strings.Count(log, "ignored 0\n") != 2 {
		t.Errorf("%+v, log %q", status, log)
	}
	f.idle(t)
	status, _ = f.wait(t, job.Spec{Name: "fails", Grace: time.Second, Run: hide + `[ "$SKYPILOT_NODE_RANK" = 0 ] || { sleep 0.5; exit 9; }
sleep 1000`})
	if status.Phase != job.Failed || fmt.Sprint(status.ExitCodes) != "map[0:137 1:9]" {
		t.Errorf("%+v", status)
	}
	f.idle(t)
	id, err := f.runner.Submit(t.Context(), job.Spec{Name: "cancelled", Grace: time.Second, Run: hide + "trap '' TERM; sleep 1000; sleep 1000"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", func() bool {
		s, err := f.runner.Status(t.Context(), id)
		return err == nil && s.Phase == job.Running
	})
	if err := f.runner.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	f.idle(t)
}

// TestOpenSSHPowerCut is a node that goes without a word.
func TestOpenSSHPowerCut(t *testing.T) {
	f := newOpenSSH(t, 3, remotetest.MachineOptions{}, "setsid")
	id, err := f.runner.Submit(t.Context(), job.Spec{Name: "cut", Run: "sleep 1000", Grace: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	running := func() bool {
		s, err := f.runner.Status(t.Context(), id)
		return err == nil && s.Phase == job.Running
	}
	eventually(t, "it runs", running)
	f.machines[1].Stop()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	status, err := f.runner.Wait(ctx, id, nil)
	if err != nil || status.Phase != job.Failed || status.FailedRank != 1 {
		t.Errorf("%+v, %v", status, err)
	}
	for _, rank := range []int{0, 2} {
		f.idleRank(t, rank)
	}
}

// TestOpenSSHUnpluggedWorker is a worker off the network: the head gives it up
// after three missed keepalives.
func TestOpenSSHUnpluggedWorker(t *testing.T) {
	f := newOpenSSH(t, 2, remotetest.MachineOptions{Config: "ClientAliveInterval 5\nClientAliveCountMax 2"}, "setsid")
	id, err := f.runner.Submit(t.Context(), job.Spec{Name: "unplugged", Run: "sleep 1000", Grace: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", func() bool {
		s, err := f.runner.Status(t.Context(), id)
		return err == nil && s.Phase == job.Running
	})
	f.machines[1].Cut()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	status, err := f.runner.Wait(ctx, id, nil)
	if err != nil || status.Phase != job.Failed || status.FailedRank != 1 || !strings.Contains(status.Reason, "lost") {
		t.Errorf("%+v, %v", status, err)
	}
	f.machines[1].Join()
	f.idle(t)
}

// TestOpenSSHClocks is reliability.md 6, 57: the head lives in the future and
// the worker in the past, and nothing that a job does minds.
func TestOpenSSHClocks(t *testing.T) {
	network := remotetest.NewNet(t)
	f := &openSSH{}
	c := cluster.Cluster{Name: "clocks", Generation: "g1", SSHUser: "root"}
	o := remotetest.MachineOptions{}
	for rank, clock := range []string{"+30y", "-20y"} {
		o.Clock = clock
		m := network.NewMachine(o)
		o.Key = m.Signer()
		f.machines = append(f.machines, m)
		c.Nodes = append(c.Nodes, cluster.Node{Rank: rank, ExternalIP: m.Host, SSHPort: 22, HostKey: m.HostKey})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		client, err := remote.DialWait(ctx, m.Target(), remote.Options{Signers: []ssh.Signer{m.Signer()}})
		cancel()
		if err != nil {
			t.Fatal(err, m.Log())
		}
		_ = client.Close()
	}
	var err error
	if f.runner, err = job.New(c, job.Options{Signers: []ssh.Signer{o.Key}}); err != nil {
		t.Fatal(err)
	}
	defer f.runner.Close()
	first, err := f.runner.Submit(t.Context(), job.Spec{Name: "first", Run: "sleep 1"})
	if err != nil {
		t.Fatal(err)
	}
	status, log := f.wait(t, job.Spec{Name: "second", Workdir: t.TempDir(), Setup: "true", Run: "date +%Y", Secrets: map[string]string{"S": "x"}})
	if status.Phase != job.Succeeded || !strings.HasPrefix(status.StartedAt, "205") || strings.Count(log, "\n") != 2 {
		t.Errorf("%+v, log %q", status, log)
	}
	if s, err := f.runner.Status(t.Context(), first); err != nil || s.Phase != job.Succeeded {
		t.Errorf("the first one: %+v, %v", s, err)
	}
	status, _ = f.wait(t, job.Spec{Name: "long", MaxDuration: time.Second, Grace: time.Second, Run: "sleep 1000"})
	if status.Phase != job.Failed || !strings.Contains(status.Reason, "longer than 1 seconds") {
		t.Errorf("%+v", status)
	}
	f.idle(t)
}

// TestOpenSSHTroubleInSetup is reliability.md 6, 58: the package lock is held,
// or the machine restarts.
func TestOpenSSHTroubleInSetup(t *testing.T) {
	f := newOpenSSH(t, 1, remotetest.MachineOptions{Boots: true}, "setsid")
	t.Run("package lock", func(t *testing.T) {
		const lock = `mkdir -p ~/dpkg; : >~/dpkg/status
perl -e 'use Fcntl; open(F, ">", "$ENV{HOME}/dpkg/lock-frontend") or die; my $l = pack("s s l! l! i", F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $l) or die; $| = 1; print "held\n"; sleep 600' >~/held &
until [ -s ~/held ]; do sleep 0.1; done
apt-get --no-download -o Dir::State::status="$HOME/dpkg/status" install -y hello`
		status, log := f.wait(t, job.Spec{Name: "dpkg", Setup: lock, Run: "echo started", Grace: time.Second})
		if status.Phase != job.FailedSetup || status.FailedRank != 0 || fmt.Sprint(*status.ExitCode) != "100" || !strings.Contains(log, "Could not get lock") || strings.Contains(log, "started") {
			t.Errorf("%+v, log %q", status, log)
		}
		f.idle(t)
	})
	t.Run("reboot", func(t *testing.T) {
		spec := job.Spec{Name: "reboot", Setup: "echo x >>~/setups; sleep 1000", Run: "echo started"}
		id, err := f.runner.Submit(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "setup runs", func() bool { // the phase is a moment earlier than the script
			s, err := f.runner.Status(t.Context(), id)
			setups, _ := os.ReadFile(filepath.Join(f.machines[0].Home, "setups"))
			return err == nil && s.Phase == job.SettingUp && len(setups) > 0
		})
		f.machines[0].Stop()
		f.machines[0].Start()
		status, log := f.wait(t, spec)
		if status.Phase != job.LostReboot || !strings.Contains(status.Reason, "restarted") || strings.Contains(log, "started") {
			t.Errorf("%+v, log %q", status, log)
		}
		if next, _ := f.wait(t, job.Spec{Name: "next", Run: "cat ~/setups"}); next.Phase != job.Succeeded {
			t.Errorf("the job after: %+v", next)
		}
	})
}
