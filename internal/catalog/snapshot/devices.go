// SPDX-License-Identifier: MPL-2.0

package snapshot

import (
	"iter"
	"math"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Device is an accelerator in one count, as a catalog has it.
type Device struct {
	cloud.Accelerator
	// MemoryGiB is the least that one of them has; 0 where the catalog is silent.
	MemoryGiB float64
	// X86 says that a machine has it that is not known to be of another kind.
	X86 bool
}

// Devices hands out the accelerators that the catalog has.
func (s *Snapshot) Devices() iter.Seq[Device] {
	return func(yield func(Device) bool) {
		for _, of := range s.pairsByName() {
			for i := range of {
				p := &of[i]
				if !yield(Device{cloud.Accelerator{Name: s.text(p.name), Count: p.count}, p.memory, p.x86 != 0}) {
					return
				}
			}
		}
	}
}

// Regions hands out the regions that the catalog has, one for each of their zones.
func (s *Snapshot) Regions() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range s.places.all {
			if !yield(s.text(s.places.at(uint32(i)).region)) {
				return
			}
		}
	}
}

// settle drops the default architecture where a device that is asked for is in no
// machine that has it.
func (q *query) settle(snaps []*Snapshot) {
	for i := range q.nFew {
		q.settleOn(&q.few[i], snaps)
	}
	for i := range q.more {
		q.settleOn(&q.more[i], snaps)
	}
}

func (q *query) settleOn(want *cloud.Accelerator, snaps []*Snapshot) {
	known, x86 := false, false
	for _, s := range snaps {
		if q.cloud != "" && !strings.EqualFold(q.cloud, s.cloud) {
			continue
		}
		for _, p := range s.pairsByName()[want.Name] {
			if math.Abs(p.count-want.Count) < 0.01 {
				known, x86 = true, x86 || p.x86 != 0
			}
		}
	}
	if known && !x86 {
		q.refuse &^= flagNotX86
	}
}
