// SPDX-License-Identifier: MPL-2.0

// Package vms reads vms.csv, SkyPilot's format of catalogs, and says in which row
// and column a file is wrong.
package vms

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/gocarina/gocsv"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/about"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// rows is a vms.csv with its values checked: what machines there are, where,
// at which prices, and for each line of the file which of them.
type Rows struct {
	Types  []cloud.InstanceType
	Places []Place
	// machine is, for each type, the first type that is of the same machine; a file
	// in which another is, in one place, contradicts itself.
	machine []uint32
	Prices  *Prices
	Lines   []Line
	// byName is the position of each type in the order of names, once the lines are
	// sorted.
	ByName []uint32
}

type Place struct{ Region, Zone string }

// line is small, since there are many: it holds numbers of what rows has.
type Line struct {
	Type, Place uint32
	Price, Spot uint32
	// row is where the file has it.
	Row uint32
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
	path string
	// separateDevices is About's: hosts and accelerators have rows of their own.
	separateDevices bool
	scan            *scanner
	// at holds the position of each column in a record, -1 for none.
	at    [numColumns]int
	width int
	// beside are the columns that describe the machine and lie outside of the
	// scanner's prefix.
	beside []int
	out    Rows

	// machines numbers the texts that describe machines; where says on which row
	// each was first.
	machines map[string]uint32
	where    []int
	last     uint32
	key      []byte
	// fresh is the last new text of machines; spare is memory for descriptions.
	fresh string
	spare []string

	placeIDs map[Place]uint32
	// next is the place that came after each the last time; endings is how rows of
	// each end.
	next      []uint32
	endings   []*ending
	lastPlace uint32

	priceTexts [1 << priceTextBits]priceText
}

// Parse is Read of a text at hand.
func Parse(path, cloudName string, text []byte) (*Rows, [32]byte, error) {
	return Read(path, cloudName, bytes.NewReader(text), int64(len(text)))
}

// Read reads a whole vms.csv and returns its SHA-256 too. Anything wrong
// rejects the file; the error is a *FileError, unless reading failed.
func Read(path, cloudName string, in io.Reader, size int64) (*Rows, [32]byte, error) {
	f := newFeed(in, size, feedLength)
	defer f.Close()
	return read(path, cloudName, f)
}

func read(path, cloudName string, f *feed) (*Rows, [32]byte, error) {
	r := &reader{
		path: path, separateDevices: about.Of(cloudName).SeparateDevices, scan: newScanner(f),
		// Files in use describe a machine every one to five KiB.
		machines: make(map[string]uint32, f.size/4096), placeIDs: make(map[Place]uint32),
	}
	r.out.Prices = newPrices()
	if err := r.read(); err != nil {
		return nil, [32]byte{}, err
	}
	if r.separateDevices {
		return joinHosts(&r.out), r.scan.block.sum, nil
	}
	return &r.out, r.scan.block.sum, nil
}

func (r *reader) read() error {
	var machines []machineRow
	if err := gocsv.UnmarshalCSV(r, &machines); err != nil {
		return r.located(err)
	}
	if len(r.out.Lines) == 0 {
		return r.fail(0, "", "it holds a header and no rows")
	}
	if err := r.describe(machines); err != nil {
		return err
	}
	r.out.Sort()
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
	return nil, cmp.Or(r.scanError(), io.EOF)
}

// scanError is why the scanner stopped, nil at the end of the text.
func (r *reader) scanError() error {
	if r.scan.err != "" {
		return r.fail(r.scan.row, "", "%s", r.scan.err)
	}
	return r.scan.readErr
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
