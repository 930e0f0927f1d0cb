// SPDX-License-Identifier: MPL-2.0

//go:build unix

package guest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// firstBoot applies user data once in the disk's life: keys and files before
// the machine is reachable, the script or commands while it already is.
func (m *machine) firstBoot(ctx context.Context, data UserData, env []string) error {
	mark, err := os.OpenFile(m.paths.Booted(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if os.IsExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("mark first boot: %w", err)
	}
	_ = mark.Close()
	if err := addAuthorizedKeys(m.paths, data.Cloud.SSHAuthorizedKeys); err != nil {
		return err
	}
	for _, f := range data.Cloud.WriteFiles {
		if err := m.writeFile(f); err != nil {
			m.log.Error("user data: write_files", "path", f.Path, "error", err)
		}
	}
	commands, err := m.bootCommands(data)
	if err != nil {
		return err
	}
	if len(commands) > 0 {
		go m.runCommands(ctx, commands, env)
	}
	return nil
}

func (m *machine) bootCommands(data UserData) ([][]string, error) {
	if len(data.Script) > 0 {
		script := filepath.Join(m.paths.Disk(), "etc", "user-data")
		if err := WriteFile(script, data.Script, 0o700); err != nil {
			return nil, err
		}
		return [][]string{{script}}, nil
	}
	var commands [][]string
	for _, c := range data.Cloud.RunCmd {
		args, err := commandOf(c)
		if err != nil {
			return nil, fmt.Errorf("user data: runcmd: %w", err)
		}
		commands = append(commands, args)
	}
	return commands, nil
}

// runCommands runs the commands in order; one that fails does not stop the rest.
func (m *machine) runCommands(ctx context.Context, commands [][]string, env []string) {
	for i, args := range commands {
		if ctx.Err() != nil {
			return
		}
		cmd := exec.Command(args[0], args[1:]...)
		if !strings.Contains(args[0], "/") {
			cmd = exec.Command("/usr/bin/env", args...)
		}
		cmd.Dir, cmd.Env = m.paths.Home(), env
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		err := m.children.start(cmd)
		if err == nil {
			err = m.children.wait(cmd)
		}
		if err != nil {
			m.log.Error("user data: command failed", "number", i+1, "error", err)
		}
	}
	m.log.Info("user data done")
}

// writeFile writes one file of write_files. A machine has no root of its own:
// paths outside of its home land on its disk, never on the host.
func (m *machine) writeFile(f writeFileItem) error {
	content, err := f.Bytes()
	if err != nil {
		return err
	}
	mode, err := f.Mode()
	if err != nil {
		return err
	}
	path := m.diskPath(f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if f.Append {
		have, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("read: %w", err)
		}
		content = append(have, content...)
	}
	return WriteFile(path, content, mode)
}

// diskPath maps a path of user data to one on the disk.
func (m *machine) diskPath(path string) string {
	for _, home := range []string{"/home/" + User + "/", "~/", "$HOME/"} {
		if rest, ok := strings.CutPrefix(path, home); ok {
			return filepath.Join(m.paths.Home(), filepath.Clean("/"+rest))
		}
	}
	if strings.HasPrefix(path, m.paths.Disk()+"/") {
		return filepath.Join(m.paths.Disk(), filepath.Clean("/"+strings.TrimPrefix(path, m.paths.Disk())))
	}
	if strings.HasPrefix(path, "/") {
		return filepath.Join(m.paths.Disk(), filepath.Clean(path))
	}
	return filepath.Join(m.paths.Home(), filepath.Clean("/"+path))
}
