// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// MissingCredentials implements cloud.Keyless. The SDK's chain has more to try
// than can be seen here, so only where nothing of it is there at all is it missing.
func (Factory) MissingCredentials(creds cloud.Credentials) string {
	for _, option := range []string{optionAccessKey, optionProfile} {
		if creds.Values[option] != "" {
			return ""
		}
	}
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EC2_METADATA_SERVICE_ENDPOINT",
	} {
		if os.Getenv(name) != "" {
			return ""
		}
	}
	files := []string{os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), os.Getenv("AWS_CONFIG_FILE")}
	if home, err := os.UserHomeDir(); err == nil {
		files = append(files, filepath.Join(home, ".aws", "credentials"), filepath.Join(home, ".aws", "config"))
	}
	for _, file := range files {
		if _, err := os.Stat(file); file != "" && err == nil {
			return ""
		}
	}
	if onEC2() {
		return ""
	}
	return "there are no keys in the provider block or in the environment, and no profile in ~/.aws"
}

// onEC2 reports whether the firmware says that this computer is a machine of
// EC2, which may have a role.
func onEC2() bool {
	for _, file := range []string{"sys_vendor", "bios_vendor", "board_asset_tag"} {
		text, err := os.ReadFile(filepath.Join("/sys/class/dmi/id", file))
		if err == nil && (strings.Contains(string(text), "Amazon EC2") || strings.HasPrefix(string(text), "i-")) {
			return true
		}
	}
	return false
}
