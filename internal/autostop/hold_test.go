// SPDX-License-Identifier: MPL-2.0

//go:build unix

package autostop_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// hooked lets a watchdog look until its hook has ended so many times.
func (c *clockwork) hooked(times int) {
	c.t.Helper()
	for strings.Count(c.read("watch.log"), "the hook ended with exit code") < times {
		c.look(0)
	}
}

// TestAFailingHookHoldsTheEnd: it is tried again, its record can be read
// meanwhile, and it does not hold the end for ever.
func TestAFailingHookHoldsTheEnd(t *testing.T) {
	const hold = 120 * time.Second // a try every ten
	c := wind(t, autostop.Config{Down: true, WaitFor: autostop.Jobs, HookTimeout: time.Hour, HookHold: hold, Hook: "echo tried >>~/tries\r\nexit 7"})
	c.look(idle)
	c.hooked(1)
	failed, err := autostop.FailedHook(t.Context(), c.machine)
	if err != nil || failed == nil || failed.Code != "7" || failed.Tries != "1" {
		t.Errorf("on record is %+v, %v", failed, err)
	}
	c.look(9)
	c.look(0)
	if n := strings.Count(c.read("tries"), "tried"); n != 1 {
		t.Errorf("tried %d times within ten seconds", n)
	}
	c.look(1)
	c.hooked(2)
	c.look(109)
	c.hooked(3)
	c.wantOver(false, "a second before the hold is over")
	c.look(10)
	for !c.over() {
		c.look(0)
	}
	if n := strings.Count(c.read("tries"), "tried"); n != 4 {
		t.Errorf("tried %d times", n)
	}
}

// TestAHookThatSucceedsAtLast ends the cluster at once, and work during the hold
// makes the time start anew.
func TestAHookThatSucceedsAtLast(t *testing.T) {
	c := wind(t, autostop.Config{WaitFor: autostop.Jobs, HookTimeout: time.Hour, HookHold: time.Hour, Hook: "[[ -e ~/fixed ]]"})
	c.look(idle)
	c.hooked(1)
	c.job("a", "RUNNING")
	c.look(2 * 3600)
	c.wantOver(false, "with a job submitted during the hold")
	c.end("a")
	c.look(0)
	c.look(idle)
	c.hooked(2)
	c.wantOver(false, "with a hook that still fails, long after it failed first")
	c.write("fixed", "", 0o600)
	c.look(300)
	c.hooked(3)
	for !c.over() {
		c.look(0)
	}
	if failed, err := autostop.FailedHook(t.Context(), c.machine); failed != nil || err != nil {
		t.Errorf("on record is %+v, %v", failed, err)
	}
}

// TestAnotherHookHasNotFailed: the record is of the hook that failed.
func TestAnotherHookHasNotFailed(t *testing.T) {
	c := wind(t, autostop.Config{WaitFor: autostop.Jobs, HookTimeout: time.Hour, HookHold: time.Hour, Hook: "false"})
	c.look(idle)
	c.hooked(1)
	c.write(".sky/autostop/hook.sh", "true\n", 0o600)
	if failed, err := autostop.FailedHook(t.Context(), c.machine); failed != nil || err != nil {
		t.Errorf("on record is %+v, %v", failed, err)
	}
}

// TestUnreadEndsAreWaitedFor where they would be lost with the machines, for as
// long as it is said.
func TestUnreadEndsAreWaitedFor(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cfg    autostop.Config
		waits  bool
		report string // what is asked of the job's runner
	}{
		{"down", autostop.Config{Down: true, WaitFor: autostop.Jobs}, true, ""},
		{"down, read", autostop.Config{Down: true, WaitFor: autostop.Jobs}, false, "fetched"},
		{"down, removed from the configuration", autostop.Config{Down: true, WaitFor: autostop.Jobs}, false, "removed"},
		{"stop keeps the disks", autostop.Config{WaitFor: autostop.Jobs}, false, ""},
		{"a hard limit", autostop.Config{Down: true, WaitFor: autostop.None}, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.UnreadHold = time.Hour
			c := wind(t, tt.cfg)
			c.job("a", "SUCCEEDED")
			c.end("a")
			if tt.report != "" {
				c.write(".sky/jobs/a/"+tt.report, "", 0o600)
			}
			c.look(0)
			c.look(idle)
			c.wantOver(!tt.waits, "after the idle time")
			if !tt.waits {
				return
			}
			if why := c.read(".sky/autostop/why"); !strings.Contains(why, "nobody has read how job a ended") {
				t.Errorf("it says %q", why)
			}
			c.look(3599)
			c.wantOver(false, "a second before it has waited an hour")
			c.look(1)
			c.wantOver(true, "an hour later")
		})
	}
}

// TestReadingStartsTheIdleTime: who reads an end may go on with the logs.
func TestReadingStartsTheIdleTime(t *testing.T) {
	c := wind(t, autostop.Config{Down: true, WaitFor: autostop.Jobs, UnreadHold: time.Hour})
	c.job("a", "SUCCEEDED")
	c.end("a")
	c.look(0)
	c.look(idle + 100)
	c.write(".sky/jobs/a/fetched", "", 0o600)
	c.look(0)
	c.wantOver(false, "right after the end was read")
	c.look(idle - 1)
	c.wantOver(false, "before the idle time since")
	c.look(1)
	c.wantOver(true, "after it")
}

// lease is what leash and the head agree on in these tests, in seconds.
const lease = 1800

