// SPDX-License-Identifier: MPL-2.0

package nodes

import "testing"

// The login is what engines look for under the registry's name, and nothing where
// there is none, so that a login of the machine's own counts.
func TestRegistryLogin(t *testing.T) {
	if text := (Container{Image: "nvcr.io/x:1"}).login(); text != nil {
		t.Errorf("without a login: %s", text)
	}
	login := RegistryLogin{Username: "$oauthtoken", Password: "a:b"}
	for image, want := range map[string]string{
		"nvcr.io/x:1":     `{"auths":{"nvcr.io":{"auth":"JG9hdXRodG9rZW46YTpi"}}}`,
		"docker.io/x/y:1": `{"auths":{"docker.io":{"auth":"JG9hdXRodG9rZW46YTpi"},"https://index.docker.io/v1/":{"auth":"JG9hdXRodG9rZW46YTpi"}}}`,
	} {
		if got := (Container{Image: image, Login: login}).login(); string(got) != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
}
