// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// row is one line of a vms.csv with its values checked. Prices are NaN where
// the line leaves them out, which means that the machine is not sold that way.
type row struct {
	typ          cloud.InstanceType
	region, zone string
	price, spot  float64
	line         int
}

// Bounds that no machine sold comes near; a value beyond them is a slip.
const (
	maxPrice     = 1e6
	maxVCPUs     = 1e5
	maxMemoryGiB = 1e6
	maxDevices   = 1e5
)

// The columns of vms.csv, by header. Files of the schemas v5 to v8 hold them in
// any order, and others beside them.
const (
	colType = iota
	colAccelerator
	colCount
	colVCPUs
	colMemory
	colGPUInfo
	colPrice
	colSpot
	colRegion
	colZone
	colArch
	numColumns
)

var columnNames = [numColumns]string{
	"InstanceType", "AcceleratorName", "AcceleratorCount", "vCPUs", "MemoryGiB", "GpuInfo",
	"Price", "SpotPrice", "Region", "AvailabilityZone", "Arch",
}

var requiredColumns = []int{colType, colVCPUs, colMemory, colPrice, colRegion}

// reader turns the text of one vms.csv into rows.
type reader struct {
	path  string
	cloud string
	scan  *scanner
	// at holds the position of each column in a record, -1 for none.
	at     [numColumns]int
	width  int
	intern map[string]string
	// memory holds the device memory that each GpuInfo text seen tells.
	memory map[string]float64
}

// parseVMs reads a whole vms.csv. The first thing wrong rejects the file; the
// error is a *FileError.
func parseVMs(path, cloudName string, text []byte) ([]row, error) {
	if err := sniff(path, text); err != nil {
		return nil, err
	}
	r := &reader{
		path: path, cloud: cloudName, scan: newScanner(text),
		intern: make(map[string]string, 1024), memory: make(map[string]float64, 64),
	}
	if err := r.header(); err != nil {
		return nil, err
	}
	rows := make([]row, 0, bytes.Count(text, []byte("\n")))
	for r.scan.scan() {
		rec, err := r.record()
		if err != nil {
			return nil, err
		}
		rows = append(rows, rec)
	}
	if r.scan.err != "" {
		return nil, r.fail(r.scan.row, "", "%s", r.scan.err)
	}
	if len(rows) == 0 {
		return nil, r.fail(0, "", "it holds a header and no rows")
	}
	return r.finish(rows)
}

// sniff recognizes what is no CSV at all.
func sniff(path string, text []byte) error {
	head := bytes.TrimSpace(text[:min(len(text), 512)])
	switch {
	case len(head) == 0:
		return &FileError{Path: path, Problem: "it is empty"}
	case head[0] == '<':
		return &FileError{Path: path, Row: 1, Problem: "it is an HTML or XML page, not a catalog; a login or error page was probably saved in its place"}
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return &FileError{Path: path, Row: 1, Problem: "it is gzip-compressed; decompress it"}
	case head[0] == '{' || head[0] == '[':
		return &FileError{Path: path, Row: 1, Problem: "it is JSON, not a catalog"}
	}
	return nil
}

func (r *reader) fail(line int, column, format string, args ...any) error {
	return &FileError{Path: r.path, Row: line, Column: column, Problem: fmt.Sprintf(format, args...)}
}

func (r *reader) header() error {
	for i := range r.at {
		r.at[i] = -1
	}
	if !r.scan.scan() {
		problem := r.scan.err
		if problem == "" {
			problem = "it holds no header"
		}
		return r.fail(1, "", "%s", problem)
	}
	r.width = len(r.scan.fields)
	seen := make(map[string]bool, r.width)
	for i, f := range r.scan.fields {
		name := strings.TrimSpace(string(f))
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
			return r.fail(1, columnNames[col], "the header lacks this column; it has %s", clip(string(bytes.Join(r.scan.fields, []byte(","))), 200))
		}
	}
	if (r.at[colAccelerator] < 0) != (r.at[colCount] < 0) {
		return r.fail(1, "AcceleratorName", "AcceleratorName and AcceleratorCount must come together")
	}
	return nil
}

// record checks the record just scanned.
func (r *reader) record() (row, error) {
	line, fields := r.scan.row, r.scan.fields
	if len(fields) != r.width {
		return row{}, r.fail(line, "", "it has %d fields where the header has %d; the row is cut off, or a field with commas (GpuInfo?) is not quoted", len(fields), r.width)
	}
	if !r.scan.validText() {
		return row{}, r.fail(line, "", "it is not valid UTF-8")
	}
	out := row{line: line}
	for col, at := range r.at {
		if at < 0 {
			continue
		}
		if problem := r.set(&out, col, bytes.TrimSpace(fields[at])); problem != "" {
			return row{}, r.fail(line, columnNames[col], "%s", problem)
		}
	}
	return out, r.check(&out)
}

