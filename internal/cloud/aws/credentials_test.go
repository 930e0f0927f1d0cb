// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"crypto/sha1" //nolint:gosec // how AWS's tools name their files
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// accounts is STS and the SSO portal: it knows whose keys are whose.
type accounts struct {
	mu      sync.Mutex
	keys    map[string]string // account by access key
	trusted map[string]string // who may take the role, by access key: the external id
	portal  int               // the portal's status
	calls   []url.Values
	url     string
}

var keyInHeader = regexp.MustCompile(`Credential=([^/]+)/`)

func newAccounts(t *testing.T) *accounts {
	t.Helper()
	isolate(t)
	a := &accounts{
		keys:    map[string]string{"AKIAUSER": "111111111111", "AKIAPROFILE": "222222222222", "ASIAROLE": "333333333333", "ASIASSO": "444444444444"},
		trusted: map[string]string{"AKIAUSER": "sesame", "AKIAPROFILE": ""},
		portal:  http.StatusOK,
	}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	a.url = s.URL
	return a
}

func (a *accounts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // an empty body has no action
	form, _ := url.ParseQuery(string(body))
	a.mu.Lock()
	defer a.mu.Unlock()
	key := ""
	if m := keyInHeader.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		key = m[1]
	}
	form.Set("key", key)
	a.calls = append(a.calls, form)
	later := time.Now().Add(time.Hour).UTC()
	switch account, known := a.keys[key], form.Get("Action"); {
	case r.URL.Path == "/federation/credentials" && a.portal != http.StatusOK:
		w.Header().Set("X-Amzn-Errortype", map[int]string{401: "UnauthorizedException", 403: "ForbiddenException"}[a.portal])
		w.WriteHeader(a.portal)
		_, _ = io.WriteString(w, `{"message":"no"}`)
	case r.URL.Path == "/federation/credentials":
		_, _ = fmt.Fprintf(w, `{"roleCredentials":{"accessKeyId":"ASIASSO","secretAccessKey":"s","sessionToken":"t","expiration":%d}}`, later.UnixMilli())
	case account == "":
		a.refuse(w, "InvalidClientTokenId", "The security token included in the request is invalid.")
	case known == "AssumeRole" && (a.trusted[key] != form.Get("ExternalId") || !strings.HasSuffix(form.Get("RoleArn"), "role/sky")):
		a.refuse(w, "AccessDenied", "User is not authorized to perform: sts:AssumeRole")
	case known == "AssumeRole":
		_, _ = fmt.Fprintf(w, `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>`+
			`<SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, later.Format(time.RFC3339))
	case known == "GetCallerIdentity":
		_, _ = fmt.Fprintf(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Account>%[1]s</Account><Arn>arn:aws:iam::%[1]s:user/t</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>`, account)
	default:
		a.refuse(w, "InvalidAction", known)
	}
}

func (*accounts) refuse(w http.ResponseWriter, code, message string) {
	w.WriteHeader(http.StatusForbidden)
	_, _ = fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, code, message)
}

