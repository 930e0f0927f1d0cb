// SPDX-License-Identifier: MPL-2.0

package runpod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

// maxKeyFile bounds the file that has the key.
const maxKeyFile = 64 << 10

// findKey finds the API key. That of a pod itself, which RunPod puts into its
// environment, is refused: it is not the user's, and nothing it may do is
// dependable.
func findKey(values map[string]string) (string, error) {
	key, err := lookForKey(values)
	if err == nil && os.Getenv("RUNPOD_POD_ID") != "" && key == os.Getenv(envKey) {
		return "", &fleet.AuthError{Advice: "set api_key in clouds.runpod to a key of your own that may read and write pods", Err: errPodKey}
	}
	return key, err
}

// lookForKey looks at the option, which the environment may have set, and then at
// the files of RunPod's own tools.
func lookForKey(values map[string]string) (string, error) {
	if key := strings.TrimSpace(values[optionKey]); key != "" {
		return key, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", &fleet.AuthError{Advice: adviceKey, Err: errNoKey}
	}
	for _, name := range []string{".runpod/config.toml", ".runpod.yaml"} {
		text, err := localfile.Read(filepath.Join(home, filepath.FromSlash(name)), maxKeyFile)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return "", &fleet.AuthError{Advice: adviceKey, Err: fmt.Errorf("read ~/%s: %w", name, err)}
		}
		if key := keyIn(string(text)); key != "" {
			return key, nil
		}
	}
	return "", &fleet.AuthError{Advice: adviceKey, Err: errNoKey}
}

// keyIn reads a file of RunPod's tools: runpodctl writes apikey at the top of a
// TOML, and apiKey of a YAML in its older versions; the Python library, and with it
// SkyPilot, writes api_key in the section [default] of the TOML.
func keyIn(text string) string {
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[] \t")
			continue
		}
		at := strings.IndexAny(line, "=:")
		if at < 0 || strings.HasPrefix(line, "#") || (section != "" && section != "default") {
			continue
		}
		name := strings.ToLower(strings.ReplaceAll(strings.Trim(line[:at], " \t\""), "_", ""))
		if name == "apikey" {
			return unquoted(strings.TrimSpace(line[at+1:]))
		}
	}
	return ""
}

// unquoted is a value without its quotes, or without the comment behind it.
func unquoted(value string) string {
	if value != "" && (value[0] == '"' || value[0] == '\'') {
		inner, _, _ := strings.Cut(value[1:], value[:1])
		return inner
	}
	word, _, _ := strings.Cut(value, "#")
	return strings.TrimSpace(word)
}

// MissingCredentials implements cloud.Keyless.
func (Factory) MissingCredentials(creds cloud.Credentials) string {
	switch _, err := findKey(creds.Values); {
	case errors.Is(err, errNoKey):
		return "there is no API key; " + adviceKey
	case errors.Is(err, errPodKey):
		return err.Error()
	}
	return ""
}
