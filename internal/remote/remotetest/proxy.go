// SPDX-License-Identifier: MPL-2.0

package remotetest

import (
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Proxy is the network before a machine, which can be told to fail as a Node
// can. It heeds DropAfter and DropAfterSent of a Behaviour.
type Proxy struct {
	Host string
	Port int

	t        testing.TB
	to       string
	listener net.Listener

	mu        sync.Mutex
	behaviour Behaviour
	conns     map[net.Conn]bool
}

// NewProxy listens on loopback for connections to an address; it goes with the test.
func NewProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	p := &Proxy{Host: "127.0.0.1", t: t, to: to, conns: map[net.Conn]bool{}}
	p.Up()
	t.Cleanup(p.Down)
	return p
}

// Set changes what the network does wrong from the next connection on.
func (p *Proxy) Set(b Behaviour) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.behaviour = b
}

// Drop cuts every connection.
func (p *Proxy) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// Down stops answering; Up answers at the same address again.
func (p *Proxy) Down() {
	_ = p.listener.Close()
	p.Drop()
}

// Up undoes Down.
func (p *Proxy) Up() {
	p.t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(p.Host, strconv.Itoa(p.Port)))
	if err != nil {
		p.t.Fatal(err)
	}
	p.listener = l
	p.Port = l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.carry(conn)
		}
	}()
}

func (p *Proxy) carry(conn net.Conn) {
	p.mu.Lock()
	p.conns[conn] = true
	client := net.Conn(&dropper{Conn: conn, in: p.behaviour.DropAfter, out: p.behaviour.DropAfterSent})
	p.mu.Unlock()
	server, err := net.Dial("tcp", p.to)
	if err == nil {
		var both sync.WaitGroup
		both.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
		both.Go(func() { _, _ = io.Copy(client, server); _ = conn.Close() })
		both.Wait()
	}
	_ = conn.Close()
	p.mu.Lock()
	delete(p.conns, conn)
	p.mu.Unlock()
}