// shared writes ~/.aws/config and, where there is a login, its token.
func shared(t *testing.T, a *accounts, login time.Time) {
	t.Helper()
	dir := filepath.Join(os.Getenv("HOME"), ".aws")
	cache := filepath.Join(dir, "sso", "cache")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	t.Setenv("AWS_ENDPOINT_URL_STS", a.url) // a profile is read before the endpoint of the provider block counts
	t.Setenv("AWS_ENDPOINT_URL_SSO", a.url)
	t.Setenv("AWS_ENDPOINT_URL_SSO_OIDC", a.url)
	text := `
[profile keys]
aws_access_key_id = AKIAPROFILE
aws_secret_access_key = s
region = eu-west-1

[profile role]
source_profile = keys
role_arn = arn:aws:iam::333333333333:role/sky

[profile other]
source_profile = keys
role_arn = arn:aws:iam::333333333333:role/other

[sso-session corp]
sso_start_url = https://corp.example.com/start
sso_region = us-east-1
sso_registration_scopes = sso:account:access

[profile sso]
sso_session = corp
sso_account_id = 444444444444
sso_role_name = worker
`
	token := fmt.Sprintf(`{"startUrl":"https://corp.example.com/start","region":"us-east-1","accessToken":"a","expiresAt":%q}`, login.UTC().Format(time.RFC3339))
	sum := sha1.Sum([]byte("corp")) //nolint:gosec // see above
	files := map[string]string{filepath.Join(dir, "config"): text}
	if !login.IsZero() {
		files[filepath.Join(cache, hex.EncodeToString(sum[:])+".json")] = token
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCredentials goes every way to credentials that people take, over the wire.
func TestCredentials(t *testing.T) {
	const role = "arn:aws:iam::333333333333:role/sky"
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	keys := map[string]string{optionAccessKey: "AKIAUSER", optionSecretKey: "s"}
	with := func(more ...string) map[string]string {
		out := map[string]string{}
		for k, v := range keys {
			out[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		return out
	}
	for _, tt := range []struct {
		name   string
		values map[string]string
		env    map[string]string
		login  time.Time
		portal int
		want   string // the account
		wrong  []string
	}{
		{name: "keys", values: with(), want: "111111111111"},
		{name: "environment", env: map[string]string{"AWS_ACCESS_KEY_ID": "AKIAUSER", "AWS_SECRET_ACCESS_KEY": "s"}, want: "111111111111"},
		{name: "profile", values: map[string]string{optionProfile: "keys"}, want: "222222222222"},
		{name: "profile of the environment", env: map[string]string{"AWS_PROFILE": "keys"}, want: "222222222222"},
		{name: "keys before a profile of the environment", values: with(), env: map[string]string{"AWS_PROFILE": "keys"}, want: "111111111111"},
		{name: "no such profile", values: map[string]string{optionProfile: "absent"}, wrong: []string{`no AWS profile "absent"`, "list-profiles"}},
		{name: "role", values: with(optionRole, role, optionExternalID, "sesame"), want: "333333333333"},
		{name: "role without its external id", values: with(optionRole, role), wrong: []string{role, "cannot be assumed", "external id", "sts:AssumeRole"}},
		{name: "role of a profile", values: map[string]string{optionProfile: "role"}, want: "333333333333"},
		{name: "another role of a profile", values: map[string]string{optionProfile: "other"}, wrong: []string{"the profile's role cannot be assumed"}},
		{name: "role without credentials", values: map[string]string{optionRole: role}, wrong: []string{"no AWS credentials", "aws configure"}},
		{name: "SSO", values: map[string]string{optionProfile: "sso"}, login: soon, want: "444444444444"},
		{name: "SSO login over", values: map[string]string{optionProfile: "sso"}, login: past, wrong: []string{"SSO login is over", "aws sso login --profile sso"}},
		{name: "SSO never logged in", values: map[string]string{optionProfile: "sso"}, wrong: []string{"aws sso login --profile sso"}},
		{name: "SSO login revoked", values: map[string]string{optionProfile: "sso"}, login: soon, portal: 401, wrong: []string{"aws sso login --profile sso"}},
		{name: "SSO role not assigned", values: map[string]string{optionProfile: "sso"}, login: soon, portal: 403, wrong: []string{"sso_role_name"}},
		{name: "unknown keys", values: map[string]string{optionAccessKey: "AKIANOBODY", optionSecretKey: "canary"}, wrong: []string{"AWS refuses the credentials", "renew"}},
		{name: "half a key", values: map[string]string{optionAccessKey: "AKIAUSER"}, wrong: []string{"needed together"}},
		{name: "none", wrong: []string{"no AWS credentials", "aws configure", "AWS_ACCESS_KEY_ID", "provider block"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAccounts(t)
			if tt.portal != 0 {
				a.portal = tt.portal
			}
			shared(t, a, tt.login)
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			values := map[string]string{optionEndpoint: a.url}
			for k, v := range tt.values {
				values[k] = v
			}
			session, err := Factory{}.Open(t.Context(), cloud.Credentials{Values: values})
			if tt.want != "" {
				if err != nil || session.Account != tt.want || session.Identity != "arn:aws:iam::"+tt.want+":user/t" {
					t.Errorf("the account is %q, %v; want %s", session.Account, err, tt.want)
				}
				return
			}
			if err == nil {
				t.Fatal("there were credentials")
			}
			for _, part := range append(tt.wrong, "") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error lacks %q: %v", part, err)
				}
			}
			if kind := classify(err).Kind; (kind != cloud.KindAuth && kind != cloud.KindConfig) || strings.Contains(err.Error(), "canary") {
				t.Errorf("a %s error: %v", kind, err)
			}
		})
	}
}

// TestRoleSession: the role is taken under a name that tells who did it.
func TestRoleSession(t *testing.T) {
	a := newAccounts(t)
	_, err := Factory{}.Open(t.Context(), cloud.Credentials{Values: map[string]string{
		optionEndpoint: a.url, optionAccessKey: "AKIAUSER", optionSecretKey: "s", optionExternalID: "sesame", optionRole: "arn:aws:iam::333333333333:role/sky",
	}})
	if err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.calls) != 2 || a.calls[0].Get("RoleSessionName") != "terraform-provider-sky" || a.calls[1].Get("key") != "ASIAROLE" {
		t.Errorf("the calls were %v", a.calls)
	}
}

// TestUnreachableIsNoLackOfCredentials: a network that is down is said to be so,
// but for the metadata service, which only machines of AWS have.
func TestUnreachableIsNoLackOfCredentials(t *testing.T) {
	for service, want := range map[string]cloud.Kind{"STS": cloud.KindTransient, "SSO": cloud.KindTransient, "ec2imds": cloud.KindAuth} {
		down := &smithy.OperationError{ServiceID: service, OperationName: "AssumeRole", Err: &net.OpError{Op: "dial", Err: errors.New("no route to host")}}
		err := (&clients{}).noCredentials(fmt.Errorf("failed to refresh: %w", down))
		if classify(err).Kind != want || strings.Contains(err.Error(), "aws configure") != (want == cloud.KindAuth) {
			t.Errorf("unreachable %s is %s: %v", service, classify(err), err)
		}
	}
}
