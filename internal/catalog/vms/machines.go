// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// describe turns what gocsv read into types, and the numbers of the texts in
// the lines into those of the types.
func (r *reader) describe(machines []machineRow) error {
	d := &describer{in: &r.out, first: make(map[machine]uint32, len(machines))}
	types := make([]uint32, len(machines))
	same := true
	for i := range machines {
		t, err := r.instanceType(&machines[i], r.where[i])
		if err != nil {
			return err
		}
		types[i] = d.add(t)
		same = same && types[i] == uint32(i)
	}
	if !same {
		for i := range r.out.Lines {
			r.out.Lines[i].Type = types[r.out.Lines[i].Type]
		}
	}
	return nil
}

func (r *reader) instanceType(m *machineRow, row int) (t cloud.InstanceType, err error) {
	check := func(col int, problem string) {
		if problem != "" && err == nil {
			err = r.fail(row, columnNames[col], "%s", problem)
		}
	}
	var problem string
	t.Name, t.Accelerator.Name = m.Type, m.Accelerator
	check(colType, badName(m.Type))
	check(colAccelerator, badName(m.Accelerator))
	t.Accelerator.Count, problem = number([]byte(m.Count), maxDevices)
	check(colCount, problem)
	t.VCPUs, problem = number([]byte(m.VCPUs), maxVCPUs)
	check(colVCPUs, problem)
	t.MemoryGiB, problem = number([]byte(m.Memory), maxMemoryGiB)
	check(colMemory, problem)
	t.Arch, problem = Arch([]byte(m.Arch))
	check(colArch, problem)
	t.AcceleratorMemoryGiB = deviceMemory([]byte(m.GPUInfo))
	if err == nil {
		err = r.checkMachine(&t, row)
	}
	return t, err
}

func (r *reader) checkMachine(t *cloud.InstanceType, row int) error {
	acc := t.Accelerator
	switch {
	case acc.Name != "" && acc.Count == 0:
		return r.fail(row, "AcceleratorCount", "it is blank or zero, while AcceleratorName is %q", acc.Name)
	case acc.Name == "" && acc.Count != 0:
		return r.fail(row, "AcceleratorName", "it is blank, while AcceleratorCount is %v", acc.Count)
	case t.Name == "" && !r.separateDevices:
		return r.fail(row, "InstanceType", "it is blank")
	case t.Name == "" && acc.Name == "":
		return r.fail(row, "InstanceType", "both it and AcceleratorName are blank")
	}
	if acc.Name == "" {
		t.AcceleratorMemoryGiB = 0
	}
	return nil
}

// machine is what makes types one machine.
type machine struct {
	name string
	acc  cloud.Accelerator
}

// describer numbers types.
type describer struct {
	in *Rows
	// first is the first type of each machine; other the next one, or 0.
	first map[machine]uint32
	other []uint32
}

func (d *describer) add(t cloud.InstanceType) uint32 {
	m := machine{t.Name, t.Accelerator}
	id := uint32(len(d.in.Types))
	first, ok := d.first[m]
	if !ok {
		first = id
		d.first[m] = id
	} else {
		at := first
		for d.in.Types[at] != t && d.other[at] != 0 {
			at = d.other[at]
		}
		if d.in.Types[at] == t {
			return at
		}
		d.other[at] = id
	}
	d.in.Types, d.in.machine, d.other = append(d.in.Types, t), append(d.in.machine, first), append(d.other, 0)
	return id
}

// badName says what is wrong with a name; most are plain and short.
func badName(s string) string {
	if len(s) > 200 {
		return fmt.Sprintf("%q is too long", clip(s, 40))
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f {
			if strings.ContainsFunc(s, unicode.IsControl) {
				return fmt.Sprintf("%q holds a control character", s)
			}
			return ""
		}
	}
	return ""
}
