// SPDX-License-Identifier: MPL-2.0

package openapi

import (
	"net/url"
	"strings"
	"testing"
)

const petShop = `{"openapi": "3.1.0", "paths": {"/pets": {"parameters": [{"$ref": "#/components/parameters/Trace"}],
  "get": {"parameters": [{"name": "kind", "in": "query", "schema": {"type": "array", "items": {"enum": ["CAT", "DOG"]}}}, {"name": "n", "in": "query", "required": true, "schema": {"type": "integer", "minimum": 1}}],
    "responses": {"200": {"description": "", "content": {"application/json": {"schema": {"type": "object", "required": ["pets"], "properties": {"pets": {"type": "array", "maxItems": 2, "items": {"$ref": "#/components/schemas/Pet"}}}}}}}, "default": {"content": {"application/problem+json": {"schema": {"type": "object", "required": ["title"]}}}}}},
  "post": {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}}, "responses": {"201": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}}}}},
  "/pets/{id}": {"delete": {"responses": {"204": {"description": ""}, "404": {"description": ""}}}}},
 "components": {"parameters": {"Trace": {"name": "trace", "in": "query", "schema": {"type": "boolean"}}},
  "schemas": {"Base": {"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "pattern": "^[a-z]+$"}}},
   "Pet": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"type": "object", "required": ["born"], "properties": {"born": {"type": ["string", "null"], "format": "date-time"}, "owner": {"anyOf": [{"type": "null"}, {"type": "object", "additionalProperties": {"type": "string"}}]}}}]},
   "Order": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"properties": {"food": {"type": "object", "additionalProperties": false, "properties": {"kg": {"type": "number", "maximum": 5}}}, "template": {"type": "string"}}}], "unevaluatedProperties": false, "if": {"not": {"required": ["template"]}}, "then": {"required": ["name"]}},
   "Odd": {"contains": {}}}}}`

