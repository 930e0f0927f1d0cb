// SPDX-License-Identifier: MPL-2.0

package durable

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

func replacements() map[string]func(path string, content []byte) error {
	return map[string]func(path string, content []byte) error{
		"Replace":       func(path string, content []byte) error { return Replace(path, string(content)) },
		"ReplaceShared": ReplaceShared,
		"ReplaceCached": func(path string, content []byte) error { return ReplaceCached(path, content, 0o700) },
	}
}

func TestReplace(t *testing.T) {
	for name, replace := range replacements() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			for _, text := range []string{"a first one", "new"} {
				if err := replace(path, []byte(text)); err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(path); err != nil || string(got) != text {
					t.Errorf("the file holds %q, %v; want %q", got, err, text)
				}
			}
			want := map[string]fs.FileMode{"ReplaceCached": 0o700}[name] | 0o600
			if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != want {
				t.Errorf("the mode is %v, %v; want %v", info.Mode(), err, want)
			}
			// A folder with something in it cannot be replaced.
			if err := os.MkdirAll(filepath.Join(dir, "taken", "x"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := replace(filepath.Join(dir, "taken"), []byte("x")); err == nil {
				t.Error("a folder was replaced by a file")
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
				t.Errorf("in the folder: %v, %v", left, err)
			}
		})
	}
}

// TestReplaceSharedAtOnce lets several write one file, the holder of its lock
// among them, who removes what earlier tries of it left. Every write succeeds, and
// readers see one of the contents whole.
func TestReplaceSharedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	content := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 1<<16) }
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			for range 20 {
				err := ReplaceShared(path, content(i))
				if i == 0 {
					err = Replace(path, string(content(i)))
				}
				if err != nil {
					t.Error(err)
				}
				got, err := os.ReadFile(path)
				if err != nil || len(got) != 1<<16 || !bytes.Equal(got, bytes.Repeat(got[:1], len(got))) {
					t.Errorf("a reader saw %d bytes, %v", len(got), err)
				}
			}
		})
	}
	writers.Wait()
}
