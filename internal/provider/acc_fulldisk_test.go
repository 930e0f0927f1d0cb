// SPDX-License-Identifier: MPL-2.0

//go:build linux

package provider_test

import (
	"bytes"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// fullDiskKey is set for a provider of which no file may grow, as on a full disk.
const fullDiskKey = "SKY_TEST_FULL_DISK"

// fillDisk does so in this process where that is asked for.
func fillDisk() error {
	if os.Getenv(fullDiskKey) == "" {
		return nil
	}
	signal.Ignore(syscall.SIGXFSZ)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{})
}

// files lists what is in the provider's state folder, the cloud's own left out.
func (w *workspace) files() []string {
	w.t.Helper()
	var out []string
	err := filepath.WalkDir(w.lab.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && path == filepath.Join(w.lab.dir, "fluffycloud") {
			return filepath.SkipDir
		}
		if err == nil && !d.IsDir() {
			out = append(out, strings.TrimPrefix(path, w.lab.dir))
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// TestAccFullDisk refreshes, plans and destroys with a provider that can write
// nothing into its state folder, and looks for half-written files.
func TestAccFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, `
resource "sky_cluster" "c" {
  count     = 2
  name      = "full-${count.index}"
  resources = { instance_type = "puff-2", ports = ["8080"] }
}
`)
	w.mustRun(applyArgs()...)
	before := len(w.files())
	for _, args := range [][]string{
		{"apply", "-refresh-only", "-auto-approve", "-no-color"},
		{"plan", "-detailed-exitcode", "-no-color"},
		{"plan", "-no-color", "-replace=sky_cluster.c[0]"},
		{"destroy", "-auto-approve", "-no-color"},
	} {
		var out bytes.Buffer
		if err := w.startWith(&out, []string{fullDiskKey + "=1"}, args...).Wait(); err != nil {
			t.Errorf("terraform %v: %v\n%s", args, err, out.String())
		}
	}
	w.wantEmpty()
	after := w.files()
	if half := regexp.MustCompile(`\.new$|\.[0-9a-f]{8,}$`); len(after) > before || slices.ContainsFunc(after, half.MatchString) {
		t.Errorf("files piled up: %v", after)
	}
}
