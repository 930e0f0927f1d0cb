// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// rows is a vms.csv with its values checked: what machines there are, where,
// and for each line of the file one of both with its prices. Prices are NaN
// where the line leaves them out, which means not offered, never free.
type rows struct {
	types  []cloud.InstanceType
	places []place
	lines  []line
}

type place struct{ region, zone string }

type line struct {
	typ, place  uint32
	price, spot float64
	// row is the line's number in the file.
	row int32
}

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

// reader turns the text of one vms.csv into rows.
type reader struct {
	path  string
	cloud string
	scan  *scanner
	// at holds the position of each column in a record, -1 for none.
	at    [numColumns]int
	width int
	out   rows

	typeIDs  map[cloud.InstanceType]uint32
	placeIDs map[place]uint32
	texts    map[string]string
	// raw remembers which machine and which place the text of their fields was;
	// key is the text being looked up, last the one looked up before.
	raw       [2]map[string]uint32
	key, last [2][]byte
	lastID    [2]uint32
}

// parseVMs reads a whole vms.csv. The first thing wrong rejects the file; the
// error is a *FileError.
func parseVMs(path, cloudName string, text []byte) (*rows, error) {
	if err := sniff(path, text); err != nil {
		return nil, err
	}
	r := &reader{
		path: path, cloud: cloudName, scan: newScanner(text),
		typeIDs: make(map[cloud.InstanceType]uint32), placeIDs: make(map[place]uint32), texts: make(map[string]string),
		raw: [2]map[string]uint32{make(map[string]uint32), make(map[string]uint32)},
	}
	if err := r.header(); err != nil {
		return nil, err
	}
	r.out.lines = make([]line, 0, bytes.Count(text, []byte("\n")))
	for r.scan.scan() {
		if err := r.record(); err != nil {
			return nil, err
		}
	}
	if r.scan.err != "" {
		return nil, r.fail(r.scan.row, "", "%s", r.scan.err)
	}
	if len(r.out.lines) == 0 {
		return nil, r.fail(0, "", "it holds a header and no rows")
	}
	if err := r.unique(); err != nil {
		return nil, err
	}
	if splitPrices(cloudName) {
		return joinHosts(&r.out), nil
	}
	return &r.out, nil
}

// sniff recognizes what is no catalog at all.
func sniff(path string, text []byte) error {
	head := bytes.TrimSpace(text[:min(len(text), 512)])
	bad := func(row int, problem string) error { return &FileError{Path: path, Row: row, Problem: problem} }
	switch {
	case len(head) == 0:
		return bad(0, "it is empty")
	case head[0] == '<':
		return bad(1, "it is an HTML or XML page, not a catalog; a login or error page was probably saved in its place")
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return bad(1, "it is gzip-compressed; decompress it")
	case head[0] == '{' || head[0] == '[':
		return bad(1, "it is JSON, not a catalog")
	}
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return bad(1+bytes.Count(text[:i], []byte("\n")), "a NUL byte; the file is not text")
	}
	if !utf8.Valid(text) {
		for i, l := range bytes.Split(text, []byte("\n")) {
			if !utf8.Valid(l) {
				return bad(i+1, "it is not valid UTF-8")
			}
		}
	}
	return nil
}

