// SPDX-License-Identifier: MPL-2.0

package uploads

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSources(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(t.TempDir(), "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		check func(string) error
		good  []string
		bad   map[string]string // value -> part of the error
	}{
		{"workdir", func(name string) error { _, err := openWorkdir(name); return err }, []string{dir}, map[string]string{filepath.Join(dir, "none"): "no such file", file: "folder", loop: "too many"}},
		{"source", func(name string) error { _, err := openSource(name); return err }, []string{dir, file}, map[string]string{filepath.Join(dir, "none"): "cannot be uploaded", loop: "too many"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, v := range tt.good {
				if err := tt.check(v); err != nil {
					t.Errorf("check(%.40q) = %v", v, err)
				}
			}
			for v, part := range tt.bad {
				if err := tt.check(v); err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("check(%.40q) = %v, want %q in it", v, err, part)
				}
			}
		})
	}
}
