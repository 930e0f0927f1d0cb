// SPDX-License-Identifier: MPL-2.0

// Package ocifake is a cloud of Oracle's for tests: it speaks the API over HTTP,
// verifies the signature of every call, keeps machines, volumes, networks and work
// requests of several regions, and refuses what Oracle refuses. Oracle gives out no
// OpenAPI file; that the fake has the API's shape is witnessed by Oracle's own Go
// client, which the driver is built on, and its Python client (make test-sdks).
package ocifake

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

// What the account has.
const (
	Tenancy     = "ocid1.tenancy.oc1..acme"
	User        = "ocid1.user.oc1..ada"
	Compartment = "ocid1.compartment.oc1..research"
	// Below is a compartment in Compartment, Other one beside it.
	Below = "ocid1.compartment.oc1..below"
	Other = "ocid1.compartment.oc1..other"
	Home  = "us-ashburn-1"
)

// Regions are those that the tenancy is subscribed to, and how OCIDs call them.
func Regions() map[string]string {
	return map[string]string{Home: "iad", "us-phoenix-1": "phx", "eu-frankfurt-1": "eu-frankfurt-1"}
}

// Domains are the availability domains of a region.
func Domains(region string) []string {
	count := 3
	if region == "eu-frankfurt-1" {
		count = 1
	}
	out := make([]string, 0, count)
	for n := range count {
		out = append(out, fmt.Sprintf("Acme:%s-AD-%d", strings.ToUpper(region), n+1))
	}
	return out
}

// Options say how the cloud behaves. The zero value is prompt and honest.
type Options struct {
	// BootTime, StopTime and EndTime are how long machines take to run, to stop and
	// to end; Remembered is how long one that ended is still shown.
	BootTime, StopTime, EndTime, Remembered time.Duration
	// VisibleAfter is how long lists do not show what is new.
	VisibleAfter time.Duration
	// MakeTime is how long parts of a network are being made.
	MakeTime time.Duration
	// PageSize is how much a page of a list holds; 0 is 100. Every second page is
	// empty where EmptyPages is set, as Oracle's may be.
	PageSize   int
	EmptyPages bool
	// NoReports refuses capacity reports, as a policy may. Hidden is a compartment that
	// the user may not look into.
	NoReports bool
	Hidden    string
	// Boot runs a machine for real: it returns its address and what ends it.
	Boot func(m *Machine) (address string, end func())
	// OnViolation is told of what the API does not have; by default that is an error
	// of the test.
	OnViolation func(error)
}

// Cloud is one tenancy. The kit's lock guards it.
type Cloud struct {
	*fakekit.Kit

	opts     Options
	machines fakekit.Table[Machine]
	work     fakekit.Table[WorkRequest]
	nets     map[string]*fakekit.Table[Part]
	// tokens are what was made under retry tokens.
	tokens map[string]string
	// sessions are the keys of session tokens.
	sessions map[string]signer
	serial   int
	// full are places without room, as "shape domain" or "shape *"; what is in quiet
	// the report does not know.
	full, quiet map[string]bool
	// silent renamings are answered well and do nothing.
	silent int
}

// Start runs a cloud until the end of the test.
func Start(t testing.TB, opts Options) *Cloud {
	t.Helper()
	c := &Cloud{opts: opts, tokens: map[string]string{}, sessions: map[string]signer{}, full: map[string]bool{}, quiet: map[string]bool{}, nets: map[string]*fakekit.Table[Part]{}}
	if c.opts.PageSize == 0 {
		c.opts.PageSize = 100
	}
	if c.opts.Remembered == 0 {
		c.opts.Remembered = time.Hour
	}
	c.Kit = fakekit.Start(t, fakekit.Options{
		Auth: c.admit, Shape: shape, Settle: c.settle, VisibleAfter: opts.VisibleAfter, OnViolation: opts.OnViolation,
	})
	c.machines.Kit, c.work.Kit = c.Kit, c.Kit
	c.serveIdentity()
	c.serveMachines()
	c.serveNetwork()
	return c
}

// Endpoint is the provider's setting that leads here.
func (c *Cloud) Endpoint() string { return c.URL + "/{region}" }

// CallerPath is where this computer's address can be asked for.
const CallerPath = "/caller"

func shape(r fakekit.Refusal) any {
	if r.Status == http.StatusUnauthorized && r.Code == "unauthorized" {
		r.Code, r.Message = "NotAuthenticated", "The required information to complete authentication was not provided or was incorrect."
	}
	return map[string]string{"code": r.Code, "message": r.Message}
}

func invalid(format string, args ...any) *fakekit.Refusal {
	return fakekit.Refusef(http.StatusBadRequest, "InvalidParameter", format, args...)
}

