// SPDX-License-Identifier: MPL-2.0

package skypilot

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Resources is a SkyPilot resources section.
type Resources struct {
	// Machine names one accelerator at most; Several holds more than one.
	Machine
	Several        Accelerators
	Ports          []string
	Labels         map[string]string
	AnyOf, Ordered []Machine
	Autostop       *Autostop

	recovery *Recovery
	// images are those of image_id by region, until finish makes alternatives of them.
	images map[string]string
}

// Accelerators are several, in order of preference or of which any will do.
type Accelerators struct {
	Names   []string
	Ordered bool
}

// Machine holds the fields of one machine that are set, by their names in HCL. A
// value is a string, a bool, an int64 (disk_size) or a float64 (max_hourly_cost).
type Machine map[string]any

// ParseResources reads a SkyPilot resources section. Its error is as Parse's.
func ParseResources(text string) (Resources, error) {
	text = plainText(text)
	fields, err := yamlObject(text, "resources")
	if err != nil {
		return Resources{}, err
	}
	root := at{found: &findings{}}
	root.found.file, _ = parsed(text) // without it, only the lines are missing
	r := root.resources(fields)
	if r.Autostop != nil {
		root.key("autostop").refuse("give it where the cluster is declared", "this field is not one of resources there")
	}
	if r.recovery != nil {
		root.key("job_recovery").refuse("give recover_on_exit_codes and max_restarts where the job is declared", "this field is not one of resources there")
	}
	r.finish(root)
	return r, root.found.err()
}

// resources reads a section with all in it.
func (a at) resources(fields map[string]any) Resources {
	r := a.resourceFields(fields)
	a.dropBestTier(&r)
	return r
}

// resourceFields is resources with tiers as they are written.
func (a at) resourceFields(fields map[string]any) Resources {
	r := Resources{Machine: Machine{}}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		v, a := fields[name], a.key(name)
		switch {
		case v == nil && slices.Contains(resourceFields(), name): // says nothing
		case slices.Contains(a.found.ignore, name):
		case name == "ports":
			r.Ports = a.ports(v)
		case name == "labels":
			r.Labels = a.textMap(v)
		case name == "autostop":
			r.Autostop = a.autostop(v)
		case name == "job_recovery":
			r.recovery = a.recovery(v)
		case name == "image_id" && isObject(v):
			r.images = a.textMap(v)
		case name == "any_of":
			r.AnyOf = a.machines(v, false)
		case name == "ordered":
			r.Ordered = a.machines(v, true)
		case name == "accelerators" || name == "gpus":
			r.setAccelerators(a, v)
		default:
			r.Machine.set(at{a.found, a.path[:len(a.path)-1]}, name, v)
		}
	}
	if len(r.AnyOf) > 0 && len(r.Ordered) > 0 {
		a.refuse("keep one of them", "any_of and ordered exclude each other")
	}
	return r
}

// dropBestTier takes out the tier best, which in SkyPilot demands nothing: it is
// the fastest that a cloud has, even if it is the only one.
func (a at) dropBestTier(r *Resources) {
	if r.Machine["disk_tier"] == bestTier {
		delete(r.Machine, "disk_tier")
	}
	for _, m := range slices.Concat(r.AnyOf, r.Ordered) {
		if m["disk_tier"] != bestTier {
			continue
		}
		if r.Machine["disk_tier"] != nil {
			a.key("disk_tier").refuse("write the tier in each alternative", "best in an alternative cannot undo the tier of resources")
			return
		}
		delete(m, "disk_tier")
	}
}

const bestTier = "best"

// setAccelerators carries a string or an object of one, a list in order of
// preference, and an object of several, of which any will do.
func (r *Resources) setAccelerators(a at, v any) {
	list, isOrdered := a.accelerators(v)
	switch len(list) {
	case 0:
	case 1:
		r.Machine["accelerators"] = list[0]
	default:
		r.Several = Accelerators{list, isOrdered}
	}
}

// alternatives are the machine as elements of any_of or ordered, which name one
// accelerator each: several of any_of's kind, or in ordered's order, are several
// elements.
func (r *Resources) alternatives(a at, ordered bool) []Machine {
	if len(r.Several.Names) == 0 {
		return []Machine{r.Machine}
	}
	if r.Several.Ordered != ordered {
		a.key("accelerators").refuse("write one alternative for each accelerator", "a list in order within any_of, or a set within ordered, cannot be carried")
		return nil
	}
	var out []Machine
	for _, name := range r.Several.Names {
		m := maps.Clone(r.Machine)
		m["accelerators"] = name
		out = append(out, m)
	}
	return out
}

