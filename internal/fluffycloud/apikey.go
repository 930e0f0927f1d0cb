// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
)

// loadAPIKey reads the account's key, or makes one.
func loadAPIKey(dir string) (string, error) {
	path := filepath.Join(dir, "api_key")
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		key := "fluffy-" + randomHex(24)
		return key, guest.WriteFile(path, []byte(key+"\n"), 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("read API key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("the API key in %s can be read by others (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	return readAPIKey(dir)
}

// readAPIKey reads the key a server made.
func readAPIKey(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "api_key"))
	if err != nil {
		return "", fmt.Errorf("read API key: %w", err)
	}
	key := strings.TrimSpace(string(data))
	if key == "" {
		return "", fmt.Errorf("the API key in %s is empty; remove the file for a new one", filepath.Join(dir, "api_key"))
	}
	return key, nil
}
