// SPDX-License-Identifier: MPL-2.0

// Package openapi holds calls of an API, and its answers, against its OpenAPI 3.1
// file: paths, parameters, status codes and bodies. It knows the keywords that such
// files of clouds use, and refuses a schema with one that it does not know, so that
// nothing passes for not being looked at.
package openapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Spec is an OpenAPI file.
type Spec struct {
	root map[string]any
}

// Load reads a file.
func Load(path string) (*Spec, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the OpenAPI file: %w", err)
	}
	return Parse(text)
}

// Parse reads the text of one.
func Parse(text []byte) (*Spec, error) {
	s := &Spec{}
	if err := json.Unmarshal(text, &s.root); err != nil {
		return nil, fmt.Errorf("read the OpenAPI file: %w", err)
	}
	if version, _ := s.root["openapi"].(string); !strings.HasPrefix(version, "3.1.") {
		return nil, fmt.Errorf("the file is OpenAPI %q, want 3.1", version)
	}
	return s, nil
}

// Call is a call and its answer, as they went over the wire.
type Call struct {
	Method, Path string
	Query        url.Values
	Request      []byte
	Status       int
	Answer       []byte
	// Silent says that the file is known to say nothing of the status, which says
	// nothing against the request: that alone is looked at.
	Silent bool
}

// Check returns all that is wrong with a call. A request that the API refused
// (400 and more) may be wrong itself, and only its answer is looked at.
func (s *Spec) Check(c Call) error {
	item, op, err := s.operation(c.Method, c.Path)
	if err != nil {
		return err
	}
	var wrong []string
	if c.Status < 400 || c.Silent {
		wrong = append(wrong, s.parameters(item, op, c.Query)...)
		if body := s.at(op, "requestBody"); body != nil {
			wrong = append(wrong, s.body("request", body, c.Request)...)
		} else if len(c.Request) > 0 && string(c.Request) != "null" {
			wrong = append(wrong, "request: a body where none is taken")
		}
	}
	responses, _ := op["responses"].(map[string]any)
	answer := s.at(responses, strconv.Itoa(c.Status))
	if answer == nil && c.Status >= 400 {
		answer = s.at(responses, "default")
	}
	switch {
	case c.Silent:
	case answer == nil:
		wrong = append(wrong, fmt.Sprintf("answer: no status %d is promised", c.Status))
	case answer["content"] == nil && len(c.Answer) > 0:
		wrong = append(wrong, "answer: a body where none is promised")
	case answer["content"] != nil:
		wrong = append(wrong, s.body("answer", answer, c.Answer)...)
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%s %s, %d: %s", c.Method, c.Path, c.Status, strings.Join(wrong, "; "))
}

// operation finds a path, and the operation of a method there.
func (s *Spec) operation(method, path string) (item, op map[string]any, err error) {
	paths, _ := s.root["paths"].(map[string]any)
	for template := range paths {
		want, have := strings.Split(template, "/"), strings.Split(path, "/")
		if len(want) != len(have) {
			continue
		}
		fits := true
		for i, w := range want {
			fits = fits && (w == have[i] || strings.HasPrefix(w, "{") && have[i] != "")
		}
		item = s.at(paths, template)
		if op = s.at(item, strings.ToLower(method)); fits && op != nil {
			return item, op, nil
		}
	}
	return nil, nil, fmt.Errorf("there is no %s %s", method, path)
}

func (s *Spec) parameters(item, op map[string]any, query url.Values) (wrong []string) {
	var known []string
	for _, list := range []any{item["parameters"], op["parameters"]} {
		all, _ := list.([]any)
		for _, p := range all {
			param := s.resolve(p)
			if param["in"] != "query" {
				continue
			}
			name, _ := param["name"].(string)
			known = append(known, name)
			if param["required"] == true && !query.Has(name) {
				wrong = append(wrong, "query: "+name+" is required")
			}
			if query.Has(name) {
				wrong = append(wrong, s.check("query."+name, param["schema"], s.typed(param["schema"], query.Get(name)))...)
			}
		}
	}
	for name := range query {
		if !slices.Contains(known, name) {
			wrong = append(wrong, "query: there is no "+name)
		}
	}
	return wrong
}

// typed is a text of a query in the type that its schema has.
func (s *Spec) typed(schema any, text string) any {
	sch := s.resolve(schema)
	switch sch["type"] {
	case "array":
		var out []any
		for part := range strings.SplitSeq(text, ",") {
			out = append(out, s.typed(sch["items"], part))
		}
		return out
	case "integer", "number", "boolean":
		var v any
		if json.Unmarshal([]byte(text), &v) == nil {
			return v
		}
	}
	return text
}

func (s *Spec) body(what string, holder map[string]any, text []byte) []string {
	content, _ := holder["content"].(map[string]any)
	for kind := range content {
		if !strings.HasSuffix(kind, "json") {
			continue
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			return []string{what + ": " + err.Error()}
		}
		return s.check(what, s.at(content, kind)["schema"], v)
	}
	return []string{what + ": the file promises no JSON"}
}

// at is a member that may be a reference; nil where there is none.
func (s *Spec) at(m map[string]any, key string) map[string]any {
	v, ok := m[key]
	if !ok {
		return nil
	}
	return s.resolve(v)
}

// resolve follows a reference within the file.
func (s *Spec) resolve(v any) map[string]any {
	m, _ := v.(map[string]any)
	ref, ok := m["$ref"].(string)
	if !ok {
		return m
	}
	var at any = s.root
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		in, _ := at.(map[string]any)
		at = in[part]
	}
	found := s.resolve(at)
	if found == nil {
		panic(errors.New("the OpenAPI file refers to " + ref + ", which it lacks"))
	}
	return found
}
