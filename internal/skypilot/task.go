// SPDX-License-Identifier: MPL-2.0

// Package skypilot reads SkyPilot's tasks. It is pure: YAML comes in, and plain
// values in the provider's terms go out. Every field is carried or refused by name.
package skypilot

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/safeyaml"
)

// Task is a SkyPilot task in the arguments of sky_cluster and sky_job. What it
// does not say is nil.
type Task struct {
	Name, Workdir, Setup, Run *string
	NumNodes                  *int64
	Resources                 *Resources
	Envs, FileMounts          map[string]string
}

// Resources is a SkyPilot resources section.
type Resources struct {
	// Machine names one accelerator at most; Several holds more than one.
	Machine
	Several        Accelerators
	Ports          []string
	Labels         map[string]string
	AnyOf, Ordered []Machine
}

// Accelerators are several, in order of preference or of which any will do.
type Accelerators struct {
	Names   []string
	Ordered bool
}

// Machine holds the fields of one machine that are set, by their names in HCL. A
// value is a string, a bool, an int64 (disk_size) or a float64 (max_hourly_cost).
type Machine map[string]any

// Parse reads a SkyPilot task. Every field it has is carried or refused.
func Parse(text string) (Task, error) {
	text = plainText(text)
	fields, err := yamlObject(text, "the task")
	if err != nil {
		return Task{}, err
	}
	var t Task
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if err := t.set(name, fields[name]); err != nil {
			return Task{}, err
		}
	}
	file, err := singleDocument(text)
	if err != nil {
		return Task{}, fmt.Errorf("the task: %w", err)
	}
	written, err := envScalars(file)
	if err != nil {
		return Task{}, err
	}
	for name, value := range written {
		if _, set := t.Envs[name]; set {
			t.Envs[name] = value
		}
	}
	return t, t.fillIn()
}

// ParseResources reads a SkyPilot resources section.
func ParseResources(text string) (Resources, error) {
	fields, err := yamlObject(plainText(text), "resources")
	if err != nil {
		return Resources{}, err
	}
	return readResources(fields)
}

// maxTask bounds a task's text in bytes; SkyPilot's largest test has 200,000 lines.
const maxTask = 16 << 20

func yamlObject(text, what string) (map[string]any, error) {
	if len(text) > maxTask {
		return nil, fmt.Errorf("%s has %d bytes; at most %d are read", what, len(text), maxTask)
	}
	var fields map[string]any
	if err := safeyaml.Unmarshal([]byte(text), &fields); err != nil {
		first, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
		return nil, fmt.Errorf("%s is not a YAML object: %s", what, strings.ReplaceAll(first, heldColon, ":"))
	}
	return releasedObject(fields), nil
}

// set carries one field of a task.
func (t *Task) set(name string, v any) (err error) {
	if v == nil {
		return nil // "setup:" without a value says nothing
	}
	switch name {
	case "name":
		t.Name, err = scalar(name, v)
	case "workdir":
		if _, git := v.(map[string]any); git {
			return errors.New("workdir: a git repository cannot be carried; check it out and give its folder")
		}
		t.Workdir, err = scalar(name, v)
	case "setup":
		t.Setup, err = scalar(name, v)
	case "run":
		t.Run, err = scalar(name, v)
	case "num_nodes":
		t.NumNodes, err = whole(name, v)
	case "envs":
		t.Envs, err = textMap(name, v)
	case "file_mounts":
		t.FileMounts, err = mountsOf(v)
	case "resources":
		fields, ok := v.(map[string]any)
		if !ok {
			return errors.New("resources: must be an object")
		}
		var r Resources
		r, err = readResources(fields)
		t.Resources = &r
	default:
		return fmt.Errorf("%s: this field of a SkyPilot task cannot be carried; remove it from the YAML%s", name, insteadOf(name))
	}
	return err
}

// insteadOf says where the provider has what a SkyPilot field does.
func insteadOf(name string) string {
	switch name {
	case "secrets":
		return " and give secrets where the job is declared"
	case "job_recovery":
		return " and give recover_on_exit_codes and max_restarts where the job is declared"
	case "config":
		return "; what it sets per cloud is in the provider block"
	case "service", "pool":
		return "; serving is not part of this provider"
	case "volumes", "storage":
		return "; mount them in setup"
	}
	return ""
}

func readResources(fields map[string]any) (Resources, error) {
	r, err := readFields(fields)
	if err != nil {
		return r, err
	}
	return r, r.dropBestTier()
}

// readFields is readResources with tiers as they are written.
func readFields(fields map[string]any) (Resources, error) {
	r := Resources{Machine: Machine{}}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		v := fields[name]
		var err error
		switch {
		case v == nil:
		case name == "ports":
			r.Ports, err = portsOf(v)
		case name == "labels":
			r.Labels, err = textMap(name, v)
		case name == "any_of":
			r.AnyOf, err = machinesOf(name, v)
		case name == "ordered":
			r.Ordered, err = machinesOf(name, v)
		case name == "accelerators" || name == "gpus":
			err = r.setAccelerators(v)
		default:
			err = r.Machine.set(name, v)
		}
		if err != nil {
			return r, fmt.Errorf("resources: %w", err)
		}
	}
	if len(r.AnyOf) > 0 && len(r.Ordered) > 0 {
		return r, errors.New("resources: any_of and ordered exclude each other")
	}
	return r, nil
}

