// SPDX-License-Identifier: MPL-2.0

//go:build unix

package localfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	err := errors.Join(
		os.WriteFile(at("file"), []byte("12345678"), 0o600), os.Symlink("file", at("link")), os.Symlink("loop", at("loop")),
		syscall.Mkfifo(at("pipe"), 0o600), os.Symlink("pipe", at("link to a pipe")),
		os.Truncate(at("file"), 8), os.WriteFile(at("sparse"), nil, 0o600), os.Truncate(at("sparse"), 1<<40),
	)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		at("file"): "", at("link"): "", at("loop"): "too many levels", at("none"): "no such file",
		dir: "is a folder", at("pipe"): "is a named pipe", at("link to a pipe"): "is a named pipe",
		"/dev/zero": "is a device", "/dev/null": "is a device", at("sparse"): "larger than the 8 bytes",
	} {
		text, err := localfile.Read(path, 8)
		switch {
		case want == "" && (err != nil || string(text) != "12345678"):
			t.Errorf("Read(%s) = %q, %v", path, text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path)):
			t.Errorf("Read(%s) = %v, want an error with %q and the path", path, err, want)
		}
	}
	if _, err := localfile.Read(at("none"), 8); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := localfile.Read(at("file"), 7); err == nil || !strings.Contains(err.Error(), "7 bytes") {
		t.Errorf("one byte too much: %v", err)
	}
}
