// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

var errHandshakeTimeout = errors.New("no SSH handshake in time")

// HostKeyError says that a machine showed another host key than the pinned one:
// another machine answers at its address, someone sits in between, or the machine
// lost its disk and with it the key, which is final for a container.
type HostKeyError struct {
	Host string
	Want string // fingerprint, SHA256:...
	Got  string // fingerprint, or what is known of the key
}

func (e *HostKeyError) Error() string {
	return fmt.Sprintf("host key of %s is %s, not the pinned %s: another machine answers there, someone intercepts the connection, or the machine was reset and lost its disk, as a container does (then replace it)", e.Host, e.Got, e.Want)
}

// AuthError says that the server is the right one and refused every key.
type AuthError struct {
	Host, User string
	Err        error
}

func (e *AuthError) Error() string {
	return fmt.Sprintf("%s refused every key offered for user %q: %s", e.Host, e.User, Clean(e.Err.Error()))
}

func (e *AuthError) Unwrap() error { return e.Err }

// Dial connects once, bounded by ctx and Options.HandshakeTimeout. Errors are
// *HostKeyError, *AuthError or one that says which step failed.
func Dial(ctx context.Context, t Target, o Options) (*Client, error) {
	o = o.withDefaults()
	if err := t.check(o); err != nil {
		return nil, err
	}
	hctx, cancel := context.WithTimeoutCause(ctx, o.HandshakeTimeout, fmt.Errorf("%w (%v)", errHandshakeTimeout, o.HandshakeTimeout))
	defer cancel()
	conn, bastion, err := connect(hctx, t, o)
	if err != nil {
		return nil, err
	}
	c, err := handshake(hctx, conn, t, o, bastion)
	if err != nil {
		_ = conn.Close()
		if bastion != nil {
			_ = bastion.Close()
		}
		return nil, err
	}
	if o.KeepAlive > 0 {
		go c.keepAlive(o.KeepAlive)
	}
	return c, nil
}

// check refuses what could never be dialled safely.
func (t Target) check(o Options) error {
	switch {
	case t.Host == "" || strings.ContainsAny(t.Host, "\n\x00 "):
		return fmt.Errorf("dialling %q: not a host", Clean(t.Host))
	case t.Port < 0 || t.Port > 65535:
		return fmt.Errorf("dialling %s: %d is not a port, 1 to 65535", t.Host, t.Port)
	case t.User == "":
		return fmt.Errorf("dialling %s: no user", t.Host)
	case t.HostKey == "" && o.TrustOnFirstUse == nil:
		return fmt.Errorf("dialling %s: no host key is pinned, and trust on first use was not asked for", t.Host)
	case t.Bastion != nil && t.Bastion.HostKey == "":
		return fmt.Errorf("dialling %s: its bastion %s has no pinned host key", t.Host, t.Bastion.Host)
	}
	return nil
}

func connect(ctx context.Context, t Target, o Options) (net.Conn, *Client, error) {
	if t.Bastion == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.addr())
		if err != nil {
			return nil, nil, fmt.Errorf("connecting to %s: %w", t.addr(), explain(ctx, err))
		}
		return promptly(conn), nil, nil
	}
	o.TrustOnFirstUse = nil
	bastion, err := Dial(ctx, *t.Bastion, o)
	if err != nil {
		return nil, nil, fmt.Errorf("bastion of %s: %w", t.Host, err)
	}
	conn, err := bastion.forward(ctx, t.addr())
	if err != nil {
		_ = bastion.Close()
		return nil, nil, fmt.Errorf("connecting to %s through %s: %w", t.addr(), bastion.addr, explain(ctx, err))
	}
	return conn, bastion, nil
}

// forward opens a TCP connection from the machine to addr.
func (c *Client) forward(ctx context.Context, addr string) (net.Conn, error) {
	sc := &ssh.Client{Conn: c.conn}
	conn, err := sc.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, &peerError{err}
	}
	return conn, nil
}

