// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// NodeConfig are the keys that a cloud's part of a cluster template may have.
// Each takes a value and reports whether it is of the right form.
type NodeConfig map[string]func(any) bool

// Decode reads a cluster's node_config. A key that is not there, and a value of
// another form, is an error. Title is what people call the cloud.
func (n NodeConfig) Decode(title string, node map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(node)) {
		take, ok := n[key]
		if !ok {
			return ConfigErrorf(cloud.ScopeCloud, "node_config: there is no %q on %s; there are %s", key, title,
				strings.Join(slices.Sorted(maps.Keys(n)), ", "))
		}
		if !take(node[key]) {
			return ConfigErrorf(cloud.ScopeCloud, "node_config: %s cannot be %v", key, node[key])
		}
	}
	return nil
}

// Into takes values of exactly this type.
func Into[T any](into *T) func(any) bool {
	return func(v any) bool {
		t, ok := v.(T)
		if ok {
			*into = t
		}
		return ok
	}
}

// IntoPointer takes values of exactly this type where absence matters.
func IntoPointer[T any](into **T) func(any) bool {
	return func(v any) bool {
		t, ok := v.(T)
		if ok {
			*into = &t
		}
		return ok
	}
}

// IntoList takes a list of texts, or one text with commas.
func IntoList(into *[]string) func(any) bool {
	return func(v any) bool {
		if text, ok := v.(string); ok {
			*into = SplitList(text)
			return true
		}
		list, ok := v.([]any)
		out := make([]string, 0, len(list))
		for _, e := range list {
			text, isText := e.(string)
			ok = ok && isText
			out = append(out, text)
		}
		*into = out
		return ok
	}
}

// IntoMap takes a map; its values become texts.
func IntoMap(into *map[string]string) func(any) bool {
	return func(v any) bool {
		m, ok := v.(map[string]any)
		out := make(map[string]string, len(m))
		for k, e := range m {
			out[k] = fmt.Sprint(e)
		}
		*into = out
		return ok
	}
}

// IntoDuration takes a text such as "90m".
func IntoDuration(into *time.Duration) func(any) bool {
	return func(v any) bool {
		text, ok := v.(string)
		if !ok {
			return false
		}
		d, err := time.ParseDuration(text)
		*into = d
		return err == nil
	}
}

// BoolOption reads a setting that is "true" or "false"; absent is false.
func BoolOption(values map[string]string, name string) (bool, error) {
	v := values[name]
	if v == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(v)
	if err != nil {
		return false, ConfigErrorf(cloud.ScopeCloud, "%s is %q: it must be \"true\" or \"false\"", name, v)
	}
	return on, nil
}

// SplitList reads a comma-separated list.
func SplitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}
