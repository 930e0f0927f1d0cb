// SPDX-License-Identifier: MPL-2.0

package gcpfake

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

// clientModule is where the official discovery document lies, beside the client.
const clientModule = "google.golang.org/api"

// document is Compute Engine's discovery document, as far as requests go.
type document struct {
	ServicePath string               `json:"servicePath"`
	Revision    string               `json:"revision"`
	Parameters  map[string]*schema   `json:"parameters"`
	Resources   map[string]*resource `json:"resources"`
	Schemas     map[string]*schema   `json:"schemas"`

	methods []*method
}

type resource struct {
	Methods   map[string]*method   `json:"methods"`
	Resources map[string]*resource `json:"resources"`
}

type method struct {
	ID         string             `json:"id"`
	HTTPMethod string             `json:"httpMethod"`
	FlatPath   string             `json:"flatPath"`
	Parameters map[string]*schema `json:"parameters"`
	Request    *struct {
		Ref string `json:"$ref"`
	} `json:"request"`

	path *regexp.Regexp
	// parts are the segments of the path; those with a parameter are empty.
	parts []string
	names []string
}

// schema is a type, or a parameter.
type schema struct {
	Ref                  string             `json:"$ref"`
	Type                 string             `json:"type"`
	Format               string             `json:"format"`
	Enum                 []string           `json:"enum"`
	Pattern              string             `json:"pattern"`
	Minimum              string             `json:"minimum"`
	Maximum              string             `json:"maximum"`
	Required             bool               `json:"required"`
	Repeated             bool               `json:"repeated"`
	Location             string             `json:"location"`
	Properties           map[string]*schema `json:"properties"`
	AdditionalProperties *schema            `json:"additionalProperties"`
	Items                *schema            `json:"items"`
	Annotations          struct {
		Required []string `json:"required"`
	} `json:"annotations"`
}

// loadDocument reads the document of the client's version that the module
// uses, once a process. It needs no network: the client is in the module cache.
var loadDocument = sync.OnceValues(func() (*document, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", clientModule)
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("find the module %s: %w: %s", clientModule, err, stderr.String())
	}
	path := filepath.Join(strings.TrimSpace(string(out)), "compute", "v1", "compute-api.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the discovery document: %w", err)
	}
	return parseDocument(text)
})

func parseDocument(text []byte) (*document, error) {
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("read the discovery document: %w", err)
	}
	if err := doc.collect(doc.Resources); err != nil {
		return nil, err
	}
	if len(doc.methods) == 0 || len(doc.Schemas) == 0 {
		return nil, fmt.Errorf("the discovery document of revision %q has %d methods and %d schemas", doc.Revision, len(doc.methods), len(doc.Schemas))
	}
	return &doc, nil
}

var pathParameter = regexp.MustCompile(`\{\+?([A-Za-z]+)\}`)

func (d *document) collect(resources map[string]*resource) error {
	for _, r := range resources {
		for _, m := range r.Methods {
			text := "^/" + d.ServicePath + pathParameter.ReplaceAllString(m.FlatPath, `([^/]+)`) + "$"
			for _, p := range pathParameter.FindAllStringSubmatch(m.FlatPath, -1) {
				m.names = append(m.names, p[1])
			}
			for _, part := range strings.Split("/"+d.ServicePath+m.FlatPath, "/") {
				if strings.Contains(part, "{") {
					part = ""
				}
				m.parts = append(m.parts, part)
			}
			var err error
			if m.path, err = regexp.Compile(text); err != nil {
				return fmt.Errorf("path of %s: %w", m.ID, err)
			}
			d.methods = append(d.methods, m)
		}
		if err := d.collect(r.Resources); err != nil {
			return err
		}
	}
	return nil
}

// mayMatch is a quick look before the whole expression.
func (m *method) mayMatch(parts []string) bool {
	if len(parts) != len(m.parts) {
		return false
	}
	for i, part := range m.parts {
		if part != "" && part != parts[i] {
			return false
		}
	}
	return true
}

// find returns the method of a request and the values in its path. A path
// without parameters in a place beats one with.
func (d *document) find(verb, path string) (*method, map[string]string) {
	var best *method
	var values map[string]string
	parts := strings.Split(path, "/")
	for _, m := range d.methods {
		if m.HTTPMethod != verb || !m.mayMatch(parts) {
			continue
		}
		found := m.path.FindStringSubmatch(path)
		if found == nil || (best != nil && len(best.names) <= len(m.names)) {
			continue
		}
		best, values = m, map[string]string{}
		for i, name := range m.names {
			values[name] = found[i+1]
		}
	}
	return best, values
}

// checked is a request that the document allows.
type checked struct {
	method *method
	path   map[string]string
	query  url.Values
	body   []byte
}

// check holds a request against the document, and names it.
func (d *document) check(call *fakekit.Call) (checked, error) {
	m, values := d.find(call.Method, call.Path)
	if m == nil {
		return checked{}, fmt.Errorf("there is no method %s %s", call.Method, call.Path)
	}
	call.Name = m.ID
	c := checked{method: m, path: values, query: call.Query, body: call.Body}
	for name, p := range m.Parameters {
		got, there := c.query[name]
		if p.Location == "path" {
			got, there = []string{values[name]}, values[name] != ""
		}
		if p.Required && !there {
			return c, fmt.Errorf("%s: parameter %s is missing", m.ID, name)
		}
		if err := checkParameter(p, got); err != nil {
			return c, fmt.Errorf("%s: parameter %s: %w", m.ID, name, err)
		}
	}
	for name, got := range c.query {
		known := m.Parameters[name]
		if known == nil || known.Location != "query" {
			if known = d.Parameters[name]; known == nil {
				return c, fmt.Errorf("%s: unknown parameter %q", m.ID, name)
			}
		}
		if err := checkParameter(known, got); err != nil {
			return c, fmt.Errorf("%s: parameter %s: %w", m.ID, name, err)
		}
	}
	return c, d.checkBody(m, call.Body)
}

