// SPDX-License-Identifier: MPL-2.0

// Package remote reaches machines over SSH: it dials with a pinned host key,
// keeps one connection a node with many sessions on it, runs scripts under a
// POSIX shell and moves files and folders.
//
// Whatever the other side says is untrusted: errors quote it bounded and free
// of control characters and private keys.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	defaultHandshakeTimeout = 15 * time.Second
	defaultKeepAlive        = 15 * time.Second
	defaultAuthRetry        = 90 * time.Second
	// maxSessions stays under OpenSSH's default MaxSessions of 10.
	maxSessions = 8
)

// Target is one machine's SSH server.
type Target struct {
	Host string
	Port int // 0 is 22
	User string
	// HostKey is the pinned key in authorized_keys form. Empty is refused,
	// unless Options.TrustOnFirstUse is set.
	HostKey string
	// Signers are the keys offered to this machine; none means Options.Signers.
	Signers []ssh.Signer
	// Bastion is a machine to go through; its key must be pinned.
	Bastion *Target
}

func (t Target) addr() string {
	port := t.Port
	if port == 0 {
		port = 22
	}
	return net.JoinHostPort(t.Host, strconv.Itoa(port))
}

// Options say how to connect.
type Options struct {
	// Signers are the keys offered, in order.
	Signers []ssh.Signer
	// HandshakeTimeout bounds one try: connecting, key exchange and
	// authentication together. 0 is 15 seconds.
	HandshakeTimeout time.Duration
	// TrustOnFirstUse, where set, decides over the key of a target that has
	// none pinned; it is given the key in authorized_keys form.
	TrustOnFirstUse func(hostKey string) error
	// KeepAlive is the pause between probes; a peer that misses one for as long
	// again is given up. 0 is 15 seconds, negative is never.
	KeepAlive time.Duration
	// AuthRetry is how long DialWait puts up with refused authentication, since
	// a machine's keys may land after its server started. 0 is 90 seconds.
	AuthRetry time.Duration
}

func (o Options) withDefaults() Options {
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = defaultHandshakeTimeout
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = defaultKeepAlive
	}
	if o.AuthRetry <= 0 {
		o.AuthRetry = defaultAuthRetry
	}
	return o
}

// ErrClosed is held by errors of a client whose connection is gone.
var ErrClosed = errors.New("connection closed")

// Client is one connection to one node. Its methods may be called at the same
// time; each runs in a session of its own, at most eight at once.
type Client struct {
	conn    ssh.Conn
	addr    string
	bastion *Client
	slots   chan struct{}
	done    chan struct{}
	once    sync.Once
	cause   error
}

func newClient(conn ssh.Conn, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request, addr string, bastion *Client) *Client {
	c := &Client{conn: conn, addr: addr, bastion: bastion, slots: make(chan struct{}, maxSessions), done: make(chan struct{})}
	go ssh.DiscardRequests(requests)
	go func() {
		for ch := range channels {
			_ = ch.Reject(ssh.Prohibited, "no channels towards the client")
		}
	}()
	go func() { c.finish(conn.Wait()) }()
	return c
}

func (c *Client) finish(err error) {
	c.once.Do(func() {
		c.cause = err
		close(c.done)
		_ = c.conn.Close()
		if c.bastion != nil {
			_ = c.bastion.Close()
		}
	})
}

// Close ends the connection and every command on it. Closing twice is fine.
func (c *Client) Close() error {
	c.finish(ErrClosed)
	return nil
}

// Done is closed when the connection is gone, for whatever reason.
func (c *Client) Done() <-chan struct{} { return c.done }

// Addr is the address dialled, "host:port".
func (c *Client) Addr() string { return c.addr }

// lost explains a failure by the end of the connection where that is the reason.
func (c *Client) lost(err error) error {
	select {
	case <-c.done:
		if c.cause == nil || errors.Is(c.cause, io.EOF) {
			return fmt.Errorf("%s: %w", c.addr, ErrClosed)
		}
		return fmt.Errorf("%s: %w: %s", c.addr, ErrClosed, Clean(c.cause.Error()))
	default:
		return fmt.Errorf("%s: %w", c.addr, &peerError{err})
	}
}

// keepAlive closes the connection when the peer stops answering.
func (c *Client) keepAlive(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-ticker.C:
		}
		if !c.probe(every) {
			c.finish(fmt.Errorf("no answer to a keepalive within %v", every))
			return
		}
	}
}

func (c *Client) probe(within time.Duration) bool {
	answered := make(chan error, 1)
	go func() {
		_, _, err := c.conn.SendRequest("keepalive@openssh.com", true, nil)
		answered <- err
	}()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case err := <-answered:
		return err == nil
	case <-timer.C:
		return false
	case <-c.done:
		return true
	}
}

// acquire takes a session slot.
func (c *Client) acquire(ctx context.Context) (release func(), err error) {
	select {
	case c.slots <- struct{}{}:
		return func() { <-c.slots }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-c.done:
		return nil, c.lost(ErrClosed)
	}
}