// windWorker is the watchdog of another node than the head.
func windWorker(t *testing.T) *clockwork {
	t.Helper()
	head, c := newMachine(t), &clockwork{machine: newMachine(t), now: 1000, done: make(chan error, 1)}
	host := autostop.Host{Rank: 1, Address: "10.0.0.2", Port: 22, User: "u", HostKey: hostKey}
	s := autostop.Setup{
		Config: autostop.Config{Down: true, WaitFor: autostop.Jobs, Idle: idle * time.Second}, Others: []autostop.Host{host},
		End: "echo over >>~/over; rm -f ~/.sky/autostop/pid",
	}
	if _, err := autostop.Arm(t.Context(), head, []remote.Shell{c.machine}, s); err != nil {
		t.Fatal(err)
	}
	c.start()
	return c
}

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPq1LAXu5vnW9oYwWnXOWtBlgFwXsLMc8CZT+mVyJXJz"

// TestAWorkerEndsWithoutItsHead once the head has been silent for the time that
// is promised, and not sooner, however long it runs.
func TestAWorkerEndsWithoutItsHead(t *testing.T) {
	c := windWorker(t)
	for n := range 5 { // a network that stalls for less
		c.write(".sky/autostop/lease", strings.Repeat("x", n+1), 0o600)
		c.look(0)
		c.look(lease - 1)
		if c.read("over") != "" {
			t.Fatalf("it ended although its head lives:\n%s", c.read("watch.log"))
		}
	}
	c.look(1)
	c.ends()
	if c.read("over") == "" {
		t.Errorf("it goes on without its head:\n%s", c.read("watch.log"))
	}
}

// TestAWorkerIsDisarmed with its head.
func TestAWorkerIsDisarmed(t *testing.T) {
	c := windWorker(t)
	if err := autostop.Disarm(t.Context(), newMachine(t), c.machine); err != nil {
		t.Fatal(err)
	}
	c.look(2 * lease)
	c.ends()
	if c.read("over") != "" {
		t.Error("it ended without autostop")
	}
}

// TestAFullDiskIsNotSilence: the head's word arrives where nothing can be written.
func TestAFullDiskIsNotSilence(t *testing.T) {
	c := windWorker(t)
	at := time.Now()
	for range 3 {
		c.write(".sky/autostop/lease", "", 0o600)
		at = at.Add(5 * time.Minute)
		if err := os.Chtimes(c.path(".sky/autostop/lease"), at, at); err != nil {
			t.Fatal(err)
		}
		c.look(0)
		c.look(lease - 1)
		if c.read("over") != "" {
			t.Fatalf("it ended although its head lives:\n%s", c.read("watch.log"))
		}
	}
	head, worker := windHead(t, "")
	head.told(worker, 1)
	if log := head.read("watch.log"); strings.Contains(log, "does not answer") {
		t.Errorf("a node on which no file can grow counts as silent:\n%s", log)
	}
}

// windHead is the watchdog of a head with another node, on which no file can grow.
func windHead(t *testing.T, hook string) (head *clockwork, worker *machine) {
	t.Helper()
	c := &clockwork{machine: newMachine(t), now: 1000, done: make(chan error, 1)}
	worker = newMachine(t)
	c.write("bin/ssh", "#!/bin/sh\nfor last; do :; done\necho said >>~/said\nHOME='"+worker.home+"'; ulimit -f 0; cd ~ && exec sh -c \"$last\"\n", 0o755)
	host := autostop.Host{Rank: 1, Address: "10.0.0.2", Port: 22, User: "u", HostKey: hostKey}
	cfg := autostop.Config{Down: true, WaitFor: autostop.Jobs, Idle: idle * time.Second, Hook: hook, HookTimeout: time.Hour, HookHold: time.Hour}
	s := autostop.Setup{Config: cfg, Others: []autostop.Host{host}, End: "true"}
	if _, err := autostop.Arm(t.Context(), c.machine, []remote.Shell{worker}, s); err != nil {
		t.Fatal(err)
	}
	c.start()
	return c, worker
}

// told waits until the head has told the other node so many times, and returns
// when that node heard it last.
func (c *clockwork) told(worker *machine, times int) time.Time {
	c.t.Helper()
	for {
		info, err := os.Stat(worker.path(".sky/autostop/lease"))
		if err == nil && strings.Count(c.read("said"), "said") >= times {
			return info.ModTime()
		}
		select {
		case <-c.t.Context().Done():
			c.t.Fatalf("said %q, log:\n%s", c.read("said"), c.read("watch.log"))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestTheHeadTellsTheOthers that it lives, often enough, a busy one too.
func TestTheHeadTellsTheOthers(t *testing.T) {
	c, worker := windHead(t, "")
	c.job("a", "RUNNING")
	first := c.told(worker, 1)
	c.look(lease / 6)
	for !c.told(worker, 2).After(first) {
		select {
		case <-t.Context().Done():
			t.Fatal("the head says nothing again")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestTheHeadTellsTheOthersWhileItsHookRuns, which may take longer than they wait.
func TestTheHeadTellsTheOthersWhileItsHookRuns(t *testing.T) {
	c, worker := windHead(t, "until [ -e ~/go ]; do sleep 0.05; done; false")
	c.told(worker, 1)
	c.look(idle)
	for !strings.Contains(c.read("watch.log"), "the hook runs") {
		c.look(0)
	}
	for n := range 3 {
		c.look(lease / 6)
		c.told(worker, n+2)
	}
	c.write("go", "", 0o600)
	c.hooked(1)
}
