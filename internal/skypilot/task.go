// SPDX-License-Identifier: MPL-2.0

// Package skypilot reads SkyPilot's tasks. It is pure: YAML comes in, and plain
// values in the provider's terms go out. Every field is carried, returned beside
// what is carried, or refused by name.
package skypilot

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Task is a SkyPilot task in the arguments of sky_cluster and sky_job. What it
// does not say is nil.
type Task struct {
	Name, Workdir, Setup, Run *string
	NumNodes                  *int64
	Resources                 *Resources
	Envs, FileMounts          map[string]string
	// RequiredEnvs are the envs that it names without a value, Secrets the names
	// of its secrets; both are sorted.
	RequiredEnvs, Secrets []string
	// Service is the section as it is read, with the values of envs filled in.
	Service map[string]any
	// Recovery is what job_recovery says, nil for nothing.
	Recovery *Recovery

	repository *repository
}

// Parse reads a SkyPilot task. Its error is Problems where the YAML can be read:
// all that has to change, by line.
func Parse(text string) (Task, error) { return ParseGiven(text, Given{}) }

// ParseGiven is Parse with what a configuration says in place of the YAML.
func ParseGiven(text string, g Given) (Task, error) {
	docs, err := documents(plainText(text))
	if err != nil {
		return Task{}, err
	}
	found := &findings{ignore: g.Ignore}
	t, err := found.task(docs[0], g)
	if err != nil {
		return Task{}, err
	}
	if len(docs) > 1 {
		at{found: found}.refuse("read it with provider::sky::tasks, or give one task at a time", "it holds several documents, as a pipeline of tasks does")
	}
	if err := found.err(); err != nil {
		return Task{}, err
	}
	return t, nil
}

// task reads one document. Its error is what leaves nothing to read; problems are
// among the findings.
func (f *findings) task(doc string, g Given) (Task, error) {
	fields, err := yamlObject(doc, "the task")
	if err != nil {
		return Task{}, err
	}
	root := at{found: f}
	if kind := otherKind(fields); kind != "" {
		return Task{}, Problems{{Means: "this is " + kind + ", not a SkyPilot task", Write: "give the YAML of a task, with fields such as resources, setup and run"}}
	}
	if f.file, err = parsed(doc); err != nil {
		return Task{}, fmt.Errorf("the task: %w", err)
	}
	var t Task
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		t.set(root, name, fields[name])
	}
	for name, value := range envScalars(root, f.file) {
		if _, set := t.Envs[name]; set {
			t.Envs[name] = value
		}
	}
	slices.Sort(t.Secrets)
	t.Secrets = slices.Compact(t.Secrets)
	t.addEnvs(g)
	t.fillIn(root)
	t.take(g)
	t.finish(root)
	return t, nil
}

// set carries one field of a task.
func (t *Task) set(root at, name string, v any) {
	a := root.key(name)
	if v == nil && slices.Contains(taskFields(), name) || slices.Contains(a.found.ignore, name) {
		return // "setup:" without a value says nothing
	}
	switch name {
	case "name":
		t.Name = a.scalar(v)
	case "workdir":
		if fields, git := v.(map[string]any); git {
			t.repository = a.repository(fields)
			return
		}
		t.Workdir = a.scalar(v)
	case "setup":
		t.Setup = a.scalar(v)
	case "run":
		t.Run = a.scalar(v)
	case "num_nodes":
		t.NumNodes = a.whole(v)
	case "envs":
		t.setEnvs(a, v)
	case "secrets":
		t.Secrets = append(t.Secrets, a.secretNames(v)...)
	case "managed_secrets":
		t.Secrets = append(t.Secrets, a.secretNames(v)...)
	case "service":
		t.Service = a.object(v)
	case "file_mounts":
		t.FileMounts = a.mounts(v)
	case "config":
		a.config(v)
	case "resources":
		if fields := a.object(v); fields != nil {
			r := a.resources(fields)
			t.Resources, t.Recovery = &r, r.recovery
		}
	default:
		root.unknown(name, taskFields(), resourceFields(), "resources")
	}
}

// setEnvs takes the envs that have a value, and the names of those without one.
func (t *Task) setEnvs(a at, v any) {
	fields := a.object(v)
	if fields == nil {
		return
	}
	t.Envs = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name] == nil {
			t.RequiredEnvs = append(t.RequiredEnvs, name)
			continue
		}
		if text := a.key(name).scalar(fields[name]); text != nil {
			t.Envs[name] = *text
		}
	}
}

// object is an object's members, nil where it is none.
func (a at) object(v any) map[string]any {
	fields, ok := v.(map[string]any)
	if !ok {
		a.refuse("", "must be an object")
		return nil
	}
	return fields
}

// scalar is the text of a string, number or boolean.
func (a at) scalar(v any) *string {
	switch v.(type) {
	case string, int64, uint64, int, float64, bool:
		text := fmt.Sprint(v)
		return &text
	}
	a.refuse("", "must be a single value")
	return nil
}

func (a at) whole(v any) *int64 {
	text := a.scalar(v)
	if text == nil {
		return nil
	}
	n, err := strconv.ParseInt(*text, 10, 64)
	if err != nil {
		a.refuse("", "%q is not a whole number", *text)
		return nil
	}
	return &n
}

// texts are those of a list, or of a value by itself.
func (a at) texts(v any) []string {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []string
	for i, e := range list {
		if text := a.index(i).scalar(e); text != nil {
			out = append(out, *text)
		}
	}
	return out
}

func (a at) textMap(v any) map[string]string {
	fields := a.object(v)
	if fields == nil {
		return nil
	}
	out := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if fields[k] == nil {
			a.key(k).refuse("write one", "has no value")
		} else if text := a.key(k).scalar(fields[k]); text != nil {
			out[k] = *text
		}
	}
	return out
}
