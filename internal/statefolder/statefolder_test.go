// SPDX-License-Identifier: MPL-2.0

package statefolder

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	home, work := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	t.Chdir(work)
	elsewhere := filepath.Join(t.TempDir(), "sky")
	for _, tt := range []struct{ configured, variable, want string }{
		{"", "", filepath.Join(home, ".terraform-provider-sky")},
		{"", elsewhere, elsewhere},
		{elsewhere, "~/other", elsewhere},
		{"~/a/b", elsewhere, filepath.Join(home, "a", "b")},
		{"", "~/a/b", filepath.Join(home, "a", "b")},
		{"state", "", filepath.Join(work, "state")},
		{"", "./state", filepath.Join(work, "state")},
		{"~other", "", filepath.Join(work, "~other")},
	} {
		got, err := Resolve(tt.configured, func(name string) string { return map[string]string{"SKY_STATE_DIR": tt.variable}[name] })
		if err != nil || got != tt.want {
			t.Errorf("configured %q, %s=%q: %q, %v; want %q", tt.configured, variable, tt.variable, got, err, tt.want)
		}
	}
}

func TestResolveWithoutHome(t *testing.T) {
	for _, name := range []string{"HOME", "USERPROFILE", "home"} { // as the systems call it
		t.Setenv(name, "")
	}
	if got, err := Resolve("~/x", func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("without a home folder: %q, %v", got, err)
	}
}