// dropBestTier takes out the tier best, which in SkyPilot demands nothing: it is
// the fastest that a cloud has, be it the only one.
func (r *Resources) dropBestTier() error {
	if r.Machine["disk_tier"] == bestTier {
		delete(r.Machine, "disk_tier")
	}
	for _, m := range slices.Concat(r.AnyOf, r.Ordered) {
		if m["disk_tier"] != bestTier {
			continue
		}
		if r.Machine["disk_tier"] != nil {
			return errors.New("resources: disk_tier: best in an alternative cannot undo the tier of resources; write the tier in each alternative")
		}
		delete(m, "disk_tier")
	}
	return nil
}

const bestTier = "best"

// setAccelerators carries a string or an object of one, a list in order of
// preference, and an object of several, of which any will do.
func (r *Resources) setAccelerators(v any) error {
	list, isOrdered, err := acceleratorTexts(v)
	if err != nil {
		return err
	}
	if len(list) == 1 {
		r.Machine["accelerators"] = list[0]
		return nil
	}
	r.Several = Accelerators{list, isOrdered}
	return nil
}

// alternatives are the machine as elements of any_of or ordered, which name one
// accelerator each: several of any_of's kind, or in ordered's order, are several
// elements.
func (r *Resources) alternatives(ordered bool) ([]Machine, error) {
	if len(r.Several.Names) == 0 {
		return []Machine{r.Machine}, nil
	}
	if r.Several.Ordered != ordered {
		return nil, errors.New("accelerators: a list in order within any_of, or a set within ordered, cannot be carried; write one alternative for each accelerator")
	}
	var out []Machine
	for _, a := range r.Several.Names {
		m := maps.Clone(r.Machine)
		m["accelerators"] = a
		out = append(out, m)
	}
	return out, nil
}

func acceleratorTexts(v any) (list []string, ordered bool, err error) {
	switch v := v.(type) {
	case map[string]any: // {A100: 8} or the set {A100:8, V100:8}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			text := name
			if v[name] != nil {
				count, err := scalar("accelerators."+name, v[name])
				if err != nil {
					return nil, false, err
				}
				text += ":" + *count
			}
			list = append(list, text)
		}
	case []any:
		ordered = true
		if list, err = textsOf("accelerators", v); err != nil {
			return nil, false, err
		}
	default:
		text, err := scalar("accelerators", v)
		if err != nil {
			return nil, false, err
		}
		list = []string{*text}
	}
	if len(list) == 0 {
		return nil, false, errors.New("accelerators: names none")
	}
	if _, err := cloud.ParseAccelerators(list...); err != nil {
		return nil, false, fmt.Errorf("accelerators: %w", err)
	}
	return list, ordered, nil
}

// set carries one field of a machine.
func (m Machine) set(name string, v any) error {
	switch name {
	case "infra", "cloud", "region", "zone", "instance_type", "cpus", "image_id", "disk_tier":
		if _, perRegion := v.(map[string]any); perRegion {
			return fmt.Errorf("%s: one value for each region cannot be carried; use any_of with a region each", name)
		}
		text, err := scalar(name, v)
		if err != nil {
			return err
		}
		m[name] = *text
		if name == "disk_tier" {
			m[name] = strings.ToLower(*text)
		}
	case "memory":
		text, err := memoryOf(v)
		if err != nil {
			return err
		}
		m[name] = text
	case "use_spot":
		b, ok := boolOf(v)
		if !ok {
			return errors.New("use_spot: must be true or false")
		}
		m[name] = b
	case "disk_size":
		n, err := diskSizeOf(v)
		if err != nil {
			return err
		}
		m[name] = n
	case "max_hourly_cost":
		text, err := scalar(name, v)
		if err != nil {
			return err
		}
		f, err := strconv.ParseFloat(*text, 64)
		if err != nil {
			return fmt.Errorf("%s: %q is not a number", name, *text)
		}
		m[name] = f
	default:
		return fmt.Errorf("%s: this field cannot be carried; remove it from the YAML%s", name, insteadOf(name))
	}
	return nil
}

func machinesOf(name string, v any) ([]Machine, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%s: must be a list of objects", name)
	}
	var out []Machine
	for i, e := range list {
		fields, ok := e.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s[%d]: must be an object", name, i)
		}
		r, err := readFields(fields)
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", name, i, err)
		}
		if len(r.AnyOf)+len(r.Ordered)+len(r.Ports)+len(r.Labels) > 0 {
			return nil, fmt.Errorf("%s[%d]: ports, labels and further alternatives belong to resources itself", name, i)
		}
		machines, err := r.alternatives(name == "ordered")
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", name, i, err)
		}
		out = append(out, machines...)
	}
	return out, nil
}

// scalar is the text of a string, number or boolean.
func scalar(name string, v any) (*string, error) {
	switch v.(type) {
	case string, int64, uint64, int, float64, bool:
		text := fmt.Sprint(v)
		return &text, nil
	}
	return nil, fmt.Errorf("%s: must be a single value", name)
}

func whole(name string, v any) (*int64, error) {
	text, err := scalar(name, v)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(*text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s: %q is not a whole number", name, *text)
	}
	return &n, nil
}

func textsOf(name string, v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []string
	for i, e := range list {
		text, err := scalar(fmt.Sprintf("%s[%d]", name, i), e)
		if err != nil {
			return nil, err
		}
		out = append(out, *text)
	}
	return out, nil
}

func textMap(name string, v any) (map[string]string, error) {
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s: must be an object", name)
	}
	out := map[string]string{}
	for k, e := range fields {
		if e == nil {
			return nil, fmt.Errorf("%s.%s: has no value; SkyPilot asks for it on the command line, here it must be written", name, k)
		}
		text, err := scalar(name+"."+k, e)
		if err != nil {
			return nil, err
		}
		out[k] = *text
	}
	return out, nil
}
