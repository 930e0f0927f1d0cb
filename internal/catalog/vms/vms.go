// SPDX-License-Identifier: MPL-2.0

// Package vms reads vms.csv, SkyPilot's format of catalogs, and says in which row
// and column a file is wrong.
package vms

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/about"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Rows is a vms.csv with its values checked: what machines there are, where,
// at which prices, and for each line of the file which of them.
type Rows struct {
	Types  []cloud.InstanceType
	Places []Place
	Prices *Prices
	Lines  []Line
	// ByName is the position of each type in the order of names, once the lines are
	// sorted.
	ByName []uint32
	// machine is, for each type, the first type that is of the same machine; a file
	// in which another is, in one place, contradicts itself.
	machine []uint32
}

// Place is where a machine is sold. Zone is empty where a cloud has none.
type Place struct {
	Region, Zone string
	// Order and Area are Offer's, of the region.
	Order uint16
	Area  cloud.Area
}

// Line is small, since there are many: it holds numbers of what Rows has.
type Line struct {
	Type, Place uint32
	Price, Spot uint32
	// Row is where the file has it.
	Row uint32
}

// FileError says what is wrong with a catalog file, and where.
type FileError struct {
	// Path names the file as the user would open it.
	Path string
	// Row counts lines from 1, the header's line; 0 is the file as a whole.
	Row int
	// Column is the header's name of the field; empty is the row as a whole.
	Column string
	// Problem says what is wrong and what would be right.
	Problem string
}

// Error implements error.
func (e *FileError) Error() string {
	where := e.Path
	if e.Row > 0 {
		where += fmt.Sprintf(", row %d", e.Row)
	}
	if e.Column != "" {
		where += fmt.Sprintf(", column %s", e.Column)
	}
	return where + ": " + e.Problem
}

// reader turns the text of one vms.csv into rows. encoding/csv reads the rows;
// gocsv, which sets each field of a row by reflection, takes five times as long.
type reader struct {
	path string
	// about is what is known of the cloud beside the file.
	about about.Cloud
	text  *text
	csv   *csv.Reader
	// at holds the position of each column in a record, -1 for none.
	at [numColumns]int
	// record is the present one, row the line on which it begins, and next the line
	// after its end.
	record    []string
	width     int
	row, next int

	out      Rows
	machines map[description]uint32
	// last is the description of the row before; most rows repeat it.
	last     description
	lastType uint32
	places   map[Place]uint32 // by names alone
	// first is the first type of each machine; other the next one, or 0.
	first map[machine]uint32
	other []uint32
}

// description is what a row says of its machine, by column.
type description [colArch + 1]string

// Parse is Read of a text in memory.
func Parse(path, cloudName string, text []byte) (*Rows, [32]byte, error) {
	return Read(path, cloudName, bytes.NewReader(text), int64(len(text)))
}

// Read reads a whole vms.csv of so many bytes and returns its SHA-256 too.
// Anything wrong rejects the file; the error is a *FileError, unless reading
// failed.
func Read(path, cloudName string, in io.Reader, size int64) (*Rows, [32]byte, error) {
	t := newText(in, size)
	r := &reader{
		path: path, about: about.Of(cloudName), text: t, next: 1,
		machines: make(map[description]uint32), places: make(map[Place]uint32), first: make(map[machine]uint32),
	}
	r.out.Prices = newPrices()
	buffer := bufio.NewReaderSize(t, bufferBytes)
	if mark, err := buffer.Peek(len(byteOrderMark)); err == nil && string(mark) == byteOrderMark {
		_, _ = buffer.Discard(len(mark))
	}
	r.csv = csv.NewReader(buffer)
	r.csv.ReuseRecord, r.csv.FieldsPerRecord = true, -1 // the width is checked here, with advice
	if err := r.read(); err != nil {
		return nil, [32]byte{}, err
	}
	if r.about.SeparateDevices {
		return joinHosts(&r.out), t.sum(), nil
	}
	return &r.out, t.sum(), nil
}

func (r *reader) read() error {
	if err := r.header(); err != nil {
		return err
	}
	for {
		err := r.scan()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = r.line()
		}
		if err != nil {
			return err
		}
	}
	if len(r.out.Lines) == 0 {
		return r.fail(0, "", "it holds a header and no rows")
	}
	r.out.Sort()
	return r.unique()
}

