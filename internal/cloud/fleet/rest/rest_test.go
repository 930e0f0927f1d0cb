// SPDX-License-Identifier: MPL-2.0

package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

const restToken = "tok-very-secret"

// restServer answers with one of the handlers after the other, and the last one
// from then on; it returns a client that notes its pauses, and the calls made.
func restServer(t *testing.T, answers ...http.HandlerFunc) (c *Client, pauses *[]time.Duration, calls func() []*http.Request) {
	t.Helper()
	var (
		mu   sync.Mutex // a call whose connection was cut is in no order with what the client sees
		made []*http.Request
	)
	pauses = &[]time.Duration{}
	calls = func() []*http.Request {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(made)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		made = append(made, r)
		n := len(made)
		mu.Unlock()
		answers[min(n, len(answers))-1](w, r)
	}))
	t.Cleanup(server.Close)
	return &Client{
		Base: server.URL, Token: restToken, Tries: retry.Policy{Initial: time.Nanosecond, Max: time.Nanosecond, Attempts: 3}, MaxRetryAfter: 30 * time.Second,
		Read: func(body []byte) (string, string) {
			var e struct{ Code, Message string }
			_ = json.Unmarshal(body, &e) // a body that is none has no message
			return e.Code, e.Message
		},
		pause: func(_ context.Context, d time.Duration) error { *pauses = append(*pauses, d); return nil },
	}, pauses, calls
}

func says(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func cut(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// TestClientRepeats: what had no effect is repeated, and what only looks; nothing else.
func TestClientRepeats(t *testing.T) {
	ok, slow, broken := says(200, `{"n": 7}`), says(429, `{}`, "Retry-After", "86400"), says(503, `{}`)
	for name, tt := range map[string]struct {
		method  string
		answers []http.HandlerFunc
		calls   int
		pauses  []time.Duration
		fails   bool
	}{
		"well":                    {http.MethodGet, []http.HandlerFunc{ok}, 1, nil, false},
		"pace, capped":            {http.MethodPost, []http.HandlerFunc{slow, ok}, 2, []time.Duration{30 * time.Second}, false},
		"pace, as asked":          {http.MethodPost, []http.HandlerFunc{says(429, "", "Retry-After", "3"), ok}, 2, []time.Duration{3 * time.Second}, false},
		"pace, for ever":          {http.MethodPost, []http.HandlerFunc{slow}, 3, []time.Duration{30 * time.Second, 30 * time.Second}, true},
		"pace, not told":          {http.MethodDelete, []http.HandlerFunc{says(429, ""), ok}, 2, nil, false},
		"a look in trouble":       {http.MethodGet, []http.HandlerFunc{broken, cut, ok}, 3, nil, false},
		"a change in trouble":     {http.MethodPost, []http.HandlerFunc{broken, ok}, 1, nil, true},
		"a change without answer": {http.MethodPost, []http.HandlerFunc{cut, ok}, 1, nil, true},
		"refused":                 {http.MethodGet, []http.HandlerFunc{says(400, ""), ok}, 1, nil, true},
		"no JSON":                 {http.MethodGet, []http.HandlerFunc{says(200, "<html>")}, 1, nil, true},
		"sent elsewhere":          {http.MethodGet, []http.HandlerFunc{says(302, "", "Location", "/elsewhere"), ok}, 1, nil, true},
		"too long":                {http.MethodGet, []http.HandlerFunc{says(200, strings.Repeat(" ", maxAnswer+1))}, 1, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			c, pauses, calls := restServer(t, tt.answers...)
			var out struct{ N int }
			err := c.Do(t.Context(), tt.method, "/v1/x", nil, map[string]int{"a": 1}, &out)
			if (err != nil) != tt.fails || (err == nil && out.N != 7) || len(calls()) != tt.calls || !slices.Equal(*pauses, tt.pauses) {
				t.Errorf("%d calls with the pauses %v end with %+v, %v", len(calls()), *pauses, out, err)
			}
			for _, r := range calls() {
				if r.Header.Get("User-Agent") != userAgent || r.Header.Get("Authorization") != "Bearer "+restToken {
					t.Errorf("the headers are %v", r.Header)
				}
			}
		})
	}
}

// TestClientSaysNoSecret: an error quotes what the API says, bounded, and never the token.
func TestClientSaysNoSecret(t *testing.T) {
	c, _, _ := restServer(t, says(400, `{"code": "bad", "message": "`+restToken+` is odd.\n`+strings.Repeat("x", 9000)+`"}`))
	err := c.Do(t.Context(), http.MethodGet, "/v1/x", nil, nil, nil)
	if err == nil || strings.Contains(err.Error(), restToken) || !strings.HasPrefix(err.Error(), "GET /v1/x: 400 bad: (the API key) is odd. xxx") || len(err.Error()) > 2*maxQuote {
		t.Errorf("the error is %v", err)
	}
}

// TestAbsence: what the API says in its own form is absence, a proxy's 404 is not.
func TestAbsence(t *testing.T) {
	for body, want := range map[string]bool{`{"code": "not-found", "message": "no such pod"}`: true, "": false, "<html>404 Not Found</html>": false} {
		c, _, _ := restServer(t, says(404, body))
		if err := c.Do(t.Context(), http.MethodDelete, "/v1/x", nil, nil, nil); errors.Is(err, cloud.ErrNotFound) != want || !errors.As(err, new(*Error)) {
			t.Errorf("of %q the error is %v", body, err)
		}
	}
}
