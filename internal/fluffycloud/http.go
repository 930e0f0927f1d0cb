// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	maxBody         = 1 << 20
	defaultPageSize = 100
	maxPageSize     = 1000
)

// call is one request on its way through the server.
type call struct {
	*http.Request
	// effect is the fault that struck this call, if any.
	effect effect
}

// reply is a good answer.
type reply struct {
	status int
	body   any
}

// errDropped ends a call without an answer.
var errDropped = errors.New("connection dropped by a fault")

type handler func(ctx context.Context, c *call) (reply, error)

// routes is the API. The laboratory's own routes are free of faults.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /v1/account":                s.getAccount,
		"GET /v1/regions":                s.listRegions,
		"GET /v1/instance-types":         s.listTypes,
		"GET /v1/images":                 s.listImages,
		"POST /v1/instances":             s.launch,
		"GET /v1/instances":              s.listInstances,
		"GET /v1/instances/{id}":         s.getInstance,
		"DELETE /v1/instances/{id}":      s.terminateInstance,
		"POST /v1/instances/{id}/stop":   s.stopInstance,
		"POST /v1/instances/{id}/start":  s.startInstance,
		"PATCH /v1/instances/{id}/tags":  s.tagInstance,
		"PUT /v1/instances/{id}/expiry":  s.setExpiry,
		"GET /v1/instances/{id}/console": s.getConsole,
		"POST /v1/ssh-keys":              s.createKey,
		"GET /v1/ssh-keys":               s.listKeys,
		"GET /v1/ssh-keys/{id}":          s.getKey,
		"DELETE /v1/ssh-keys/{id}":       s.deleteKey,
		"POST /v1/firewalls":             s.createFirewall,
		"GET /v1/firewalls":              s.listFirewalls,
		"GET /v1/firewalls/{id}":         s.getFirewall,
		"DELETE /v1/firewalls/{id}":      s.deleteFirewall,
		"PUT /v1/firewalls/{id}/rules":   s.setFirewallRules,
		"GET /v1/disks":                  s.listDisks,
		"GET /v1/billing":                s.getBilling,
		"GET /v1/faults":                 s.listFaults,
		"POST /v1/faults":                s.addFault,
		"DELETE /v1/faults":              s.clearFaults,
		"DELETE /v1/faults/{id}":         s.deleteFault,
		"PUT /v1/capacity":               s.setCapacity,
		"PUT /v1/quotas":                 s.setQuota,
		"PUT /v1/spot-prices":            s.setSpotPrice,
		"POST /v1/instances/{id}/preempt": func(ctx context.Context, c *call) (reply, error) {
			return s.endAs(ctx, c, reasonPreempted)
		},
		"POST /v1/instances/{id}/kill": func(ctx context.Context, c *call) (reply, error) {
			return s.endAs(ctx, c, reasonHost)
		},
		"GET /v1/inventory":      s.getInventory,
		"POST /v1/terminate-all": s.terminateEverything,
		"POST /v1/shutdown":      s.requestShutdown,
	} {
		mux.Handle(pattern, s.guard(s.serve(h)))
	}
	// The machines' own entrance, with tokens of their own.
	mux.Handle("POST /self/{action}", s.serve(s.selfRequest))
	mux.Handle("/", s.guard(s.serve(func(_ context.Context, c *call) (reply, error) {
		return reply{}, apiErrorf(http.StatusNotFound, "not_found", "there is no %s %s", c.Method, c.URL.Path)
	})))
	return mux
}

// bearer returns the request's token.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// guard admits the account's key only.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(bearer(r)), []byte(s.apiKey)) != 1 {
			s.writeError(w, apiErrorf(http.StatusUnauthorized, "unauthorized", "the API key is missing or wrong"))
			return
		}
		s.touch()
		next.ServeHTTP(w, r)
	})
}

// serve runs a handler and writes what comes of it, as the call's fault wants it.
func (s *Server) serve(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		c := &call{Request: r}
		answer, err := h(r.Context(), c)
		switch {
		case errors.Is(err, errDropped), err == nil && c.effect.TimeoutAfterApply:
			hangUp(w)
		case err != nil:
			s.writeError(w, err)
		case c.effect.Body != nil:
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, *c.effect.Body)
		default:
			writeJSON(w, answer.status, answer.body)
		}
	})
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_ = conn.Close()
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	data, err := json.Marshal(body)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"cannot encode the answer"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
}

func (s *Server) writeError(w http.ResponseWriter, err error) {
	requestID := "req-" + randomHex(8)
	e := (*apiError)(nil)
	if !errors.As(err, &e) {
		s.log.Error("request failed", "request_id", requestID, "error", err)
		e = apiErrorf(http.StatusInternalServerError, "internal", "something broke inside; see server.log for %s", requestID)
	}
	if e.RetryAfter > 0 || e.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", strconv.Itoa(max(e.RetryAfter, 1)))
	}
	writeJSON(w, e.Status, map[string]any{"error": map[string]string{
		"code": e.Code, "message": e.Message, "request_id": requestID,
	}})
}

// decode reads the request's body strictly: what is unknown is an error.
func (c *call) decode(v any) error {
	d := json.NewDecoder(c.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
			return invalid("body", "is larger than %d bytes", maxBody)
		}
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			return invalid(wrong.Field, "must be a %s", wrong.Type)
		}
		return invalid("body", "%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if d.More() {
		return invalid("body", "holds more than one value")
	}
	return nil
}

// page cuts the part of items the request asks for; key sorts them for good.
func page[T any](c *call, name string, items []T, key func(T) string) (reply, error) {
	size := defaultPageSize
	if text := c.URL.Query().Get("page_size"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPageSize {
			return reply{}, invalid("page_size", "must be a number from 1 to %d", maxPageSize)
		}
		size = n
	}
	after, err := base64.RawURLEncoding.DecodeString(c.URL.Query().Get("page_token"))
	if err != nil {
		return reply{}, invalid("page_token", "is not one that a list answer gave")
	}
	slices.SortFunc(items, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	items = slices.DeleteFunc(items, func(v T) bool { return len(after) > 0 && key(v) <= string(after) })
	next := ""
	if len(items) > size {
		items = items[:size]
		next = base64.RawURLEncoding.EncodeToString([]byte(key(items[size-1])))
	}
	return reply{http.StatusOK, map[string]any{name: items, "next_page_token": next}}, nil
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // crypto/rand.Read never fails
	return hex.EncodeToString(b)
}
