// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// bundle says which accelerators a fixed host comes with.
type bundle struct {
	prefix string // of the instance type
	device string // the accelerator's name, lower case
	counts map[string]float64
}

// bundles are the accelerator-optimized families of Compute Engine: their
// machines come with devices, and never without.
var bundles = []bundle{
	{"a2-highgpu-", "a100", map[string]float64{"1g": 1, "2g": 2, "4g": 4, "8g": 8}},
	{"a2-megagpu-", "a100", map[string]float64{"16g": 16}},
	{"a2-ultragpu-", "a100-80gb", map[string]float64{"1g": 1, "2g": 2, "4g": 4, "8g": 8}},
	{"a3-highgpu-", "h100", map[string]float64{"1g": 1, "2g": 2, "4g": 4, "8g": 8}},
	{"a3-edgegpu-", "h100", map[string]float64{"8g": 8}},
	{"a3-megagpu-", "h100-mega", map[string]float64{"8g": 8}},
	{"a3-megagpu-", "h100-mega-80gb", map[string]float64{"8g": 8}}, // as hosted catalogs have it
	{"a3-ultragpu-", "h200", map[string]float64{"8g": 8}},
	{"a4-highgpu-", "b200", map[string]float64{"8g": 8}},
	{"a4x-highgpu-", "gb200", map[string]float64{"4g": 4}},
	{"g2-standard-", "l4", map[string]float64{"4": 1, "8": 1, "12": 1, "16": 1, "24": 2, "32": 1, "48": 4, "96": 8}},
	{"g4-standard-", "rtxpro6000", map[string]float64{"48": 1, "96": 2, "192": 4, "384": 8}},
}

// limit bounds the N1 host that a number of devices may be attached to.
type limit struct {
	device          string
	count           float64
	vcpus, memoryGB float64
}

// attachable are the devices that attach to N1 hosts, with the largest host
// for each count, as Compute Engine's documentation on GPU machine types has it.
var attachable = []limit{
	{"k80", 1, 8, 52}, {"k80", 2, 16, 104}, {"k80", 4, 32, 208}, {"k80", 8, 64, 416},
	{"p100", 1, 16, 104}, {"p100", 2, 32, 208}, {"p100", 4, 96, 624},
	{"p4", 1, 24, 156}, {"p4", 2, 48, 312}, {"p4", 4, 96, 624},
	{"t4", 1, 48, 312}, {"t4", 2, 48, 312}, {"t4", 4, 96, 624},
	{"v100", 1, 12, 78}, {"v100", 2, 24, 156}, {"v100", 4, 48, 312}, {"v100", 8, 96, 624},
}

// zonal are the zones in which a number of devices takes smaller hosts than attachable
// has, or, for K80, the only ones in which it does not.
var zonal = []struct {
	limit
	in    bool
	zones []string
}{
	{limit{"p100", 4, 64, 208}, true, []string{"us-east1-c", "europe-west1-d", "europe-west1-b"}},
	{limit{"k80", 8, 64, 208}, false, []string{"asia-east1-a", "us-east1-d"}},
}

// fitsZone reports whether a zone lets a device have a host that attachable allows.
func fitsZone(host *cloud.InstanceType, a cloud.Accelerator, zone string) bool {
	for _, z := range zonal {
		if strings.EqualFold(z.device, a.Name) && z.count == a.Count && slices.Contains(z.zones, zone) == z.in {
			return host.VCPUs <= z.vcpus && host.MemoryGiB <= z.memoryGB
		}
	}
	return true
}

// tpuHost is the instance type that stands for the host of a TPU, which is
// part of the TPU's own price.
const tpuHost = "TPU-VM"

// joinHosts turns rows of hosts and rows of accelerators into rows of whole
// machines. A host that only comes with devices is left out where its devices
// have no price: its own price alone would mislead.
func joinHosts(in *Rows) *Rows {
	j := joiner{in: in, out: &Rows{Places: in.Places, Prices: in.Prices}, ids: make(map[cloud.InstanceType]uint32)}
	j.alone, j.pairs = make([]uint32, len(in.Types)), make([][]uint32, len(in.Types))
	j.device = make([]int, len(in.Types))
	for i := range in.Types {
		if in.Types[i].Name == "" {
			j.device[i] = j.devices
			j.devices++
		}
	}
	devices := make([][]Line, len(in.Places))
	for _, w := range in.Lines {
		if in.Types[w.Type].Name == "" {
			devices[w.Place] = append(devices[w.Place], w)
		}
	}
	j.out.Lines = make([]Line, 0, 2*len(in.Lines))
	for _, w := range in.Lines {
		j.add(w, devices[w.Place])
	}
	return j.out
}