// ofManufacturer is a device that is asked for by who makes it, and its memory.
var ofManufacturer = regexp.MustCompile(`(?i)^[a-z]+:[0-9]+[gmt]b\+?(:[0-9]+)?$`)

func (a at) accelerators(v any) (list []string, ordered bool) {
	switch v := v.(type) {
	case map[string]any: // {A100: 8} or the set {A100:8, V100:8}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			text := name
			if v[name] != nil {
				count := a.key(name).scalar(v[name])
				if count == nil {
					return nil, false
				}
				text += ":" + *count
			}
			list = append(list, text)
		}
	case []any:
		ordered, list = true, a.texts(v)
	default:
		if text := a.scalar(v); text != nil {
			list = []string{*text}
		}
	}
	if i := slices.IndexFunc(list, ofManufacturer.MatchString); i >= 0 {
		a.refuse("name the devices, such as {L4:1, A10G:1}, or their memory alone, such as 16GB+", "%q asks for the devices of a manufacturer, which cannot be carried", list[i])
		return nil, false
	}
	if len(list) == 0 {
		a.refuse("name one, such as A100:8", "names none")
		return nil, false
	}
	if _, err := cloud.ParseAccelerators(list...); err != nil {
		a.refuse("", "%v", err)
		return nil, false
	}
	return list, ordered
}

// set carries one field of a machine of the section at.
func (m Machine) set(section at, name string, v any) {
	a := section.key(name)
	switch name {
	case "infra", "cloud", "region", "zone", "instance_type", "cpus", "image_id", "disk_tier":
		text := a.scalar(v)
		switch {
		case text == nil:
		case name == "disk_tier":
			m[name] = strings.ToLower(*text)
		case name == "image_id":
			m.setImage(a, *text)
		default:
			m[name] = *text
		}
	case "memory":
		if text := a.memory(v); text != "" {
			m[name] = text
		}
	case "use_spot":
		b, ok := boolOf(v)
		if !ok {
			a.refuse("", "must be true or false")
			return
		}
		m[name] = b
	case "disk_size":
		if n, ok := a.diskSize(v); ok {
			m[name] = n
		}
	case "max_hourly_cost":
		m.setCost(a, v)
	case "network_tier":
		if text := a.scalar(v); text != nil && !strings.EqualFold(*text, "standard") {
			a.refuse(`remove it, or write ignore = ["network_tier"] in the second argument; on AWS a template of your own with placement_group and efa has the same`, "a faster network cannot be asked for")
		}
	default:
		section.unknown(name, resourceFields(), taskFields(), "the task itself")
	}
}

func (m Machine) setImage(a at, text string) {
	if strings.HasPrefix(text, "docker:") {
		a.refuse("remove it, and start the container in run", "a container in place of the machine's system cannot be carried")
		return
	}
	m["image_id"] = text
}

func (m Machine) setCost(a at, v any) {
	text := a.scalar(v)
	if text == nil {
		return
	}
	f, err := strconv.ParseFloat(*text, 64)
	if err != nil {
		a.refuse("", "%q is not a number", *text)
		return
	}
	m["max_hourly_cost"] = f
}

// machines are the alternatives of any_of or ordered.
func (a at) machines(v any, ordered bool) []Machine {
	list, ok := v.([]any)
	if !ok {
		a.refuse("", "must be a list of objects")
		return nil
	}
	var out []Machine
	for i, e := range list {
		a := a.index(i)
		fields := a.object(e)
		if fields == nil {
			continue
		}
		r := a.resourceFields(fields)
		if len(r.AnyOf)+len(r.Ordered)+len(r.Ports)+len(r.Labels) > 0 {
			a.refuse("move them there", "ports, labels and further alternatives belong to resources itself")
		}
		if r.Autostop != nil {
			a.key("autostop").refuse("move it there", "autostop belongs to resources itself")
		}
		if r.recovery != nil {
			a.key("job_recovery").refuse("move it there", "job_recovery belongs to resources itself")
		}
		if r.images != nil {
			a.key("image_id").refuse("write an alternative for each region", "images by region belong to resources itself")
		}
		out = append(out, r.alternatives(a, ordered)...)
	}
	return out
}
