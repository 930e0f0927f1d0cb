// SPDX-License-Identifier: MPL-2.0

// Package autostop ends idle clusters: it describes when, and installs a
// watchdog on the head that sees to it while the client is away.
package autostop

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// WaitFor says what keeps a cluster from being idle.
type WaitFor string

// What to wait for. With None the idle time is a limit on the time since
// autostop was set or the cluster started, whatever runs.
const (
	JobsAndSSH WaitFor = "jobs_and_ssh"
	Jobs       WaitFor = "jobs"
	None       WaitFor = "none"
)

// Defaults, the first two as in SkyPilot.
const (
	DefaultIdle        = 5 * time.Minute
	DefaultHookTimeout = time.Hour
	// A hook that fails holds a stop for an hour. A removal is held for a day,
	// since what the hook was to save goes with the disks.
	DefaultHookHold     = time.Hour
	DefaultHookHoldDown = 24 * time.Hour
	DefaultUnreadHold   = time.Hour
)

// leastLease is how long the head may be silent, at least, before the other nodes
// end by themselves: no network between living machines stalls for so long.
const leastLease = 30 * time.Minute

// Config says when and how a cluster ends by itself.
type Config struct {
	// Idle is how long the cluster must be idle, one second at least.
	Idle time.Duration `json:"idle"`
	// Down removes the cluster; else it is stopped.
	Down    bool    `json:"down,omitempty"`
	WaitFor WaitFor `json:"wait_for"`
	// Hook is a script run on the head before, for HookTimeout at most. One that
	// fails holds the end for HookHold, and is tried again meanwhile.
	Hook        string        `json:"hook,omitempty"`
	HookTimeout time.Duration `json:"hook_timeout,omitempty"`
	HookHold    time.Duration `json:"hook_hold,omitempty"`
	// UnreadHold is how long an idle cluster with Down waits for somebody to read
	// how its jobs ended. It is not waited for with None.
	UnreadHold time.Duration `json:"unread_hold,omitempty"`
}

// Lease is how long the head may be silent before the other nodes end by themselves.
func (c Config) Lease() time.Duration { return max(leastLease, c.Idle) }

// Shutdown is how the machines end.
func (c Config) Shutdown() cloud.Shutdown {
	if c.Down {
		return cloud.ShutdownTerminate
	}
	return cloud.ShutdownStop
}

// IdleText is the idle time in the unit of the configuration, "10 idle minutes".
func (c Config) IdleText() string {
	n := strconv.FormatFloat(c.Idle.Minutes(), 'f', -1, 64)
	if n == "1" {
		return "1 idle minute"
	}
	return n + " idle minutes"
}

// Check says what is wrong with the configuration.
func (c Config) Check() error {
	switch {
	case c.Idle < time.Second:
		return fmt.Errorf("the idle time of autostop is %s; it must be a second at least", c.Idle)
	case c.WaitFor != JobsAndSSH && c.WaitFor != Jobs && c.WaitFor != None:
		return fmt.Errorf("autostop cannot wait for %q; there are %q, %q and %q", c.WaitFor, JobsAndSSH, Jobs, None)
	case c.HookHold < 0 || c.UnreadHold < 0:
		return errors.New("what autostop waits for cannot last less than no time")
	case c.Hook != "" && c.HookTimeout < time.Second:
		return fmt.Errorf("the hook of autostop may take %s; it must be a second at least", c.HookTimeout)
	}
	return nil
}