// joiner collects whole machines. A file names few types and many places, so
// what a type makes is worked out once.
type joiner struct {
	in, out *Rows
	ids     map[cloud.InstanceType]uint32
	// device numbers the types that are devices; there are few of them.
	device  []int
	devices int
	// alone holds, by host type, the type that it is by itself; pairs, by host
	// type and device, what they make. Numbers are raised by madeOf, so that
	// 0 is not known yet; none is that there is no such machine. A host that takes
	// no device has an empty list.
	alone []uint32
	pairs [][]uint32
}

const (
	none   = 1
	madeOf = 2
)

// whole is the type that a host makes with a device.
func (j *joiner) whole(host, device uint32) uint32 {
	t, d := j.in.Types[host], j.in.Types[device]
	if !takes(bundleOf(t.Name), t, d.Accelerator) {
		return none
	}
	if t.Accelerator, t.AcceleratorMemoryGiB = d.Accelerator, d.AcceleratorMemoryGiB; bundleOf(t.Name) == nil {
		t.Traits |= cloud.DevicesApart
	}
	return intern(j.ids, &j.out.Types, t) + madeOf
}

// single is the type of a host by itself, none where it is not sold so.
func (j *joiner) single(host uint32) uint32 {
	t := j.in.Types[host]
	switch {
	case t.Name == "" && t.Accelerator.IsTPU():
		t.Name = tpuHost
	case t.Name == "", t.Name == tpuHost && t.Accelerator.IsZero(), comesWithDevices(t.Name) && t.Accelerator.IsZero():
		return none
	}
	return intern(j.ids, &j.out.Types, t) + madeOf
}

// learn works out what a host type makes.
func (j *joiner) learn(host uint32) {
	t := j.in.Types[host]
	j.alone[host] = j.single(host)
	if t.Name != "" && t.Name != tpuHost && t.Accelerator.IsZero() && (bundleOf(t.Name) != nil || strings.HasPrefix(t.Name, attachPrefix)) {
		j.pairs[host] = make([]uint32, j.devices)
	}
}

// add takes a machine by itself, where it is sold so, and with every device of
// its place that it takes.
func (j *joiner) add(w Line, devices []Line) {
	host := w.Type
	if j.alone[host] == 0 {
		j.learn(host)
	}
	if id := j.alone[host]; id != none {
		w.Type = id - madeOf
		j.out.Lines = append(j.out.Lines, w)
	}
	pairs := j.pairs[host]
	if len(pairs) == 0 {
		return
	}
	for _, d := range devices {
		made := &pairs[j.device[d.Type]]
		if *made == 0 {
			*made = j.whole(host, d.Type)
		}
		if *made == none || !fitsZone(&j.in.Types[host], j.in.Types[d.Type].Accelerator, j.in.Places[w.Place].Zone) {
			continue
		}
		both := w
		both.Type = *made - madeOf
		both.Price = j.out.Prices.sum(w.Price, d.Price)
		both.Spot = j.out.Prices.sum(w.Spot, d.Spot)
		j.out.Lines = append(j.out.Lines, both)
	}
}

// attachPrefix begins the types that devices attach to.
const attachPrefix = "n1-"

// bundleOf is the first bundle of a host; others of the same prefix name the device
// otherwise.
func bundleOf(typeName string) *bundle {
	for i := range bundles {
		if strings.HasPrefix(typeName, bundles[i].prefix) {
			return &bundles[i]
		}
	}
	return nil
}

// comesWithDevices reports whether a host is of a bundle, or of a family newer
// than the bundles: A2, G2 or CT5LP and those after them.
func comesWithDevices(typeName string) bool {
	family, _, _ := strings.Cut(typeName, "-")
	newer := len(family) > 1 && (family[0] == 'a' || family[0] == 'g') && family[1] >= '2' && family[1] <= '9'
	return newer || strings.HasPrefix(family, "ct") || bundleOf(typeName) != nil
}

func takes(b *bundle, host cloud.InstanceType, a cloud.Accelerator) bool {
	device := strings.ToLower(a.Name)
	if b != nil {
		return slices.ContainsFunc(bundles, func(o bundle) bool { return o.prefix == b.prefix && o.device == device }) &&
			a.Count == b.counts[strings.TrimPrefix(host.Name, b.prefix)]
	}
	if !strings.HasPrefix(host.Name, attachPrefix) {
		return false
	}
	return slices.ContainsFunc(attachable, func(l limit) bool {
		return l.device == device && l.count == a.Count && host.VCPUs <= l.vcpus && host.MemoryGiB <= l.memoryGB
	})
}
