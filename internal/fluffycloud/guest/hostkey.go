// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"

	"golang.org/x/crypto/ssh"
)

// hostKey returns the machine's SSH identity: the one on its disk, else the
// one its user data gives, else a new one.
func hostKey(p Paths, given map[string]string) (ssh.Signer, error) {
	data, err := os.ReadFile(p.HostKey())
	switch {
	case err == nil:
	case !os.IsNotExist(err):
		return nil, fmt.Errorf("read host key: %w", err)
	case given["ed25519_private"] != "":
		data = []byte(given["ed25519_private"])
	default:
		if data, err = newHostKey(); err != nil {
			return nil, err
		}
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("host key: not a private key without passphrase")
	}
	if err := WriteFile(p.HostKey(), data, 0o600); err != nil {
		return nil, err
	}
	return signer, nil
}

func newHostKey() ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "fluffycloud")
	if err != nil {
		return nil, fmt.Errorf("make host key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}
