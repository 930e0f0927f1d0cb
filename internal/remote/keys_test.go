// SPDX-License-Identifier: MPL-2.0

package remote_test

import (
	"crypto/ed25519"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

func TestEnsureKeyPair(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "id")
	first, err := remote.EnsureKeyPair(path)
	if err != nil || !strings.HasPrefix(first, "ssh-ed25519 ") {
		t.Fatalf("EnsureKeyPair = %q, %v", first, err)
	}
	info, err := os.Stat(path)
	dir, err2 := os.Stat(filepath.Dir(path))
	if err != nil || err2 != nil || info.Mode().Perm() != 0o600 || dir.Mode().Perm() != 0o700 {
		t.Errorf("modes %v and %v, want 0600 and 0700", info.Mode(), dir.Mode())
	}
	if again, err := remote.EnsureKeyPair(path); err != nil || again != first {
		t.Errorf("second EnsureKeyPair = %q, %v, want the same key", again, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.EnsureKeyPair(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("EnsureKeyPair of a readable key = %v, want advice", err)
	}
	link := path + "-link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.EnsureKeyPair(link); err == nil {
		t.Error("EnsureKeyPair followed a link")
	}
}

func TestLoadSigner(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.LoadSigner(path, []byte("open sesame")); err != nil {
		t.Error(err)
	}
	for pass, want := range map[string]string{"": "no passphrase was given", "wrong": "does not open it"} {
		if _, err := remote.LoadSigner(path, []byte(pass)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("LoadSigner with %q = %v, want %q", pass, err, want)
		}
	}
	if err := os.WriteFile(path, []byte("canary key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.LoadSigner(path, nil); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("LoadSigner of garbage = %v", err)
	}
}

func TestAgentSigner(t *testing.T) {
	keyring := agent.NewKeyring()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "a")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(keyring, conn) }()
		}
	}()
	keys, _ := keyring.List()
	signer, closer, err := remote.AgentSigner(t.Context(), socket, ssh.FingerprintSHA256(keys[0]))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Sign(nil, []byte("x")); err != nil {
		t.Error(err)
	}
	_ = closer.Close()
	if _, _, err := remote.AgentSigner(t.Context(), socket, "SHA256:other"); err == nil {
		t.Error("AgentSigner found a key that is not there")
	}
	testAgentSigners(t, socket, keyring)
}

// testAgentSigners: signers of an agent outlive the connection that listed
// them, and not the key.
func testAgentSigners(t *testing.T, socket string, keyring agent.Agent) {
	t.Helper()
	signers, err := remote.AgentSigners(t.Context(), socket)
	if err != nil || len(signers) != 1 {
		t.Fatalf("AgentSigners = %d, %v", len(signers), err)
	}
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	n.Trust(signers[0])
	target := n.Target()
	target.Signers = signers
	for range 2 {
		c, err := remote.Dial(t.Context(), target, remote.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	if err := keyring.RemoveAll(); err != nil {
		t.Fatal(err)
	}
	if _, err := signers[0].Sign(nil, []byte("x")); err == nil {
		t.Error("a key signs that the agent has no more")
	}
	if _, err := remote.AgentSigners(t.Context(), socket+"-gone"); err == nil {
		t.Error("AgentSigners without an agent succeeded")
	}
}

func TestTextIsFit(t *testing.T) {
	private, _, err := remote.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	got := remote.Clean("start\x1b[31m " + string(private) + " \xff end")
	if strings.Contains(got, "OPENSSH") || strings.ContainsRune(got, 0x1b) || !utf8.ValidString(got) || !strings.HasPrefix(got, "start") || !strings.HasSuffix(got, "end") {
		t.Errorf("Clean = %q", got)
	}
	if got := remote.Clean(strings.Repeat("ü", 5000)); len(got) > 700 {
		t.Errorf("Clean left %d bytes", len(got))
	}
	if got := remote.Redact("token hunter22 and x", "hunter22", "x", ""); got != "token (redacted) and x" {
		t.Errorf("Redact = %q", got)
	}
}

func FuzzQuote(f *testing.F) {
	n := []string{"", "a b", "it's", "$(x) `y` \\ \"", "\n\t", "\xff", "!"}
	for _, s := range n {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) {
			return
		}
		out, err := shPrint(t, remote.Quote(s))
		if err != nil || out != s {
			t.Errorf("sh made %q of %q: %v", out, s, err)
		}
	})
}

// shPrint has a real sh print one word.
func shPrint(t *testing.T, word string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+word).Output() //nolint:gosec // quoting is what is tested
	return string(out), err
}