func (d *document) checkBody(m *method, body []byte) error {
	if m.Request == nil {
		if len(bytes.TrimSpace(body)) > 0 {
			return fmt.Errorf("%s takes no body", m.ID)
		}
		return nil
	}
	var value any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		return fmt.Errorf("%s: the body is no JSON: %w", m.ID, err)
	}
	return d.checkValue(m.ID, m.Request.Ref, &schema{Ref: m.Request.Ref}, value)
}

func checkParameter(p *schema, got []string) error {
	if len(got) > 1 && !p.Repeated {
		return fmt.Errorf("it comes %d times", len(got))
	}
	for _, text := range got {
		var value any = text
		if p.Type == "integer" || p.Type == "number" {
			value = json.Number(text)
		}
		if p.Type == "boolean" {
			b, err := strconv.ParseBool(text)
			if err != nil {
				return fmt.Errorf("%q is not true or false", text)
			}
			value = b
		}
		if err := checkScalar(p, value); err != nil {
			return err
		}
	}
	return nil
}

// checkValue holds a value against a type; where names it in errors.
func (d *document) checkValue(methodID, where string, s *schema, value any) error {
	if s.Ref != "" {
		target := d.Schemas[s.Ref]
		if target == nil {
			return fmt.Errorf("%s: the document has no schema %s", where, s.Ref)
		}
		return d.checkValue(methodID, where, target, value)
	}
	switch s.Type {
	case "any":
		return nil
	case "array":
		list, ok := value.([]any)
		if !ok {
			return fmt.Errorf("%s: %T where a list belongs", where, value)
		}
		for i, item := range list {
			if err := d.checkValue(methodID, fmt.Sprintf("%s[%d]", where, i), s.Items, item); err != nil {
				return err
			}
		}
		return nil
	case "object":
		return d.checkObject(methodID, where, s, value)
	}
	if err := checkScalar(s, value); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return nil
}

func (d *document) checkObject(methodID, where string, s *schema, value any) error {
	object, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: %T where an object belongs", where, value)
	}
	for name, p := range s.Properties {
		if _, there := object[name]; !there && slices.Contains(p.Annotations.Required, methodID) {
			return fmt.Errorf("%s.%s is missing", where, name)
		}
	}
	for name, field := range object {
		p := s.Properties[name]
		if p == nil {
			p = s.AdditionalProperties
		}
		if p == nil {
			return fmt.Errorf("%s has no field %q", where, name)
		}
		if err := d.checkValue(methodID, where+"."+name, p, field); err != nil {
			return err
		}
	}
	return nil
}

func checkScalar(s *schema, value any) error {
	switch s.Type {
	case "string":
		text, ok := value.(string)
		if !ok {
			return fmt.Errorf("%v (%T) where a string belongs", value, value)
		}
		return checkText(s, text)
	case "boolean":
		if _, ok := value.(bool); !ok {
			return fmt.Errorf("%v (%T) where true or false belongs", value, value)
		}
	case "integer":
		n, ok := value.(json.Number)
		if !ok {
			return fmt.Errorf("%v (%T) where a whole number belongs", value, value)
		}
		i, err := n.Int64()
		if err != nil {
			return fmt.Errorf("%v is not a whole number", value)
		}
		if low, err := strconv.ParseInt(s.Minimum, 10, 64); err == nil && i < low {
			return fmt.Errorf("%d is below %d", i, low)
		}
		if high, err := strconv.ParseInt(s.Maximum, 10, 64); err == nil && i > high {
			return fmt.Errorf("%d is above %d", i, high)
		}
	case "number":
		n, ok := value.(json.Number)
		if !ok {
			return fmt.Errorf("%v (%T) where a number belongs", value, value)
		}
		if _, err := n.Float64(); err != nil {
			return fmt.Errorf("%v is not a number", value)
		}
	}
	return nil
}

// patterns holds what was compiled: the document's patterns are few and used
// by every request.
var patterns sync.Map

func compiled(pattern string) (*regexp.Regexp, error) {
	if form, ok := patterns.Load(pattern); ok {
		return form.(*regexp.Regexp), nil //nolint:forcetypeassert // nothing else is stored
	}
	form, err := regexp.Compile("^(?:" + pattern + ")$")
	if err == nil {
		patterns.Store(pattern, form)
	}
	return form, err
}

func checkText(s *schema, text string) error {
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
		return fmt.Errorf("%q is none of %v", text, s.Enum)
	}
	if s.Pattern != "" {
		form, err := compiled(s.Pattern)
		if err != nil || !form.MatchString(text) {
			return fmt.Errorf("%q does not match %s", text, s.Pattern)
		}
	}
	var err error
	switch s.Format {
	case "int64":
		_, err = strconv.ParseInt(text, 10, 64)
	case "uint64":
		_, err = strconv.ParseUint(text, 10, 64)
	case "byte":
		_, err = base64.StdEncoding.DecodeString(text)
	case "google-datetime":
		_, err = time.Parse(time.RFC3339, text)
	}
	if err != nil {
		return fmt.Errorf("%q is no %s", text, s.Format)
	}
	return nil
}
