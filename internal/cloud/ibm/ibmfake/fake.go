// SPDX-License-Identifier: MPL-2.0

// Package ibmfake is an IBM Cloud VPC of its own for tests: it speaks the API over
// HTTP, a region under a path each, gives out access tokens that end, and keeps
// machines, disks, interfaces, floating addresses, security groups and networks. It
// is as strict as the API's documentation, and its answers have all that the
// vendor's own clients ask of them; the lane test-sdks holds it against those.
package ibmfake

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

// Key is the API key that every fake takes; OtherKey is one of another user's of the
// same account.
const (
	Key      = "secret_ibm_canary"
	OtherKey = "secret_ibm_other"
	// Account is whose both are.
	Account = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
	// Group is the account's default resource group.
	Group = "fee82deba12e4c0fb69c3b09d1f12345"
)

// Options say how the cloud behaves. The zero value is prompt and honest.
type Options struct {
	// InMemory serves no port, for bubbles of testing/synctest.
	InMemory bool
	// BootTime is how long a machine boots, EndTime how long one stops or ends.
	BootTime, EndTime time.Duration
	// VisibleAfter is how long lists do not show what is new.
	VisibleAfter time.Duration
	// TokenTime is how long a token lives; 0 is an hour.
	TokenTime time.Duration
	// AddressQuota is how many floating addresses a zone may have; 0 is 40.
	AddressQuota int
	// Boot runs a machine for real: it returns its address and what ends it.
	Boot func(m *Machine) (address string, end func())
	// OnViolation is told of what the API does not allow; by default that is an
	// error of the test.
	OnViolation func(error)
}

// Cloud is one account. The kit's lock guards it.
type Cloud struct {
	*fakekit.Kit

	opts      Options
	machines  fakekit.Table[Machine]
	volumes   fakekit.Table[Volume]
	nics      fakekit.Table[Interface]
	addresses fakekit.Table[Address]
	groups    fakekit.Table[SecurityGroup]
	vpcs      fakekit.Table[Network]
	subnets   fakekit.Table[Subnet]
	serial    int
	tokens    map[string]time.Time
	// full are places without room, as "profile zone"; "*" is any.
	full map[string]bool
	// silent changes of an attachment are answered well and do nothing.
	silent int
	// addressable is when addresses can be had again.
	addressable time.Time
}

// Machine is a virtual server.
type Machine struct {
	ID, Name, Region, Zone, Status string
	Reasons                        []Reason
	Order                          Order
	// Attachment is that of the boot volume, Boot the volume, NIC the interface.
	Attachment, AttachmentName, Boot, NIC string
	Created                               time.Time

	// Number counts machines.
	Number int

	due  time.Time // when Status changes next
	late bool      // it gets no room after all
	// provisioned is when its disk is made.
	provisioned time.Time
	end         func()
}

// Reason is why a machine has its status.
type Reason struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Volume is a disk.
type Volume struct {
	ID, Name, Region, Zone string
	Tags                   []string
	Capacity               int
	Profile                string
	Machine                string // empty is attached to none
	GoesWith               bool
	Created                time.Time
	revision               int
}

// Interface is a network interface.
type Interface struct {
	ID, Name, Region, Subnet, IP string
	Groups                       []string
	Machine                      string
	GoesWith                     bool
}

// Address is a floating address.
type Address struct {
	ID, Name, Region, Zone, IP string
	NIC                        string // empty leads nowhere
	Created                    time.Time
}

// SecurityGroup is a firewall.
type SecurityGroup struct {
	ID, Name, Region, VPC string
	Rules                 []Rule
	Created               time.Time
}

// Rule is one of a security group.
type Rule struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Direction string  `json:"direction"`
	Protocol  string  `json:"protocol"`
	First     *uint16 `json:"port_min"`
	Last      *uint16 `json:"port_max"`
	Remote    Remote  `json:"remote"`
	Local     *Remote `json:"local"`
	IPVersion string  `json:"ip_version"`
}

// Remote is the other side of a rule.
type Remote struct {
	CIDR    string `json:"cidr_block"`
	Address string `json:"address"`
	ID      string `json:"id"`
	Name    string `json:"name"`
	CRN     string `json:"crn"`
}

type (
	// Network is a VPC.
	Network struct {
		ID, Name, Region, Status string
		Created, ready           time.Time
	}
	// Subnet is a part of a VPC.
	Subnet struct {
		ID, Name, Region, Zone, VPC, Status string
		Created                             time.Time
		Size                                int
	}
)

// Regions are the regions; each has three zones.
func Regions() []string { return []string{"us-south", "us-east", "eu-de"} }

// Image is an image of a region.
type Image struct {
	ID, Name, Status, Architecture, Visibility string
	MinGiB, Year                               int
}

