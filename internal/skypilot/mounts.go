// SPDX-License-Identifier: MPL-2.0

package skypilot

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// variable is how SkyPilot finds variables in paths.
var variable = regexp.MustCompile(`\$(?:\{([a-zA-Z_][a-zA-Z0-9_]*)\}|([a-zA-Z_][a-zA-Z0-9_]*))`)

// fillIn replaces $NAME and ${NAME} of envs in workdir and file_mounts.
func (t *Task) fillIn() error {
	if t.Workdir != nil {
		filled, err := t.filled(*t.Workdir)
		if err != nil {
			return fmt.Errorf("workdir: %w", err)
		}
		t.Workdir = &filled
	}
	mounts := map[string]string{}
	for _, to := range slices.Sorted(maps.Keys(t.FileMounts)) {
		dest, err := t.filled(to)
		from, fromErr := t.filled(t.FileMounts[to])
		if err = errors.Join(err, fromErr); err != nil {
			return fmt.Errorf("file_mounts[%q]: %w", to, err)
		}
		if strings.Contains(from, "://") {
			return fmt.Errorf("file_mounts[%q]: only local files and folders can be carried; fetch buckets in setup", to)
		}
		if _, twice := mounts[dest]; twice {
			return fmt.Errorf("file_mounts[%q]: two mounts have the path %q on the machines", to, dest)
		}
		mounts[dest] = from
	}
	if t.FileMounts != nil {
		t.FileMounts = mounts
	}
	return nil
}

// filled is a path with the values of envs. A name without a value would become
// a part of a file's name.
func (t *Task) filled(path string) (string, error) {
	var missing string
	out := variable.ReplaceAllStringFunc(path, func(found string) string {
		name := strings.Trim(found, "${}")
		value, ok := t.Envs[name]
		if !ok {
			missing = name
		}
		return value
	})
	if missing != "" {
		return "", fmt.Errorf("%q names the variable %s, which has no value in envs; write its value there, or the path without it", path, missing)
	}
	return out, nil
}

// mountsOf are the mounts of a task; storage objects are refused.
func mountsOf(v any) (map[string]string, error) {
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("file_mounts: must be an object")
	}
	out := map[string]string{}
	for to, from := range fields {
		text, ok := from.(string)
		if !ok {
			return nil, fmt.Errorf("file_mounts[%q]: only local files and folders can be carried; fetch buckets in setup", to)
		}
		out[to] = text
	}
	return out, nil
}
