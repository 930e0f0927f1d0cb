// SPDX-License-Identifier: MPL-2.0

package statedir

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := LoadOwner(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := LoadOwner(dir, ""); err != nil || again != first {
		t.Errorf("second load = %q, %v; want %q", again, err, first)
	}
	if own, err := LoadOwner(dir, "ml-team"); err != nil || own != "ml-team" {
		t.Errorf("configured owner = %q, %v", own, err)
	}
	for _, bad := range []string{"A", "a b", "x", strings.Repeat("a", 41), "a/b"} {
		if _, err := LoadOwner(dir, bad); err == nil {
			t.Errorf("owner %q was accepted", bad)
		}
	}
}
