// SPDX-License-Identifier: MPL-2.0

package ibm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

// keyFile is where SkyPilot keeps the key.
const keyFile = ".ibm/credentials.yaml"

// advice says what enables the cloud.
const advice = "set api_key in clouds.ibm or IC_API_KEY, or put a line \"iam_api_key: ...\" into ~/" + keyFile

var errNoKey = errors.New("there is no line iam_api_key in ~/" + keyFile)

// credentials are what a user has on this computer.
type credentials struct{ key, group string }

// findKey finds the API key, or says why there is none. The file is only read for
// who sets no key.
func findKey(creds cloud.Credentials) (credentials, error) {
	if key := strings.TrimSpace(creds.Values[optionKey]); key != "" {
		return credentials{key: key}, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return credentials{}, &fleet.AuthError{Advice: advice, Err: err}
	}
	text, err := localfile.Read(filepath.Join(home, filepath.FromSlash(keyFile)), 64<<10)
	if err != nil {
		return credentials{}, &fleet.AuthError{Advice: advice, Err: err}
	}
	found := credentials{key: topLevel(string(text), "iam_api_key"), group: topLevel(string(text), "resource_group_id")}
	if found.key == "" {
		return credentials{}, &fleet.AuthError{Advice: advice, Err: errNoKey}
	}
	return found, nil
}

// topLevel is a text of a YAML file's first level: all that this file has.
func topLevel(text, name string) string {
	for line := range strings.Lines(text) {
		value, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		if value == "" {
			return ""
		}
		if quote := value[:1]; quote == `"` || quote == "'" {
			value, _, _ = strings.Cut(value[1:], quote)
			return value
		}
		value, _, _ = strings.Cut(value, " #")
		return strings.TrimSpace(value)
	}
	return ""
}
