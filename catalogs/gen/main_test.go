// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestCatalogsAreWhatTheTablesSay(t *testing.T) {
	dir := t.TempDir()
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		want, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join("..", path))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			t.Errorf("catalogs/%s is not what the tables say; run go run ./catalogs/gen", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
