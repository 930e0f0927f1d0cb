// SPDX-License-Identifier: MPL-2.0

package runpod

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// TestKeyOfThePod: within a pod, the key that RunPod put there is refused with the
// reason, wherever it was found; one of the user's is taken.
func TestKeyOfThePod(t *testing.T) {
	t.Setenv(envKey, "pods-own")
	for _, tt := range []struct {
		pod, key string
		refused  bool
	}{{"", "pods-own", false}, {"abc123", "pods-own", true}, {"abc123", "mine", false}} {
		t.Setenv("RUNPOD_POD_ID", tt.pod)
		creds := cloud.Credentials{Values: map[string]string{optionKey: tt.key}}
		_, err := findKey(creds.Values)
		missing := Factory{}.MissingCredentials(creds)
		if (err != nil) != tt.refused || strings.Contains(missing, "the pod's own") != tt.refused {
			t.Errorf("in pod %q the key %q is answered with %v, and missing is %q", tt.pod, tt.key, err, missing)
		}
		if err != nil && (strings.Contains(err.Error(), "pods-own") || !strings.Contains(err.Error(), "set api_key in clouds.runpod")) {
			t.Errorf("the error is %v", err)
		}
	}
}

// TestKeysOfOtherTools: what people have already is found, in this order.
func TestKeysOfOtherTools(t *testing.T) {
	for name, tt := range map[string]struct {
		toml, yaml, option, want string
	}{
		"none":                {"", "", "", ""},
		"option":              {"apikey = 'toml'", "", "option", "option"},
		"runpodctl":           {"apikey = 'rpa_1'\napiurl = \"https://api.runpod.io/graphql\"\n", "apiKey: old", "", "rpa_1"},
		"python and skypilot": {"[other]\napi_key = \"no\"\n\n[default]\napi_key = \"rpa_2\" # mine\n", "", "", "rpa_2"},
		"bare, with comment":  {"# apikey = no\napiKey = rpa_3 # mine\n", "", "", "rpa_3"},
		"old runpodctl":       {"", "apiKey: rpa_4\napiUrl: https://api.runpod.io/graphql\n", "", "rpa_4"},
		"another section":     {"[prod]\napi_key = \"rpa_5\"\n", "", "", ""},
		"empty":               {"apikey = ''\n", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("HOME", home)
			t.Setenv("USERPROFILE", home)
			for file, text := range map[string]string{".runpod/config.toml": tt.toml, ".runpod.yaml": tt.yaml} {
				if text == "" {
					continue
				}
				path := filepath.Join(home, filepath.FromSlash(file))
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			values := map[string]string{optionKey: tt.option}
			got, err := findKey(values)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("findKey = %q, %v, want %q", got, err, tt.want)
			}
			missing := Factory{}.MissingCredentials(cloud.Credentials{Values: values})
			if (missing == "") != (tt.want != "") || (missing != "" && !strings.Contains(missing, "RUNPOD_API_KEY")) {
				t.Errorf("MissingCredentials = %q", missing)
			}
			if err != nil && !strings.Contains(err.Error(), "~/.runpod/config.toml") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
