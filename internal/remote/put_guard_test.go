// SPDX-License-Identifier: MPL-2.0

package remote_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

// TestUploadsLockNobodyOut: what lets us in and our own records survive every
// upload, whatever it is called and wherever links on the machine lead; what can
// be merged with them is.
func TestUploadsLockNobodyOut(t *testing.T) {
	t.Parallel()
	const keys = ".ssh/authorized_keys"
	file := map[string]string{"f": "x"}
	for _, tt := range []struct {
		name    string
		home    map[string]string // beyond the keys and records that are there
		files   map[string]string
		of      string // the source within files; empty is all
		dest    string // HOME stands for the home folder
		refused string // empty where the upload is fine
	}{
		{"the keys", nil, file, "f", "~/.ssh/authorized_keys", "let the provider in"},
		{"the keys in other words", nil, file, "f", "~/a/../.ssh/./authorized_keys", "let the provider in"},
		{"the other keys", nil, file, "f", "HOME/.ssh/authorized_keys2", "let the provider in"},
		{"below the keys", nil, file, "", "~/.ssh/authorized_keys/x", "File exists|Not a directory|let the provider in"},
		{"our folder", nil, file, "", "~/.sky", "provider's own folder"},
		{"in our folder", nil, file, "", "~/.sky/trees", "provider's own folder"},
		{"in our folder, by a link", map[string]string{"l": "-> .sky"}, file, "", "~/l/new", "provider's own folder"},
		{"keys by a link", map[string]string{"l": "-> .ssh"}, file, "f", "~/l/authorized_keys", "let the provider in"},
		{"a link for the keys' folder", map[string]string{"l": "-> .ssh"}, map[string]string{"authorized_keys": "x"}, "", "~/l", "source holds authorized_keys"},
		{"a folder with keys", nil, map[string]string{"authorized_keys": "x", "config": "c"}, "", "~/.ssh", "source holds authorized_keys"},
		{"a home with keys", nil, map[string]string{keys: "x"}, "", "~", "source holds .ssh/authorized_keys"},
		{"a home with a file for the folder", nil, map[string]string{".ssh": "x"}, "", "~", "source holds .ssh/authorized_keys"},
		{"a home with a link for the folder", nil, map[string]string{".ssh": "-> elsewhere"}, "", "HOME", "source holds .ssh/authorized_keys"},
		{"a home with our folder", nil, map[string]string{".sky/jobs/x": "x"}, "", "~", "source holds .sky"},
		{"around the home", nil, map[string]string{"the home/.ssh/authorized_keys": "x"}, "", "HOME/..", "source holds the home/.ssh/authorized_keys"},
		{"a file for the home", nil, file, "f", "~", "the target is a folder"},
		{"out of the home", nil, file, "", "~/../x", "cannot be a target"},
		{"a link in the target", map[string]string{"w/d": "-> ../.ssh"}, map[string]string{"d/authorized_keys": "x"}, "", "~/w", "leads to the provider's own files"},
		{"a link in the target to the home", map[string]string{"w/d": "-> .."}, map[string]string{"d/.ssh/authorized_keys": "x"}, "", "~/w", "leads to the provider's own files"},
		{"a link in the target to our folder", map[string]string{"w/d": "-> ../.sky"}, map[string]string{"d/trees/x": "x"}, "", "~/w", "leads to the provider's own files"},

		{"more for the keys' folder", nil, map[string]string{"config": "c", "id_deploy": "k"}, "", "~/.ssh", ""},
		{"a key of the user's", nil, file, "f", "~/.ssh/id_deploy", ""},
		{"more for the home", nil, map[string]string{".ssh/config": "c", ".vimrc": "v"}, "", "~", ""},
		{"a link in the target, elsewhere", map[string]string{"w/d": "-> ../disk", "disk/f": "x"}, map[string]string{"d/f": "y"}, "", "~/w", ""},
		{"names that begin alike", nil, map[string]string{"authorized_keys_old": "x"}, "", "~/.ssh", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := remotetest.NewNode(t, remotetest.Behaviour{})
			ours := map[string]string{keys: "ssh-ed25519 AAAA", ".sky/trees/x": "record"}
			write(t, n.Home, ours)
			write(t, n.Home, tt.home)
			if err := os.Chmod(filepath.Join(n.Home, ".ssh"), 0o700); err != nil {
				t.Fatal(err)
			}
			src := t.TempDir()
			write(t, src, tt.files)
			err := filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					err = os.Chmod(path, 0o777) //nolint:gosec // which sshd would not believe
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			err = dial(t, n).PutTree(t.Context(), filepath.Join(src, tt.of), strings.ReplaceAll(tt.dest, "HOME", n.Home))
			own := (*remote.UploadError)(nil)
			switch said := ""; {
			case tt.refused == "" && err != nil:
				t.Errorf("PutTree = %v", err)
			case tt.refused != "":
				if err != nil {
					said = err.Error()
				}
				fits := false
				for part := range strings.SplitSeq(tt.refused, "|") {
					fits = fits || strings.Contains(said, part)
				}
				if !errors.As(err, &own) || !fits {
					t.Errorf("PutTree = %v, want %q", err, tt.refused)
				}
			}
			now := read(t, n.Home)
			for name, want := range ours {
				if now[name] != want {
					t.Errorf("%s holds %q", name, now[name])
				}
			}
			for _, dir := range []string{"", ".ssh"} {
				if info, err := os.Lstat(filepath.Join(n.Home, dir)); err != nil || info.Mode().Perm()&0o022 != 0 {
					t.Errorf("%q can be written by others: %v, %v", dir, info.Mode(), err)
				}
			}
		})
	}
}

