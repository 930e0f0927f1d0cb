// SPDX-License-Identifier: MPL-2.0

//go:build unix

package guest

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// forwardLocal connects the client to an address as seen from the machine.
func (s *sshd) forwardLocal(ctx context.Context, newCh ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(newCh.ExtraData(), &to); err != nil {
		_ = newCh.Reject(ssh.ConnectionFailed, "malformed request")
		return
	}
	conn, err := s.dial(ctx, to.Host, strconv.Itoa(int(to.Port)))
	if err != nil {
		_ = newCh.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	ch, requests, err := newCh.Accept()
	if err != nil {
		_ = conn.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	join(ctx, ch, conn)
}

// dial connects as a process of the machine would. Machines share the host's
// loopback network, so "localhost" is the machine's own address first.
func (s *sshd) dial(ctx context.Context, host, port string) (net.Conn, error) {
	hosts := []string{host}
	if host == "localhost" || host == "127.0.0.1" || host == "::1" {
		hosts = []string{s.address, host}
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	var conn net.Conn
	var err error
	for _, h := range hosts {
		if conn, err = dialer.DialContext(ctx, "tcp", net.JoinHostPort(h, port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// join copies both ways and passes the end of each direction on by itself.
func join(ctx context.Context, ch ssh.Channel, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = ch.Close(); _ = conn.Close() }()
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(ch, conn)
		_ = ch.CloseWrite()
	})
	both.Go(func() {
		_, _ = io.Copy(conn, ch)
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	})
	both.Wait()
}

// forwards are the listeners a connection asked for.
type forwards struct {
	sshd *sshd
	conn *ssh.ServerConn

	mu     sync.Mutex
	open   map[string]net.Listener
	closed bool
}

type forwardRequest struct {
	Host string
	Port uint32
}

// serve answers the connection's requests until it ends.
func (f *forwards) serve(requests <-chan *ssh.Request) {
	for req := range requests {
		ok, payload := f.handle(req)
		if req.WantReply {
			_ = req.Reply(ok, payload)
		}
	}
}

func (f *forwards) handle(req *ssh.Request) (bool, []byte) {
	var want forwardRequest
	switch req.Type {
	case "tcpip-forward":
		if ssh.Unmarshal(req.Payload, &want) != nil {
			return false, nil
		}
		port, err := f.listen(want)
		if err != nil {
			f.sshd.log.Info("remote forwarding refused", "error", err)
			return false, nil
		}
		return true, ssh.Marshal(&struct{ Port uint32 }{port})
	case "cancel-tcpip-forward":
		return ssh.Unmarshal(req.Payload, &want) == nil && f.cancel(want), nil
	case "keepalive@openssh.com":
		return true, nil
	default:
		return false, nil
	}
}

// listen opens the port on loopback for local names, else on the machine's address.
func (f *forwards) listen(want forwardRequest) (uint32, error) {
	host := f.sshd.address
	if want.Host == "" || want.Host == "localhost" || want.Host == "127.0.0.1" {
		host = "127.0.0.1"
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(int(want.Port))))
	if err != nil {
		return 0, err
	}
	addr, ok := ln.Addr().(*net.TCPAddr)
	if !ok {
		_ = ln.Close()
		return 0, errors.New("no port")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		_ = ln.Close()
		return 0, net.ErrClosed
	}
	port := uint32(addr.Port)
	f.open[forwardKey(want.Host, port)] = ln
	go f.accept(ln, want.Host, port)
	return port, nil
}

func forwardKey(host string, port uint32) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

func (f *forwards) accept(ln net.Listener, host string, port uint32) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go f.offer(conn, host, port)
	}
}

// offer hands one accepted connection to the client.
func (f *forwards) offer(conn net.Conn, host string, port uint32) {
	payload := struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}{Host: host, Port: port}
	if from, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		payload.OriginHost, payload.OriginPort = from.IP.String(), uint32(from.Port)
	}
	ch, requests, err := f.conn.OpenChannel("forwarded-tcpip", ssh.Marshal(&payload))
	if err != nil {
		_ = conn.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	join(context.Background(), ch, conn)
}

func (f *forwards) cancel(want forwardRequest) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := forwardKey(want.Host, want.Port)
	ln, ok := f.open[key]
	if ok {
		_ = ln.Close()
		delete(f.open, key)
	}
	return ok
}

func (f *forwards) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, ln := range f.open {
		_ = ln.Close()
	}
}
