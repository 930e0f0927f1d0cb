// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"path/filepath"
	"testing"
)

// TestCommandStateFolder expects the folder that the provider takes, too.
func TestCommandStateFolder(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	t.Setenv("SKY_STATE_DIR", "~/from-variable")
	for flag, want := range map[string]string{"~/from-flag": "from-flag", "": "from-variable"} {
		if got, err := (&cli{stateDir: flag}).dir(); err != nil || got != filepath.Join(home, want, "fluffycloud") {
			t.Errorf("--state-dir %q: %s, %v", flag, got, err)
		}
	}
}
