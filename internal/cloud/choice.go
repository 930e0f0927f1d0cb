// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Traits are what a machine is besides its sizes, one bit each.
type Traits uint8

// The traits. A catalog has no column for them: they come from the cloud's about.json
// or from the reader of its catalog.
const (
	// Burstable machines earn credits for the processor while they idle, and are
	// slow, or billed for more, once these are used up.
	Burstable Traits = 1 << iota
	// PreviousGeneration types are those that the cloud advises against for new work.
	PreviousGeneration
	// Promotional types are sold for a limited time.
	Promotional
	BareMetal
	// DevicesApart says that host and devices are bought apart, so that any host
	// that takes the devices can be had with them.
	DevicesApart
)

// Area is a part of the world.
type Area uint8

// The areas; the zero value is unknown.
const (
	NorthAmerica Area = iota + 1
	Europe
	AsiaPacific
	SouthAmerica
	MiddleEast
	Africa
)

// ParseArea reads the name of an area, such as "north_america".
func ParseArea(s string) (Area, error) {
	names := []string{"north_america", "europe", "asia_pacific", "south_america", "middle_east", "africa"}
	if i := slices.Index(names, s); i >= 0 {
		return Area(i + 1), nil
	}
	return 0, fmt.Errorf("area %q is not known; write one of %s", s, strings.Join(names, ", "))
}

// The architectures of machines; an empty one is taken for ArchX86.
const (
	ArchX86 = "x86_64"
	ArchARM = "arm64"
	// ArchAny asks for none in particular.
	ArchAny = "any"
)

// CheckArch says whether a request may ask for an architecture.
func CheckArch(s string) error {
	switch s {
	case ArchX86, ArchARM, ArchAny:
		return nil
	}
	return fmt.Errorf("arch %q is not known; write x86_64, arm64 or any", s)
}

// Family is what the types of one kind and many sizes have in common: "m6i" of
// m6i.large, "n2" of n2-standard-8.
func (t *InstanceType) Family() string {
	if family, _, ok := strings.Cut(t.Name, "."); ok {
		return family
	}
	family, _, _ := strings.Cut(t.Name, "-")
	return family
}

// CheckTypePattern says what is wrong with a pattern for families or types.
func CheckTypePattern(s string) error {
	if strings.TrimSpace(s) != s || s == "" || strings.ContainsAny(s, `[]?\`) {
		return fmt.Errorf("%q names no family; write one such as \"m6i\", or a type, with * for any part: \"m6*\", \"n2-highmem-*\"", s)
	}
	return nil
}

// matches reports whether any of the patterns names the type or its family.
func (t *InstanceType) matches(patterns []string) bool {
	if len(patterns) == 0 {
		return false
	}
	name, family := strings.ToLower(t.Name), strings.ToLower(t.Family())
	return slices.ContainsFunc(patterns, func(p string) bool {
		p = strings.ToLower(p)
		whole, _ := path.Match(p, name) // a pattern that is none matches nothing
		kind, _ := path.Match(p, family)
		return whole || kind
	})
}

// TakesFamily reports whether a type is of the families asked for.
func (r *Requirement) TakesFamily(t *InstanceType) bool {
	return len(r.Families) == 0 || t.matches(r.Families)
}

// Excludes reports whether a type is one that the requirement leaves out.
func (r *Requirement) Excludes(t *InstanceType) bool { return t.matches(r.ExcludedTypes) }

// TakesArch reports whether a type has the architecture asked for.
func (r *Requirement) TakesArch(t *InstanceType) bool {
	switch r.Arch {
	case "", ArchAny:
		return true
	case ArchX86:
		return !t.NotX86()
	}
	return t.Arch == r.Arch
}

// NotX86 reports whether the type is known to have another architecture.
func (t *InstanceType) NotX86() bool { return t.Arch != "" && t.Arch != ArchX86 }

// What a device gets of its host where the request says neither cpus nor memory.
const (
	HostVCPUs     = 4
	HostMemoryGiB = 16
)

// Defaults are what a machine must be where a requirement does not say otherwise:
// what a person would choose who was asked.
type Defaults struct {
	// Refused are the traits that are not taken.
	Refused Traits
	// X86 takes no other architecture; NoDevices no machine with devices.
	X86, NoDevices bool
	// HostVCPUs and HostMemoryGiB bound, for each device, a host that is bought
	// apart; 0 is no bound. A request that says cpus or memory has neither.
	HostVCPUs, HostMemoryGiB float64
}

// Defaults are those of the requirement. One that names its machines has none.
func (r *Requirement) Defaults() Defaults {
	var d Defaults
	if r.InstanceType != "" || len(r.Families) > 0 {
		return d
	}
	d.X86 = r.Arch == ""
	d.Refused = Burstable | PreviousGeneration | Promotional | BareMetal
	d.NoDevices = len(r.Accelerators) == 0
	if !d.NoDevices { // the device says what machine it is in
		d.Refused &^= PreviousGeneration | BareMetal
	}
	if r.Burstable {
		d.Refused &^= Burstable
	}
	if !d.NoDevices && r.CPUs.IsZero() && r.Memory.IsZero() {
		d.HostVCPUs, d.HostMemoryGiB = HostVCPUs, HostMemoryGiB
	}
	return d
}

// Feeds reports whether the host of a machine is large enough for its devices.
func (d *Defaults) Feeds(traits Traits, devices, vcpus, memoryGiB float64) bool {
	return traits&DevicesApart == 0 || (vcpus >= d.HostVCPUs*devices && memoryGiB >= d.HostMemoryGiB*devices)
}

// Hold reports whether a type is what the defaults ask for.
func (d *Defaults) Hold(t *InstanceType) bool {
	return t.Traits&d.Refused == 0 && !(d.X86 && t.NotX86()) && !(d.NoDevices && !t.Accelerator.IsZero()) &&
		d.Feeds(t.Traits, t.Accelerator.Count, t.VCPUs, t.MemoryGiB)
}
