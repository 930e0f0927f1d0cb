// SPDX-License-Identifier: MPL-2.0

package session

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
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// maxKey bounds a key in bytes; those of RSA have some thousand.
const maxKey = 1 << 20

// CheckPrivateKey refuses a key that could not be used at apply. Its content
// appears in no error.
func CheckPrivateKey(path string) error {
	_, err := readPrivateKey(path)
	return err
}

// IfThere is a check of a local file that lets pass what is not there: destroy and
// refresh need no key, and neither does a computer that only validates.
func IfThere(check kit.StringCheck) kit.StringCheck {
	return func(path string) error {
		if _, err := os.Stat(kit.ExpandHome(path)); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return check(path)
	}
}

// PlanKeys refuses to plan machines where a key that the provider block names is
// not there to log in with.
func (s Settings) PlanKeys(diags *diag.Diagnostics) {
	_, err := s.signers()
	if err == nil && s.Bastion != nil && s.Bastion.KeyPath != "" {
		if _, err = readPrivateKey(s.Bastion.KeyPath); err != nil {
			err = fmt.Errorf("bastion.private_key_path: %w", err)
		}
	}
	if err != nil {
		diags.AddError("The provider block names a key that cannot be used", kit.Sentence("in the provider block, "+err.Error()))
	}
}

func readPrivateKey(path string) (ssh.Signer, error) {
	text, err := localfile.Read(kit.ExpandHome(path), maxKey)
	if err != nil {
		return nil, fmt.Errorf("the private key %q cannot be read: %w", path, kit.PlainPathError(err))
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

// CheckKeyPair compares a private key with the public one beside it, if any.
func CheckKeyPair(path string) error {
	public := kit.ExpandHome(path) + ".pub"
	text, err := localfile.Read(public, maxKey)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the public key %q cannot be read: %w", public, kit.PlainPathError(err))
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

// KeyVariable is the environment variable with the text of the user's key.
const KeyVariable = "SKY_SSH_PRIVATE_KEY"

// signers are the user's own key, if there is one: the provider block's text or
// file, else the environment's text.
func (s Settings) signers() ([]ssh.Signer, error) {
	if s.KeyPath != "" {
		signer, err := readPrivateKey(s.KeyPath)
		if err != nil {
			return nil, fmt.Errorf("ssh_private_key_path: %w", err)
		}
		return []ssh.Signer{signer}, nil
	}
	if s.KeyText == "" {
		return nil, nil
	}
	signer, err := parsePrivateKey(s.KeyText)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.KeyFrom, err)
	}
	return []ssh.Signer{signer}, nil
}

// CheckKeyText refuses a key that could not be used at apply. Nothing of the
// text appears in an error.
func CheckKeyText(text string) error {
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

// UseKey decides which key is the user's. The provider block wins over the
// environment.
func (s *Settings) UseKey(path, text string) {
	s.KeyPath = path
	switch fromEnv := s.Getenv(KeyVariable); {
	case path != "":
	case text != "":
		s.KeyText, s.KeyFrom = text, "ssh_private_key"
	case fromEnv != "":
		s.KeyText, s.KeyFrom = fromEnv, KeyVariable
	}
}

// HasOwnKey reports whether the user brings a key, which every computer then has.
func (s Settings) HasOwnKey() bool { return s.KeyPath != "" || s.KeyText != "" }

// OwnKeyText is the key as ssh clients take it: the user's own text, else the
// content of the file; empty where there is neither.
func (s Settings) OwnKeyText(file string) string {
	if file == "" {
		if s.KeyText == "" {
			return ""
		}
		return strings.TrimSpace(s.KeyText) + "\n"
	}
	text, err := localfile.Read(file, maxKey)
	if err != nil {
		return ""
	}
	return string(text)
}
