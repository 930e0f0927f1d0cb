// SPDX-License-Identifier: MPL-2.0

package remotetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

var errRefused = errors.New("refused")

func (n *Node) config(b Behaviour) *ssh.ServerConfig {
	cfg := &ssh.ServerConfig{
		MaxAuthTries: 20,
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if meta.User() != User || n.refused.Add(1) <= int64(b.RefuseKeys) || !n.knows(key) {
				return nil, errRefused
			}
			return nil, nil
		},
	}
	if b.Banner != "" {
		cfg.BannerCallback = func(ssh.ConnMetadata) string { return b.Banner }
	}
	cfg.AddHostKey(n.hostKey)
	return cfg
}

func (n *Node) knows(key ssh.PublicKey) bool {
	if bytes.Equal(key.Marshal(), n.client.PublicKey().Marshal()) {
		return true
	}
	data, err := os.ReadFile(filepath.Join(n.Home, ".ssh", "authorized_keys"))
	for err == nil && len(data) > 0 {
		var known ssh.PublicKey
		if known, _, _, data, err = ssh.ParseAuthorizedKey(data); err == nil && bytes.Equal(known.Marshal(), key.Marshal()) {
			return true
		}
	}
	return false
}

func (n *Node) speak(conn net.Conn, b Behaviour) {
	sc, channels, requests, err := ssh.NewServerConn(conn, n.config(b))
	if err != nil {
		return
	}
	defer sc.Close()
	go ssh.DiscardRequests(requests)
	for nc := range channels {
		switch nc.ChannelType() {
		case "session":
			n.sessions.Add(1)
			if ch, reqs, err := nc.Accept(); err == nil {
				go n.session(ch, reqs, b)
			}
		case "direct-tcpip":
			go forward(nc)
		default:
			_ = nc.Reject(ssh.UnknownChannelType, "no")
		}
	}
}

func forward(nc ssh.NewChannel) {
	var to struct {
		Host     string
		Port     uint32
		FromHost string
		FromPort uint32
	}
	if ssh.Unmarshal(nc.ExtraData(), &to) != nil {
		_ = nc.Reject(ssh.ConnectionFailed, "bad request")
		return
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		_ = nc.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	ch, reqs, err := nc.Accept()
	if err != nil {
		_ = conn.Close()
		return
	}
	go ssh.DiscardRequests(reqs)
	go func() {
		_, _ = io.Copy(conn, ch)
		_ = conn.Close()
	}()
	_, _ = io.Copy(ch, conn)
	_ = ch.Close()
}

// session runs one command, as a server without a terminal does.
func (n *Node) session(ch ssh.Channel, reqs <-chan *ssh.Request, b Behaviour) {
	defer ch.Close()
	var running *process
	for req := range reqs {
		switch req.Type {
		case "exec":
			var m struct{ Command string }
			if b.RefuseExec || running != nil || ssh.Unmarshal(req.Payload, &m) != nil {
				_ = req.Reply(false, nil)
				continue
			}
			_ = req.Reply(true, nil)
			if b.ForcedCommand != "" {
				m.Command = b.ForcedCommand
			}
			running = n.start(ch, m.Command, b)
		case "signal":
			var m struct{ Name string }
			if running != nil && ssh.Unmarshal(req.Payload, &m) == nil {
				running.signal(m.Name)
			}
		default:
			if req.WantReply {
				_ = req.Reply(false, nil)
			}
		}
	}
	if running != nil {
		running.hangUp()
	}
}

type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	ours  []*os.File
}

// hangUp closes our ends of a command's pipes, as happens when a client goes.
func (p *process) hangUp() {
	_ = p.stdin.Close()
	for _, f := range p.ours {
		_ = f.Close()
	}
}

func (n *Node) start(ch ssh.Channel, command string, b Behaviour) *process {
	_, _ = io.WriteString(ch, b.Noise)
	_, _ = io.WriteString(ch.Stderr(), b.Noise)
	shell, path := "/bin/sh", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if b.Path != "" {
		shell, path = filepath.Join(b.Path, "sh"), b.Path
	}
	cmd := exec.Command(shell, "-c", command) //nolint:gosec // that is what the server is for
	cmd.Dir = n.Home
	cmd.Env = append([]string{
		"HOME=" + n.Home, "PATH=" + n.bin + ":" + path,
		"USER=" + User, "LOGNAME=" + User, "SHELL=" + shell, marker + n.id,
	}, b.Env...)
	detach(cmd)
	if b.Plain {
		plain(cmd)
	}
	stdin, err := cmd.StdinPipe()
	outR, outW, err2 := os.Pipe()
	errR, errW, err3 := os.Pipe()
	if err := errors.Join(err, err2, err3); err != nil {
		_, _ = fmt.Fprintln(ch.Stderr(), err)
		return nil
	}
	cmd.Stdout, cmd.Stderr = outW, errW
	wait, err := startCommand(cmd, b.Forks)
	_, _ = outW.Close(), errW.Close()
	p := &process{cmd: cmd, stdin: stdin, ours: []*os.File{outR, errR}}
	if err != nil {
		_, _ = fmt.Fprintln(ch.Stderr(), err)
		_ = ch.Close()
		return p
	}
	go func() {
		_, _ = io.Copy(stdin, ch)
		_ = stdin.Close()
	}()
	go func() {
		var copies sync.WaitGroup
		copies.Go(func() { _, _ = io.Copy(ch, outR) })
		copies.Go(func() { _, _ = io.Copy(ch.Stderr(), errR) })
		end := wait()
		_ = stdin.Close()
		if !b.NoExitStatus {
			report(ch, end)
		}
		copies.Wait() // a daemon that holds the pipes holds the session, as in OpenSSH
		_ = ch.CloseWrite()
		_ = ch.Close()
	}()
	return p
}

// startCommand starts a command, counted where somebody counts.
func startCommand(cmd *exec.Cmd, forks *Forks) (wait func() ended, err error) {
	if forks != nil {
		return forks.start(cmd)
	}
	return func() ended {
		_ = cmd.Wait()
		return stateOf(cmd.ProcessState)
	}, cmd.Start()
}

func report(ch ssh.Channel, end ended) {
	if end.signal != "" {
		_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Name       string
			Core       bool
			Text, Lang string
		}{end.signal, false, "", ""}))
		return
	}
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(end.code)})) //nolint:gosec // 0 to 255
}
