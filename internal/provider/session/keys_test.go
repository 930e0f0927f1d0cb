// SPDX-License-Identifier: MPL-2.0

package session

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func writeKey(t *testing.T, path, passphrase string) ssh.PublicKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer.PublicKey()
}

func TestPrivateKeys(t *testing.T) {
	dir := t.TempDir()
	plain, locked, junk := filepath.Join(dir, "plain"), filepath.Join(dir, "locked"), filepath.Join(dir, "junk")
	public := writeKey(t, plain, "")
	writeKey(t, locked, "hush")
	if err := os.WriteFile(junk, []byte("CANARY"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CheckPrivateKey(plain); err != nil {
		t.Errorf("plain key: %v", err)
	}
	for path, part := range map[string]string{
		locked: "protected by a passphrase", junk: "no private key", filepath.Join(dir, "none"): "cannot be read",
	} {
		err := CheckPrivateKey(path)
		if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("checkPrivateKey(%s) = %v, want %q", path, err, part)
		}
	}
	if err := CheckKeyPair(plain); err != nil {
		t.Errorf("no public key beside it: %v", err)
	}
	write := func(key ssh.PublicKey) {
		if err := os.WriteFile(plain+".pub", ssh.MarshalAuthorizedKey(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(public)
	if err := CheckKeyPair(plain); err != nil {
		t.Errorf("matching pair: %v", err)
	}
	write(writeKey(t, filepath.Join(dir, "other"), ""))
	if err := CheckKeyPair(plain); err == nil || !strings.Contains(err.Error(), "belongs to another private key") {
		t.Errorf("foreign public key: %v", err)
	}
}
