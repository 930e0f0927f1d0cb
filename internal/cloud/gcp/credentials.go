// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/credentials/impersonate"
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
	target := values[optionImpersonate]
	if err != nil || target == "" {
		return found, err
	}
	opts := &impersonate.CredentialsOptions{TargetPrincipal: target, Scopes: []string{scope}, Credentials: found.creds}
	if tokens != nil {
		opts.Client = &http.Client{Transport: bearer{creds: found.creds, base: tokens.Transport}}
	}
	acting, err := impersonate.NewCredentials(opts)
	if err != nil {
		return found, &authError{advice: fmt.Sprintf("cannot act as %s: grant roles/iam.serviceAccountTokenCreator on it", target), err: err}
	}
	// The project is the one of the credentials that act.
	acting = auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: actingToken{acting, target}, ProjectIDProvider: auth.CredentialsPropertyFunc(found.creds.ProjectID)})
	return credentialsFound{creds: acting, identity: target}, nil
}

// actingToken gives the tokens of an account that somebody else acts as.
type actingToken struct {
	auth.TokenProvider
	target string
}

func (a actingToken) Token(ctx context.Context) (*auth.Token, error) {
	token, err := a.TokenProvider.Token(ctx)
	// The library has no type for a refusal.
	if err != nil && strings.Contains(err.Error(), "status code 4") {
		return nil, &authError{advice: fmt.Sprintf("cannot act as %s: grant roles/iam.serviceAccountTokenCreator on it", a.target), err: err}
	}
	return token, err
}

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
		return credentialsFound{}, configError{text: "credentials and access_token are both set: set one of them"}
	case token != "":
		return credentialsFound{creds: auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: staticToken(token)})}, nil
	case given != "":
		return credentialsFrom(given, opts)
	}
	creds, err := credentials.DetectDefault(opts)
	if err != nil {
		return credentialsFound{}, &authError{
			advice: "there are no Google Cloud credentials: run gcloud auth application-default login, or set credentials or GOOGLE_APPLICATION_CREDENTIALS", err: err,
		}
	}
	return credentialsFound{creds: creds, identity: emailIn(creds.JSON())}, nil
}

// credentialTypes are the kinds of files that credentials may hold.
func credentialTypes() []credentials.CredType {
	return []credentials.CredType{
		credentials.ServiceAccount, credentials.AuthorizedUser, credentials.ExternalAccount,
		credentials.ExternalAccountAuthorizedUser, credentials.ImpersonatedServiceAccount,
	}
}

// credentialsFrom reads a path or the content itself. Errors quote neither.
func credentialsFrom(given string, opts *credentials.DetectOptions) (credentialsFound, error) {
	content := []byte(given)
	if !strings.HasPrefix(strings.TrimSpace(given), "{") {
		var err error
		if content, err = os.ReadFile(given); err != nil {
			return credentialsFound{}, configError{text: "the file that credentials names cannot be read"}
		}
	}
	var head struct {
		Type credentials.CredType `json:"type"`
	}
	if json.Unmarshal(content, &head) != nil || !slices.Contains(credentialTypes(), head.Type) {
		return credentialsFound{}, configError{text: "credentials is neither a path nor the content of a service account's key or another credentials file of Google Cloud"}
	}
	creds, err := credentials.NewCredentialsFromJSON(head.Type, content, opts)
	if err != nil {
		return credentialsFound{}, &authError{advice: fmt.Sprintf("the %s in credentials cannot be used", head.Type), err: err}
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
