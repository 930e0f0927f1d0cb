// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// splitPrices reports whether a cloud's catalog prices hosts and accelerators
// in rows of their own, which only together are what a machine costs.
func splitPrices(cloudName string) bool { return cloudName == "gcp" }

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

// tpuHost is the instance type that stands for the host of a TPU, which is
// part of the TPU's own price.
const tpuHost = "TPU-VM"

// joinHosts turns rows of hosts and rows of accelerators into rows of whole
// machines. A host that only comes with devices is left out where its devices
// have no price: its own price alone would mislead.
func joinHosts(in *rows) *rows {
	devices := make(map[uint32][]line)
	for _, w := range in.lines {
		if in.types[w.typ].Name == "" {
			devices[w.place] = append(devices[w.place], w)
		}
	}
	j := joiner{
		in: in, out: &rows{places: in.places}, ids: make(map[cloud.InstanceType]uint32),
		pairs: make(map[uint64]uint32), alone: make(map[uint32]uint32),
	}
	j.out.lines = make([]line, 0, 2*len(in.lines))
	for _, w := range in.lines {
		j.add(w, devices[w.place])
	}
	return j.out
}

// joiner collects whole machines.
type joiner struct {
	in, out *rows
	ids     map[cloud.InstanceType]uint32
	// pairs remembers, by host type and device type, what they make; noPair is
	// that the host does not take the device.
	pairs map[uint64]uint32
	// alone remembers the same of hosts without devices.
	alone map[uint32]uint32
}

const noPair = ^uint32(0)

// whole is the type that a host makes with a device.
func (j *joiner) whole(host, device uint32) uint32 {
	key := uint64(host)<<32 | uint64(device)
	id, ok := j.pairs[key]
	if ok {
		return id
	}
	t, d := j.in.types[host], j.in.types[device]
	id = noPair
	if t.Accelerator.IsZero() && takes(bundleOf(t.Name), t, d.Accelerator) {
		t.Accelerator, t.AcceleratorMemoryGiB = d.Accelerator, d.AcceleratorMemoryGiB
		id = intern(j.ids, &j.out.types, t)
	}
	j.pairs[key] = id
	return id
}

// single is the type of a host by itself, noPair where it is not sold so.
func (j *joiner) single(host uint32) uint32 {
	id, ok := j.alone[host]
	if ok {
		return id
	}
	t := j.in.types[host]
	id = noPair
	switch {
	case t.Name == "" && t.Accelerator.IsTPU():
		t.Name = tpuHost
		id = intern(j.ids, &j.out.types, t)
	case t.Name == "", t.Name == tpuHost && t.Accelerator.IsZero():
	case bundleOf(t.Name) == nil || !t.Accelerator.IsZero():
		id = intern(j.ids, &j.out.types, t)
	}
	j.alone[host] = id
	return id
}

// add takes a machine by itself, where it is sold so, and with every device of
// its place that it takes.
func (j *joiner) add(w line, devices []line) {
	host := w.typ
	if id := j.single(host); id != noPair {
		w.typ = id
		j.out.lines = append(j.out.lines, w)
	}
	if j.in.types[host].Name == "" || j.in.types[host].Name == tpuHost {
		return
	}
	for _, d := range devices {
		id := j.whole(host, d.typ)
		if id == noPair {
			continue
		}
		both := w
		both.typ = id
		both.price += d.price // NaN, not offered, wins
		both.spot += d.spot
		j.out.lines = append(j.out.lines, both)
	}
}

func bundleOf(typeName string) *bundle {
	for i := range bundles {
		if strings.HasPrefix(typeName, bundles[i].prefix) {
			return &bundles[i]
		}
	}
	return nil
}

func takes(b *bundle, host cloud.InstanceType, a cloud.Accelerator) bool {
	device := strings.ToLower(a.Name)
	if b != nil {
		return device == b.device && a.Count == b.counts[strings.TrimPrefix(host.Name, b.prefix)]
	}
	if !strings.HasPrefix(host.Name, "n1-") {
		return false
	}
	return slices.ContainsFunc(attachable, func(l limit) bool {
		return l.device == device && l.count == a.Count && host.VCPUs <= l.vcpus && host.MemoryGiB <= l.memoryGB
	})
}
