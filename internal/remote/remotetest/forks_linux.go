// SPDX-License-Identifier: MPL-2.0

package remotetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	traceOptions = syscall.PTRACE_O_TRACEFORK | syscall.PTRACE_O_TRACEVFORK | syscall.PTRACE_O_TRACECLONE | syscall.PTRACE_O_TRACEEXEC
	// ownWaits waits for what this thread traces, whatever other threads wait for.
	ownWaits = syscall.WALL | syscall.WNOTHREAD
)

// start starts the command and counts what it and all its descendants do. The
// result waits for the command alone.
func (f *Forks) start(cmd *exec.Cmd) (wait func() ended, err error) {
	started := make(chan error, 1)
	over := make(chan ended, 1)
	onChildlessThread(func() {
		cmd.SysProcAttr.Ptrace = true
		err := cmd.Start()
		started <- err
		if err == nil {
			f.trace(cmd.Process.Pid, over)
		}
	})
	if err := <-started; err != nil {
		return nil, err //nolint:wrapcheck // the caller shows it
	}
	return func() ended { return <-over }, nil
}

// onChildlessThread runs work on a thread of its own, which ends with it. The
// thread has not started any process that still lives: the tracer waits for all
// children of its thread, and would take the end of others from who waits for them.
func onChildlessThread(work func()) {
	locked := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(locked)
		if isChildless() {
			work()
			return
		}
		onChildlessThread(work) // while this thread is taken, it is another one
		runtime.UnlockOSThread()
	}()
	<-locked
}

// isChildless reports whether this thread has no children.
func isChildless() bool {
	for {
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT|ownWaits, nil)
		if !errors.Is(err, unix.EINTR) {
			return errors.Is(err, unix.ECHILD)
		}
	}
}

// trace follows a process that is about to begin, until nothing of it is left.
func (f *Forks) trace(first int, over chan<- ended) {
	known := map[int]bool{}
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, ownWaits, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return
		case ws.Exited() || ws.Signaled():
			if pid == first {
				over <- endOf(ws)
			}
			delete(known, pid)
			continue
		}
		signal := ws.StopSignal()
		switch {
		case !known[pid]: // the stop that it begins with
			if known[pid] = true; pid == first {
				_ = syscall.PtraceSetOptions(pid, traceOptions)
			}
			signal = 0
		case signal == syscall.SIGTRAP && ws.TrapCause() > 0:
			f.note(pid, ws.TrapCause())
			signal = 0
		}
		_ = syscall.PtraceCont(pid, int(signal)) // it may have been killed
	}
}

func (f *Forks) note(pid, event int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if event == syscall.PTRACE_EVENT_EXEC {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if f.programs == nil {
			f.programs = map[string]int{}
		}
		f.programs[strings.TrimSpace(string(name))]++
		return
	}
	if child, err := syscall.PtraceGetEventMsg(pid); err == nil && !isThread(int(child)) { //nolint:gosec // a process number
		f.forks++
	}
}

// isThread tells a thread of another process from a process.
func isThread(id int) bool {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", id))
	return len(status) > 0 && !strings.Contains(string(status), "\nTgid:\t"+strconv.Itoa(id)+"\n")
}
