// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package autostop_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
)

// TestExtend keeps a cluster that would end, even one that waits for nothing, and
// begins the idle time anew afterwards.
func TestExtend(t *testing.T) {
	c := wind(t, autostop.Config{WaitFor: autostop.None})
	c.env = append(c.env, "SKY_AUTOSTOP_CLOCK="+c.path("clock"))
	c.look(idle - 1)
	if err := autostop.Extend(t.Context(), c.machine, 3*idle*time.Second); err != nil {
		t.Fatal(err)
	}
	c.look(3*idle - 1)
	c.wantOver(false, "within the extension")
	c.look(idle - 1)
	c.wantOver(false, "before the idle time since")
	c.look(1)
	c.wantOver(true, "after it")
	if err := autostop.Extend(t.Context(), c.machine, time.Hour); !errors.Is(err, autostop.ErrEnding) {
		t.Errorf("Extend of an ending cluster returned %v", err)
	}
}

// TestAStartEndsAnExtension is a machine whose clock begins anew: what was extended by
// the old one would hold it for ever.
func TestAStartEndsAnExtension(t *testing.T) {
	c := wind(t, autostop.Config{WaitFor: autostop.None})
	c.env = append(c.env, "SKY_AUTOSTOP_CLOCK="+c.path("clock"))
	if err := autostop.Extend(t.Context(), c.machine, 100*time.Hour); err != nil {
		t.Fatal(err)
	}
	c.now = 0
	c.start()
	c.look(idle)
	c.wantOver(true, "after the idle time since the start")
}

// TestExtendRefuses are clusters without the watchdog that it needs.
func TestExtendRefuses(t *testing.T) {
	m := newMachine(t)
	if err := autostop.Extend(t.Context(), m, time.Hour); !errors.Is(err, autostop.ErrNone) {
		t.Errorf("without autostop: %v", err)
	}
	m.write(".sky/autostop/conf", "idle=60\n", 0o600)
	m.write(".sky/autostop/watchdog.sh", "watch() { :; }\n", 0o600)
	if err := autostop.Extend(t.Context(), m, time.Hour); err == nil {
		t.Error("a watchdog that knows no extension was extended")
	}
	for _, by := range []time.Duration{0, -time.Hour, autostop.MostExtended + 1} {
		if err := autostop.Extend(t.Context(), m, by); err == nil {
			t.Errorf("%s was taken", by)
		}
	}
}

// TestArmed reads back what was armed.
func TestArmed(t *testing.T) {
	m := newMachine(t)
	if got, err := autostop.Armed(t.Context(), m); got != nil || err != nil {
		t.Errorf("without autostop: %+v, %v", got, err)
	}
	for _, want := range []autostop.Config{
		{Idle: time.Minute, Down: true, WaitFor: autostop.Jobs, HookHold: time.Hour, UnreadHold: 2 * time.Hour, Hook: "echo '-- hook'\nexit 1\n", HookTimeout: 3 * time.Hour},
		{Idle: 90 * time.Second, WaitFor: autostop.None},
	} {
		if _, err := autostop.Arm(t.Context(), m, nil, autostop.Setup{Config: want, End: "true"}); err != nil {
			t.Fatal(err)
		}
		got, err := autostop.Armed(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Error(diff)
		}
	}
	m.write(".sky/autostop/conf", "idle=soon\n", 0o600)
	if got, err := autostop.Armed(t.Context(), m); err == nil {
		t.Errorf("a damaged record is %+v", got)
	}
}

// TestIdleFor counts from when the watchdog has seen something happen last.
func TestIdleFor(t *testing.T) {
	m := newMachine(t)
	if _, known, err := autostop.IdleFor(t.Context(), m); known || err != nil {
		t.Errorf("without autostop: %t, %v", known, err)
	}
	c := wind(t, autostop.Config{WaitFor: autostop.Jobs})
	c.look(1)
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(c.path(".sky/autostop/active"), long, long); err != nil {
		t.Fatal(err)
	}
	if idle, known, err := autostop.IdleFor(t.Context(), c.machine); !known || err != nil || idle < time.Hour || idle > 2*time.Hour {
		t.Errorf("after an hour: %s, %t, %v", idle, known, err)
	}
	c.job("one", "RUNNING")
	c.look(1)
	if idle, known, err := autostop.IdleFor(t.Context(), c.machine); !known || err != nil || idle > 30*time.Minute {
		t.Errorf("while a job runs: %s, %t, %v", idle, known, err)
	}
}