// scan reads the next record. It returns io.EOF at the end.
func (r *reader) scan() (err error) {
	r.record, err = r.csv.Read()
	if err != nil {
		return r.located(err)
	}
	last := len(r.record) - 1
	r.row, _ = r.csv.FieldPos(0)
	end, _ := r.csv.FieldPos(last)
	r.next = end + 1 + strings.Count(r.record[last], "\n")
	r.text.record = r.csv.InputOffset()
	return nil
}

// located makes sure that an error says where it is, and what would be right.
func (r *reader) located(err error) error {
	var parse *csv.ParseError
	var at *FileError
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.As(err, &at):
		if at.Path = r.path; at.Row == presentRow {
			at.Row = r.next
		}
		return at
	case !errors.As(err, &parse):
		return fmt.Errorf("reading %s: %w", r.path, err)
	case errors.Is(err, csv.ErrBareQuote):
		return r.fail(parse.StartLine, "", "a quote stands inside an unquoted field; quote the whole field and double its quotes")
	case errors.Is(err, csv.ErrQuote) && r.csv.InputOffset() == r.text.size:
		return r.fail(parse.StartLine, "", "the file ends inside a quoted field; it may be cut off, or text follows a closing quote")
	case errors.Is(err, csv.ErrQuote):
		return r.fail(parse.StartLine, "", "text follows the closing quote of a field; put a comma between, or double the quote")
	}
	return r.fail(parse.StartLine, "", "%s", parse.Err)
}

// line checks the present record and adds it.
func (r *reader) line() (err error) {
	if n := len(r.record); n != r.width {
		return r.fail(r.row, "", "it has %d fields where the header has %d; the row is cut off, or a field with commas (GpuInfo?) is not quoted", n, r.width)
	}
	w := Line{Row: uint32(r.row)}
	if w.Type, err = r.machine(); err != nil {
		return err
	}
	if w.Place, err = r.place(); err != nil {
		return err
	}
	if w.Price, err = r.price(colPrice); err != nil {
		return err
	}
	if w.Spot, err = r.price(colSpot); err != nil {
		return err
	}
	if len(r.out.Lines) == cap(r.out.Lines) {
		r.room()
	}
	r.out.Lines = append(r.out.Lines, w)
	return nil
}

// room makes room for the lines to come, if they are as long as those so far.
func (r *reader) room() {
	const fewest = 64
	lines := len(r.out.Lines)
	all := int(int64(lines) * r.text.size / max(r.text.record, 1))
	grown := make([]Line, lines, max(all+all/8, lines+fewest))
	copy(grown, r.out.Lines)
	r.out.Lines = grown
}

// price numbers a price of the present record.
func (r *reader) price(col int) (uint32, error) {
	f := r.field(col)
	if f == "" {
		return priceBlank, nil
	}
	usd, problem := price(f)
	if problem != "" {
		return 0, r.fail(r.row, columnNames[col], "%s", problem)
	}
	return r.out.Prices.number(usd), nil
}

// place numbers where the machine of the present record is.
func (r *reader) place() (uint32, error) {
	p := Place{Region: r.field(colRegion), Zone: r.field(colZone)}
	if id, ok := r.places[p]; ok {
		return id, nil
	}
	problem := badName(p.Region)
	if p.Region == "" {
		problem = "it is blank"
	}
	if problem != "" {
		return 0, r.fail(r.row, "Region", "%s", problem)
	}
	if problem := badName(p.Zone); problem != "" {
		return 0, r.fail(r.row, "AvailabilityZone", "%s", problem)
	}
	p = Place{Region: strings.Clone(p.Region), Zone: strings.Clone(p.Zone)}
	id := uint32(len(r.out.Places))
	r.places[p] = id
	p.Order, p.Area = r.about.Place(p.Region)
	r.out.Places = append(r.out.Places, p)
	return id, nil
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

func (r *reader) fail(row int, column, format string, args ...any) error {
	return &FileError{Path: r.path, Row: row, Column: column, Problem: fmt.Sprintf(format, args...)}
}
