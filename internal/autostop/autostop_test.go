// SPDX-License-Identifier: MPL-2.0

//go:build unix

package autostop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// machine is a home folder with a shell, on this computer.
type machine struct {
	t    *testing.T
	home string
	env  []string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	for _, dir := range []string{bin, filepath.Join(home, ".sky", "jobs"), filepath.Join(home, ".sky", "queue")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	m := &machine{t: t, home: home, env: []string{"HOME=" + home, "PATH=" + bin + ":/usr/bin:/bin", "LANG=C"}}
	m.write("bin/crontab", "#!/bin/sh\ncase $1 in -l) cat ~/tab ;; -) cat >~/tab.new && mv ~/tab.new ~/tab ;; esac\n", 0o755)
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Join(home, ".sky", "autostop")) }) // ends a watchdog
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.home, name) }

func (m *machine) write(name, text string, mode os.FileMode) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(m.path(name), []byte(text), mode); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(name string) string {
	text, err := os.ReadFile(m.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	return string(text)
}

// Run implements remote.Shell.
func (m *machine) Run(ctx context.Context, cmd remote.Command) (int, error) {
	c := exec.CommandContext(ctx, "/bin/sh", "-c", cmd.Script)
	c.Dir, c.Env = m.home, m.env
	c.Stdin, c.Stdout, c.Stderr = cmd.Stdin, cmd.Stdout, cmd.Stderr
	err := c.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// clockwork is a watchdog whose time and pauses are the test's.
type clockwork struct {
	*machine
	now  int
	done chan error
	// starts counts watchdogs, naps how often the newest may have rested.
	starts, naps int
}

// idle is the idle time of the clockwork's watchdog, in seconds.
const idle = 60

func wind(t *testing.T, cfg autostop.Config) *clockwork {
	t.Helper()
	c := &clockwork{machine: newMachine(t), now: 1000, done: make(chan error, 1)}
	cfg.Idle = idle * time.Second
	// Ending the machine is a mark, and the end of the watchdog.
	s := autostop.Setup{Config: cfg, End: "touch ~/over; rm -f ~/.sky/autostop/pid", Sessions: "cat ~/sessions 2>/dev/null"}
	if _, err := autostop.Arm(t.Context(), c.machine, nil, s); err != nil {
		t.Fatal(err)
	}
	c.start()
	return c
}

// start runs the watchdog as a boot would.
func (c *clockwork) start() {
	c.t.Helper()
	c.pass(0)
	c.starts, c.naps = c.starts+1, 0
	cmd := exec.CommandContext(c.t.Context(), "/bin/sh", c.path(".sky/autostop/watchdog.sh"), "run")
	cmd.Env = append(slices.Clone(c.env), "SKY_AUTOSTOP_CLOCK="+c.path("clock"), "SKY_AUTOSTOP_TICK="+c.tick())
	log, err := os.OpenFile(c.path("watch.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	done := c.done
	go func() { done <- errors.Join(cmd.Wait(), log.Close()) }()
	c.t.Cleanup(func() { _ = cmd.Process.Kill() })
	c.rest()
}

func (c *clockwork) tick() string { return c.path(fmt.Sprintf("tick-%d", c.starts)) }

// rest waits until the watchdog has looked and rests, or has ended.
func (c *clockwork) rest() {
	c.t.Helper()
	for {
		if got, err := os.ReadFile(c.tick() + ".rests"); err == nil && strings.TrimSpace(string(got)) == strconv.Itoa(c.naps+1) {
			return
		}
		select {
		case err := <-c.done:
			c.done <- err
			return
		case <-c.t.Context().Done():
			c.t.Fatalf("the watchdog neither rests nor ends:\n%s", c.read("watch.log"))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// replace writes a file at once.
func (c *clockwork) replace(path string, n int) {
	c.t.Helper()
	err := os.WriteFile(path+".new", []byte(strconv.Itoa(n)+"\n"), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *clockwork) pass(seconds int) {
	c.t.Helper()
	c.now += seconds
	c.replace(c.path("clock"), c.now)
}

// look lets that many seconds pass and the watchdog look once.
func (c *clockwork) look(seconds int) {
	c.t.Helper()
	c.pass(seconds)
	c.naps++
	c.replace(c.tick(), c.naps)
	c.rest()
}

// ends lets the watchdog go on until it ends.
func (c *clockwork) ends() {
	c.t.Helper()
	for {
		select {
		case err := <-c.done:
			if err != nil {
				c.t.Errorf("the watchdog ended with %v", err)
			}
			return
		default:
			c.look(0)
		}
	}
}

func (c *clockwork) over() bool { return c.read(".sky/autostop/ended") != "" }

func (c *clockwork) wantOver(want bool, when string) {
	c.t.Helper()
	if c.over() != want {
		c.t.Fatalf("%s the cluster is over: %t, want %t. Busy with %q; log:\n%s", when, c.over(), want, c.read(".sky/autostop/why"), c.read("watch.log"))
	}
}

// job makes a job's record on the head.
func (c *clockwork) job(id, phase string) {
	dir := ".sky/jobs/" + id
	c.write(dir+"/conf", "nodes=2\n", 0o600)
	c.write(dir+"/ticket", "1\n", 0o600)
	c.write(dir+"/submitted", "now\n", 0o600)
	c.write(dir+"/phase", phase, 0o600)
	c.write(dir+"/runner.sh", `echo "phase=$(cat "${0%/*}/phase")"`, 0o600)
}

func (c *clockwork) end(id string) { c.write(".sky/jobs/"+id+"/exit", "phase=SUCCEEDED\n", 0o600) }

func TestIdleTimePasses(t *testing.T) {
	c := wind(t, autostop.Config{WaitFor: autostop.JobsAndSSH})
	c.look(idle - 1)
	c.wantOver(false, "a second early")
	c.look(1)
	c.wantOver(true, "after the idle time")
	if got := c.read(".sky/autostop/ended"); !strings.Contains(got, "action=stop\nidle=60\n") {
		t.Errorf("the record reads %q", got)
	}
	c.ends()
	if _, err := os.Stat(c.path("over")); err != nil {
		t.Error("the machine was not ended")
	}
}

func TestJobsKeepItBusy(t *testing.T) {
	for _, mode := range []autostop.WaitFor{autostop.JobsAndSSH, autostop.Jobs} {
		for _, phase := range []string{"PENDING", "SETTING_UP", "RUNNING"} {
			t.Run(string(mode)+" "+phase, func(t *testing.T) {
				c := wind(t, autostop.Config{WaitFor: mode})
				c.look(idle - 10)
				c.job("a", phase)
				c.look(10)
				c.wantOver(false, "with a job submitted")
				c.look(10 * idle)
				c.wantOver(false, "while the job runs")
				c.look(idle)
				c.end("a")
				c.look(0)
				c.look(idle - 1)
				c.wantOver(false, "before the idle time since the job's end")
				c.look(1)
				c.wantOver(true, "after it")
			})
		}
	}
}

// TestAShortJobCounts: one that came and went between two looks.
func TestAShortJobCounts(t *testing.T) {
	c := wind(t, autostop.Config{WaitFor: autostop.Jobs})
	c.look(idle - 1)
	c.job("a", "SUCCEEDED")
	c.end("a")
	c.look(1)
	c.wantOver(false, "right after a short job")
	c.look(idle)
	c.wantOver(true, "the idle time later")
}

// TestDeadJobsDoNotCount: lost, of unknown fate, and claimed but never started.
func TestDeadJobsDoNotCount(t *testing.T) {
	c := wind(t, autostop.Config{WaitFor: autostop.Jobs})
	c.job("lost", "LOST_REBOOT")
	c.job("odd", "UNKNOWN")
	c.job("claimed", "INIT")
	c.write(".sky/queue/1", "claimed\n", 0o600)
	c.look(1)
	c.look(idle / 2)
	c.look(idle / 2)
	c.wantOver(false, "while the claimed job's ticket is fresh")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(c.path(".sky/queue/1"), old, old); err != nil {
		t.Fatal(err)
	}
	c.look(0)
	c.look(idle)
	c.wantOver(true, "without a living job")
}

func TestSessions(t *testing.T) {
	for mode, over := range map[autostop.WaitFor]bool{autostop.JobsAndSSH: false, autostop.Jobs: true, autostop.None: true} {
		t.Run(string(mode), func(t *testing.T) {
			c := wind(t, autostop.Config{WaitFor: mode})
			c.write("sessions", "sshd: ubuntu@pts/0\n", 0o600)
			c.look(idle)
			c.wantOver(over, "with a session open")
			if over {
				return
			}
			c.write("sessions", "", 0o600)
			c.look(idle - 1)
			c.wantOver(false, "before the idle time since the session's end")
			c.look(1)
			c.wantOver(true, "after it")
		})
	}
}

// TestAHardLimit: nothing but a boot and the setting itself restarts the time.
func TestAHardLimit(t *testing.T) {
	c := wind(t, autostop.Config{WaitFor: autostop.None})
	c.job("a", "RUNNING")
	c.write("sessions", "somebody\n", 0o600)
	c.look(idle - 1)
	c.wantOver(false, "before the limit")
	c.look(1)
	c.wantOver(true, "at the limit")
}

// TestABootStartsAnew, as do a start of the cluster and autostop set again,
// both of which run the watchdog anew. The one before makes room.
func TestABootStartsAnew(t *testing.T) {
	c := wind(t, autostop.Config{WaitFor: autostop.None})
	c.look(idle - 1)
	first, tick, naps := c.done, c.tick(), c.naps
	c.done = make(chan error, 1)
	c.start()
	c.replace(tick, naps+1)
	if err := <-first; err != nil {
		t.Errorf("the one before ended with %v", err)
	}
	c.wantOver(false, "after the start")
	c.look(idle - 1)
	c.wantOver(false, "less than the idle time after the start")
	c.look(1)
	c.wantOver(true, "the idle time after it")
}

func TestHookRunsBefore(t *testing.T) {
	c := wind(t, autostop.Config{Down: true, WaitFor: autostop.Jobs, HookTimeout: time.Hour, Hook: `echo "$SKY_AUTOSTOP $PWD" >~/hooked; exit 7`})
	c.look(idle)
	for !c.over() { // it rests between looks at the hook
		c.look(1)
	}
	if got := c.read("hooked"); got != "terminate "+c.path("sky_workdir")+"\n" {
		t.Errorf("the hook left %q", got)
	}
	if log := c.read("watch.log"); !strings.Contains(log, "the hook ended with exit code 7") {
		t.Errorf("the log says nothing of the hook's end:\n%s", log)
	}
}

func TestAHookThatHangsIsEnded(t *testing.T) {
	c := wind(t, autostop.Config{WaitFor: autostop.Jobs, HookTimeout: 30 * time.Second, Hook: "echo $$ >~/hooked; sleep 1000"})
	c.look(idle)
	for c.read("hooked") == "" { // a login comes first
		c.look(0)
	}
	for !c.over() {
		c.look(10)
	}
	if log := c.read("watch.log"); !strings.Contains(log, "takes longer than 30 seconds and is ended") {
		t.Errorf("the log:\n%s", log)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(c.read("hooked")))
	if err != nil {
		t.Fatal(err)
	}
	for syscall.Kill(pid, 0) == nil {
		select {
		case <-t.Context().Done():
			t.Fatal("the hook lives on")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestWorkDuringTheHookSaves: what the hook itself submits, for one.
func TestWorkDuringTheHookSaves(t *testing.T) {
	c := wind(t, autostop.Config{WaitFor: autostop.Jobs, HookTimeout: time.Hour, Hook: "until [ -e ~/go ]; do sleep 0.05; done"})
	c.look(idle)
	c.job("a", "RUNNING")
	c.write("go", "", 0o600)
	for !strings.Contains(c.read("watch.log"), "not now: a job was submitted or ended") {
		c.look(1)
	}
	c.wantOver(false, "with a job submitted during the hook")
	c.end("a")
	c.look(0)
	c.look(idle)
	for !c.over() {
		c.look(1)
	}
}

func TestHoldKeepsIt(t *testing.T) {
	c := wind(t, autostop.Config{WaitFor: autostop.None})
	release, err := autostop.Hold(t.Context(), c.machine)
	if err != nil {
		t.Fatal(err)
	}
	c.look(10 * idle)
	c.wantOver(false, "while the provider works on it")
	release()
	c.look(idle - 1)
	c.wantOver(false, "before the idle time since")
	c.look(1)
	c.wantOver(true, "after it")
}

func TestHoldComesTooLate(t *testing.T) {
	c := wind(t, autostop.Config{WaitFor: autostop.None})
	c.look(idle)
	c.wantOver(true, "after the idle time")
	if _, err := autostop.Hold(t.Context(), c.machine); !errors.Is(err, autostop.ErrEnding) {
		t.Errorf("Hold of an ending cluster returned %v", err)
	}
}

func TestDisarm(t *testing.T) {
	c := wind(t, autostop.Config{WaitFor: autostop.None})
	if !strings.Contains(c.read("tab"), "@reboot sh '"+c.path(".sky/autostop/watchdog.sh")+"' run") {
		t.Errorf("the crontab is %q", c.read("tab"))
	}
	c.write("tab", "@reboot of the user\n"+c.read("tab"), 0o600)
	for range 2 {
		if err := autostop.Disarm(t.Context(), c.machine); err != nil {
			t.Fatal(err)
		}
	}
	c.look(10 * idle)
	c.ends()
	c.wantOver(false, "without autostop")
	if got := c.read("tab"); got != "@reboot of the user\n" {
		t.Errorf("the crontab is %q", got)
	}
}

// TestArmAgainReplaces: one line in the crontab, one watchdog, no old hook.
func TestArmAgainReplaces(t *testing.T) {
	m := newMachine(t)
	cfg := autostop.Config{Idle: time.Hour, WaitFor: autostop.Jobs, Hook: "true", HookTimeout: time.Minute}
	var pids []string
	for range 2 {
		by, err := autostop.Arm(t.Context(), m, nil, autostop.Setup{Config: cfg, End: "true"})
		if err != nil || by != autostop.SurvivesByCron {
			t.Fatalf("Arm: %q, %v", by, err)
		}
		pids = append(pids, m.read(".sky/autostop/pid"))
		cfg.Hook = ""
	}
	if pids[0] == pids[1] {
		t.Error("the first watchdog goes on")
	}
	if n := strings.Count(m.read("tab"), "@reboot"); n != 1 {
		t.Errorf("the crontab has %d lines", n)
	}
	if m.read(".sky/autostop/hook.sh") != "" {
		t.Error("the old hook is still there")
	}
}

func TestArmRefuses(t *testing.T) {
	good := autostop.Config{Idle: time.Minute, WaitFor: autostop.Jobs}
	for _, c := range []struct {
		name  string
		setup autostop.Setup
		says  string
	}{
		{"no idle time", autostop.Setup{End: "true", Config: autostop.Config{WaitFor: autostop.Jobs}}, "a second at least"},
		{"no such mode", autostop.Setup{End: "true", Config: autostop.Config{Idle: time.Minute, WaitFor: "ages"}}, `cannot wait for "ages"`},
		{"no end", autostop.Setup{Config: good}, "a command by which a machine ends itself"},
		{"a missing connection", autostop.Setup{End: "true", Config: good, Others: []autostop.Host{{Rank: 1, HostKey: "k"}}}, "1 nodes and 0 connections"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := autostop.Arm(t.Context(), newMachine(t), nil, c.setup)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRunningCountsNodes(t *testing.T) {
	c := &clockwork{machine: newMachine(t)}
	c.job("wide", "RUNNING")
	c.job("done", "RUNNING")
	c.end("done")
	for nodes, want := range map[int]string{0: "wide", 1: "wide", 2: ""} {
		got, err := autostop.Running(t.Context(), c.machine, nodes)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("of more than %d nodes: %v, %v; want %q", nodes, got, err, want)
		}
	}
	// Ray places a narrow job on any node.
	c.machine.write(".sky/jobs/wide/placement", "10.0.0.7\n10.0.0.9\n", 0o600)
	for address, want := range map[string]string{"10.0.0.9": "wide", "10.0.0.70": "", "10.0.0.": ""} {
		got, err := autostop.Running(t.Context(), c.machine, 2, "10.0.0.1", address)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("of those at %s: %v, %v; want %q", address, got, err, want)
		}
	}
}

// TestOtherShells runs a whole life under every POSIX shell that is here.
func TestOtherShells(t *testing.T) {
	for _, shell := range [][]string{{"dash"}, {"bash", "--posix"}, {"busybox", "sh"}} {
		path, err := exec.LookPath(shell[0])
		if err != nil {
			t.Logf("%s is not here", shell[0])
			continue
		}
		t.Run(shell[0], func(t *testing.T) {
			m := newMachine(t)
			var out bytes.Buffer
			script := strings.Join(append([]string{path}, shell[1:]...), " ")
			m.write("bin/sh", fmt.Sprintf("#!/bin/sh\nexec %s \"$@\"\n", script), 0o755)
			cfg := autostop.Config{Idle: time.Second, WaitFor: autostop.Jobs, Hook: "echo hooked >~/hooked", HookTimeout: time.Minute}
			s := autostop.Setup{Config: cfg, End: "echo over >~/over; rm -f ~/.sky/autostop/pid"}
			if _, err := autostop.Arm(t.Context(), m, nil, s); err != nil {
				t.Fatal(err)
			}
			for m.read("over") == "" {
				select {
				case <-t.Context().Done():
					t.Fatalf("it does not end: %s\n%s", out.String(), m.read(".sky/autostop/log"))
				case <-time.After(20 * time.Millisecond):
				}
			}
			if m.read("hooked") != "hooked\n" {
				t.Error("the hook did not run")
			}
		})
	}
}
