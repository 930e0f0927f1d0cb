// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/snapshot"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Resolve writes out what requirements leave to the catalogs of the clouds: devices
// that are asked for by memory or by a unique part of their name, and the
// architecture where the devices or the image have one only. What no catalog knows
// stays as it is.
func (s *Set) Resolve(ctx context.Context, reqs []cloud.Requirement, clouds []string) ([]cloud.Requirement, error) {
	if !slices.ContainsFunc(reqs, func(r cloud.Requirement) bool { return len(r.Accelerators) > 0 || r.Image != "" }) {
		return reqs, nil
	}
	tables, err := s.loaded(ctx, clouds, true)
	if err != nil {
		return nil, err
	}
	var all []snapshot.Device
	sold := make([][]snapshot.Device, len(tables))
	for i, t := range tables {
		if sold[i], err = t.devices(); err != nil {
			return nil, err
		}
		all = append(all, sold[i]...)
	}
	out := slices.Clone(reqs)
	for i := range out {
		r := &out[i]
		of, devices := tables, all
		if r.Cloud != "" {
			at := slices.IndexFunc(tables, func(t *table) bool { return strings.EqualFold(r.Cloud, t.source.Cloud) })
			of, devices = nil, nil
			if at >= 0 {
				of, devices = tables[at:at+1], sold[at]
			}
		}
		r.Accelerators = resolveDevices(r.Accelerators, all, devices)
		if r.Arch == "" {
			r.Arch = archOfDevices(r.Accelerators, devices)
		}
		if r.Arch == "" && r.Image != "" {
			if r.Arch, err = archOfImage(r.Image, of); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// devices are the accelerators that a catalog has.
func (t *table) devices() ([]snapshot.Device, error) {
	var out []snapshot.Device
	err := t.use(func(s *snapshot.Snapshot) { out = slices.Collect(s.Devices()) })
	return out, err
}

// resolveDevices looks for names that no catalog has among the devices of the clouds
// that are meant. What another cloud calls so is another device, and is not replaced.
func resolveDevices(want []cloud.Accelerator, all, of []snapshot.Device) []cloud.Accelerator {
	var out []cloud.Accelerator
	for _, a := range want {
		found := []cloud.Accelerator{a}
		if !slices.ContainsFunc(all, func(d snapshot.Device) bool { return strings.EqualFold(d.Name, a.Name) }) {
			found = resolveDevice(a, of)
		}
		for _, f := range found {
			if !slices.ContainsFunc(out, func(o cloud.Accelerator) bool { return o.Count == f.Count && strings.EqualFold(o.Name, f.Name) }) {
				out = append(out, f)
			}
		}
	}
	return out
}

// resolveDevice is what a name stands for that is in no catalog: itself, where that
// is nothing or not unique.
func resolveDevice(a cloud.Accelerator, of []snapshot.Device) []cloud.Accelerator {
	if memory, ok := a.ByMemory(); ok {
		if found := devicesThat(of, func(d snapshot.Device) bool {
			return !d.IsTPU() && math.Abs(d.Count-a.Count) < 0.01 && cloud.HasMemory(memory, d.MemoryGiB)
		}); len(found) > 0 {
			return found
		}
		return []cloud.Accelerator{a}
	}
	if base, memory, ok := a.CutMemory(); ok {
		if found := devicesThat(of, func(d snapshot.Device) bool {
			return strings.EqualFold(d.Name, base) && d.Count == a.Count && cloud.HasMemory(memory, d.MemoryGiB)
		}); len(found) == 1 {
			return found
		}
	}
	names := map[string]string{}
	for _, d := range devicesThat(of, func(d snapshot.Device) bool { return cloud.PartOfName(a.Name, d.Name) }) {
		names[strings.ToLower(d.Name)] = d.Name
	}
	if len(names) == 1 {
		for _, name := range names {
			a.Name = name
		}
	}
	return []cloud.Accelerator{a}
}

// devicesThat are the devices that a condition holds for, by name and count, each once.
func devicesThat(of []snapshot.Device, holds func(d snapshot.Device) bool) []cloud.Accelerator {
	var out []cloud.Accelerator
	for _, d := range of {
		if holds(d) {
			out = append(out, d.Accelerator)
		}
	}
	slices.SortFunc(out, func(a, b cloud.Accelerator) int { return strings.Compare(a.String(), b.String()) })
	return slices.CompactFunc(out, func(a, b cloud.Accelerator) bool { return strings.EqualFold(a.String(), b.String()) })
}

// archOfDevices is the architecture that devices need: empty is the default, and any
// where they need different ones.
func archOfDevices(want []cloud.Accelerator, of []snapshot.Device) string {
	for _, a := range want {
		known, x86 := false, false
		for _, d := range of {
			if strings.EqualFold(d.Name, a.Name) && math.Abs(d.Count-a.Count) < 0.01 {
				known, x86 = true, x86 || d.X86
			}
		}
		if known && !x86 {
			return cloud.ArchAny
		}
	}
	return ""
}

// archOfImage is the one that an image is for, as far as catalogs know it.
func archOfImage(name string, tables []*table) (string, error) {
	arch := ""
	for _, t := range tables {
		images, err := t.loadImages()
		if err != nil {
			return "", err
		}
		for _, im := range images {
			switch {
			case !strings.EqualFold(im.Tag, name) && im.ImageID != name:
			case im.Arch == "" || (arch != "" && im.Arch != arch):
				return "", nil // for any, or one for each
			default:
				arch = im.Arch
			}
		}
	}
	return arch, nil
}

// Unpriced says of which clouds the catalog has no spot price of a machine that
// serves the requirements, and has it on demand.
func (s *Set) Unpriced(ctx context.Context, reqs []cloud.Requirement, clouds []string) ([]string, error) {
	var out []string
	for _, name := range clouds {
		sold := map[cloud.Market]bool{}
		for _, r := range reqs {
			if !slices.Contains(r.Markets, cloud.Spot) || (r.Cloud != "" && !strings.EqualFold(r.Cloud, name)) {
				continue
			}
			for _, m := range []cloud.Market{cloud.OnDemand, cloud.Spot} {
				r.Markets, r.MaxHourlyUSD = []cloud.Market{m}, 0
				_, found, err := s.Best(ctx, &r, []string{name})
				if err != nil {
					return nil, err
				}
				sold[m] = sold[m] || found
			}
		}
		if sold[cloud.OnDemand] && !sold[cloud.Spot] {
			out = append(out, name+": its catalog has no spot price of a machine that fits; a refresh, or \"terraform-provider-sky catalog fetch "+name+"\", brings them")
		}
	}
	return out, nil
}

// Regions are those that the catalogs of the clouds have, each once. A cloud without a
// catalog has none.
func (s *Set) Regions(ctx context.Context, clouds []string) ([]string, error) {
	seen := map[string]bool{}
	for _, name := range clouds {
		tables, err := s.loaded(ctx, []string{name}, true)
		if errors.Is(err, ErrNoCatalog) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, t := range tables {
			if err := t.use(func(snap *snapshot.Snapshot) {
				for region := range snap.Regions() {
					seen[strings.Clone(region)] = true
				}
			}); err != nil {
				return nil, err
			}
		}
	}
	return slices.Sorted(maps.Keys(seen)), nil
}
