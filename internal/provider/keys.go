// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

// maxKey bounds a key in bytes; those of RSA have some thousand.
const maxKey = 1 << 20

// checkPrivateKey refuses a key that could not be used at apply. Its content
// appears in no error.
func checkPrivateKey(path string) error {
	_, err := readPrivateKey(path)
	return err
}

// ifThere is a check of a local file that lets pass what is not there: destroy and
// refresh need no key, and neither does a computer that only validates.
func ifThere(check stringCheck) stringCheck {
	return func(path string) error {
		if _, err := os.Stat(expandHome(path)); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return check(path)
	}
}

// planKeys refuses to plan machines where a key that the provider block names is
// not there to log in with.
func (s settings) planKeys(diags *diag.Diagnostics) {
	_, err := s.signers()
	if err == nil && s.bastion != nil && s.bastion.KeyPath != "" {
		if _, err = readPrivateKey(s.bastion.KeyPath); err != nil {
			err = fmt.Errorf("bastion.private_key_path: %w", err)
		}
	}
	if err != nil {
		diags.AddError("The provider block names a key that cannot be used", sentence("in the provider block, "+err.Error()))
	}
}

func readPrivateKey(path string) (ssh.Signer, error) {
	text, err := localfile.Read(expandHome(path), maxKey)
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
	text, err := localfile.Read(public, maxKey)
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

// keyVariable is the environment variable with the text of the user's key.
const keyVariable = "SKY_SSH_PRIVATE_KEY"

// signers are the user's own key, if there is one: the provider block's text or
// file, else the environment's text.
func (s settings) signers() ([]ssh.Signer, error) {
	if s.keyPath != "" {
		signer, err := readPrivateKey(s.keyPath)
		if err != nil {
			return nil, fmt.Errorf("ssh_private_key_path: %w", err)
		}
		return []ssh.Signer{signer}, nil
	}
	if s.keyText == "" {
		return nil, nil
	}
	signer, err := parsePrivateKey(s.keyText)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.keyFrom, err)
	}
	return []ssh.Signer{signer}, nil
}

// checkKeyText refuses a key that could not be used at apply. Nothing of the
// text appears in an error.
func checkKeyText(text string) error {
	_, err := parsePrivateKey(text)
	return err
}

func parsePrivateKey(text string) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey([]byte(strings.TrimSpace(text) + "\n"))
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
		return nil, errors.New("the private key is protected by a passphrase, which cannot be asked for here; give one without, as ssh-keygen -t ed25519 -N '' -f <file> makes it")
	}
	if err != nil {
		return nil, errors.New("this is no private key in the OpenSSH or PEM format; it is the text of the whole file, its line breaks and its first and last line included. A path goes into ssh_private_key_path")
	}
	return signer, nil
}

// useKey settles which key is the user's. The provider block wins over the
// environment.
func (s *settings) useKey(path, text string) {
	s.keyPath = path
	switch fromEnv := s.getenv(keyVariable); {
	case path != "":
	case text != "":
		s.keyText, s.keyFrom = text, "ssh_private_key"
	case fromEnv != "":
		s.keyText, s.keyFrom = fromEnv, keyVariable
	}
}

// hasOwnKey reports whether the user brings a key, which every computer then has.
func (s settings) hasOwnKey() bool { return s.keyPath != "" || s.keyText != "" }

// ownKeyText is the key as ssh clients take it: the user's own text, else the
// content of the file; empty where neither is to be had.
func (s settings) ownKeyText(file string) string {
	if file == "" {
		if s.keyText == "" {
			return ""
		}
		return strings.TrimSpace(s.keyText) + "\n"
	}
	text, err := localfile.Read(file, maxKey)
	if err != nil {
		return ""
	}
	return string(text)
}
