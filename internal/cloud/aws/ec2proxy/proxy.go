// SPDX-License-Identifier: MPL-2.0

// Package ec2proxy stands in front of an emulator of AWS, for tests, and makes
// it behave as EC2 does where emulators are too kind: client tokens are
// honoured, security groups in use cannot be deleted, what was launched shows
// up late and what was terminated lingers. It also injects faults and writes
// down which actions were called.
package ec2proxy

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxBody bounds a request and an answer.
const maxBody = 64 << 20

// Proxy is an HTTP handler. Set its fields before the first request.
type Proxy struct {
	// Upstream is the emulator's URL.
	Upstream string
	// Client calls the emulator.
	Client *http.Client
	// HideFor is how long a launched machine is missing from listings.
	HideFor time.Duration
	// LingerFor is how long a terminated machine shows as shutting down.
	LingerFor time.Duration
	// DetachFor is how long after that its groups are still in use.
	DetachFor time.Duration
	// Launched is told of every machine and the call that made it; nil is nobody.
	Launched func(id string, call url.Values)
	// Address replaces a machine's addresses in listings, the public and the
	// private one; nil leaves them.
	Address func(id string) string
	// AccessKeys are the keys that are let in; empty lets all in.
	AccessKeys []string

	mu       sync.Mutex
	tokens   map[string]*launch
	faults   []*armed
	actions  map[string]int
	born     map[string]time.Time
	ended    map[string]time.Time
	asked    map[string]bool     // groups that were in use when their removal was asked for
	behind   map[string][]string // security groups by machine
	groups   map[string]placementGroup
	requests []url.Values
	refused  map[string]int
	starved  map[string]bool
	blank    map[string]time.Time // until when machines have no public address
}

// launch is what a client token stands for.
type launch struct {
	mu      sync.Mutex
	payload string
	answer  *answer
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// Actions returns how often each action was called, as "ec2:RunInstances".
func (p *Proxy) Actions() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[string]int, len(p.actions))
	for k, n := range p.actions {
		out[k] = n
	}
	return out
}

// Refused is how often the proxy answered an error of its own, not of a fault.
func (p *Proxy) Refused(code string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused[code]
}

func (p *Proxy) count(code string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused == nil {
		p.refused = map[string]int{}
	}
	p.refused[code]++
}

// Requests returns the parameters of the calls of an EC2 action so far.
func (p *Proxy) Requests(action string) []url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.requests), func(v url.Values) bool { return v.Get("Action") != action })
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c := newCall(r, body)
	p.note(c)
	if len(p.AccessKeys) > 0 && !slices.Contains(p.AccessKeys, c.accessKey) {
		p.write(w, refuse(c))
		return
	}
	fault := p.strike(c)
	if fault != nil && fault.Code != "" {
		p.write(w, failure(fault.Status, fault.Code, fault.Message))
		return
	}
	if fault != nil && fault.Silent {
		action := c.form.Get("Action")
		out := failure(http.StatusOK, "", "")
		out.body = fmt.Appendf(nil, `<%sResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><return>true</return></%sResponse>`, action, action)
		p.write(w, out)
		return
	}
	out, err := p.do(r, c)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	switch {
	case fault == nil:
	case fault.Starve, fault.Unaddressed > 0:
		p.spoil(r, fault.Fault, instanceIDs(out.body))
	default:
		panic(http.ErrAbortHandler) // the answer is lost
	}
	p.write(w, out)
}

// do answers a call that no fault strikes.
func (p *Proxy) do(r *http.Request, c call) (*answer, error) {
	switch c.form.Get("Action") {
	case "RunInstances":
		return p.runInstances(r, c)
	case "TerminateInstances":
		out, err := p.forward(r, c.body)
		if err == nil && out.status == http.StatusOK {
			p.end(c)
			out.body = p.rewrite(out.body, "instancesSet")
		}
		return out, err
	case "DescribeInstances":
		out, err := p.forward(r, c.body)
		if err == nil && out.status == http.StatusOK {
			out.body = p.rewrite(out.body, "reservationSet")
		}
		return out, err
	case "StopInstances":
		if id := p.firstSpot(r, c); id != "" {
			return failure(http.StatusBadRequest, "UnsupportedOperation", "You can't stop the Spot Instance '"+id+"' because it is associated with a one-time Spot Instance request."), nil
		}
	case "ModifyInstanceAttribute":
		return p.forward(r, []byte(spelledOut(c.form).Encode()))
	case "DeleteSecurityGroup":
		if p.inUse(r, c) {
			p.count("DependencyViolation")
			return failure(http.StatusBadRequest, "DependencyViolation", "resource "+c.form.Get("GroupId")+" has a dependent object"), nil
		}
	case "CreatePlacementGroup", "DescribePlacementGroups", "DeletePlacementGroup":
		return p.placement(c), nil
	}
	return p.forward(r, c.body)
}