// handshake exchanges keys and authenticates. conn is closed when ctx ends
// before, which is what bounds a peer that says nothing or never stops.
func handshake(ctx context.Context, conn net.Conn, t Target, o Options, bastion *Client) (*Client, error) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // a forwarded connection has none; closing covers it
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	signers := t.Signers
	if len(signers) == 0 {
		signers = o.Signers
	}
	v, err := newVerifier(t, o)
	if err != nil {
		return nil, err
	}
	sc, channels, requests, err := ssh.NewClientConn(conn, t.addr(), &ssh.ClientConfig{
		Config:            strong(),
		User:              t.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signers...)},
		HostKeyCallback:   v.check,
		HostKeyAlgorithms: v.algorithms,
	})
	if err == nil && !stop() {
		_ = sc.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, v.explain(ctx, t, err)
	}
	_ = conn.SetDeadline(time.Time{})
	return newClient(sc, channels, requests, t.addr(), bastion), nil
}

// verifier holds a target's pinned key and what became of the check.
type verifier struct {
	host       string
	pinned     ssh.PublicKey
	tofu       func(string) error
	algorithms []string
	passed     bool
	refused    error
}

func newVerifier(t Target, o Options) (*verifier, error) {
	v := &verifier{host: t.addr(), tofu: o.TrustOnFirstUse}
	if t.HostKey == "" {
		v.algorithms = []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		return v, nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(t.HostKey))
	if err != nil {
		return nil, fmt.Errorf("pinned host key of %s: not in authorized_keys form", t.Host)
	}
	v.pinned = key
	// Without this a server that has several keys may choose another one.
	v.algorithms = []string{key.Type()}
	if key.Type() == ssh.KeyAlgoRSA {
		v.algorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return v, nil
}

func (v *verifier) check(_ string, _ net.Addr, got ssh.PublicKey) error {
	if v.pinned == nil {
		if err := v.tofu(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(got)))); err != nil {
			v.refused = fmt.Errorf("host key of %s was not trusted: %w", v.host, err)
			return v.refused
		}
	} else if !bytes.Equal(v.pinned.Marshal(), got.Marshal()) {
		v.refused = &HostKeyError{Host: v.host, Want: ssh.FingerprintSHA256(v.pinned), Got: ssh.FingerprintSHA256(got)}
		return v.refused
	}
	v.passed = true
	return nil
}

func (v *verifier) explain(ctx context.Context, t Target, err error) error {
	var algorithms *ssh.AlgorithmNegotiationError
	switch {
	case v.refused != nil:
		return v.refused
	case v.pinned != nil && errors.As(err, &algorithms) && algorithms.What == "host key":
		return &HostKeyError{Host: v.host, Want: ssh.FingerprintSHA256(v.pinned), Got: "of another type (" + Clean(strings.Join(algorithms.RequestedAlgorithms, ", ")) + ")"}
	case v.passed && ctx.Err() == nil && strings.Contains(err.Error(), "unable to authenticate"): // x/crypto has no type for it
		return &AuthError{Host: v.host, User: t.User, Err: err}
	}
	return fmt.Errorf("SSH handshake with %s: %w", v.host, &peerError{explain(ctx, err)})
}

// explain prefers the reason a context ended over what that end broke.
func explain(ctx context.Context, err error) error {
	var timeout net.Error
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if deadline, ok := ctx.Deadline(); ok && errors.As(err, &timeout) && timeout.Timeout() && !time.Now().Before(deadline) {
		return errHandshakeTimeout
	}
	return err
}

// DialWait dials until it succeeds or ctx ends, for machines that still boot.
// A wrong host key ends it at once; refused keys end it after Options.AuthRetry.
func DialWait(ctx context.Context, t Target, o Options) (*Client, error) {
	o = o.withDefaults()
	if err := t.check(o); err != nil {
		return nil, err
	}
	if _, err := newVerifier(t, o); err != nil {
		return nil, err
	}
	var client *Client
	var refusedSince time.Time
	policy := retry.Policy{Initial: 100 * time.Millisecond, Max: 2 * time.Second, Factor: 1.6, Jitter: 0.2}
	err := retry.Do(ctx, policy, func(ctx context.Context) error {
		c, err := Dial(ctx, t, o)
		var wrongKey *HostKeyError
		var auth *AuthError
		switch {
		case err == nil:
			client = c
			return nil
		case errors.As(err, &wrongKey):
			return retry.Stop(err)
		case errors.As(err, &auth):
			if refusedSince.IsZero() {
				refusedSince = time.Now()
			}
			if time.Since(refusedSince) >= o.AuthRetry {
				return retry.Stop(err)
			}
		default:
			refusedSince = time.Time{}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for SSH on %s: %w", t.addr(), err)
	}
	return client, nil
}