// set puts one field into the row and returns what is wrong with it.
func (r *reader) set(out *row, col int, f []byte) (problem string) {
	switch col {
	case colType:
		out.typ.Name, problem = r.text(f)
	case colAccelerator:
		out.typ.Accelerator.Name, problem = r.text(f)
	case colCount:
		out.typ.Accelerator.Count, problem = number(f, maxDevices)
	case colVCPUs:
		out.typ.VCPUs, problem = number(f, maxVCPUs)
	case colMemory:
		out.typ.MemoryGiB, problem = number(f, maxMemoryGiB)
	case colGPUInfo:
		out.typ.AcceleratorMemoryGiB = r.deviceMemory(f)
	case colPrice:
		out.price, problem = price(f)
	case colSpot:
		out.spot, problem = price(f)
	case colRegion:
		out.region, problem = r.text(f)
	case colZone:
		out.zone, problem = r.text(f)
	case colArch:
		out.typ.Arch, problem = arch(f)
	}
	return problem
}

// check looks at the fields of a row together.
func (r *reader) check(out *row) error {
	if r.at[colSpot] < 0 {
		out.spot = math.NaN()
	}
	acc := &out.typ.Accelerator
	switch {
	case out.region == "":
		return r.fail(out.line, "Region", "it is blank")
	case acc.Name != "" && acc.Count == 0:
		return r.fail(out.line, "AcceleratorCount", "it is blank or zero, while AcceleratorName is %q", acc.Name)
	case acc.Name == "" && acc.Count != 0:
		return r.fail(out.line, "AcceleratorName", "it is blank, while AcceleratorCount is %v", acc.Count)
	case out.typ.Name == "" && !splitPrices(r.cloud):
		return r.fail(out.line, "InstanceType", "it is blank")
	case out.typ.Name == "" && acc.Name == "":
		return r.fail(out.line, "InstanceType", "both it and AcceleratorName are blank")
	}
	if acc.Name == "" {
		out.typ.AcceleratorMemoryGiB = 0
	}
	return nil
}

// finish joins split prices and looks for rows that contradict each other.
func (r *reader) finish(rows []row) ([]row, error) {
	rows, err := r.unique(rows)
	if err != nil {
		return nil, err
	}
	if splitPrices(r.cloud) {
		rows = joinHosts(rows)
	}
	return rows, nil
}

type rowKey struct {
	name, accelerator string
	count             float64
	region, zone      string
}

// unique drops repeated rows; two rows that give one machine in one place
// different prices reject the file, since one of them is wrong.
func (r *reader) unique(rows []row) ([]row, error) {
	seen := make(map[rowKey]int, len(rows))
	out := rows[:0]
	for _, w := range rows {
		k := rowKey{w.typ.Name, w.typ.Accelerator.Name, w.typ.Accelerator.Count, w.region, w.zone}
		at, dup := seen[k]
		switch {
		case !dup:
			seen[k] = len(out)
			out = append(out, w)
		case !samePrice(out[at].price, w.price):
			return nil, r.fail(w.line, "Price", "it is %v, while row %d gives the same machine in the same place %v", w.price, out[at].line, out[at].price)
		case !samePrice(out[at].spot, w.spot):
			return nil, r.fail(w.line, "SpotPrice", "it is %v, while row %d gives the same machine in the same place %v", w.spot, out[at].line, out[at].spot)
		}
	}
	return out, nil
}

func samePrice(a, b float64) bool { return a == b || (math.IsNaN(a) && math.IsNaN(b)) }

// text returns a field as a string that rows share.
func (r *reader) text(f []byte) (string, string) {
	if s, ok := r.intern[string(f)]; ok {
		return s, ""
	}
	s := string(f)
	if len(s) > 200 {
		return "", fmt.Sprintf("%q is too long", clip(s, 40))
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Sprintf("%q holds a control character", s)
	}
	r.intern[s] = s
	return s, ""
}

// number reads an amount; blank is 0.
func number(f []byte, limit float64) (float64, string) {
	if len(f) == 0 {
		return 0, ""
	}
	n, err := strconv.ParseFloat(string(f), 64)
	switch {
	case err != nil && bytes.IndexByte(f, ',') >= 0:
		return 0, fmt.Sprintf("%q is not a number; write a decimal point, not a comma", f)
	case math.IsNaN(n), math.IsInf(n, 0), err != nil:
		return 0, fmt.Sprintf("%q is not a finite number", clip(string(f), 40))
	case n < 0:
		return 0, fmt.Sprintf("%s is negative", f)
	case n > limit:
		return 0, fmt.Sprintf("%s is beyond anything sold (%v)", f, limit)
	}
	return n, ""
}

// price reads US dollars an hour; blank is NaN, which is not offered, never free.
func price(f []byte) (float64, string) {
	if len(f) == 0 {
		return math.NaN(), ""
	}
	return number(f, maxPrice)
}

// arch reads the words that catalogs and clouds use for an architecture.
func arch(f []byte) (string, string) {
	switch strings.ToLower(string(f)) {
	case "":
		return "", ""
	case "x86_64", "amd64", "x64":
		return "x86_64", ""
	case "arm64", "aarch64", "arm64_mac":
		return "arm64", ""
	case "i386", "x86":
		return "i386", ""
	case "x86_64_mac":
		return "x86_64", ""
	}
	return "", fmt.Sprintf("%q is not known; it is x86_64, arm64 or i386", clip(string(f), 40))
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
