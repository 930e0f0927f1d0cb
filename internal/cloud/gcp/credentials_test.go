// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp/gcpfake"
)

// serviceAccountKey is a key file as Google makes them, for an account of the fake's.
func serviceAccountKey(t *testing.T, tokenURL string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": gcpfake.Project, "client_email": "ci@acme-weather.iam.gserviceaccount.com", "private_key_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": tokenURL,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCredentials(t *testing.T) {
	fake := gcpfake.Start(t, gcpfake.Options{})
	key := serviceAccountKey(t, fake.URL+"/token")
	path := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(path, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, values := range map[string]map[string]string{
		"content":       {optionCredentials: key},
		"path":          {optionCredentials: path},
		"impersonation": {optionCredentials: key, optionImpersonate: gcpfake.Deleter},
		"access token":  {optionAccessToken: gcpfake.Token, optionProject: gcpfake.Project},
	} {
		values[optionEndpoint] = fake.URL
		s, err := Factory{http: fake.Client()}.Open(t.Context(), cloud.Credentials{Values: values})
		if err != nil || s.Account != gcpfake.Project {
			t.Errorf("%s: account %q, %v", name, s.Account, err)
		}
	}
	t.Run("application default", func(t *testing.T) {
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
		s, err := Factory{http: fake.Client()}.Open(t.Context(), cloud.Credentials{Values: map[string]string{optionEndpoint: fake.URL}})
		if err != nil || s.Account != gcpfake.Project {
			t.Errorf("account %q, %v", s.Account, err)
		}
	})
}

func TestCredentialsRefused(t *testing.T) {
	fake := gcpfake.Start(t, gcpfake.Options{})
	key := serviceAccountKey(t, fake.URL+"/nowhere")
	good := serviceAccountKey(t, fake.URL+"/token")
	for name, tt := range map[string]struct {
		values map[string]string
		want   string
		kind   cloud.Kind
	}{
		"token refused":      {map[string]string{optionAccessToken: "wrong", optionProject: gcpfake.Project}, "gcloud auth application-default login", cloud.KindAuth},
		"no such project":    {map[string]string{optionAccessToken: gcpfake.Token, optionProject: "no-such-project"}, `no project "no-such-project"`, cloud.KindAuth},
		"no project":         {map[string]string{optionAccessToken: gcpfake.Token}, "set project", cloud.KindConfig},
		"both":               {map[string]string{optionAccessToken: "a", optionCredentials: "b"}, "both set", cloud.KindConfig},
		"no file":            {map[string]string{optionCredentials: "/no/such/file"}, "cannot be read", cloud.KindConfig},
		"nonsense":           {map[string]string{optionCredentials: `{"type":"password"}`}, "neither a path nor the content", cloud.KindConfig},
		"no token for a key": {map[string]string{optionCredentials: key}, "refuses the credentials", cloud.KindAuth},
		"may not impersonate": {
			map[string]string{optionCredentials: good, optionImpersonate: "boss@acme-weather.iam.gserviceaccount.com"}, "cannot act as boss@", cloud.KindAuth,
		},
		"plain HTTP":  {map[string]string{optionEndpoint: "http://compute.example.com", optionAccessToken: "a", optionProject: "p"}, "use https", cloud.KindConfig},
		"bad boolean": {map[string]string{optionInternal: "maybe"}, `"true" or "false"`, cloud.KindConfig},
		"bad account": {map[string]string{optionServiceAccount: "me"}, "not an e-mail address", cloud.KindConfig},
		"bad network": {map[string]string{optionNetwork: "a/b"}, "neither a name", cloud.KindConfig},
		"unreachable": {map[string]string{optionEndpoint: "http://127.0.0.1:1", optionAccessToken: "a", optionProject: "p"}, "127.0.0.1:1", cloud.KindTransient},
	} {
		if tt.values[optionEndpoint] == "" {
			tt.values[optionEndpoint] = fake.URL
		}
		_, err := Factory{http: fake.Client()}.Open(t.Context(), cloud.Credentials{Values: tt.values})
		if err == nil || !strings.Contains(err.Error(), tt.want) || classify(err).Kind != tt.kind {
			t.Errorf("%s: Open returned %v (%s), want %q (%s)", name, err, classify(err), tt.want, tt.kind)
		}
		for _, secret := range []string{key, good, "PRIVATE KEY", gcpfake.Token} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error quotes a secret", name)
			}
		}
	}
}
