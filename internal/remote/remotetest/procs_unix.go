// SPDX-License-Identifier: MPL-2.0

//go:build unix

package remotetest

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// marker is in the environment of everything a node starts.
const marker = "SKY_TEST_NODE="

func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

const nobody = 65534

// plain runs a command as nobody where this process is root.
func plain(cmd *exec.Cmd) {
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
}

// Own gives the home folder to the user that Plain runs commands as.
func (n *Node) Own() {
	n.t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	err := filepath.WalkDir(n.Home, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, nobody, nobody)
		}
		return err
	})
	for dir := filepath.Dir(n.Home); err == nil && dir != filepath.Clean(os.TempDir()) && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		err = os.Chmod(dir, 0o755) //nolint:gosec // a folder of the test's
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

func (p *process) signal(name string) {
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP}
	if s, ok := signals[name]; ok {
		_ = syscall.Kill(-p.cmd.Process.Pid, s)
	}
}

func stateOf(state *os.ProcessState) ended {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok {
		return endOf(ws)
	}
	return ended{code: state.ExitCode()}
}

func endOf(ws syscall.WaitStatus) ended {
	names := map[syscall.Signal]string{syscall.SIGTERM: "TERM", syscall.SIGKILL: "KILL", syscall.SIGINT: "INT", syscall.SIGHUP: "HUP", syscall.SIGPIPE: "PIPE", syscall.SIGSEGV: "SEGV", syscall.SIGABRT: "ABRT"}
	if ws.Signaled() {
		return ended{code: -1, signal: names[ws.Signal()]}
	}
	return ended{code: ws.ExitStatus()}
}

// Processes lists what runs on the node, "pid command line", where /proc is.
func (n *Node) Processes() []string {
	var found []string
	for pid, line := range n.processes() {
		found = append(found, fmt.Sprintf("%d %s", pid, line))
	}
	return found
}

func (n *Node) processes() map[int]string {
	found := map[int]string{}
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		env, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(env, []byte(marker+n.id)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		line, err2 := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err == nil && err2 == nil && len(line) > 0 { // a zombie has none
			found[pid] = strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// KillAll ends every process of the node, as a power cut does: all are stopped
// before the first one ends, so that none sees another one's end.
func (n *Node) KillAll() {
	var stopped map[int]string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		all := n.processes()
		for pid := range all {
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		}
		if maps.Equal(all, stopped) {
			break
		}
		stopped = all
	}
	deadline := time.Now().Add(10 * time.Second)
	for now := range time.Tick(10 * time.Millisecond) {
		all := n.processes()
		if len(all) == 0 || now.After(deadline) {
			return
		}
		for pid := range all {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