func TestCheck(t *testing.T) {
	s, err := Parse([]byte(petShop))
	if err != nil {
		t.Fatal(err)
	}
	ok := url.Values{"n": {"1"}}
	for name, tt := range map[string]struct {
		c    Call
		want string
	}{
		"list":                {Call{Method: "GET", Path: "/pets", Query: ok, Status: 200, Answer: []byte(`{"pets": [{"born": null, "owner": {"a": "b"}}]}`)}, ""},
		"list by kinds":       {Call{Method: "GET", Path: "/pets", Query: url.Values{"n": {"1"}, "kind": {"CAT,DOG"}, "trace": {"true"}}, Status: 200, Answer: []byte(`{"pets": []}`)}, ""},
		"no such kind":        {Call{Method: "GET", Path: "/pets", Query: url.Values{"n": {"1"}, "kind": {"COW"}}, Status: 200, Answer: []byte(`{"pets": []}`)}, "query.kind[0]: it is COW"},
		"a parameter lacks":   {Call{Method: "GET", Path: "/pets", Status: 200, Answer: []byte(`{"pets": []}`)}, "n is required"},
		"a parameter is new":  {Call{Method: "GET", Path: "/pets", Query: url.Values{"n": {"1"}, "m": {"1"}}, Status: 200, Answer: []byte(`{"pets": []}`)}, "there is no m"},
		"a parameter is low":  {Call{Method: "GET", Path: "/pets", Query: url.Values{"n": {"0"}}, Status: 200, Answer: []byte(`{"pets": []}`)}, "minimum is 1"},
		"a parameter is text": {Call{Method: "GET", Path: "/pets", Query: url.Values{"n": {"x"}}, Status: 200, Answer: []byte(`{"pets": []}`)}, "want integer"},
		"no path":             {Call{Method: "GET", Path: "/cows", Status: 200}, "there is no GET /cows"},
		"no method":           {Call{Method: "PUT", Path: "/pets", Status: 200}, "there is no PUT"},
		"no status":           {Call{Method: "POST", Path: "/pets", Request: []byte(`{"name": "a"}`), Status: 200, Answer: []byte(`{"born": null}`)}, "no status 200"},
		"made":                {Call{Method: "POST", Path: "/pets", Request: []byte(`{"name": "a", "food": {"kg": 5}}`), Status: 201, Answer: []byte(`{"born": "2026-01-01T00:00:00Z"}`)}, ""},
		"made of a template":  {Call{Method: "POST", Path: "/pets", Request: []byte(`{"template": "t"}`), Status: 201, Answer: []byte(`{"born": null}`)}, ""},
		"made of nothing":     {Call{Method: "POST", Path: "/pets", Request: []byte(`{}`), Status: 201, Answer: []byte(`{"born": null}`)}, "name is required"},
		"too heavy":           {Call{Method: "POST", Path: "/pets", Request: []byte(`{"name": "a", "food": {"kg": 6}}`), Status: 201, Answer: []byte(`{"born": null}`)}, "maximum is 5"},
		"a field is new":      {Call{Method: "POST", Path: "/pets", Request: []byte(`{"name": "a", "tail": 1}`), Status: 201, Answer: []byte(`{"born": null}`)}, "request.tail: nothing is allowed"},
		"a field within":      {Call{Method: "POST", Path: "/pets", Request: []byte(`{"name": "a", "food": {"g": 1}}`), Status: 201, Answer: []byte(`{"born": null}`)}, "request.food.g: nothing is allowed"},
		"a bad name":          {Call{Method: "POST", Path: "/pets", Request: []byte(`{"name": "A"}`), Status: 201, Answer: []byte(`{"born": null}`)}, "does not match"},
		"no time":             {Call{Method: "POST", Path: "/pets", Request: []byte(`{"name": "a"}`), Status: 201, Answer: []byte(`{"born": "now"}`)}, "is no time"},
		"a null owner's dog":  {Call{Method: "GET", Path: "/pets", Query: ok, Status: 200, Answer: []byte(`{"pets": [{"born": null, "owner": {"a": 1}}]}`)}, "fits 0 of anyOf"},
		"too many":            {Call{Method: "GET", Path: "/pets", Query: ok, Status: 200, Answer: []byte(`{"pets": [{"born": null}, {"born": null}, {"born": null}]}`)}, "maxItems is 2"},
		"a member lacks":      {Call{Method: "GET", Path: "/pets", Query: ok, Status: 200, Answer: []byte(`{"pets": [{}]}`)}, "born is required"},
		"refused":             {Call{Method: "GET", Path: "/pets", Query: url.Values{"z": {"1"}}, Status: 503, Answer: []byte(`{"title": "t"}`)}, ""},
		"refused in riddles":  {Call{Method: "GET", Path: "/pets", Status: 503, Answer: []byte(`{}`)}, "title is required"},
		"too early":           {Call{Method: "DELETE", Path: "/pets/7", Status: 429, Answer: []byte("Wait"), Silent: true}, ""},
		"too early by a body": {Call{Method: "DELETE", Path: "/pets/7", Request: []byte("{}"), Status: 429, Silent: true}, "a body where none is taken"},
		"broken":              {Call{Method: "POST", Path: "/pets", Request: []byte(`{"name": "A"}`), Status: 500, Silent: true}, "does not match"},
		"deleted":             {Call{Method: "DELETE", Path: "/pets/7", Status: 204}, ""},
		"deleted with words":  {Call{Method: "DELETE", Path: "/pets/7", Status: 204, Answer: []byte("{}")}, "a body where none is promised"},
		"deleted by a body":   {Call{Method: "DELETE", Path: "/pets/7", Request: []byte("{}"), Status: 204}, "a body where none is taken"},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.Check(tt.c)
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Check = %v, want %q", err, tt.want)
			}
		})
	}
	if wrong := s.check("x", map[string]any{"$ref": "#/components/schemas/Odd"}, []any{}); len(wrong) != 1 || !strings.Contains(wrong[0], "does not know") {
		t.Errorf("a keyword that is not known: %v", wrong)
	}
	if _, err := Parse([]byte(`{"openapi": "3.0.1"}`)); err == nil {
		t.Error("a file of OpenAPI 3.0 is taken")
	}
}