// TestReadOnlyFoldersAreUpdated: who is not root uploads into a folder that is
// read-only again, with its mode as before.
func TestReadOnlyFoldersAreUpdated(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{Plain: true})
	write(t, n.Home, map[string]string{"x": ""})
	n.Own()
	c := dial(t, n)
	src := t.TempDir()
	write(t, src, map[string]string{"ro/deep/a": "1", "ro/gone": "1", "ro/b": "1", "top": "1"})
	mode := func(root string, mode fs.FileMode, names ...string) {
		t.Helper()
		for _, name := range names {
			if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	mode(src, 0o555, "ro/deep", "ro")
	if err := c.PutTree(t.Context(), src, "~/w"); err != nil {
		t.Fatal(err)
	}
	mode(src, 0o755, "ro/deep", "ro")
	if err := os.Remove(filepath.Join(src, "ro/gone")); err != nil {
		t.Fatal(err)
	}
	write(t, src, map[string]string{"ro/deep/a": "2", "ro/new/c": "2", "ro/b": "2"})
	mode(src, 0o555, "ro/deep", "ro/new", "ro")
	mode(src, 0o600, "top")
	dest := filepath.Join(n.Home, "w")
	mode(dest, 0o555, ".") // as somebody on the machine may
	if err := c.PutTree(t.Context(), src, "~/w"); err != nil {
		t.Fatal(err)
	}
	same(t, read(t, dest), read(t, src))
	for name, want := range map[string]fs.FileMode{".": 0o555, "ro": 0o555, "ro/deep": 0o555, "ro/new": 0o555, "top": 0o600} {
		if info, err := os.Stat(filepath.Join(dest, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	// What somebody else owns cannot be opened, and is said.
	if os.Geteuid() == 0 {
		if err := os.Lchown(filepath.Join(dest, "ro"), 0, 0); err != nil {
			t.Fatal(err)
		}
		mode(src, 0o755, "ro")
		write(t, src, map[string]string{"ro/b": "3"})
		own := (*remote.UploadError)(nil)
		if err := c.PutTree(t.Context(), src, "~/w"); !errors.As(err, &own) || !strings.Contains(err.Error(), "./ro") {
			t.Errorf("PutTree into another's folder = %v", err)
		}
	}
}
