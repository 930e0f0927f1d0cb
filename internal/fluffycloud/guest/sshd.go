// SPDX-License-Identifier: MPL-2.0

//go:build unix

package guest

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	maxAuthTries = 6
	// graceTime bounds the handshake, login included.
	graceTime = 30 * time.Second
)

// sshd serves SSH for one machine.
type sshd struct {
	paths    Paths
	env      []string
	address  string
	signer   ssh.Signer
	children *children
	log      *slog.Logger
	fault    Fault
	execs    atomic.Int64
	// logins counts the connections that are open and logged in.
	logins *atomic.Int64
	// die ends the machine as a failing host would.
	die func()
}

// serve accepts connections until ctx ends.
func (s *sshd) serve(ctx context.Context, ln net.Listener) {
	context.AfterFunc(ctx, func() { _ = ln.Close() })
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Warn("accept", "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		go s.serveConn(ctx, conn)
	}
}

func (s *sshd) config() *ssh.ServerConfig {
	c := &ssh.ServerConfig{
		Config:        Strong(),
		MaxAuthTries:  maxAuthTries,
		ServerVersion: "SSH-2.0-FluffyCloud",
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if meta.User() != User || !s.authorized(key) {
				return nil, errors.New("permission denied")
			}
			return &ssh.Permissions{}, nil
		},
	}
	c.AddHostKey(s.signer)
	return c
}

// authorized looks the key up in the user's own authorized_keys, so that keys
// added or removed on the machine count at once.
func (s *sshd) authorized(key ssh.PublicKey) bool {
	rest, err := os.ReadFile(s.paths.AuthorizedKeys())
	if err != nil {
		return false
	}
	for len(bytes.TrimSpace(rest)) > 0 {
		var allowed ssh.PublicKey
		allowed, _, _, rest, err = ssh.ParseAuthorizedKey(rest)
		if err != nil {
			return false
		}
		if subtle.ConstantTimeCompare(allowed.Marshal(), key.Marshal()) == 1 {
			return true
		}
	}
	return false
}

func (s *sshd) serveConn(ctx context.Context, raw net.Conn) {
	defer func() { _ = raw.Close() }()
	switch s.fault.SSH {
	case "silent":
		<-ctx.Done()
		return
	case "babble":
		babble(ctx, raw)
		return
	}
	_ = raw.SetDeadline(time.Now().Add(graceTime))
	conn, channels, requests, err := ssh.NewServerConn(raw, s.config())
	if err != nil {
		s.log.Info("login refused", "from", raw.RemoteAddr().String(), "error", err)
		return
	}
	_ = raw.SetDeadline(time.Time{})
	s.log.Info("login", "from", raw.RemoteAddr().String())
	s.logins.Add(1)
	defer s.logins.Add(-1)
	ctx, lost := context.WithCancel(ctx)
	defer lost()
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	f := &forwards{sshd: s, conn: conn, open: make(map[string]net.Listener)}
	defer f.closeAll()
	go f.serve(requests)
	for ch := range channels {
		switch ch.ChannelType() {
		case "session":
			go s.serveSession(ctx, ch)
		case "direct-tcpip":
			go s.forwardLocal(ctx, ch)
		default:
			_ = ch.Reject(ssh.UnknownChannelType, fmt.Sprintf("channel type %q is not supported", ch.ChannelType()))
		}
	}
}

// babble sends lines that never become an SSH version.
func babble(ctx context.Context, w io.Writer) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.WriteString(w, "the sky is full of fluff\r\n"); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
