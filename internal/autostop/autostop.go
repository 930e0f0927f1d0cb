// SPDX-License-Identifier: MPL-2.0

// Package autostop ends idle clusters: it describes when, and installs a
// watchdog on the head that sees to it while the client is away.
package autostop

import (
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

// Defaults, as in SkyPilot.
const (
	DefaultIdle        = 5 * time.Minute
	DefaultHookTimeout = time.Hour
)

// Config says when and how a cluster ends by itself.
type Config struct {
	// Idle is how long the cluster must be idle, one second at least.
	Idle time.Duration `json:"idle"`
	// Down removes the cluster; else it is stopped.
	Down    bool    `json:"down,omitempty"`
	WaitFor WaitFor `json:"wait_for"`
	// Hook is shell run on the head before, for HookTimeout at most. What comes
	// of it changes nothing.
	Hook        string        `json:"hook,omitempty"`
	HookTimeout time.Duration `json:"hook_timeout,omitempty"`
}

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
	case c.Hook != "" && c.HookTimeout < time.Second:
		return fmt.Errorf("the hook of autostop may take %s; it must be a second at least", c.HookTimeout)
	}
	return nil
}
