// SPDX-License-Identifier: MPL-2.0

// Package fakekit is what stateful HTTP fakes of clouds' APIs share, for tests
// of drivers: who may call, a clock of their own, listings that come in pages
// and lag behind, rate limits, faults that strike by rule (a refusal, before or
// after the effect; a lost answer; any other answer), and a count of the calls.
// What the cloud sells and keeps is the fake's.
package fakekit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Options say how a cloud behaves. The zero value lets everybody in, and is
// prompt and honest.
type Options struct {
	// Tokens are the bearer tokens that are let in, and whose they are; nil lets
	// everybody in. Auth is for clouds that ask otherwise.
	Tokens map[string]string
	Auth   func(r *http.Request, body []byte) (who string, ok bool)
	// Shape is the body of a refusal; by default {"error": {"code", "message"}}.
	Shape func(Refusal) any
	// VisibleAfter is how long listings do not show what is new, GoneAfter how long
	// they still show what is gone.
	VisibleAfter, GoneAfter time.Duration
	// Settle lets happen what is due by the cloud's clock. It is called under the
	// lock, before every call and after the clock moved.
	Settle func()
	// OnViolation is told of a call that the cloud does not have; by default that
	// is an error of the test.
	OnViolation func(error)
	// TLS serves https.
	TLS bool
	// InMemory serves no port but Client and Transport, so that a fake works in a
	// bubble of testing/synctest, where time is injected.
	InMemory bool
	// Audit is shown every call with its answer, but those that were lost; an error
	// is a violation.
	Audit func(Exchange) error
}

// Exchange is a call and its answer, as they went over the wire.
type Exchange struct {
	Request *http.Request // its body can be read
	Status  int
	Header  http.Header
	Body    []byte
}

// Kit is the server of one fake. Its lock guards the fake's state: handlers run
// under it.
type Kit struct {
	sync.Mutex
	URL string

	opts   Options
	memory *memory
	server *httptest.Server
	mux    *http.ServeMux
	offset atomic.Int64
	faults []*Fault
	limits []*limit
	log    []Call
}

// Call is one call of the API, as it came in.
type Call struct {
	// Name is what faults and counts know it by: the pattern it was handled under,
	// such as "DELETE /v1/pods/{id}", or the API's own name for it.
	Name string
	// Who called, by Options.Tokens or Auth.
	Who          string
	Method, Path string
	Query        url.Values
	Body         []byte
	// Status is that of the answer; 0 is an answer that was lost.
	Status int

	request *http.Request
}

// Value is a part of the path, by its name in the pattern.
func (c *Call) Value(name string) string { return c.request.PathValue(name) }

// Header is a header of the request.
func (c *Call) Header(name string) string { return c.request.Header.Get(name) }

// Context is the request's.
func (c *Call) Context() context.Context { return c.request.Context() }

// Decode reads the body as JSON; it refuses one that is none, or that has fields
// which into lacks.
func (c *Call) Decode(into any) error {
	dec := json.NewDecoder(strings.NewReader(string(c.Body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return Refusef(http.StatusBadRequest, "bad_request", "%v", err)
	}
	return nil
}

// Refusal is an answer that says no.
type Refusal struct {
	Status  int
	Code    string
	Message string
	// RetryAfter goes into the header of that name, where it is set.
	RetryAfter time.Duration
}

// Error implements error.
func (r *Refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.Status, r.Code, r.Message) }

// Refusef returns a Refusal.
func Refusef(status int, code, format string, args ...any) *Refusal {
	return &Refusal{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Reply is an answer with another status than 200 and 204.
type Reply struct {
	Status int
	Body   any
}

// Handler does what a call asks for, under the lock. The answer goes out as
// JSON, nil as no content; the error must be a *Refusal.
type Handler func(*Call) (any, error)

// Start serves a cloud until the end of the test.
func Start(t testing.TB, opts Options) *Kit {
	t.Helper()
	k := &Kit{opts: opts, mux: http.NewServeMux()}
	if k.opts.OnViolation == nil {
		k.opts.OnViolation = func(err error) { t.Errorf("a call that the cloud does not take: %v", err) }
	}
	if k.opts.Settle == nil {
		k.opts.Settle = func() {}
	}
	k.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		k.Violation(fmt.Errorf("there is no %s %s", r.Method, r.URL.Path))
		k.Refuse(w, Refusef(http.StatusNotFound, "not_found", "there is no %s %s", r.Method, r.URL.Path))
	})
	k.server = httptest.NewUnstartedServer(k.audited(k.mux))
	if opts.InMemory {
		_ = k.server.Listener.Close() // it was never used
		k.memory = newMemory()
		k.server.Listener = k.memory
	}
	if opts.TLS {
		k.server.StartTLS()
	} else {
		k.server.Start()
	}
	k.URL = k.server.URL
	t.Cleanup(k.server.Close)
	return k
}

// Handle answers the calls of a pattern, as http.ServeMux has them.
func (k *Kit) Handle(pattern string, h Handler) {
	k.Route(pattern, func(w http.ResponseWriter, c *Call) {
		c.Name = pattern
		k.Do(w, c, h)
	})
}

// Route is Handle for a fake that names its calls itself, and then calls Do. It
// is not under the lock.
func (k *Kit) Route(pattern string, f func(http.ResponseWriter, *Call)) {
	k.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the caller is gone
		}
		f(w, &Call{Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Body: body, request: r})
	})
}

