// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"bytes"
	"cmp"
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

// header finds the columns, and returns those that gocsv is to see.
func (r *reader) header() ([]string, error) {
	for i := range r.at {
		r.at[i] = -1
	}
	if !r.scan.scan() {
		return nil, cmp.Or(r.scanError(), r.fail(1, "", "it holds no header"))
	}
	r.width = len(r.scan.fields)
	seen := make(map[string]bool, r.width)
	for i, f := range r.scan.fields {
		name := strings.TrimSpace(string(f))
		key := strings.ToLower(name)
		if seen[key] {
			return nil, r.fail(1, name, "the header names this column twice")
		}
		seen[key] = true
		if col := slices.IndexFunc(columnNames[:], func(c string) bool { return strings.EqualFold(c, name) }); col >= 0 {
			r.at[col] = i
		}
	}
	for _, col := range requiredColumns {
		if r.at[col] < 0 {
			return nil, r.fail(1, columnNames[col], "the header lacks this column; it has %s", clip(string(bytes.Join(r.scan.fields, []byte(","))), 200))
		}
	}
	if (r.at[colAccelerator] < 0) != (r.at[colCount] < 0) {
		return nil, r.fail(1, "AcceleratorName", "AcceleratorName and AcceleratorCount must come together")
	}
	r.scan.prefix = 0
	for slices.Contains(r.at[:colArch+1], r.scan.prefix) {
		r.scan.prefix++
	}
	for _, at := range r.at[:colArch+1] {
		if at >= r.scan.prefix {
			r.beside = append(r.beside, at)
		}
	}
	// Where files end in the place, it is guessed; see place.
	r.scan.guessAfter = max(r.scan.prefix, r.at[colPrice]+1, r.at[colSpot]+1)
	if at := r.at[colZone]; r.at[colRegion] < r.scan.guessAfter || at >= 0 && at < r.scan.guessAfter {
		r.scan.guessAfter = -1
	}
	return columnNames[:colArch+1], nil
}

// field returns a field of the record just scanned; nil where there is none.
func (r *reader) field(col int) []byte {
	if r.at[col] < 0 {
		return nil
	}
	return trim(r.scan.fields[r.at[col]])
}

// trim cuts spaces off, quickly where there are none.
func trim(f []byte) []byte {
	if len(f) > 0 && (f[0] <= ' ' || f[len(f)-1] <= ' ') {
		return bytes.TrimSpace(f)
	}
	return f
}
