// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/skybroker/terraform-provider-sky/internal/durable"
	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

// maxKey bounds a private key in bytes; those of RSA have some thousand.
const maxKey = 1 << 20

// LoadSigner reads a private key. An encrypted key without a passphrase, or
// with a wrong one, is an error that says so.
func LoadSigner(path string, passphrase []byte) (ssh.Signer, error) {
	data, err := localfile.Read(path, maxKey)
	if err != nil {
		return nil, fmt.Errorf("reading private key: %w", err)
	}
	return parseSigner(path, data, passphrase)
}

// parseSigner is LoadSigner for a key already in memory; name stands in errors.
func parseSigner(name string, data, passphrase []byte) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(data)
	var missing *ssh.PassphraseMissingError
	switch {
	case err == nil:
		return signer, nil
	case errors.As(err, &missing) && len(passphrase) == 0:
		return nil, fmt.Errorf("private key %s is encrypted and no passphrase was given", name)
	case errors.As(err, &missing):
		if signer, err = ssh.ParsePrivateKeyWithPassphrase(data, passphrase); err == nil {
			return signer, nil
		}
		return nil, fmt.Errorf("private key %s: the passphrase does not open it", name)
	}
	// The parser's own text could quote the key.
	return nil, fmt.Errorf("private key %s: not a private key in OpenSSH or PEM form", name)
}

// AgentSigner returns the one key of the SSH agent at socket that has the
// fingerprint "SHA256:...". Close the closer when the signer is no longer needed.
func AgentSigner(ctx context.Context, socket, fingerprint string) (ssh.Signer, io.Closer, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to the SSH agent: %w", err)
	}
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("asking the SSH agent for its keys: %w", err)
	}
	for _, s := range signers {
		if ssh.FingerprintSHA256(s.PublicKey()) == fingerprint {
			return s, conn, nil
		}
	}
	_ = conn.Close()
	return nil, nil, fmt.Errorf("none of the SSH agent's %d keys is %s", len(signers), Clean(fingerprint))
}

// EnsureKeyPair returns the public half, in authorized_keys form, of the
// ed25519 key at path, which it makes where there is none: 0600 in a 0700
// folder, on disk before it returns. A key that others can read is refused.
func EnsureKeyPair(path string) (authorizedKey string, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("making the key's folder: %w", err)
	}
	private, public, err := NewHostKey()
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the path is the caller's own
	if errors.Is(err, fs.ErrExist) {
		return existingKey(path)
	}
	if err != nil {
		return "", fmt.Errorf("creating private key: %w", err)
	}
	_, err = f.Write(private)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = durable.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		_ = os.Remove(path)
		return "", fmt.Errorf("writing private key: %w", err)
	}
	return public, nil
}

func existingKey(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", fmt.Errorf("looking at private key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("private key %s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return "", fmt.Errorf("private key %s has mode %04o, so others can read it; run: chmod 600 %s", path, mode, Quote(path))
	}
	signer, err := LoadSigner(path, nil)
	if err != nil {
		return "", err
	}
	return AuthorizedKey(signer.PublicKey()), nil
}

// AuthorizedKey is a public key in authorized_keys form, without a comment.
func AuthorizedKey(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// NewHostKey makes an ed25519 pair: the private half in OpenSSH's PEM form, the
// public one in authorized_keys form.
func NewHostKey() (privatePEM []byte, authorizedKey string, err error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("making an ed25519 key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, "", fmt.Errorf("encoding an ed25519 key: %w", err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, "", fmt.Errorf("encoding an ed25519 key: %w", err)
	}
	return pem.EncodeToMemory(block), AuthorizedKey(key), nil
}
