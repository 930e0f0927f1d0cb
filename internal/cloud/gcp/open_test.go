// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp/gcpfake"
)

// openFor opens the cloud as a process of its own does, with what it finds in
// its environment, and prints whose it is, or the error.
func openFor(fake string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	values := map[string]string{optionEndpoint: "http://" + fake}
	for _, o := range (Factory{}).Options() {
		for _, name := range o.Env {
			if v := os.Getenv(name); v != "" && values[o.Name] == "" {
				values[o.Name] = v
			}
		}
	}
	s, err := Factory{http: fakekit.ClientOf(fake)}.Open(ctx, cloud.Credentials{Values: values})
	if err != nil {
		fmt.Fprintf(os.Stdout, "%s: %v\n", classify(err), err)
		return
	}
	fmt.Fprintln(os.Stdout, "account "+s.Account)
}

// TestEveryWayToCredentials: each way that Google's tools know, in a process
// that has no other, to a call that the project answers.
func TestEveryWayToCredentials(t *testing.T) {
	fake := gcpfake.Start(t, gcpfake.Options{})
	address := strings.TrimPrefix(fake.URL, "http://")
	dir := t.TempDir()
	file := func(name string, content any) string {
		t.Helper()
		text, isText := content.(string)
		if !isText {
			encoded, err := json.Marshal(content)
			if err != nil {
				t.Fatal(err)
			}
			text = string(encoded)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	login := func(refresh string) map[string]string {
		return map[string]string{"type": "authorized_user", "client_id": "id", "client_secret": "secret", "refresh_token": refresh}
	}
	impersonating := func(who string) map[string]any {
		return map[string]any{
			"type": "impersonated_service_account", "source_credentials": login(gcpfake.RefreshToken),
			"service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + who + ":generateAccessToken",
		}
	}
	file("home/.config/gcloud/application_default_credentials.json", login(gcpfake.RefreshToken))
	subject := file("subject", gcpfake.RefreshToken)
	federation := map[string]any{
		"type": "external_account", "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
		"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
		"credential_source": map[string]string{"file": subject},
	}
	const project = "GOOGLE_CLOUD_PROJECT=" + gcpfake.Project
	good := "account " + gcpfake.Project
	for name, tt := range map[string]struct {
		env  []string
		want string
	}{
		"key, by the tools' variable": {[]string{"GOOGLE_APPLICATION_CREDENTIALS=" + file("key", serviceAccountKey(t, fake.URL+"/token"))}, good},
		"key, by the providers' one":  {[]string{"GOOGLE_CREDENTIALS=" + filepath.Join(dir, "key")}, good},
		"login of gcloud":             {[]string{"HOME=" + dir + "/home", project}, good},
		"login in another folder":     {[]string{"CLOUDSDK_CONFIG=" + dir + "/home/.config/gcloud", "HOME=/nonexistent", project}, good},
		"metadata server":             {[]string{"GCE_METADATA_HOST=" + address}, good},
		"workload identity":           {[]string{"GOOGLE_APPLICATION_CREDENTIALS=" + file("federation", federation), project}, good},
		"impersonation in the file":   {[]string{"GOOGLE_APPLICATION_CREDENTIALS=" + file("acting", impersonating(gcpfake.Deleter)), project}, good},
		"impersonation by variable":   {[]string{"GCE_METADATA_HOST=" + address, "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT=" + gcpfake.Deleter}, good},
		"access token":                {[]string{"GOOGLE_OAUTH_ACCESS_TOKEN=" + gcpfake.Token, project}, good},

		"nothing at all":           {nil, "auth (cloud): there are no Google Cloud credentials: run gcloud auth application-default login"},
		"a file that is not there": {[]string{"GOOGLE_APPLICATION_CREDENTIALS=" + dir + "/nowhere"}, "auth (cloud): the file that GOOGLE_APPLICATION_CREDENTIALS names"},
		"login without a project":  {[]string{"HOME=" + dir + "/home"}, "config (cloud): the credentials name no project: set project, or GOOGLE_CLOUD_PROJECT"},
		"login that was revoked": {
			[]string{"GOOGLE_APPLICATION_CREDENTIALS=" + file("revoked", login("old")), project}, "auth (cloud): Google Cloud refuses the credentials: run gcloud auth application-default login",
		},
		"may not act in the file": {
			[]string{"GOOGLE_APPLICATION_CREDENTIALS=" + file("notacting", impersonating("boss@x")), project}, "auth (cloud): Google Cloud refuses the credentials",
		},
		"may not act": {
			[]string{"GCE_METADATA_HOST=" + address, "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT=boss@x"}, "grant roles/iam.serviceAccountTokenCreator",
		},
		"another's project": {[]string{"GCE_METADATA_HOST=" + address, "GOOGLE_CLOUD_PROJECT=elsewhere"}, `auth (cloud): there is no project "elsewhere"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append([]string{"SKY_TEST_OPEN=" + address, "HOME=" + dir + "/nobody"}, tt.env...)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), tt.want) {
				t.Errorf("it says %q, %v; want %q", out, err, tt.want)
			}
			for _, secret := range []string{gcpfake.Token, gcpfake.RefreshToken, "PRIVATE KEY"} {
				if strings.Contains(string(out), secret) {
					t.Errorf("it quotes a secret: %s", out)
				}
			}
		})
	}
}
