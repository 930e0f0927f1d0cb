// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/crypto/ssh"
)

// checkPrivateKey refuses a key that could not be used at apply. Its content
// appears in no error.
func checkPrivateKey(path string) error {
	_, err := readPrivateKey(path)
	return err
}

func readPrivateKey(path string) (ssh.Signer, error) {
	text, err := os.ReadFile(expandHome(path))
	if err != nil {
		return nil, fmt.Errorf("the private key %q cannot be read: %w", path, plainPathError(err))
	}
	signer, err := ssh.ParsePrivateKey(text)
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
		return nil, fmt.Errorf("the private key %q is protected by a passphrase, which cannot be asked for here; name a key without one, or leave the attribute out and a key is made for each cluster", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%q holds no private key in the OpenSSH or PEM format; make one with: ssh-keygen -t ed25519 -N '' -f <file>", path)
	}
	return signer, nil
}

// checkKeyPair compares a private key with the public one beside it, if any.
func checkKeyPair(path string) error {
	public := expandHome(path) + ".pub"
	text, err := os.ReadFile(public)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the public key %q cannot be read: %w", public, plainPathError(err))
	}
	signer, err := readPrivateKey(path)
	if err != nil {
		return err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return fmt.Errorf("%q holds no public key; write it anew with: ssh-keygen -y -f %s", public, path)
	}
	if !bytes.Equal(key.Marshal(), signer.PublicKey().Marshal()) {
		return fmt.Errorf("%q belongs to another private key than %q (%s, not %s); name the matching pair",
			public, path, ssh.FingerprintSHA256(key), ssh.FingerprintSHA256(signer.PublicKey()))
	}
	return nil
}

// loadSigners returns the user's own key, if one was named.
func loadSigners(path string) ([]ssh.Signer, error) {
	if path == "" {
		return nil, nil
	}
	signer, err := readPrivateKey(path)
	if err != nil {
		return nil, err
	}
	return []ssh.Signer{signer}, nil
}
