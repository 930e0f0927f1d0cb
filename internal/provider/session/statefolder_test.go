// SPDX-License-Identifier: MPL-2.0

package session

import (
	"path/filepath"
	"testing"
)

// TestStateFolder is of the provider block, and of gc, which opens a session.
func TestStateFolder(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	t.Setenv("SKY_STATE_DIR", "~/from-variable")
	for configured, want := range map[string]string{"~/from-block": "from-block", "": "from-variable"} {
		if got, err := (Settings{StateDir: configured, Getenv: Getenv}).Folder(); err != nil || got != filepath.Join(home, want) {
			t.Errorf("state_dir %q: %s, %v", configured, got, err)
		}
	}
}
