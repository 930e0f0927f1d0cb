// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/gocarina/gocsv"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// rows is a vms.csv with its values checked: what machines there are, where,
// at which prices, and for each line of the file which of them.
type rows struct {
	types  []cloud.InstanceType
	places []place
	// machine is, for each type, the first type that is of the same machine; a file
	// in which another is, in one place, contradicts itself.
	machine []uint32
	prices  *prices
	lines   []line
	// byName is the position of each type in the order of names, once the lines are
	// sorted.
	byName []uint32
}

type place struct{ region, zone string }

// line is small, since there are many: it holds numbers of what rows has.
type line struct {
	typ, place  uint32
	price, spot uint32
	// row is where the file has it.
	row uint32
}

// machineRow is what gocsv makes of the columns that describe a machine.
type machineRow struct {
	Type        string `csv:"InstanceType"`
	Accelerator string `csv:"AcceleratorName"`
	Count       string `csv:"AcceleratorCount"`
	VCPUs       string `csv:"vCPUs"`
	Memory      string `csv:"MemoryGiB"`
	GPUInfo     string `csv:"GpuInfo"`
	Arch        string `csv:"Arch"`
}

// reader turns the text of one vms.csv into rows. A catalog names each machine
// in many places, so gocsv, which reads a row by reflection, is given the rows
// of a machine once: the reader is the gocsv.CSVReader that leaves the others
// out, and keeps of every row what is its own: place and prices.
type reader struct {
	path  string
	cloud string
	scan  *scanner
	// at holds the position of each column in a record, -1 for none.
	at    [numColumns]int
	width int
	// beside are the columns that describe the machine and lie outside of the
	// scanner's prefix.
	beside []int
	out    rows

	// machines numbers the texts that describe machines; where says on which row
	// each was first.
	machines map[string]uint32
	where    []int
	last     uint32
	key      []byte
	// fresh is the last new text of machines; spare is memory for descriptions.
	fresh string
	spare []string

	placeIDs map[place]uint32
	// next is the place that came after each the last time; endings is how rows of
	// each end.
	next      []uint32
	endings   []*ending
	lastPlace uint32

	priceTexts [1 << priceTextBits]priceText
}

// parseVMs is readVMs of a text at hand.
func parseVMs(path, cloudName string, text []byte) (*rows, error) {
	f := newFeed(bytes.NewReader(text), int64(len(text)), feedLength)
	defer f.Close()
	all, _, err := readVMs(path, cloudName, f)
	return all, err
}

// readVMs reads a whole vms.csv and returns its SHA-256 too. Anything wrong
// rejects the file; the error is a *FileError, unless reading failed.
func readVMs(path, cloudName string, f *feed) (*rows, [32]byte, error) {
	r := &reader{
		path: path, cloud: cloudName, scan: newScanner(f),
		// Files in use describe a machine every one to five KiB.
		machines: make(map[string]uint32, f.size/4096), placeIDs: make(map[place]uint32),
	}
	r.out.prices = newPrices()
	if err := r.read(); err != nil {
		return nil, [32]byte{}, err
	}
	if splitPrices(cloudName) {
		return joinHosts(&r.out), r.scan.block.sum, nil
	}
	return &r.out, r.scan.block.sum, nil
}

func (r *reader) read() error {
	var machines []machineRow
	if err := gocsv.UnmarshalCSV(r, &machines); err != nil {
		return r.located(err)
	}
	if len(r.out.lines) == 0 {
		return r.fail(0, "", "it holds a header and no rows")
	}
	if err := r.describe(machines); err != nil {
		return err
	}
	r.out.sort()
	return r.unique()
}

// located makes sure that an error says where it is.
func (r *reader) located(err error) error {
	if r.scan.readErr != nil {
		return fmt.Errorf("reading %s: %w", r.path, r.scan.readErr)
	}
	var at *FileError
	if errors.As(err, &at) {
		return at
	}
	return r.fail(r.scan.row, "", "%s", err)
}

// Read implements gocsv.CSVReader: the header by its right names, then the first
// row of each machine.
func (r *reader) Read() ([]string, error) {
	if r.width == 0 {
		return r.header()
	}
	for r.scan.scan() {
		isNew, err := r.record()
		if err != nil {
			return nil, err
		}
		if isNew {
			return r.description(), nil
		}
	}
	if r.scan.readErr != nil {
		return nil, r.scan.readErr
	}
	if r.scan.err != "" {
		return nil, r.fail(r.scan.row, "", "%s", r.scan.err)
	}
	return nil, io.EOF
}

// ReadAll implements gocsv.CSVReader.
func (r *reader) ReadAll() ([][]string, error) {
	var all [][]string
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, record)
	}
}

// description copies the columns that describe the machine, in gocsv's order.
// What lies in the text that was just kept need not be copied again.
func (r *reader) description() []string {
	const width = colArch + 1
	if len(r.spare) < width {
		r.spare = make([]string, 256*width)
	}
	out := r.spare[:width:width]
	r.spare = r.spare[width:]
	head := r.scan.head
	for col := range out {
		f := r.field(col)
		// Slices of one text differ in capacity by as much as they lie apart.
		if at := cap(head) - cap(f); len(f) > 0 && at >= 0 && at+len(f) <= len(head) && &f[0] == &head[at] {
			out[col] = r.fresh[at:][:len(f)]
			continue
		}
		out[col] = string(f)
	}
	return out
}

