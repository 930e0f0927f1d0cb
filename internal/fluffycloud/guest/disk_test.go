// SPDX-License-Identifier: MPL-2.0

//go:build unix

package guest

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestNoPathLeavesTheDisk: whatever user data says, files land on the disk.
func TestNoPathLeavesTheDisk(t *testing.T) {
	m := &machine{paths: Paths{Dir: "/m"}}
	for in, want := range map[string]string{
		"file":                      "/m/disk/home/file",
		"~/a/b":                     "/m/disk/home/a/b",
		"/home/fluffy/.ssh/config":  "/m/disk/home/.ssh/config",
		"/etc/passwd":               "/m/disk/etc/passwd",
		"../../../etc/passwd":       "/m/disk/home/etc/passwd",
		"/home/fluffy/../../../etc": "/m/disk/home/etc",
		"/m/disk/../../x":           "/m/disk/x",
		"/m/disk/home/y":            "/m/disk/home/y",
		"/../..":                    "/m/disk",
	} {
		if got := m.diskPath(in); got != want || !strings.HasPrefix(filepath.Clean(got), "/m/disk") {
			t.Errorf("%s lands at %s, want %s", in, got, want)
		}
	}
}
