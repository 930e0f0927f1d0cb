// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"errors"
	"io"
	"slices"
	"strings"
)

// The columns of vms.csv, by header. Files of the schemas v5 to v8 hold them in
// any order, and others beside them. Those up to colArch describe the machine.
const (
	colType = iota
	colAccelerator
	colCount
	colVCPUs
	colMemory
	colGPUInfo
	colArch
	colRegion
	colZone
	colPrice
	colSpot
	numColumns
)

var columnNames = [numColumns]string{
	"InstanceType", "AcceleratorName", "AcceleratorCount", "vCPUs", "MemoryGiB", "GpuInfo", "Arch",
	"Region", "AvailabilityZone", "Price", "SpotPrice",
}

var requiredColumns = []int{colType, colVCPUs, colMemory, colPrice, colRegion}

// header finds the columns.
func (r *reader) header() error {
	for i := range r.at {
		r.at[i] = -1
	}
	if err := r.scan(); err != nil {
		if errors.Is(err, io.EOF) {
			err = r.fail(1, "", "it holds no header")
		}
		return err
	}
	r.width = len(r.record)
	seen := make(map[string]bool, r.width)
	for i, f := range r.record {
		name := strings.TrimSpace(f)
		key := strings.ToLower(name)
		if seen[key] {
			return r.fail(1, name, "the header names this column twice")
		}
		seen[key] = true
		if col := slices.IndexFunc(columnNames[:], func(c string) bool { return strings.EqualFold(c, name) }); col >= 0 {
			r.at[col] = i
		}
	}
	for _, col := range requiredColumns {
		if r.at[col] < 0 {
			return r.fail(1, columnNames[col], "the header lacks this column; it has %s", clip(strings.Join(r.record, ","), 200))
		}
	}
	if (r.at[colAccelerator] < 0) != (r.at[colCount] < 0) {
		return r.fail(1, "AcceleratorName", "AcceleratorName and AcceleratorCount must come together")
	}
	return nil
}

// field returns a field of the present record; empty where there is none.
func (r *reader) field(col int) string {
	if r.at[col] < 0 {
		return ""
	}
	f := r.record[r.at[col]]
	if f != "" && (f[0] <= ' ' || f[len(f)-1] <= ' ') {
		return strings.TrimSpace(f)
	}
	return f
}
