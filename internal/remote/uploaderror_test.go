// SPDX-License-Identifier: MPL-2.0

package remote_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

// TestUploadErrorIsNotALostConnection: what fails by the upload's own nature has
// a type of its own, and what the way there and back did has not.
func TestUploadErrorIsNotALostConnection(t *testing.T) {
	src := t.TempDir()
	write(t, src, map[string]string{"a": strings.Repeat("x", 1<<20)})
	vanishing := filepath.Join(t.TempDir(), "none")
	for _, tt := range []struct {
		name      string
		node      remotetest.Behaviour
		src, dest string
		own, here bool
	}{
		{"a path that is forbidden", remotetest.Behaviour{}, src, "/proc/data/set", true, false},
		{"a device in the way", remotetest.Behaviour{}, src, "~/full/set", true, false},
		{"a file in the way", remotetest.Behaviour{}, src, "~/file", true, false},
		{"no source", remotetest.Behaviour{}, vanishing, "~/w", true, true},
		{"no target", remotetest.Behaviour{}, src, "/", true, true},
		{"a lost connection", remotetest.Behaviour{DropAfter: 300_000}, src, "~/w", false, false},
		{"no commands", remotetest.Behaviour{RefuseExec: true}, src, "~/w", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := remotetest.NewNode(t, tt.node)
			write(t, n.Home, map[string]string{"file": ""})
			if err := os.Symlink("/dev/full", filepath.Join(n.Home, "full")); err != nil {
				t.Fatal(err)
			}
			err := dial(t, n).PutTree(t.Context(), tt.src, tt.dest)
			if err == nil {
				t.Fatal("the upload succeeded")
			}
			own := (*remote.UploadError)(nil)
			if errors.As(err, &own) != tt.own || tt.own && own.Local != tt.here {
				t.Errorf("%v: %+v, want own %t, here %t", err, own, tt.own, tt.here)
			}
		})
	}
}

// TestSignalIsNoWordOfTheNode: a tar that something killed refused nothing.
func TestSignalIsNoWordOfTheNode(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "tar"), []byte("#!/bin/sh\nkill -9 $$\n"), 0o700); err != nil { //nolint:gosec // a program of the test
		t.Fatal(err)
	}
	n := remotetest.NewNode(t, remotetest.Behaviour{Env: []string{"PATH=" + bin + ":" + os.Getenv("PATH")}})
	src := t.TempDir()
	write(t, src, map[string]string{"a": "x"})
	err := dial(t, n).PutTree(t.Context(), src, "~/w")
	exit, own := (*remote.ExitError)(nil), (*remote.UploadError)(nil)
	if !errors.As(err, &exit) || exit.Code != 137 || errors.As(err, &own) {
		t.Errorf("PutTree = %v, want the exit code 137 and no UploadError", err)
	}
}
