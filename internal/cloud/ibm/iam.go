// SPDX-License-Identifier: MPL-2.0

package ibm

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/rest"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// tokenSource turns an API key into access tokens, which live for an hour, and is
// the transport that sends the present one with every call.
type tokenSource struct {
	endpoint, key string
	base          http.RoundTripper
	tries         retry.Policy
	// turn is held while a token is fetched, so that who waits gets the same one.
	turn chan struct{}

	mu    sync.Mutex
	token string
	renew time.Time
}

func newTokenSource(endpoint, key string, base http.RoundTripper, tries retry.Policy) *tokenSource {
	if base == nil {
		base = http.DefaultTransport
	}
	return &tokenSource{endpoint: strings.TrimSuffix(endpoint, "/"), key: key, base: base, tries: tries, turn: make(chan struct{}, 1)}
}

// tokenClaims are what a token says of its holder.
type tokenClaims struct {
	Account struct {
		BSS string `json:"bss"`
	} `json:"account"`
	IAMID string `json:"iam_id"`
	Email string `json:"email"`
}

var errNoAccount = errors.New("IAM's token names no account")

// claims are those of the present token. IAM sent it, so nobody checks who signed it.
func (s *tokenSource) claims(ctx context.Context) (tokenClaims, error) {
	var out tokenClaims
	token, err := s.get(ctx)
	if err != nil {
		return out, err
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return out, errNoAccount
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil || out.Account.BSS == "" {
		return out, errNoAccount
	}
	return out, nil
}

// get is a token that lives for a while: it is renewed after four fifths of its time.
func (s *tokenSource) get(ctx context.Context) (string, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if token := s.present(); token != "" {
		return token, nil
	}
	err := retry.Do(ctx, s.tries, func(ctx context.Context) error {
		err := s.fetch(ctx)
		var refusal *fleet.APIError
		passes := errors.As(err, &refusal) && (refusal.Status >= http.StatusInternalServerError || refusal.Status == http.StatusTooManyRequests)
		if err != nil && !passes && !rest.IsTransport(err) {
			return retry.Stop(err)
		}
		return err
	})
	return s.present(), err //nolint:wrapcheck // it names the call
}

// present is the token that is to be used now, empty where it has to be fetched.
func (s *tokenSource) present() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.renew) {
		return s.token
	}
	return ""
}

func (s *tokenSource) keep(token string, lives time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.renew = token, time.Now().Add(lives*4/5)
}

// forget drops a token that was refused.
func (s *tokenSource) forget(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == token {
		s.renew = time.Time{}
	}
}

// hide takes the token out of a text.
func (s *tokenSource) hide(text string) string {
	if token := s.present(); token != "" {
		return strings.ReplaceAll(text, token, "(the token)")
	}
	return text
}

const callToken = "POST /identity/token"

// fetch asks IAM for a token.
func (s *tokenSource) fetch(ctx context.Context) error {
	form := url.Values{"grant_type": {"urn:ibm:params:oauth:grant-type:apikey"}, "apikey": {s.key}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint+"/identity/token", strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("%s: %w", callToken, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	client := http.Client{Transport: s.base, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return err //nolint:wrapcheck // *url.Error names method and URL already
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("%s: read the answer: %w", callToken, &url.Error{Op: "read", URL: callToken, Err: err})
	}
	if resp.StatusCode != http.StatusOK {
		return s.refusal(resp.StatusCode, text)
	}
	var out struct {
		Token   string `json:"access_token"`
		Seconds int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(text, &out); err != nil || out.Token == "" {
		return fmt.Errorf("%s: the answer has no token", callToken)
	}
	s.keep(out.Token, time.Duration(out.Seconds)*time.Second)
	return nil
}

// refusal is IAM's no. It never holds the key.
func (s *tokenSource) refusal(status int, text []byte) error {
	var out struct {
		Code    string `json:"errorCode"`
		Message string `json:"errorMessage"`
	}
	_ = json.Unmarshal(text, &out) // a body that is none has no code
	e := &fleet.APIError{Call: callToken, Status: status, Code: out.Code, Message: strings.ReplaceAll(out.Message, s.key, "(the API key)")}
	if e.Message == "" {
		e.Message = http.StatusText(status)
	}
	return e
}

// RoundTrip implements http.RoundTripper. A token that is refused may have been
// revoked: a new one is tried once.
func (s *tokenSource) RoundTrip(r *http.Request) (*http.Response, error) {
	for again := false; ; again = true {
		token, err := s.get(r.Context())
		if err != nil {
			return nil, err
		}
		req := r.Clone(r.Context())
		if again && r.GetBody != nil {
			if req.Body, err = r.GetBody(); err != nil {
				return nil, err //nolint:wrapcheck // it never happens of bytes
			}
		}
		prepare(req, token)
		resp, err := s.base.RoundTrip(req)
		if err != nil {
			return nil, err //nolint:wrapcheck // the transport's own error
		}
		if resp.StatusCode != http.StatusUnauthorized || again {
			note(r.Context(), resp)
			return resp, nil
		}
		_ = resp.Body.Close() // what it says is of no use
		s.forget(token)
	}
}

// revision is the state of a thing that a change is made of: the API takes lists
// only from who has seen the last one.
type revision struct{ seen, tag string }

type revisionKey struct{}

// prepare sets the headers that only this API has.
func prepare(req *http.Request, token string) {
	req.Header.Set("Authorization", "Bearer "+token)
	if req.Method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	if rev, ok := req.Context().Value(revisionKey{}).(*revision); ok && rev.seen != "" && req.Method == http.MethodPatch {
		req.Header.Set("If-Match", rev.seen)
	}
}

// note keeps the tag of an answer.
func note(ctx context.Context, resp *http.Response) {
	if rev, ok := ctx.Value(revisionKey{}).(*revision); ok {
		rev.tag = resp.Header.Get("ETag")
	}
}