// spelledOut says what a power-off does in the other of the two ways that EC2
// has for it. Moto takes the usual one for an empty list of security groups.
func spelledOut(form url.Values) url.Values {
	const short, attribute = "InstanceInitiatedShutdownBehavior.Value", "instanceInitiatedShutdownBehavior"
	if !form.Has(short) {
		return form
	}
	out := maps.Clone(form)
	out.Set("Attribute", attribute)
	out.Set("Value", form.Get(short))
	out.Del(short)
	return out
}

// runInstances honours the client token: the first answer is kept and given
// again, as it was, to every call with the same parameters.
func (p *Proxy) runInstances(r *http.Request, c call) (*answer, error) {
	token := c.form.Get("ClientToken")
	if token == "" || len(token) > 64 {
		return failure(http.StatusBadRequest, "InvalidParameterValue", "ClientToken must have 1 to 64 characters"), nil
	}
	p.mu.Lock()
	if p.tokens == nil {
		p.tokens = map[string]*launch{}
	}
	l := p.tokens[c.region+"/"+token]
	if l == nil {
		l = &launch{}
		p.tokens[c.region+"/"+token] = l
	}
	p.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	payload := c.form.Encode()
	if l.answer != nil {
		if l.payload != payload {
			return failure(http.StatusBadRequest, "IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."), nil
		}
		return l.answer, nil
	}
	out, err := p.forward(r, c.body)
	if err != nil || out.status != http.StatusOK {
		return out, err
	}
	l.payload, l.answer = payload, out
	for _, id := range instanceIDs(out.body) {
		if p.Launched != nil {
			p.Launched(id, c.form)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range instanceIDs(out.body) {
		if p.born == nil {
			p.born, p.behind = map[string]time.Time{}, map[string][]string{}
		}
		p.born[id], p.behind[id] = time.Now(), c.list("NetworkInterface.1.SecurityGroupId")
	}
	return out, nil
}

func (p *Proxy) end(c call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = map[string]time.Time{}
	}
	for _, id := range c.list("InstanceId") {
		if _, ok := p.ended[id]; !ok {
			p.ended[id] = time.Now()
		}
	}
}

// forward sends a body to the emulator under the caller's headers.
func (p *Proxy) forward(r *http.Request, body []byte) (*answer, error) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, p.Upstream+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = r.Header.Clone()
	req.Header.Del("Accept-Encoding")
	resp, err := p.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, err
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: out}, nil
}

// ask sends another call to the emulator in the name of r.
func (p *Proxy) ask(r *http.Request, form url.Values) string {
	form.Set("Version", "2016-11-15")
	out, err := p.forward(r, []byte(form.Encode()))
	if err != nil {
		return ""
	}
	return string(out.body)
}

func (*Proxy) write(w http.ResponseWriter, a *answer) {
	if kind := a.header.Get("Content-Type"); kind != "" {
		w.Header().Set("Content-Type", kind)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a caller that went away is no trouble of ours
}

// Start serves the proxy on loopback until close is called.
func (p *Proxy) Start() (address string, stop func()) {
	s := httptest.NewServer(p)
	return s.URL, s.Close
}

// call is a request, read.
type call struct {
	form                       url.Values
	body                       []byte
	accessKey, region, service string
	target                     string
}

var credential = regexp.MustCompile(`Credential=([^/]+)/\d+/([^/]+)/([^/]+)/`)

func newCall(r *http.Request, body []byte) call {
	c := call{body: body, target: r.Header.Get("X-Amz-Target")}
	if m := credential.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		c.accessKey, c.region, c.service = m[1], m[2], m[3]
	}
	c.form, _ = url.ParseQuery(string(body)) // not a form: no action
	return c
}

// action is the call's name as IAM policies have it.
func (c call) action() string {
	if a := c.form.Get("Action"); a != "" {
		return c.service + ":" + a
	}
	_, name, _ := strings.Cut(c.target, ".")
	return c.service + ":" + name
}

// list reads a numbered list of parameters.
func (c call) list(name string) []string {
	var out []string
	for i := 1; ; i++ {
		v, ok := c.form[fmt.Sprintf("%s.%d", name, i)]
		if !ok {
			return out
		}
		out = append(out, v[0])
	}
}

func (p *Proxy) note(c call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.actions == nil {
		p.actions = map[string]int{}
	}
	p.actions[c.action()]++
	if c.service == "ec2" {
		p.requests = append(p.requests, c.form)
	}
}

// strike returns the fault that hits the call.
func (p *Proxy) strike(c call) *armed {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		if f.Action != c.form.Get("Action") || !matches(f.Match, c.form) {
			continue
		}
		f.seen++
		if f.seen <= f.Skip || (f.Times > 0 && f.struck >= f.Times) {
			continue
		}
		f.struck++
		return f
	}
	return nil
}

func matches(want map[string]string, form url.Values) bool {
	for k, v := range want {
		if form.Get(k) != v {
			return false
		}
	}
	return true
}