func (r *reader) fail(row int, column, format string, args ...any) error {
	return &FileError{Path: r.path, Row: row, Column: column, Problem: fmt.Sprintf(format, args...)}
}

// record checks the record just scanned and adds it, less what describes the
// machine. It reports whether that was not seen before.
func (r *reader) record() (isNew bool, err error) {
	if n := len(r.scan.fields); n != r.width {
		return false, r.fail(r.scan.row, "", "it has %d fields where the header has %d; the row is cut off, or a field with commas (GpuInfo?) is not quoted", n, r.width)
	}
	w := line{row: uint32(r.scan.row)}
	w.typ, isNew = r.machine()
	if w.place, err = r.place(); err != nil {
		return false, err
	}
	if w.price, err = r.price(colPrice); err != nil {
		return false, err
	}
	if w.spot, err = r.price(colSpot); err != nil {
		return false, err
	}
	if len(r.out.lines) == cap(r.out.lines) {
		r.room()
	}
	r.out.lines = append(r.out.lines, w)
	return isNew, nil
}

// room makes room for the lines to come, if they are as long as those so far.
// Memory that none of them needs is never touched, and so costs nothing.
func (r *reader) room() {
	s := r.scan
	seen, lines := s.before+int64(s.pos), len(r.out.lines)
	if lines == 0 {
		seen, lines = int64(len(s.all)), bytes.Count(s.all, []byte("\n"))
	}
	all := int64(lines) * s.feed.size / max(seen, 1)
	grown := make([]line, len(r.out.lines), max(int(all+all/4), len(r.out.lines)+16))
	copy(grown, r.out.lines)
	r.out.lines = grown
}

// price numbers a price of the record just scanned.
func (r *reader) price(col int) (uint32, error) {
	f := r.field(col)
	if len(f) == 0 {
		return priceBlank, nil
	}
	text := shortText(f)
	known := &r.priceTexts[text*spread>>(64-priceTextBits)]
	if text != 0 && known.text == text {
		return known.number, nil
	}
	usd, problem := price(f)
	if problem != "" {
		return 0, r.fail(r.scan.row, columnNames[col], "%s", problem)
	}
	*known = priceText{text, r.out.prices.number(usd)}
	return known.number, nil
}

// machine returns the number of the text that describes the machine. Most rows
// repeat that of the row above.
func (r *reader) machine() (id uint32, isNew bool) {
	if r.scan.same && len(r.beside) == 0 {
		return r.last, false
	}
	key := r.scan.head
	if len(r.beside) > 0 {
		r.key = append(r.key[:0], key...)
		for _, at := range r.beside {
			r.key = append(append(r.key, 0), r.scan.fields[at]...)
		}
		key = r.key
	}
	id, ok := r.machines[string(key)]
	if !ok {
		id = uint32(len(r.where))
		r.fresh = string(key)
		r.machines[r.fresh] = id
		r.where = append(r.where, r.scan.row)
	}
	r.last = id
	return id, !ok
}

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
		for i := range r.out.lines {
			r.out.lines[i].typ = types[r.out.lines[i].typ]
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
	t.Arch, problem = arch([]byte(m.Arch))
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

// place numbers where the record just scanned is. Files list the places of one
// machine in the order of those of the machine before.
func (r *reader) place() (uint32, error) {
	if r.scan.guessed {
		r.lastPlace = r.next[r.lastPlace]
	} else if err := r.lookUpPlace(); err != nil {
		return 0, err
	}
	r.scan.guess = r.endings[r.next[r.lastPlace]]
	return r.lastPlace, nil
}

func (r *reader) lookUpPlace() error {
	region, zone := r.field(colRegion), r.field(colZone)
	id, ok := uint32(0), false
	if len(r.next) > 0 {
		id = r.next[r.lastPlace]
		p := &r.out.places[id]
		ok = p.region == string(region) && p.zone == string(zone)
	}
	if !ok {
		id, ok = r.placeIDs[place{string(region), string(zone)}]
	}
	if !ok {
		var err error
		if id, err = r.newPlace(region, zone); err != nil {
			return err
		}
	}
	r.next[r.lastPlace] = id
	r.lastPlace = id
	return nil
}

func (r *reader) newPlace(regionText, zoneText []byte) (uint32, error) {
	p := place{string(regionText), string(zoneText)}
	problem := badName(p.region)
	if p.region == "" {
		problem = "it is blank"
	}
	if problem != "" {
		return 0, r.fail(r.scan.row, "Region", "%s", problem)
	}
	if problem := badName(p.zone); problem != "" {
		return 0, r.fail(r.scan.row, "AvailabilityZone", "%s", problem)
	}
	var end *ending
	if r.scan.guessAfter >= 0 {
		end = r.scan.ending()
	}
	r.next, r.endings = append(r.next, 0), append(r.endings, end)
	return intern(r.placeIDs, &r.out.places, p), nil
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
