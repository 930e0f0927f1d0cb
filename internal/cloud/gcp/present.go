// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// MissingCredentials implements cloud.Keyless. It looks where findCredentials
// does, and at the firmware instead of the metadata server.
func (Factory) MissingCredentials(creds cloud.Credentials) string {
	if creds.Values[optionCredentials] != "" || creds.Values[optionAccessToken] != "" || os.Getenv("GCE_METADATA_HOST") != "" {
		return ""
	}
	if path, err := defaultFile(); path != "" || err != nil {
		return "" // what is wrong with it, Open says
	}
	dirs := []string{os.Getenv("APPDATA")}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(home, ".config"))
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "gcloud", "application_default_credentials.json")); dir != "" && err == nil {
			return ""
		}
	}
	if text, err := os.ReadFile("/sys/class/dmi/id/product_name"); err == nil && strings.Contains(string(text), "Google") {
		return ""
	}
	return "there are no credentials in the provider block, in GOOGLE_APPLICATION_CREDENTIALS or in gcloud's folder"
}
