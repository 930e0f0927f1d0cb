// SPDX-License-Identifier: MPL-2.0

//go:build unix

package guest

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// runCrontab runs the lines of the crontab that are for a boot, as cron does.
// Lines for other times are kept and not run: there is no clock in the fluff.
func (m *machine) runCrontab(ctx context.Context, env []string) {
	table, err := os.ReadFile(m.paths.Crontab())
	if err != nil {
		return // most machines have none
	}
	for line := range strings.Lines(string(table)) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "@reboot")
		if !ok || ctx.Err() != nil {
			continue
		}
		cmd := exec.Command("/bin/sh", "-c", strings.TrimSpace(command))
		cmd.Dir, cmd.Env = m.paths.Home(), env
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := m.children.start(cmd); err != nil {
			m.log.Error("crontab", "error", err)
			continue
		}
		go func() { _ = m.children.wait(cmd) }()
	}
}