func (r *reader) fail(row int, column, format string, args ...any) error {
	return &FileError{Path: r.path, Row: row, Column: column, Problem: fmt.Sprintf(format, args...)}
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

// record checks the record just scanned and adds it.
func (r *reader) record() error {
	row := r.scan.row
	if n := len(r.scan.fields); n != r.width {
		return r.fail(row, "", "it has %d fields where the header has %d; the row is cut off, or a field with commas (GpuInfo?) is not quoted", n, r.width)
	}
	w := line{row: int32(row), spot: math.NaN()}
	var err error
	if w.typ, err = r.remember(0, colType, colRegion, r.machine); err != nil {
		return err
	}
	if w.place, err = r.remember(1, colRegion, colPrice, r.place); err != nil {
		return err
	}
	var problem string
	if w.price, problem = price(r.field(colPrice)); problem != "" {
		return r.fail(row, "Price", "%s", problem)
	}
	if r.at[colSpot] >= 0 {
		if w.spot, problem = price(r.field(colSpot)); problem != "" {
			return r.fail(row, "SpotPrice", "%s", problem)
		}
	}
	r.out.lines = append(r.out.lines, w)
	return nil
}

// remember returns the id of what the columns from first to before last say,
// reading them only if their text was not seen before. Most rows repeat the
// machine of the row above.
func (r *reader) remember(which, first, last int, read func() (uint32, error)) (uint32, error) {
	key := r.key[which][:0]
	for col := first; col < last; col++ {
		if at := r.at[col]; at >= 0 {
			key = append(key, r.scan.fields[at]...)
		}
		key = append(key, 0)
	}
	r.key[which] = key
	if bytes.Equal(key, r.last[which]) {
		return r.lastID[which], nil
	}
	id, ok := r.raw[which][string(key)]
	if !ok {
		var err error
		if id, err = read(); err != nil {
			return 0, err
		}
		r.raw[which][string(key)] = id
	}
	r.last[which] = append(r.last[which][:0], key...)
	r.lastID[which] = id
	return id, nil
}

// machine reads the columns that describe a machine.
func (r *reader) machine() (uint32, error) {
	var t cloud.InstanceType
	for col := colType; col <= colArch; col++ {
		f, problem := r.field(col), ""
		switch col {
		case colType:
			t.Name, problem = r.text(f)
		case colAccelerator:
			t.Accelerator.Name, problem = r.text(f)
		case colCount:
			t.Accelerator.Count, problem = number(f, maxDevices)
		case colVCPUs:
			t.VCPUs, problem = number(f, maxVCPUs)
		case colMemory:
			t.MemoryGiB, problem = number(f, maxMemoryGiB)
		case colGPUInfo:
			t.AcceleratorMemoryGiB = deviceMemory(f)
		case colArch:
			t.Arch, problem = arch(f)
		}
		if problem != "" {
			return 0, r.fail(r.scan.row, columnNames[col], "%s", problem)
		}
	}
	if err := r.checkMachine(&t); err != nil {
		return 0, err
	}
	return intern(r.typeIDs, &r.out.types, t), nil
}

func (r *reader) checkMachine(t *cloud.InstanceType) error {
	row, acc := r.scan.row, t.Accelerator
	switch {
	case acc.Name != "" && acc.Count == 0:
		return r.fail(row, "AcceleratorCount", "it is blank or zero, while AcceleratorName is %q", acc.Name)
	case acc.Name == "" && acc.Count != 0:
		return r.fail(row, "AcceleratorName", "it is blank, while AcceleratorCount is %v", acc.Count)
	case t.Name == "" && !splitPrices(r.cloud):
		return r.fail(row, "InstanceType", "it is blank")
	case t.Name == "" && acc.Name == "":
		return r.fail(row, "InstanceType", "both it and AcceleratorName are blank")
	}
	if acc.Name == "" {
		t.AcceleratorMemoryGiB = 0
	}
	return nil
}

func (r *reader) place() (uint32, error) {
	region, problem := r.text(r.field(colRegion))
	if problem == "" && region == "" {
		problem = "it is blank"
	}
	if problem != "" {
		return 0, r.fail(r.scan.row, "Region", "%s", problem)
	}
	zone, problem := r.text(r.field(colZone))
	if problem != "" {
		return 0, r.fail(r.scan.row, "AvailabilityZone", "%s", problem)
	}
	return intern(r.placeIDs, &r.out.places, place{region, zone}), nil
}

func intern[T comparable](ids map[T]uint32, all *[]T, v T) uint32 {
	id, ok := ids[v]
	if !ok {
		id = uint32(len(*all))
		ids[v] = id
		*all = append(*all, v)
	}
	return id
}

// text returns a field as a string that rows share.
func (r *reader) text(f []byte) (string, string) {
	if s, ok := r.texts[string(f)]; ok {
		return s, ""
	}
	s := string(f)
	if len(s) > 200 {
		return "", fmt.Sprintf("%q is too long", clip(s, 40))
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Sprintf("%q holds a control character", s)
	}
	r.texts[s] = s
	return s, ""
}

// unique drops repeated rows; two rows that give one machine in one place
// different prices reject the file, since one of them is wrong.
func (r *reader) unique() error {
	type machine struct {
		name string
		acc  cloud.Accelerator
	}
	machines := make(map[machine]uint64, len(r.out.types))
	ids := make([]uint64, len(r.out.types))
	for i, t := range r.out.types {
		m := machine{t.Name, t.Accelerator}
		if _, ok := machines[m]; !ok {
			machines[m] = uint64(len(machines))
		}
		ids[i] = machines[m]
	}
	seen := newSeen(len(machines), len(r.out.places), len(r.out.lines))
	kept := r.out.lines[:0]
	var at map[[2]uint64]int // where the kept rows are, once one is repeated
	indexed := 0
	for i := range r.out.lines {
		w := r.out.lines[i]
		if seen.first(ids[w.typ], uint64(w.place)) {
			kept = append(kept, w)
			continue
		}
		if at == nil {
			at = make(map[[2]uint64]int)
		}
		for ; indexed < len(kept); indexed++ {
			at[[2]uint64{ids[kept[indexed].typ], uint64(kept[indexed].place)}] = indexed
		}
		if err := r.contradiction(&kept[at[[2]uint64{ids[w.typ], uint64(w.place)}]], &w); err != nil {
			return err
		}
	}
	r.out.lines = kept
	return nil
}

// contradiction compares two rows about one machine in one place.
func (r *reader) contradiction(first, w *line) error {
	switch {
	case !samePrice(first.price, w.price):
		return r.fail(int(w.row), "Price", "it is %v, while row %d gives the same machine in the same place %v", w.price, first.row, first.price)
	case !samePrice(first.spot, w.spot):
		return r.fail(int(w.row), "SpotPrice", "it is %v, while row %d gives the same machine in the same place %v", w.spot, first.row, first.spot)
	case first.typ != w.typ:
		return r.fail(int(w.row), "InstanceType", "row %d describes %s differently", first.row, r.out.types[w.typ].Name)
	}
	return nil
}

func samePrice(a, b float64) bool { return a == b || (math.IsNaN(a) && math.IsNaN(b)) }
