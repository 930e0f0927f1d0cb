// SPDX-License-Identifier: MPL-2.0

package skypilot

import (
	"maps"
	"slices"
	"strings"
)

func isObject(v any) bool {
	_, ok := v.(map[string]any)
	return ok
}

// finish makes what SkyPilot says in one field, and the provider in several, once
// the place is known.
func (t *Task) finish(root at) {
	t.clone(root)
	if t.Resources != nil {
		t.Resources.finish(root.key("resources"))
		if t.NumNodes != nil {
			t.Resources.forNodes(float64(*t.NumNodes))
		}
	}
}

// forNodes makes the bounds of one machine, as SkyPilot has them, those of so many.
func (r *Resources) forNodes(n float64) {
	r.Machine = r.Machine.forNodes(n)
	for _, list := range [][]Machine{r.AnyOf, r.Ordered} {
		for i := range list {
			list[i] = list[i].forNodes(n)
		}
	}
}

func (m Machine) forNodes(n float64) Machine {
	usd, ok := m["max_hourly_cost"].(float64)
	if !ok {
		return m
	}
	m = maps.Clone(m)
	m["max_hourly_cost"] = usd * n
	return m
}

// finish gives each place the image of its region: an alternative for each region
// that has one, unless the place names the region.
func (r *Resources) finish(a at) {
	if len(r.images) == 0 {
		return
	}
	a = a.key("image_id")
	base := r.Machine.region()
	switch {
	case len(r.AnyOf)+len(r.Ordered) > 0:
		r.AnyOf, r.Ordered = r.withImages(a, r.AnyOf, base), r.withImages(a, r.Ordered, base)
	case base != "":
		r.Machine.setRegionsImage(a, r.images, base)
	default:
		r.AnyOf = r.withImages(a, []Machine{{}}, "")
	}
}

func (r *Resources) withImages(a at, list []Machine, base string) []Machine {
	var out []Machine
	for _, m := range list {
		region := m.region()
		if region == "" && !m.hasPlace() {
			region = base
		}
		switch {
		case m["image_id"] != nil:
			out = append(out, m)
		case region != "":
			m.setRegionsImage(a, r.images, region)
			out = append(out, m)
		case len(r.Ordered) > 0 && len(r.images) > 1:
			a.refuse("write infra with the region in each element of ordered", "images by region make alternatives, of which one would be preferred by its region's name")
			return list
		default:
			for _, region := range slices.Sorted(maps.Keys(r.images)) {
				one := maps.Clone(m)
				one.setRegion(region)
				one.setRegionsImage(a, r.images, region)
				out = append(out, one)
			}
		}
	}
	return out
}

func (m Machine) setRegionsImage(a at, images map[string]string, region string) {
	for name, image := range images {
		if strings.EqualFold(name, region) {
			m.setImage(a, image)
			return
		}
	}
	a.refuse("add it", "has no image for the region %s", region)
}

// region is where a machine must be, empty for anywhere.
func (m Machine) region() string {
	if text, _ := m["region"].(string); text != "" {
		return text
	}
	infra, _ := m["infra"].(string)
	if parts := strings.Split(infra, "/"); len(parts) > 1 && parts[1] != "*" {
		return parts[1]
	}
	return ""
}

func (m Machine) hasPlace() bool { return m["infra"] != nil || m["cloud"] != nil }

func (m Machine) setRegion(region string) {
	if infra, ok := m["infra"].(string); ok {
		cloudName, _, _ := strings.Cut(infra, "/")
		m["infra"] = cloudName + "/" + region
		return
	}
	m["region"] = region
}
