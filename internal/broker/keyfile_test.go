// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// The key's file is found where it is now, and named from the root, since an
// ssh_config is read from any folder.
func TestKeyFile(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		made := c.KeyPath
		if got := x.KeyFile(c); got != made {
			t.Errorf("KeyFile = %q, want %q", got, made)
		}
		c.KeyPath = "/home/of/another/computer/id_ed25519"
		if got := x.KeyFile(c); got != made {
			t.Errorf("with another computer's path KeyFile = %q, want %q", got, made)
		}
		if err := os.Remove(made); err != nil {
			t.Fatal(err)
		}
		if got := x.KeyFile(c); got != "" {
			t.Errorf("without a key KeyFile = %q", got)
		}
		var missing *cluster.MissingKeyError
		if _, err := x.SignersOf(c); !errors.As(err, &missing) {
			t.Errorf("without a key SignersOf: %v", err)
		}
		own := filepath.Join(t.TempDir(), "own")
		if _, err := remote.EnsureKeyPair(own); err != nil {
			t.Fatal(err)
		}
		here, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		if x.cfg.KeyPath, err = filepath.Rel(here, own); err != nil {
			t.Fatal(err)
		}
		if got := x.KeyFile(c); got != own {
			t.Errorf("with a relative path of the user's own KeyFile = %q, want %q", got, own)
		}
		if err := x.writeSSHFiles(c); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(x.SSHConfigPath("train")); err != nil || !strings.Contains(string(text), "IdentityFile "+own+"\n") {
			t.Errorf("ssh_config is\n%s", text)
		}
	})
}

// With the user's own key as text no other is made, and none is on the disk.
func TestLaunchWithAKeyInMemory(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "own")
		public, err := remote.EnsureKeyPair(path)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := remote.LoadSigner(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		x := newBench(t, stateDir(t), newFakeCloud())
		x.cfg.Signers = func() ([]ssh.Signer, error) { return []ssh.Signer{signer}, nil }
		c := x.mustLaunch(t, twoNodes("train"))
		ring, err := x.folder("train").MakeKeys(c.Generation, "", 2)
		if err != nil || len(ring.Authorized) != 1 || !strings.HasPrefix(public, ring.Authorized[0]) && !strings.HasPrefix(ring.Authorized[0], strings.TrimSpace(public)) {
			t.Errorf("let in are %q, %v; want %q", ring.Authorized, err, public)
		}
		if made, err := filepath.Glob(filepath.Join(x.ClusterDir("train"), "*", "id_*")); err != nil || len(made) > 0 {
			t.Errorf("keys were made: %q, %v", made, err)
		}
		if c.KeyPath != "" {
			t.Errorf("the key's path is %q", c.KeyPath)
		}
	})
}
