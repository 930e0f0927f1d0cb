// SPDX-License-Identifier: MPL-2.0

//go:build unix

package guest

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/creack/pty"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// session is one session channel: at most one command, shell or subsystem.
type session struct {
	sshd *sshd
	ch   ssh.Channel
	env  []string
	// pty is set when the client asked for a terminal.
	pty  *pty.Winsize
	term string

	mu      sync.Mutex
	started bool
	pid     int
	tty     *os.File
}

func (s *sshd) serveSession(ctx context.Context, newCh ssh.NewChannel) {
	ch, requests, err := newCh.Accept()
	if err != nil {
		return
	}
	sess := &session{sshd: s, ch: ch}
	for req := range requests {
		ok := sess.handle(ctx, req)
		if req.WantReply {
			_ = req.Reply(ok, nil)
		}
	}
	if !sess.started {
		_ = ch.Close()
	}
}

func (s *session) handle(ctx context.Context, req *ssh.Request) bool {
	switch req.Type {
	case "env":
		return s.setEnv(req.Payload)
	case "pty-req":
		return s.setPty(req.Payload)
	case "window-change":
		return s.resize(req.Payload)
	case "signal":
		return s.signal(req.Payload)
	case "shell":
		return s.begin(func() { s.run(ctx, "") })
	case "exec":
		var payload struct{ Command string }
		if ssh.Unmarshal(req.Payload, &payload) != nil || s.sshd.fault.SSH == "exec_refused" {
			return false
		}
		return s.begin(func() { s.run(ctx, payload.Command) })
	case "subsystem":
		var payload struct{ Name string }
		if ssh.Unmarshal(req.Payload, &payload) != nil || payload.Name != "sftp" {
			return false
		}
		return s.begin(s.sftp)
	default:
		return false
	}
}

// begin starts the session's one activity.
func (s *session) begin(f func()) bool {
	if s.started {
		return false
	}
	s.started = true
	go f()
	return true
}

// setEnv takes a variable from the client, unless it is one of the machine's own.
func (s *session) setEnv(payload []byte) bool {
	var kv struct{ Key, Value string }
	if ssh.Unmarshal(payload, &kv) != nil || s.started || kv.Key == "" {
		return false
	}
	own := slices.ContainsFunc(s.sshd.env, func(e string) bool { return strings.HasPrefix(e, kv.Key+"=") })
	if own && kv.Key != "LANG" || strings.ContainsAny(kv.Key, "=\x00") || strings.Contains(kv.Value, "\x00") {
		return false
	}
	s.env = append(s.env, kv.Key+"="+kv.Value)
	return true
}

func (s *session) setPty(payload []byte) bool {
	var req struct {
		Term                string
		Cols, Rows, Wpx, Hp uint32
		Modes               string
	}
	if ssh.Unmarshal(payload, &req) != nil || s.started {
		return false
	}
	s.pty, s.term = &pty.Winsize{Rows: uint16(req.Rows), Cols: uint16(req.Cols)}, req.Term
	return true
}

func (s *session) resize(payload []byte) bool {
	var req struct{ Cols, Rows, Wpx, Hpx uint32 }
	if ssh.Unmarshal(payload, &req) != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	size := &pty.Winsize{Rows: uint16(req.Rows), Cols: uint16(req.Cols)}
	if s.tty != nil {
		return pty.Setsize(s.tty, size) == nil
	}
	if s.pty == nil {
		return false
	}
	*s.pty = *size
	return true
}

// signal passes a signal on to everything in the command's process group.
func (s *session) signal(payload []byte) bool {
	var req struct{ Name string }
	if ssh.Unmarshal(payload, &req) != nil {
		return false
	}
	for sig, name := range signalNames() {
		if name == req.Name {
			return s.kill(sig)
		}
	}
	return false
}

func (s *session) kill(sig syscall.Signal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid > 0 && syscall.Kill(-s.pid, sig) == nil
}

// signalNames are the signals that SSH has names for.
func signalNames() map[syscall.Signal]string {
	return map[syscall.Signal]string{
		syscall.SIGABRT: "ABRT", syscall.SIGALRM: "ALRM", syscall.SIGFPE: "FPE", syscall.SIGHUP: "HUP",
		syscall.SIGILL: "ILL", syscall.SIGINT: "INT", syscall.SIGKILL: "KILL", syscall.SIGPIPE: "PIPE",
		syscall.SIGQUIT: "QUIT", syscall.SIGSEGV: "SEGV", syscall.SIGTERM: "TERM",
		syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2",
	}
}

// sendExit tells the client how the command ended.
func (s *session) sendExit(state syscall.WaitStatus) {
	if s.sshd.fault.SSH == "no_exit_status" {
		return
	}
	if state.Signaled() {
		if name, ok := signalNames()[state.Signal()]; ok {
			payload := struct {
				Name       string
				CoreDumped bool
				Error      string
				Lang       string
			}{Name: name, CoreDumped: state.CoreDump()}
			_, _ = s.ch.SendRequest("exit-signal", false, ssh.Marshal(&payload))
			return
		}
		s.sendStatus(128 + uint32(state.Signal()))
		return
	}
	s.sendStatus(uint32(state.ExitStatus()))
}

func (s *session) sendStatus(code uint32) {
	payload := struct{ Status uint32 }{code}
	_, _ = s.ch.SendRequest("exit-status", false, ssh.Marshal(&payload))
}

// sftp serves files as the machine's user, from the home folder on.
func (s *session) sftp() {
	defer func() { _ = s.ch.Close() }()
	server, err := sftp.NewServer(s.ch, sftp.WithServerWorkingDirectory(s.sshd.paths.Home()))
	if err != nil {
		s.sshd.log.Warn("sftp", "error", err)
		return
	}
	if err := server.Serve(); err != nil {
		s.sshd.log.Debug("sftp", "error", err)
	}
	_ = server.Close()
	s.sendStatus(0)
}
