// SPDX-License-Identifier: MPL-2.0

package skypilot

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// variable is how SkyPilot finds variables in paths.
var variable = regexp.MustCompile(`\$(?:\{([a-zA-Z_][a-zA-Z0-9_]*)\}|([a-zA-Z_][a-zA-Z0-9_]*))`)

// fillIn replaces $NAME and ${NAME} of envs in workdir and file_mounts, where
// SkyPilot does it; setup and run see the variables themselves.
func (t *Task) fillIn(root at) {
	if t.Workdir != nil {
		*t.Workdir = t.filled(root.key("workdir"), *t.Workdir)
	}
	if r := t.repository; r != nil {
		r.url, r.commit = t.filled(root.key("workdir").key("url"), r.url), t.filled(root.key("workdir").key("ref"), r.commit)
	}
	if t.Service != nil {
		t.Service, _ = t.filledIn(t.Service).(map[string]any)
	}
	if t.FileMounts == nil {
		return
	}
	mounts := map[string]string{}
	for _, to := range slices.Sorted(maps.Keys(t.FileMounts)) {
		a := root.key("file_mounts").key(to)
		dest, from := t.filled(a, to), t.filled(a, t.FileMounts[to])
		if strings.Contains(from, "://") {
			a.refuseBucket()
		}
		if _, twice := mounts[dest]; twice {
			a.refuse("give each a path of its own", "two mounts have the path %q on the machines", dest)
		}
		mounts[dest] = from
	}
	t.FileMounts = mounts
}

// filled is a path with the values of envs. A name without a value would become
// a part of a file's name.
func (t *Task) filled(a at, path string) string {
	return variable.ReplaceAllStringFunc(path, func(found string) string {
		name := strings.Trim(found, "${}")
		value, ok := t.Envs[name]
		if !ok {
			a.refuse("write its value there, or the path without it", "%q names the variable %s, which has no value in envs", path, name)
		}
		return value
	})
}

// filledIn are the texts within a value with the values of envs. It is only shown
// to people, so a name without a value stays as it is.
func (t *Task) filledIn(v any) any {
	switch v := v.(type) {
	case string:
		return variable.ReplaceAllStringFunc(v, func(found string) string {
			if value, ok := t.Envs[strings.Trim(found, "${}")]; ok {
				return value
			}
			return found
		})
	case []any:
		for i := range v {
			v[i] = t.filledIn(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = t.filledIn(v[name])
		}
	}
	return v
}

func (a at) refuseBucket() {
	a.refuse("fetch buckets in setup", "only local files and folders can be carried")
}

// mounts are those of a task; storage objects are refused.
func (a at) mounts(v any) map[string]string {
	fields := a.object(v)
	if fields == nil {
		return nil
	}
	out := map[string]string{}
	for _, to := range slices.Sorted(maps.Keys(fields)) {
		if text, ok := fields[to].(string); ok {
			out[to] = text
		} else {
			a.key(to).refuseBucket()
		}
	}
	return out
}