// The images there are in every region.
const (
	Ubuntu22     = "r006-11111111-aaaa-4aaa-8aaa-000000000022"
	Ubuntu22Old  = "r006-11111111-aaaa-4aaa-8aaa-000000000021"
	Ubuntu24     = "r006-11111111-aaaa-4aaa-8aaa-000000000024"
	ObsoleteName = "ibm-ubuntu-18-04-6-minimal-amd64-9"
)

func images() []Image {
	return []Image{
		{Ubuntu22Old, "ibm-ubuntu-22-04-4-minimal-amd64-1", "deprecated", "amd64", "public", 100, 2024},
		{Ubuntu22, "ibm-ubuntu-22-04-5-minimal-amd64-3", "available", "amd64", "public", 100, 2026},
		{"r006-11111111-aaaa-4aaa-8aaa-0000000000a1", "ibm-ubuntu-22-04-5-minimal-s390x-4", "available", "s390x", "public", 100, 2026},
		{Ubuntu24, "ibm-ubuntu-24-04-2-minimal-amd64-2", "available", "amd64", "public", 100, 2026},
		{"r006-11111111-aaaa-4aaa-8aaa-000000000018", ObsoleteName, "obsolete", "amd64", "public", 100, 2020},
	}
}

// Profiles are the kinds of machines that there are.
func Profiles() []string {
	return []string{"bx2-2x8", "bx2-4x16", "bx2-8x32", "cx2-2x4", "gx2-8x64x1v100", "gx3-16x80x1l4", "gx3d-160x1792x8h100"}
}

// Start runs a cloud until the end of the test.
func Start(t testing.TB, opts Options) *Cloud {
	t.Helper()
	if opts.TokenTime == 0 {
		opts.TokenTime = time.Hour
	}
	if opts.AddressQuota == 0 {
		opts.AddressQuota = 40
	}
	c := &Cloud{opts: opts, full: map[string]bool{}, tokens: map[string]time.Time{}}
	c.Kit = fakekit.Start(t, fakekit.Options{
		Auth: c.auth, VisibleAfter: opts.VisibleAfter, Settle: c.settle, Shape: shape, OnViolation: opts.OnViolation, InMemory: opts.InMemory,
	})
	for _, table := range []**fakekit.Kit{
		&c.machines.Kit, &c.volumes.Kit, &c.nics.Kit, &c.addresses.Kit, &c.groups.Kit, &c.vpcs.Kit, &c.subnets.Kit,
	} {
		*table = c.Kit
	}
	c.serveTokens()
	c.serveMachines()
	c.serveDisks()
	c.serveAddresses()
	c.serveGroups()
	c.serveNetworks()
	return c
}

// Endpoint is the setting of a provider that leads here.
func (c *Cloud) Endpoint() string { return c.URL + "/{region}" }

