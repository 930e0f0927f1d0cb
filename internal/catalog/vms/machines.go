// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// machine returns the type that the present record describes.
func (r *reader) machine() (uint32, error) {
	var d description
	for col := range d {
		d[col] = r.field(col)
	}
	if d == r.last && len(r.out.Types) > 0 {
		return r.lastType, nil
	}
	id, ok := r.machines[d]
	if !ok {
		t, err := r.instanceType(&d)
		if err != nil {
			return 0, err
		}
		id = r.typeOf(t)
		r.machines[d] = id
	}
	r.last, r.lastType = d, id
	return id, nil
}

func (r *reader) instanceType(d *description) (t cloud.InstanceType, err error) {
	check := func(col int, problem string) {
		if problem != "" && err == nil {
			err = r.fail(r.row, columnNames[col], "%s", problem)
		}
	}
	var problem string
	t.Name, t.Accelerator.Name = d[colType], d[colAccelerator]
	check(colType, badName(t.Name))
	check(colAccelerator, badName(t.Accelerator.Name))
	t.Accelerator.Count, problem = number(d[colCount], maxDevices)
	check(colCount, problem)
	t.VCPUs, problem = number(d[colVCPUs], maxVCPUs)
	check(colVCPUs, problem)
	t.MemoryGiB, problem = number(d[colMemory], maxMemoryGiB)
	check(colMemory, problem)
	t.Arch, problem = Arch(d[colArch])
	check(colArch, problem)
	t.AcceleratorMemoryGiB = deviceMemory(d[colGPUInfo])
	r.about.Describe(&t)
	if err == nil {
		err = r.checkMachine(&t, r.row)
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
	case t.Name == "" && !r.about.SeparateDevices:
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

// typeOf numbers types.
func (r *reader) typeOf(t cloud.InstanceType) uint32 {
	m := machine{t.Name, t.Accelerator}
	id := uint32(len(r.out.Types))
	first, ok := r.first[m]
	if !ok {
		first = id
		r.first[m] = id
	} else {
		at := first
		for r.out.Types[at] != t && r.other[at] != 0 {
			at = r.other[at]
		}
		if r.out.Types[at] == t {
			return at
		}
		r.other[at] = id
	}
	r.out.Types, r.out.machine, r.other = append(r.out.Types, t), append(r.out.machine, first), append(r.other, 0)
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
