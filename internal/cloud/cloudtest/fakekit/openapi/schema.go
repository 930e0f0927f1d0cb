// SPDX-License-Identifier: MPL-2.0

package openapi

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// check returns what is wrong with a value.
func (s *Spec) check(at string, schema, v any) []string {
	wrong, _ := s.look(at, schema, v)
	return wrong
}

// look is check, which also returns the properties that some schema knew.
func (s *Spec) look(at string, schema, v any) (wrong []string, known map[string]bool) {
	known = map[string]bool{}
	sch, isMap := schema.(map[string]any)
	if !isMap {
		if schema == false {
			return []string{at + ": nothing is allowed here"}, known
		}
		return nil, known
	}
	// Beside a reference other keywords count as well, in 3.1.
	if _, ok := sch["$ref"]; ok {
		wrong, known = s.look(at, s.resolve(sch), v)
	}
	say := func(format string, args ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, args...)) }
	join := func(w []string, k map[string]bool) {
		wrong = append(wrong, w...)
		maps.Copy(known, k)
	}
	for _, keyword := range slices.Sorted(maps.Keys(sch)) {
		want := sch[keyword]
		switch keyword {
		case "$ref", "description", "title", "default", "example", "examples", "deprecated", "readOnly", "writeOnly", "then", "else",
			"unevaluatedProperties", "additionalProperties", "discriminator", "contentMediaType", "externalDocs", "$comment":
		case "allOf":
			for _, part := range list(want) {
				join(s.look(at, part, v))
			}
		case "anyOf", "oneOf":
			w, k := s.alternatives(at, keyword, list(want), v)
			join(w, k)
		case "not":
			if len(s.check(at, want, v)) == 0 {
				say("it must not be so")
			}
		case "if":
			branch := "then"
			if len(s.check(at, want, v)) > 0 {
				branch = "else"
			}
			if then, ok := sch[branch]; ok {
				join(s.look(at, then, v))
			}
		default:
			if !strings.HasPrefix(keyword, "x-") {
				w, k := s.assert(at, keyword, want, v)
				join(w, k)
			}
		}
	}
	return append(wrong, s.unknown(at, sch, v, known)...), known
}

func (s *Spec) alternatives(at, keyword string, all []any, v any) (wrong []string, known map[string]bool) {
	known = map[string]bool{}
	fits := 0
	var why []string
	for _, one := range all {
		w, k := s.look(at, one, v)
		if len(w) == 0 {
			fits++
			maps.Copy(known, k)
		}
		why = append(why, w...)
	}
	if fits == 0 || (keyword == "oneOf" && fits > 1) {
		return []string{fmt.Sprintf("%s: it fits %d of %s (%s)", at, fits, keyword, strings.Join(why, ", "))}, known
	}
	return nil, known
}

// unknown are the properties that nothing allows.
func (s *Spec) unknown(at string, sch map[string]any, v any, known map[string]bool) (wrong []string) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	own, _ := sch["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if more, ok := sch["additionalProperties"]; ok && own[name] == nil {
			wrong = append(wrong, s.check(at+"."+name, more, object[name])...)
			known[name] = true
		}
		if more, ok := sch["unevaluatedProperties"]; ok && !known[name] {
			wrong = append(wrong, s.check(at+"."+name, more, object[name])...)
			known[name] = true
		}
	}
	return wrong
}

// assert is one keyword about the value itself.
func (s *Spec) assert(at, keyword string, want, v any) (wrong []string, known map[string]bool) {
	known = map[string]bool{}
	object, _ := v.(map[string]any)
	switch keyword {
	case "required":
		for _, name := range list(want) {
			if _, ok := object[fmt.Sprint(name)]; object != nil && !ok {
				wrong = append(wrong, fmt.Sprintf("%s: %v is required", at, name))
			}
		}
	case "properties":
		properties, _ := want.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			if member, ok := object[name]; ok {
				known[name] = true
				wrong = append(wrong, s.check(at+"."+name, properties[name], member)...)
			}
		}
	case "items":
		for i, item := range list(v) {
			wrong = append(wrong, s.check(fmt.Sprintf("%s[%d]", at, i), want, item)...)
		}
	default:
		if why := simple(keyword, want, v); why != "" {
			wrong = []string{at + ": " + why}
		}
	}
	return wrong, known
}

// simple says what is wrong with a value by a keyword that looks at no other.
func simple(keyword string, want, v any) string {
	text, isText := v.(string)
	switch keyword {
	case "uniqueItems":
	case "type":
		if !isType(want, v) {
			return fmt.Sprintf("it is %T, want %v", v, want)
		}
	case "enum":
		if !slices.ContainsFunc(list(want), func(e any) bool { return reflect.DeepEqual(e, v) }) {
			return fmt.Sprintf("it is %v, want one of %v", v, want)
		}
	case "const":
		if !reflect.DeepEqual(want, v) {
			return fmt.Sprintf("it is %v, want %v", v, want)
		}
	case "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum":
		return bounded(keyword, want, v)
	case "pattern":
		if re, err := regexp.Compile(fmt.Sprint(want)); err != nil || isText && !re.MatchString(text) {
			return fmt.Sprintf("%q does not match %v", text, want)
		}
	case "format":
		if _, err := time.Parse(time.RFC3339, text); err != nil && want == "date-time" && isText {
			return fmt.Sprintf("%q is no time", text)
		}
	default:
		return fmt.Sprintf("the checker does not know %q", keyword)
	}
	return ""
}

// bounded says what is wrong with the size of a value, where it is of the kind that
// the keyword is about.
func bounded(keyword string, want, v any) string {
	limit, _ := want.(float64)
	kind, size := "imum", 0.0
	switch is := v.(type) {
	case float64:
		size = is
	case string:
		kind, size = "Length", float64(utf8.RuneCountInString(is))
	case []any:
		kind, size = "Items", float64(len(is))
	default:
		return ""
	}
	if !strings.HasSuffix(keyword, kind) || size == limit || strings.HasPrefix(keyword, "min") == (size > limit) {
		return ""
	}
	return fmt.Sprintf("it has %v, %s is %v", size, keyword, limit)
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func isType(want, v any) bool {
	if all, ok := want.([]any); ok {
		return slices.ContainsFunc(all, func(one any) bool { return isType(one, v) })
	}
	switch n := v.(type) {
	case nil:
		return want == "null"
	case bool:
		return want == "boolean"
	case string:
		return want == "string"
	case float64:
		return want == "number" || want == "integer" && n == math.Trunc(n)
	case []any:
		return want == "array"
	default:
		return want == "object"
	}
}