func missing(what string) *fakekit.Refusal {
	return fakekit.Refusef(http.StatusNotFound, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found: %s", what)
}

func incorrect(format string, args ...any) *fakekit.Refusal {
	return fakekit.Refusef(http.StatusConflict, "IncorrectState", format, args...)
}

// NoRoom is what a launch without capacity is answered with.
func NoRoom() *fakekit.Refusal {
	return fakekit.Refusef(http.StatusInternalServerError, "InternalError", "Out of host capacity.")
}

// NotAllowed is what is answered to who may not do something: Oracle does not tell it
// from a thing that is not there.
func NotAllowed() *fakekit.Refusal { return missing("it") }

// handle answers the calls of a pattern behind a region that the tenancy has.
func (c *Cloud) handle(pattern string, h func(call *fakekit.Call, region string) (any, error)) {
	method, path, _ := strings.Cut(pattern, " ")
	c.Route(method+" /{region}/20160918"+path, func(w http.ResponseWriter, call *fakekit.Call) {
		call.Name = pattern
		c.Do(w, call, func(call *fakekit.Call) (any, error) {
			region := call.Value("region")
			if _, ok := Regions()[region]; !ok {
				c.Violation(fmt.Errorf("the tenancy has no region %q, and %s asks there", region, pattern))
				return nil, missing(region)
			}
			return h(call, region)
		})
	})
}

// ocid makes an id.
func (c *Cloud) ocid(kind, region string) string {
	c.serial++
	return fmt.Sprintf("ocid1.%s.oc1.%s.a%05d", kind, Regions()[region], c.serial)
}

// page cuts a list, and says in a header what comes next.
func page[T any](c *Cloud, call *fakekit.Call, all []T) (any, error) {
	token, empty := strings.CutSuffix(call.Query.Get("page"), "-empty")
	if empty {
		return fakekit.Reply{Body: []T{}, Header: map[string]string{"opc-next-page": token}}, nil
	}
	items, next := fakekit.Page(all, token, c.opts.PageSize)
	out := fakekit.Reply{Body: items, Header: map[string]string{"opc-request-id": "req-1"}}
	if items == nil {
		out.Body = []T{}
	}
	if next != "" {
		if c.opts.EmptyPages {
			next += "-empty"
		}
		out.Header["opc-next-page"] = next
	}
	return out, nil
}

// compartment is the one that a list is asked for, which it must be.
func (c *Cloud) compartment(call *fakekit.Call) (string, error) {
	id := call.Query.Get("compartmentId")
	if id == c.opts.Hidden || !slices.Contains([]string{Tenancy, Compartment, Below, Other}, id) {
		return "", missing("compartment " + id)
	}
	return id, nil
}

// once remembers what was made under a call's retry token: it returns that, and
// refuses a token whose thing is gone.
func (c *Cloud) once(call *fakekit.Call, there func(id string) bool) (id string, err error) {
	token := call.Header("opc-retry-token")
	switch id, ok := c.tokens[token]; {
	case len(token) > 64:
		return "", invalid("opc-retry-token has more than 64 bytes")
	case token == "" || !ok:
		return "", nil
	case !there(id):
		return "", fakekit.Refusef(http.StatusConflict, "InvalidatedRetryToken", "The provided retry token was used in an earlier request, and was invalidated since.")
	default:
		return id, nil
	}
}

func (c *Cloud) remember(call *fakekit.Call, id string) {
	if token := call.Header("opc-retry-token"); token != "" {
		c.tokens[token] = id
	}
}

// checkTags holds free-form tags against Oracle's bounds.
func checkTags(held map[string]string) error {
	if len(held) > 10 {
		return invalid("%d free-form tags; at most 10", len(held))
	}
	for key, value := range held {
		switch {
		case key == "" || len(key) > 100 || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > 0x7e || r == '.' }):
			return invalid("tag key %q", key)
		case len([]rune(value)) > 256:
			return invalid("tag value of %q is longer than 256", key)
		}
	}
	return nil
}

func (c *Cloud) serveIdentity() {
	c.HandleFunc("GET "+CallerPath, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("203.0.113.7\n")) })
	c.handle("GET /tenancies/{tenancy}/regionSubscriptions", func(call *fakekit.Call, _ string) (any, error) {
		if call.Value("tenancy") != Tenancy {
			return nil, missing("tenancy")
		}
		out := []map[string]any{{"regionKey": "NRT", "regionName": "ap-tokyo-1", "status": "IN_PROGRESS", "isHomeRegion": false}}
		for name, key := range Regions() {
			out = append(out, map[string]any{"regionKey": strings.ToUpper(key), "regionName": name, "status": "READY", "isHomeRegion": name == Home})
		}
		return out, nil
	})
	c.handle("GET /availabilityDomains", func(call *fakekit.Call, region string) (any, error) {
		if _, err := c.compartment(call); err != nil {
			return nil, err
		}
		var out []map[string]any
		for n, name := range Domains(region) {
			out = append(out, map[string]any{"name": name, "id": fmt.Sprintf("ocid1.availabilitydomain.oc1..%s%d", region, n), "compartmentId": Tenancy})
		}
		return out, nil
	})
	c.handle("GET /compartments", func(call *fakekit.Call, _ string) (any, error) {
		one := func(id, parent string) map[string]any {
			return map[string]any{"id": id, "compartmentId": parent, "name": id[strings.LastIndex(id, ".")+1:], "description": "", "timeCreated": c.Now().Format(time.RFC3339), "lifecycleState": "ACTIVE"}
		}
		all := []map[string]any{one(Below, Compartment), one(Compartment, Tenancy), one(Other, Tenancy)}
		if call.Query.Get("accessLevel") == "ACCESSIBLE" {
			all = slices.DeleteFunc(all, func(one map[string]any) bool { return one["id"] == c.opts.Hidden })
		}
		return page(c, call, all)
	})
}
