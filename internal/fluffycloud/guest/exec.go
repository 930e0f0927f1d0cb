// SPDX-License-Identifier: MPL-2.0

//go:build unix

package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
)

// dieDelay is how long a doomed machine runs the command that kills it.
const dieDelay = 150 * time.Millisecond

// command is the session's process, not started: the login shell, or the
// command handed to it.
func (s *session) command(line string) *exec.Cmd {
	sh := shell()
	cmd := exec.Command(sh)
	if line == "" {
		cmd.Args = []string{"-" + filepath.Base(sh)}
	} else {
		cmd.Args = []string{filepath.Base(sh), "-c", line}
	}
	cmd.Dir = s.sshd.paths.Home()
	cmd.Env = slices.Concat(s.sshd.env, s.env)
	if s.pty != nil {
		cmd.Env = append(cmd.Env, "TERM="+s.term)
	}
	return cmd
}

// run runs the session's command to its end and closes the channel.
func (s *session) run(ctx context.Context, line string) {
	defer func() { _ = s.ch.Close() }()
	if n := s.sshd.execs.Add(1); int64(s.sshd.fault.DieAtExec) == n {
		time.AfterFunc(dieDelay, s.sshd.die)
	}
	var err error
	if s.pty != nil {
		err = s.runTerminal(ctx, s.command(line))
	} else {
		err = s.runPipes(ctx, s.command(line))
	}
	if err != nil {
		s.sshd.log.Warn("run command", "error", err)
		_, _ = fmt.Fprintf(s.ch.Stderr(), "fluffycloud: cannot run the command: %v\r\n", err)
		s.sendStatus(255)
	}
}

// runPipes runs cmd on pipes. As with any SSH server the channel stays open
// until the command's output is closed by all who hold it, background
// processes included.
func (s *session) runPipes(ctx context.Context, cmd *exec.Cmd) error {
	p, err := newPipes()
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.inR, p.outW, p.errW
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = s.start(cmd)
	p.closeChildEnds()
	if err != nil {
		p.closeOurEnds()
		return err
	}
	stop := context.AfterFunc(ctx, func() { s.hangUp(p.closeOurEnds) })
	defer stop()
	go func() {
		_, _ = io.Copy(p.inW, s.ch)
		_ = p.inW.Close()
	}()
	var output sync.WaitGroup
	output.Go(func() { copyOut(s.ch, p.outR) })
	output.Go(func() { copyOut(s.ch.Stderr(), p.errR) })
	state, err := s.wait(cmd)
	if err != nil {
		return err
	}
	s.sendExit(state)
	output.Wait()
	_ = s.ch.CloseWrite()
	p.closeOurEnds()
	return nil
}

// copyOut copies until either side ends; a reader that went away ends the
// command's writing with a broken pipe.
func copyOut(w io.Writer, r *os.File) {
	_, _ = io.Copy(w, r)
	_ = r.Close()
}

// hangUp ends what a lost connection leaves behind.
func (s *session) hangUp(closeEnds func()) {
	s.kill(syscall.SIGHUP)
	s.kill(syscall.SIGCONT)
	closeEnds()
}

// runTerminal runs cmd on a terminal of its own.
func (s *session) runTerminal(ctx context.Context, cmd *exec.Cmd) error {
	tty, slave, err := pty.Open()
	if err != nil {
		return fmt.Errorf("open terminal: %w", err)
	}
	var once sync.Once
	closeTTY := func() { once.Do(func() { s.setTerminal(nil); _ = tty.Close() }) }
	defer closeTTY()
	s.setTerminal(tty)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.Env = append(cmd.Env, "SSH_TTY="+slave.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = s.start(cmd)
	_ = slave.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { s.hangUp(closeTTY) })
	defer stop()
	go func() { _, _ = io.Copy(tty, s.ch) }()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(s.ch, tty)
	}()
	state, err := s.wait(cmd)
	if err != nil {
		return err
	}
	// What the command wrote last may still be in the terminal; a process left
	// in the background would hold it open for good.
	select {
	case <-drained:
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
	s.sendExit(state)
	return nil
}

// setTerminal makes tty the one that is resized, from the size asked for last.
func (s *session) setTerminal(tty *os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tty = tty
	if tty != nil {
		_ = pty.Setsize(tty, s.pty)
	}
}

func (s *session) start(cmd *exec.Cmd) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.sshd.children.start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Args[0], err)
	}
	s.pid = cmd.Process.Pid
	return nil
}

// wait returns how the command ended; that it failed is no error.
func (s *session) wait(cmd *exec.Cmd) (syscall.WaitStatus, error) {
	err := s.sshd.children.wait(cmd)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid = 0
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("wait for command: %w", err)
	}
	state, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		return 0, errors.New("wait for command: unknown status")
	}
	return state, nil
}

// pipes are a command's three streams. They are files, so that waiting for the
// command does not wait for whoever else holds them.
type pipes struct {
	inR, inW, outR, outW, errR, errW *os.File
}

func newPipes() (*pipes, error) {
	p := &pipes{}
	for _, ends := range [][2]**os.File{{&p.inR, &p.inW}, {&p.outR, &p.outW}, {&p.errR, &p.errW}} {
		r, w, err := os.Pipe()
		if err != nil {
			p.closeChildEnds()
			p.closeOurEnds()
			return nil, fmt.Errorf("make pipe: %w", err)
		}
		*ends[0], *ends[1] = r, w
	}
	return p, nil
}

func (p *pipes) closeChildEnds() { closeFiles(p.inR, p.outW, p.errW) }

func (p *pipes) closeOurEnds() { closeFiles(p.inW, p.outR, p.errR) }

func closeFiles(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}
