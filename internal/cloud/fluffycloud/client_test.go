// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

func raw(status int, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// TestWrongAnswers: what is not the API's answer is an error, never an empty
// list and never a machine.
func TestWrongAnswers(t *testing.T) {
	tests := map[string]struct {
		status int
		body   string
		want   string
		calls  int
	}{
		"error under 200":     {200, `{"error":{"code":"insufficient_capacity","message":"none"}}`, "insufficient_capacity (HTTP 200): none", 1},
		"hotel portal":        {200, "<html>Welcome</html>", "not a FluffyCloud answer", 1},
		"other JSON":          {200, `{"items":[]}`, "no instances", 1},
		"empty":               {200, "", "not a FluffyCloud answer", 1},
		"not a list":          {200, `{"instances":{"id":"i-1"}}`, "cannot unmarshal", 1},
		"bad UTF-8":           {200, "{\"instances\":[{\"id\":\"\xff\"}]}", "invalid UTF-8", 1},
		"too long":            {200, `{"instances":["` + strings.Repeat("x", maxBody) + `"]}`, "longer than", 1},
		"page token repeated": {200, `{"instances":[],"next_page_token":"again"}`, `page token "again" came twice`, 2},
		"proxy error":         {502, "<html>Bad Gateway</html>", "bad gateway (HTTP 502)", 4},
		"redirect":            {302, "", "HTTP 302", 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.on("GET", "/v1/instances", 0, raw(test.status, test.body))
			_, err := f.client(t).instances(t.Context(), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want one with %q", err, test.want)
			}
			if len(err.Error()) > 1000 || strings.Contains(err.Error(), testKey) {
				t.Errorf("the error is long or holds the key: %v", err)
			}
			if got := f.count("GET /v1/instances"); got != test.calls {
				t.Errorf("%d calls, want %d", got, test.calls)
			}
		})
	}
}

func TestPages(t *testing.T) {
	f := newFake(t)
	f.on("GET", "/v1/instances", 0, func(w http.ResponseWriter, r *http.Request) {
		page := r.URL.Query().Get("page_token")
		next := map[string]string{"": "1", "1": "2"}[page]
		answer(w, 200, map[string]any{"instances": []instance{{ID: "i-" + page}}, "next_page_token": next})
	})
	got, err := f.client(t).instances(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, 0, len(got))
	for _, in := range got {
		ids = append(ids, in.ID)
	}
	if want := []string{"i-", "i-1", "i-2"}; !slices.Equal(ids, want) {
		t.Errorf("pages give %v, want %v", ids, want)
	}
}

func TestRepeats(t *testing.T) {
	tests := map[string]struct {
		status, times int
		code          string
		calls         int
		ok            bool
	}{
		"passing 500":  {500, 2, "internal", 3, true},
		"passing 429":  {429, 3, "rate_limited", 4, true},
		"lasting 503":  {503, 0, "unavailable", 4, false},
		"no capacity":  {503, 0, "insufficient_capacity", 1, false},
		"bad key":      {401, 0, "unauthorized", 1, false},
		"in use":       {409, 0, "in_use", 1, false},
		"over quota":   {403, 0, "quota_exceeded", 1, false},
		"once refused": {400, 1, "invalid_parameter", 1, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.on("GET", "/v1/account", test.times, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "86400") // a day: capped
				refuse(w, test.status, test.code, "no")
			})
			_, err := f.client(t).accountID(t.Context())
			if (err == nil) != test.ok {
				t.Errorf("error = %v, want success: %t", err, test.ok)
			}
			if got := f.count("GET /v1/account"); got != test.calls {
				t.Errorf("%d calls, want %d", got, test.calls)
			}
		})
	}
}

// TestLostAnswer: the connection drops after the machine was made.
func TestLostAnswer(t *testing.T) {
	f := newFake(t)
	f.on("POST", "/v1/instances", 1, func(_ http.ResponseWriter, r *http.Request) {
		f.launch(&blackHole{}, r)
		panic(http.ErrAbortHandler)
	})
	_, record := up(t, f.driver(t), 1)
	if len(record.Created) != 1 || len(f.machines) != 1 {
		t.Fatalf("%+v and %d machines, want one", record, len(f.machines))
	}
	if a, b := f.launches[0], f.launches[1]; fmt.Sprint(a) != fmt.Sprint(b) || a.ClientToken == "" {
		t.Errorf("the launch was repeated differently:\n%+v\n%+v", a, b)
	}
}

type blackHole struct{ header http.Header }

func (b *blackHole) Header() http.Header {
	if b.header == nil {
		b.header = http.Header{}
	}
	return b.header
}
func (*blackHole) Write(p []byte) (int, error) { return len(p), nil }
func (*blackHole) WriteHeader(int)             {}

func TestCancelledCall(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.on("GET", "/v1/account", 0, func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		refuse(w, 500, codeInternal, "no")
	})
	if _, err := f.client(t).accountID(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want the context's", err)
	}
	if n := f.count("GET /v1/account"); n != 1 {
		t.Errorf("%d calls under a cancelled context, want 1", n)
	}
}

func TestOpen(t *testing.T) {
	f := newFake(t)
	tests := map[string]struct {
		values map[string]string
		want   string
		kind   cloud.Kind
	}{
		"good":              {map[string]string{"endpoint": f.URL, "api_key": f.key}, "", ""},
		"wrong key":         {map[string]string{"endpoint": f.URL, "api_key": "wrong-" + f.key}, "refuses the api_key", cloud.KindAuth},
		"unnamed server":    {map[string]string{"endpoint": f.URL, "api_key": "wrong-canary"}, "certificate", cloud.KindAuth},
		"no key":            {map[string]string{"endpoint": f.URL}, "api_key is not", cloud.KindConfig},
		"no endpoint":       {map[string]string{"api_key": testKey}, "endpoint is not", cloud.KindConfig},
		"nothing":           {nil, "state folder", cloud.KindConfig},
		"not a URL":         {map[string]string{"endpoint": "fluffy", "api_key": testKey}, "must be a URL", cloud.KindConfig},
		"key over the wire": {map[string]string{"endpoint": "http://fluffy.example", "api_key": testKey}, "use https", cloud.KindConfig},
		"key to anybody":    {map[string]string{"endpoint": "http://127.0.0.1:8080", "api_key": testKey}, "whatever listens there", cloud.KindConfig},
		"another's key":     {map[string]string{"endpoint": f.URL, "api_key": testKey + "-" + strings.Repeat("00", 32)}, "not the server that made this api_key", cloud.KindAuth},
		"user in the URL":   {map[string]string{"endpoint": "http://a:b@127.0.0.1", "api_key": testKey}, "must be a URL", cloud.KindConfig},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			session, err := Factory{}.Open(t.Context(), cloud.Credentials{Values: test.values})
			if test.want == "" {
				if err != nil || session.Account != "acct-1" {
					t.Fatalf("Open = %q, %v", session.Account, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("error = %v, want one with %q and without the key", err, test.want)
			}
			if got := classify(err).Kind; got != test.kind {
				t.Errorf("classified as %q, want %q", got, test.kind)
			}
		})
	}
}
