// SPDX-License-Identifier: MPL-2.0

package sshclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
)

// exitTransport is the exit code of everything that is not the remote command's.
const exitTransport = 255

// IO are the client's streams and surroundings.
type IO struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Home           string
	// User is who to log in as where the command line does not say.
	User string
}

// Run runs one command line and returns the exit code: the remote command's, or
// exitTransport with one line on stderr.
func Run(ctx context.Context, args []string, streams IO) int {
	code, err := run(ctx, args, streams)
	if err != nil {
		_, _ = fmt.Fprintf(streams.Stderr, "ssh: %v\r\n", err)
		return exitTransport
	}
	return code
}

func run(ctx context.Context, args []string, streams IO) (int, error) {
	o, err := parse(args, streams.Home)
	if err != nil {
		return 0, err
	}
	if o.user == "" {
		o.user = streams.User
	}
	client, err := dial(ctx, o, streams.Home)
	if err != nil {
		return 0, err
	}
	defer func() { _ = client.Close() }()
	if o.alive > 0 {
		go keepAlive(ctx, client, o)
	}
	session, err := client.NewSession()
	if err != nil {
		return 0, fmt.Errorf("open session: %w", err)
	}
	defer func() { _ = session.Close() }()
	session.Stdout, session.Stderr = streams.Stdout, streams.Stderr
	if !o.noStdin {
		session.Stdin = streams.Stdin
	}
	if o.terminal {
		if err := session.RequestPty("xterm", 24, 80, ssh.TerminalModes{}); err != nil {
			return 0, fmt.Errorf("ask for a terminal: %w", err)
		}
	}
	if o.command == "" {
		if err := session.Shell(); err != nil {
			return 0, fmt.Errorf("start shell: %w", err)
		}
		return exitCode(session.Wait())
	}
	return exitCode(session.Run(o.command))
}

// exitCode tells the command's end from the connection's. As with OpenSSH, a
// command killed by a signal is exitTransport.
func exitCode(err error) (int, error) {
	exit := (*ssh.ExitError)(nil)
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.Signal() != "":
		return exitTransport, nil
	case errors.As(err, &exit):
		return exit.ExitStatus(), nil
	default:
		return 0, fmt.Errorf("connection lost: %w", err)
	}
}

func dial(ctx context.Context, o options, home string) (*ssh.Client, error) {
	signers, err := loadIdentities(o, home)
	if err != nil {
		return nil, err
	}
	check, err := knownhosts.New(o.knownHosts...)
	if err != nil {
		return nil, fmt.Errorf("read known hosts: %w", err)
	}
	address := net.JoinHostPort(o.host, strconv.Itoa(o.port))
	conn, err := (&net.Dialer{Timeout: o.timeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to host %s port %d: %w", o.host, o.port, err)
	}
	if o.timeout > 0 {
		_ = conn.SetDeadline(time.Now().Add(o.timeout))
	}
	c, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		Config: guest.Strong(),
		User:   o.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signers...)},
		HostKeyCallback: check, HostKeyAlgorithms: knownAlgorithms(check, address, conn.RemoteAddr()),
	})
	if err != nil {
		return nil, errors.Join(explain(err, o), conn.Close())
	}
	_ = conn.SetDeadline(time.Time{})
	return ssh.NewClient(c, channels, requests), nil
}

func explain(err error, o options) error {
	unknown := (*knownhosts.KeyError)(nil)
	if errors.As(err, &unknown) {
		if len(unknown.Want) == 0 {
			return fmt.Errorf("host key verification failed: %s is not in %v", o.host, o.knownHosts)
		}
		return fmt.Errorf("host key verification failed: the key of %s is not the one in %v", o.host, o.knownHosts)
	}
	return fmt.Errorf("%s@%s: %w", o.user, o.host, err)
}

// knownAlgorithms are those of the keys that are known for the host, so that
// the server shows one of these. The callback tells them when asked with a key
// that cannot be among them.
func knownAlgorithms(check ssh.HostKeyCallback, address string, remote net.Addr) []string {
	known := (*knownhosts.KeyError)(nil)
	if !errors.As(check(address, remote, noKey{}), &known) {
		return nil
	}
	var out []string
	for _, k := range known.Want {
		switch t := k.Key.Type(); t {
		case ssh.KeyAlgoRSA:
			out = append(out, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		default:
			out = append(out, t)
		}
	}
	return out
}

// noKey is a public key that no host has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

// loadIdentities reads the private keys: those named, else the usual ones.
func loadIdentities(o options, home string) ([]ssh.Signer, error) {
	files, named := o.identities, len(o.identities) > 0
	if !named {
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			files = append(files, filepath.Join(home, ".ssh", name))
		}
	}
	var signers []ssh.Signer
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil && !named {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read identity: %w", err)
		}
		signer, err := ssh.ParsePrivateKey(data)
		if err != nil {
			return nil, fmt.Errorf("read identity %s: not a private key without passphrase", file)
		}
		signers = append(signers, signer)
	}
	if len(signers) == 0 {
		return nil, fmt.Errorf("no private key was found in %s; name one with -i", filepath.Join(home, ".ssh"))
	}
	return signers, nil
}

// keepAlive ends the connection when the server no longer answers.
func keepAlive(ctx context.Context, client *ssh.Client, o options) {
	tick := time.NewTicker(o.alive)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		answered := make(chan error, 1)
		go func() {
			_, _, err := client.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		}()
		limit := time.NewTimer(o.alive * time.Duration(o.aliveMax))
		select {
		case err := <-answered:
			if err != nil {
				limit.Stop()
				return
			}
		case <-limit.C:
			_ = client.Close()
			return
		case <-ctx.Done():
		}
		limit.Stop()
	}
}
