// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/credentials/impersonate"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

// scope is what every token is good for; IAM says what its owner may do.
const scope = "https://www.googleapis.com/auth/cloud-platform"

// credentialsFound are credentials, and whose they are where that is written.
type credentialsFound struct {
	creds    *auth.Credentials
	identity string
}

// findCredentials follows the options, else Application Default Credentials:
// GOOGLE_APPLICATION_CREDENTIALS, gcloud's file, the metadata server.
func findCredentials(values map[string]string, tokens *http.Client) (credentialsFound, error) {
	found, err := baseCredentials(values, tokens)
	if err != nil {
		return found, err
	}
	found.creds = explained(found.creds, found.creds, refusedAdvice)
	target := values[optionImpersonate]
	if target == "" {
		return found, nil
	}
	opts := &impersonate.CredentialsOptions{TargetPrincipal: target, Scopes: []string{scope}, Credentials: found.creds}
	if tokens != nil {
		opts.Client = &http.Client{Transport: bearer{creds: found.creds, base: tokens.Transport}}
	}
	acting, err := impersonate.NewCredentials(opts)
	if err != nil {
		return found, &fleet.AuthError{Advice: fmt.Sprintf("cannot act as %s: grant roles/iam.serviceAccountTokenCreator on it", target), Err: err}
	}
	// The project is the one of the credentials that act.
	acting = explained(acting, found.creds, fmt.Sprintf("cannot act as %s: grant roles/iam.serviceAccountTokenCreator on it", target))
	return credentialsFound{creds: acting, identity: target}, nil
}

// explained are credentials whose refusals say what would help, in the project
// of others.
func explained(creds, project *auth.Credentials, advice string) *auth.Credentials {
	return auth.NewCredentials(&auth.CredentialsOptions{
		TokenProvider: explainedToken{creds, advice}, JSON: creds.JSON(),
		ProjectIDProvider:      auth.CredentialsPropertyFunc(project.ProjectID),
		QuotaProjectIDProvider: auth.CredentialsPropertyFunc(project.QuotaProjectID),
		UniverseDomainProvider: auth.CredentialsPropertyFunc(project.UniverseDomain),
	})
}

type explainedToken struct {
	auth.TokenProvider
	advice string
}

// Token implements auth.TokenProvider.
func (e explainedToken) Token(ctx context.Context) (*auth.Token, error) {
	token, err := e.TokenProvider.Token(ctx)
	var known *fleet.AuthError
	// The library has no type for all of its refusals.
	if err != nil && !errors.As(err, &known) && strings.Contains(err.Error(), "status code 4") {
		return nil, &fleet.AuthError{Advice: e.advice, Err: err}
	}
	return token, err
}

const refusedAdvice = "Google Cloud refuses the credentials: run gcloud auth application-default login, or set credentials"

// bearer shows a token with every call.
type bearer struct {
	creds *auth.Credentials
	base  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := b.creds.Token(r.Context())
	if err != nil {
		return nil, err //nolint:wrapcheck // the library says which credentials
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token.Value)
	return b.base.RoundTrip(r) //nolint:wrapcheck // the transport's own error
}

func baseCredentials(values map[string]string, tokens *http.Client) (credentialsFound, error) {
	given, token := values[optionCredentials], values[optionAccessToken]
	opts := &credentials.DetectOptions{Scopes: []string{scope}, Client: tokens}
	switch {
	case given != "" && token != "":
		return credentialsFound{}, fleet.ConfigErrorf(cloud.ScopeCloud, "credentials and access_token are both set: set one of them")
	case token != "":
		return credentialsFound{creds: auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: staticToken(token)})}, nil
	case given != "":
		return credentialsFrom(optionCredentials, given, opts)
	}
	if path, err := defaultFile(); path != "" || err != nil {
		if err != nil {
			return credentialsFound{}, err
		}
		return credentialsFrom("the environment", path, opts)
	}
	creds, err := credentials.DetectDefault(opts)
	if err != nil {
		return credentialsFound{}, &fleet.AuthError{
			Advice: "there are no Google Cloud credentials: run gcloud auth application-default login, or set credentials or GOOGLE_APPLICATION_CREDENTIALS", Err: err,
		}
	}
	return credentialsFound{creds: creds, identity: emailIn(creds.JSON())}, nil
}

// defaultFile is the file of Application Default Credentials that the
// environment names, if any. The library would read the first, but not say what
// is wrong with it, and does not know gcloud's folder when it is elsewhere.
func defaultFile() (string, error) {
	const variable = "GOOGLE_APPLICATION_CREDENTIALS"
	if path := os.Getenv(variable); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", &fleet.AuthError{Advice: "the file that " + variable + " names cannot be read: correct it, or unset it and run gcloud auth application-default login", Err: err}
		}
		return path, nil
	}
	if dir := os.Getenv("CLOUDSDK_CONFIG"); dir != "" {
		path := filepath.Join(dir, "application_default_credentials.json")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", nil
}

// credentialTypes are the kinds of files that credentials may hold.
func credentialTypes() []credentials.CredType {
	return []credentials.CredType{
		credentials.ServiceAccount, credentials.AuthorizedUser, credentials.ExternalAccount,
		credentials.ExternalAccountAuthorizedUser, credentials.ImpersonatedServiceAccount,
	}
}

// maxCredentials bounds a credentials file in bytes.
const maxCredentials = 1 << 20

// credentialsFrom reads a path or the content itself. Errors quote neither.
func credentialsFrom(place, given string, opts *credentials.DetectOptions) (credentialsFound, error) {
	content := []byte(given)
	if !strings.HasPrefix(strings.TrimSpace(given), "{") {
		var err error
		content, err = localfile.Read(given, maxCredentials)
		if special := (*localfile.NotRegularError)(nil); errors.As(err, &special) {
			return credentialsFound{}, fleet.ConfigErrorf(cloud.ScopeCloud, "what %s names is %s, not a regular file", place, special.What)
		}
		if err != nil {
			return credentialsFound{}, fleet.ConfigErrorf(cloud.ScopeCloud, "the file that %s names cannot be read", place)
		}
	}
	var head struct {
		Type credentials.CredType `json:"type"`
	}
	if json.Unmarshal(content, &head) != nil || !slices.Contains(credentialTypes(), head.Type) {
		return credentialsFound{}, fleet.ConfigErrorf(cloud.ScopeCloud, "what %s gives is neither a path nor the content of a service account's key or another credentials file of Google Cloud", place)
	}
	creds, err := credentials.NewCredentialsFromJSON(head.Type, content, opts)
	if err != nil {
		return credentialsFound{}, &fleet.AuthError{Advice: fmt.Sprintf("the %s that %s gives cannot be used", head.Type, place), Err: err}
	}
	return credentialsFound{creds: creds, identity: emailIn(content)}, nil
}

func emailIn(content []byte) string {
	var head struct {
		Email string `json:"client_email"`
	}
	_ = json.Unmarshal(content, &head) // not all have one
	return head.Email
}

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
