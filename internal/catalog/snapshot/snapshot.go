// SPDX-License-Identifier: MPL-2.0

// Package snapshot keeps a catalog in a file that a query reads without decoding
// it, and answers queries from it.
package snapshot

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Snapshot is a catalog laid out for queries; see layout.go. It is safe for
// concurrent use. Texts it hands out point into its memory, which is never
// given back.
type Snapshot struct {
	cloud string
	data  []byte
	// file holds what of data was not read yet; nil where data is whole. What was
	// read is this process's own: a file that shrinks or changes afterwards changes
	// nothing, and one that did so before does not verify.
	file io.ReaderAt
	head *header
	sums []uint32
	// seen has a bit for each block that was read and verified.
	seen []atomic.Uint32
	// reading is held while a block is read.
	reading sync.Mutex
	// devices lists the pairs of each folded accelerator name, once asked for.
	devices atomic.Pointer[map[string][]pairRec]
	// bad is set once something did not verify; what was read then is void.
	bad atomic.Bool

	strings section[byte]
	types   section[typeRec]
	names   section[uint32]
	pairs   section[pairRec]
	places  section[placeRec]
	market  [2]marketSections
}

type marketSections struct {
	typ, place, byPair, byType, typeStart section[uint32]
	price                                 section[float64]
}

// section is a run of records that are verified before they are handed out.
type section[T any] struct {
	s   *Snapshot
	off uint64 // after the header
	all []T
}

// Open looks at the header only. The data must be aligned to 8 bytes
// and stay as it is.
func Open(cloudName string, data []byte) (*Snapshot, error) {
	return openOf(cloudName, data, nil)
}

// OpenFile opens the snapshot that a file holds, of which each block is read when
// it is first needed.
func OpenFile(cloudName, path string) (*Snapshot, error) {
	data, file, err := openWhole(path)
	if err != nil {
		return nil, err
	}
	if file == nil {
		return Open(cloudName, data)
	}
	snap, err := openOf(cloudName, data, file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return snap, nil // and the file stays open
}

// Content is the SHA-256 of the CSV that the snapshot was made from.
func (s *Snapshot) Content() [32]byte { return s.head.content }

// Stamp identifies the file that held the CSV.
func (s *Snapshot) Stamp() Stamp { return s.head.stamp }

// Bad reports whether something did not verify; what was read since the snapshot
// was opened is void then.
func (s *Snapshot) Bad() bool { return s.bad.Load() }

// Restamped is the snapshot's file with another stamp; nil where not all of it
// verifies.
func (s *Snapshot) Restamped(at Stamp) []byte {
	if !s.whole() {
		return nil
	}
	data := bytes.Clone(s.data)
	h := *s.head
	h.stamp = at
	copy(data, h.encode())
	return data
}

// openOf is Open for data of which file has the content. data is
// as long as the file, and zero.
func openOf(cloudName string, data []byte, file io.ReaderAt) (*Snapshot, error) {
	s := &Snapshot{cloud: cloudName, data: data, file: file}
	if err := s.read(0, uint64(min(len(data), headerSize))); err != nil {
		return nil, err
	}
	h, err := decodeHeader(data)
	if err != nil {
		return nil, err
	}
	s.head = h
	if err := s.read(h.checks.off, h.checks.off+h.checks.len); err != nil {
		return nil, err
	}
	s.sums = recordsOf[uint32](data[h.checks.off:][:h.checks.len])
	if checksum(bytesOf(s.sums)) != h.checkSum {
		return nil, ErrTorn
	}
	body := h.checks.off - headerSize
	if uint64(len(s.sums)) != (body+blockSize-1)>>blockShift {
		return nil, ErrTorn
	}
	s.seen = make([]atomic.Uint32, (len(s.sums)+31)/32)
	s.strings = sectionOf[byte](s, secStrings)
	s.types = sectionOf[typeRec](s, secTypes)
	s.names = sectionOf[uint32](s, secNames)
	s.pairs = sectionOf[pairRec](s, secPairs)
	s.places = sectionOf[placeRec](s, secPlaces)
	for m := range s.market {
		base := secMarket + m*perMarket
		s.market[m] = marketSections{
			typ: sectionOf[uint32](s, base+secType), place: sectionOf[uint32](s, base+secPlace),
			price:  sectionOf[float64](s, base+secPrice),
			byPair: sectionOf[uint32](s, base+secByPair), byType: sectionOf[uint32](s, base+secByType),
			typeStart: sectionOf[uint32](s, base+secTypeStart),
		}
		ms := &s.market[m]
		if n := len(ms.typ.all); n != len(ms.place.all) || n != len(ms.price.all) || len(ms.typeStart.all) != len(s.types.all)+1 {
			return nil, ErrTorn
		}
	}
	return s, nil
}

func sectionOf[T any](s *Snapshot, id int) section[T] {
	e := s.head.sections[id]
	return section[T]{s: s, off: e.off - headerSize, all: recordsOf[T](s.data[e.off:][:e.len])}
}

// Offers is how many there are in both markets.
func (s *Snapshot) Offers() int { return len(s.market[0].typ.all) + len(s.market[1].typ.all) }

// verify checks the blocks of n bytes from off, those not checked before. It is
// small so that the compiler inlines it: nearly always the answer is yes.
func (s *Snapshot) verify(off, n uint64) {
	b := off >> blockShift
	if b != (off+n-1)>>blockShift || s.seen[b>>5].Load()>>(b&31)&1 == 0 {
		s.verifyBlocks(off, n)
	}
}

func (s *Snapshot) verifyBlocks(off, n uint64) {
	for b := off >> blockShift; b <= (off+n-1)>>blockShift; b++ {
		if s.seen[b>>5].Load()&(1<<(b&31)) == 0 {
			s.verifyBlock(b)
		}
	}
}

func (s *Snapshot) verifyBlock(b uint64) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.seen[b>>5].Load()&(1<<(b&31)) != 0 {
		return // somebody else did
	}
	from := headerSize + b<<blockShift
	to := min(from+blockSize, s.head.checks.off)
	if s.read(from, to) != nil || checksum(s.data[from:to]) != s.sums[b] {
		s.bad.Store(true)
	}
	s.seen[b>>5].Or(1 << (b & 31))
}

