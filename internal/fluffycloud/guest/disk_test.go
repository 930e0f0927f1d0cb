// SPDX-License-Identifier: MPL-2.0

//go:build unix

package guest

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhereLoopbackIsOneAddress: ports tell machines apart, and one that comes
// up again gets its own back.
func TestWhereLoopbackIsOneAddress(t *testing.T) {
	nowhere := []string{"no address", "203.0.113.7"}
	first, err := listen(Config{Addresses: nowhere})
	if err != nil {
		t.Fatal(err)
	}
	second, err := listen(Config{Addresses: nowhere})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	addr, ok := first.Addr().(*net.TCPAddr)
	if !ok || addr.IP.String() != "127.0.0.1" || first.Addr().String() == second.Addr().String() {
		t.Fatalf("%s and %s", first.Addr(), second.Addr())
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := listen(Config{Addresses: nowhere, LastAddress: addr.IP.String(), LastPort: addr.Port})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if again.Addr().String() != addr.String() {
		t.Errorf("%s, was %s", again.Addr(), addr)
	}
}

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
