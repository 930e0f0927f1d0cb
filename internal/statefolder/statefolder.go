// SPDX-License-Identifier: MPL-2.0

// Package statefolder says where the provider keeps what it remembers on this
// computer. The provider and every command for people ask here, so that they mean
// the same folder.
package statefolder

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// variable is the environment variable that names the folder.
const variable = "SKY_STATE_DIR"

// Resolve returns the absolute path of the state folder: what is configured (the
// attribute state_dir or the flag --state-dir), else the variable, else the
// default in the home folder. A leading "~/" is the home folder, also where no
// shell expands it.
func Resolve(configured string, getenv func(string) string) (string, error) {
	dir := configured
	if dir == "" {
		dir = getenv(variable)
	}
	if dir == "" {
		dir = "~/.terraform-provider-sky"
	}
	if rest, ok := strings.CutPrefix(dir, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("the state folder %q needs a home folder; name another one with state_dir, --state-dir or %s: %w", dir, variable, err)
		}
		dir = filepath.Join(home, rest)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("the state folder: %w", err)
	}
	return dir, nil
}