// read fills a part of the memory from the file, if there is one.
func (s *Snapshot) read(from, to uint64) error {
	if s.file == nil || from == to {
		return nil
	}
	if _, err := s.file.ReadAt(s.data[from:to], int64(from)); err != nil {
		return ErrTorn
	}
	return nil
}

// whole reads what nobody asked for yet, and reports whether all of it verifies.
func (s *Snapshot) whole() bool {
	s.verifyBlocks(0, uint64(len(s.sums))<<blockShift)
	return !s.bad.Load()
}

// at returns record i, or the zero record and marks the snapshot bad.
func (v *section[T]) at(i uint32) *T {
	if int(i) >= len(v.all) {
		v.s.bad.Store(true)
		return new(T)
	}
	p := &v.all[i]
	v.s.verify(v.off+uint64(i)*uint64(unsafe.Sizeof(*p)), uint64(unsafe.Sizeof(*p)))
	return p
}

// slice returns n records from i on.
func (v *section[T]) slice(i, n uint32) []T {
	if n == 0 {
		return nil
	}
	if uint64(i)+uint64(n) > uint64(len(v.all)) {
		v.s.bad.Store(true)
		return nil
	}
	size := uint64(unsafe.Sizeof(v.all[0]))
	v.s.verify(v.off+uint64(i)*size, uint64(n)*size)
	return v.all[i:][:n]
}

// text returns a string that lives in the snapshot's memory.
func (s *Snapshot) text(at str) string {
	b := s.strings.slice(at.off, at.len)
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}

// offer returns an offer by its market and number.
func (s *Snapshot) offer(m int, id uint32) cloud.Offer {
	var o cloud.Offer
	s.fill(&o, m, id)
	return o
}

func (s *Snapshot) fill(o *cloud.Offer, m int, id uint32) {
	ms := &s.market[m]
	s.describe(o, m, *ms.typ.at(id), *ms.place.at(id), *ms.price.at(id))
}

// describe writes an offer out.
func (s *Snapshot) describe(o *cloud.Offer, m int, typ, place uint32, usd float64) {
	t, p := s.types.at(typ), s.places.at(place)
	o.Cloud, o.Region, o.Zone = s.cloud, s.text(p.region), s.text(p.zone)
	o.Market, o.HourlyUSD = markets[m], usd
	o.RegionOrder, o.Area = uint16(p.order), cloud.Area(p.area)
	o.InstanceType = cloud.InstanceType{
		Name: s.text(t.name), VCPUs: t.vcpus, MemoryGiB: t.memory,
		Accelerator:          cloud.Accelerator{Name: s.text(t.acc), Count: t.accCount},
		AcceleratorMemoryGiB: t.accMemory, Arch: s.text(t.arch),
		Traits: cloud.Traits(t.flags),
	}
}