// HandleFunc answers outside of the lock, the log and the rules: a neighbour
// of the API, such as a metadata server.
func (k *Kit) HandleFunc(pattern string, h http.HandlerFunc) { k.mux.HandleFunc(pattern, h) }

// Violation notes what the cloud does not take.
func (k *Kit) Violation(err error) { k.opts.OnViolation(err) }

// Do answers one call by the rules: who calls, then the limits, then the faults,
// then the handler.
func (k *Kit) Do(w http.ResponseWriter, c *Call, h Handler) {
	out, refusal, fault := k.answer(c, h)
	switch {
	case fault != nil && fault.Answer != nil:
		fault.Answer(w, c.request)
	case fault != nil && fault.Lose:
		panic(http.ErrAbortHandler) // the connection is cut
	case refusal != nil:
		k.Refuse(w, refusal)
	default:
		reply(w, c.Status, out)
	}
}

func (k *Kit) answer(c *Call, h Handler) (out any, refusal *Refusal, fault *Fault) {
	k.Lock()
	defer k.Unlock()
	defer func() { k.log = append(k.log, *c) }()
	if c.Who, refusal = k.admit(c); refusal != nil {
		c.Status = refusal.Status
		return nil, refusal, nil
	}
	k.opts.Settle()
	if refusal = k.limited(c); refusal == nil {
		if fault = k.strike(c); fault != nil && (fault.Answer != nil || (fault.Refuse != nil && !fault.Late)) {
			refusal = fault.Refuse
			if refusal == nil {
				return nil, nil, fault
			}
		} else {
			out, refusal = handled(h(c))
		}
	}
	if fault != nil && refusal == nil {
		if fault.After != nil {
			fault.After()
		}
		refusal = fault.Refuse
	}
	made, isReply := out.(Reply)
	switch {
	case fault != nil && fault.Lose:
	case refusal != nil:
		c.Status = refusal.Status
	case isReply:
		c.Status, out = made.Status, made.Body
	case out == nil:
		c.Status = http.StatusNoContent
	default:
		c.Status = http.StatusOK
	}
	return encoded(out), refusal, fault
}

func handled(out any, err error) (any, *Refusal) {
	if err == nil {
		return out, nil
	}
	if refusal, ok := err.(*Refusal); ok { //nolint:errorlint // what a handler returns is not wrapped
		return nil, refusal
	}
	return nil, Refusef(http.StatusInternalServerError, "internal", "%v", err)
}

// encoded is the answer as it is now: the state may change once the lock is given up.
func encoded(out any) any {
	if out == nil {
		return nil
	}
	text, err := json.Marshal(out)
	if err != nil {
		panic(err) // a fake that cannot speak
	}
	return json.RawMessage(text)
}

// admit says who calls.
func (k *Kit) admit(c *Call) (string, *Refusal) {
	who, ok := "", true
	switch {
	case k.opts.Auth != nil:
		who, ok = k.opts.Auth(c.request, c.Body)
	case k.opts.Tokens != nil:
		token, _ := strings.CutPrefix(c.Header("Authorization"), "Bearer ")
		who, ok = k.opts.Tokens[token]
	}
	if !ok {
		return "", Refusef(http.StatusUnauthorized, "unauthorized", "the credentials are not valid")
	}
	return who, nil
}

// Refuse answers with a refusal, outside of the rules.
func (k *Kit) Refuse(w http.ResponseWriter, r *Refusal) {
	if r.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int((r.RetryAfter+time.Second-1)/time.Second)))
	}
	shape := k.opts.Shape
	if shape == nil {
		shape = func(r Refusal) any {
			return map[string]any{"error": map[string]string{"code": r.Code, "message": r.Message}}
		}
	}
	reply(w, r.Status, shape(*r))
}

func reply(w http.ResponseWriter, status int, out any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	if out != nil {
		_ = json.NewEncoder(w).Encode(out) // the caller may be gone
	}
}