// auth lets in who has a token that did not end yet. It is called under the lock.
func (c *Cloud) auth(r *http.Request, _ []byte) (string, bool) {
	if r.URL.Path == "/identity/token" {
		return "", true
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	ends, ok := c.tokens[token]
	return token, ok && c.Now().Before(ends)
}

// CallToken is the call for a token.
const CallToken = "POST /identity/token"

func (c *Cloud) serveTokens() {
	c.Route(CallToken, func(w http.ResponseWriter, call *fakekit.Call) {
		call.Name = CallToken
		c.Do(w, call, func(call *fakekit.Call) (any, error) {
			key := form(call)
			if call.Header("Content-Type") != "application/x-www-form-urlencoded" || key.Get("grant_type") != "urn:ibm:params:oauth:grant-type:apikey" {
				return nil, fakekit.Refusef(http.StatusBadRequest, "BXNIM0109E", "Property missing or empty: grant_type.")
			}
			if k := key.Get("apikey"); k != Key && k != OtherKey {
				return nil, fakekit.Refusef(http.StatusBadRequest, "BXNIM0415E", "Provided API key could not be found.")
			}
			return c.token(), nil
		})
	})
}

func form(call *fakekit.Call) url.Values {
	v, _ := url.ParseQuery(string(call.Body)) // what is none has no values
	return v
}

// token makes a token, as IAM does.
func (c *Cloud) token() any {
	c.serial++
	ends := c.Now().Add(c.opts.TokenTime)
	claims, _ := json.Marshal(map[string]any{ // it is plain data
		"iam_id": "IBMid-50AAAA", "email": "me@example.com", "sub": "me@example.com", "account": map[string]any{"bss": Account},
		"iat": c.Now().Unix(), "exp": ends.Unix(), "jti": c.serial,
	})
	encode := base64.RawURLEncoding.EncodeToString
	token := encode([]byte(`{"kid":"k","alg":"RS256"}`)) + "." + encode(claims) + "." + encode(fmt.Appendf(nil, "signature %d", c.serial))
	c.tokens[token] = ends
	return map[string]any{
		"access_token": token, "refresh_token": "not_supported", "token_type": "Bearer", "expires_in": int(c.opts.TokenTime / time.Second),
		"expiration": ends.Unix(), "scope": "ibm openid",
	}
}

// Revoke ends all tokens.
func (c *Cloud) Revoke() { c.Locked(func() { clear(c.tokens) }) }

// Tokens is how many were given out.
func (c *Cloud) Tokens() int { return c.Calls(CallToken) }

// shape is how IAM and the API refuse.
func shape(r fakekit.Refusal) any {
	if strings.HasPrefix(r.Code, "BXNIM") {
		return map[string]any{"errorCode": r.Code, "errorMessage": r.Message, "context": map[string]any{"requestId": "r-1"}}
	}
	if r.Status == http.StatusUnauthorized {
		r.Code, r.Message = "not_authorized", "The token is expired or otherwise invalid."
	}
	return map[string]any{"errors": []any{map[string]any{"code": r.Code, "message": r.Message, "more_info": "https://cloud.ibm.com/docs/vpc?topic=vpc-rias-error-messages"}}, "trace": "t-1"}
}

func invalid(format string, args ...any) *fakekit.Refusal {
	return fakekit.Refusef(http.StatusBadRequest, "validation_failed", format, args...)
}

func missing(kind, id string) *fakekit.Refusal {
	return fakekit.Refusef(http.StatusNotFound, "not_found", "%s %s not found", kind, id)
}

func taken(kind, name string) *fakekit.Refusal {
	return fakekit.Refusef(http.StatusConflict, kind+"_name_exists", "The %s name %q already exists.", kind, name)
}

// NoRoom is what an action or a launch without capacity is refused with, where that
// is told at once.
func NoRoom() *fakekit.Refusal {
	return fakekit.Refusef(http.StatusBadRequest, noRoom().Code, "%s", noRoom().Message)
}

func noRoom() Reason {
	return Reason{"cannot_start_capacity", "The instance cannot be started because the requested resource capacity is unavailable."}
}

// id makes ids as those of a zone or a region are.
func (c *Cloud) id(prefix string) string {
	c.serial++
	return fmt.Sprintf("%s-%08x-52b0-4d2e-9e6e-%012x", prefix, 0xfab0+c.serial, c.serial)
}

var (
	nameForm = regexp.MustCompile(`^-?([a-z]|[a-z][-a-z0-9]*[a-z0-9]|[0-9][-a-z0-9]*([a-z]|[-a-z][-a-z0-9]*[a-z0-9]))$`)
	tagForm  = regexp.MustCompile(`^[A-Za-z0-9:_ .-]{1,128}$`)
)

// checkName refuses what is no name of the API.
func checkName(name string) error {
	if len(name) > 63 || !nameForm.MatchString(name) {
		return invalid("name: %q does not match the pattern", name)
	}
	return nil
}

// handle answers the calls of a path of a region's API.
func (c *Cloud) handle(pattern string, h func(call *fakekit.Call, region string) (any, error)) {
	method, path, _ := strings.Cut(pattern, " ")
	c.Handle(method+" /{region}/v1"+path, c.checked(h))
}

func (c *Cloud) checked(h func(call *fakekit.Call, region string) (any, error)) fakekit.Handler {
	return func(call *fakekit.Call) (any, error) {
		region := call.Value("region")
		switch {
		case !slices.Contains(Regions(), region):
			return nil, missing("region", region)
		case call.Query.Get("generation") != "2" || call.Query.Get("version") != "2026-10-06":
			return nil, invalid("generation %q and version %q", call.Query.Get("generation"), call.Query.Get("version"))
		case call.Method == http.MethodPatch && call.Header("Content-Type") != "application/merge-patch+json":
			return nil, fakekit.Refusef(http.StatusUnsupportedMediaType, "unsupported_media_type", "A patch is application/merge-patch+json.")
		}
		return h(call, region)
	}
}

// page is a list as the API has it: one page, and where the next one is.
func page[T any](c *Cloud, call *fakekit.Call, what string, all []T, show func(T) any) any {
	size := 50
	if n := call.Query.Get("limit"); n != "" {
		_, _ = fmt.Sscan(n, &size) // what is none leaves it
	}
	size = min(size, 100)
	items, next := fakekit.Page(all, call.Query.Get("start"), size)
	shown := []any{}
	for _, item := range items {
		shown = append(shown, show(item))
	}
	base := c.URL + call.Path
	out := map[string]any{what: shown, "limit": size, "total_count": len(all), "first": map[string]any{"href": fmt.Sprintf("%s?limit=%d", base, size)}}
	if next != "" {
		out["next"] = map[string]any{"href": fmt.Sprintf("%s?limit=%d&start=%s", base, size, next)}
	}
	return out
}

// in are the things of a region, for a table's rows.
func in[T any](all []*T, keep func(*T) bool) []*T {
	return slices.DeleteFunc(slices.Clone(all), func(t *T) bool { return !keep(t) })
}

func created(body any) any { return fakekit.Reply{Status: http.StatusCreated, Body: body} }

// accepted is the answer to a removal that takes a while.
func accepted() any { return fakekit.Reply{Status: http.StatusAccepted} }
