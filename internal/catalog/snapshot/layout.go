// SPDX-License-Identifier: MPL-2.0

package snapshot

import (
	"encoding/binary"
	"errors"
	"time"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// A snapshot file is a header of headerSize bytes, sections of fixed-size
// records in the machine's own byte order, each on a multiple of 8, and a table
// of checksums, one for each block of what follows the header. It is never
// decoded: a query needs some records, and a block is read and its checksum
// verified when the block is first touched. So neither
// the time to open one nor the memory it takes grows with the catalog.
//
// Offers are numbered in the order in which they rank (price, region, zone,
// type), by market; every list of offer numbers is ascending, so that its first
// entries are the cheapest.

const (
	headerSize = 1024
	blockShift = 14 // blocks of 16 KiB
	blockSize  = 1 << blockShift
	// maxBytes bounds a snapshot's file.
	maxBytes = 1 << 30
	// formatVersion is raised whenever the layout or the meaning of rows changes;
	// snapshots of another version are rebuilt. What about.json says of types and
	// regions is in the rows, so a change there raises it, too.
	formatVersion = 4
)

var magic = [8]byte{'S', 'K', 'Y', 'C', 'A', 'T', 0x1a, '\n'}

// The sections. Those from secMarket on repeat for each market.
const (
	secStrings  = iota // bytes
	secTypes           // typeRec, by vCPUs, memory, name: the index by size
	secNames           // uint32 types by folded name
	secPairs           // pairRec, by folded accelerator name and count
	secPlaces          // placeRec
	secMarket          // first of the market sections
	numSections = secMarket + 2*perMarket
)

// The sections of one market.
const (
	secType      = iota // uint32: the type of each offer
	secPlace            // uint32: the place of each offer
	secPrice            // float64: the price of each offer
	secByPair           // uint32: offers by accelerator pair
	secByType           // uint32: offers by type
	secTypeStart        // uint32: where each type begins in secByType, and the end
	perMarket
)

// markets are the markets by their number in a snapshot.
var markets = [2]cloud.Market{cloud.OnDemand, cloud.Spot}

// str is a text in secStrings.
type str struct{ off, len uint32 }

type typeRec struct {
	name, fold, acc, arch              str
	vcpus, memory, accCount, accMemory float64
	flags                              uint64
}

// The flags of a type: the bits of cloud.Traits, and what defaults ask besides.
const (
	flagNotX86 = 1 << (8 + iota)
	flagDevices
)

// pairRec is an accelerator in one count, and its offers in each market.
type pairRec struct {
	fold, name str
	count      float64
	// memory is the least that one device has, and 0 where the catalog is silent.
	memory   float64
	start, n [2]uint32
	// x86 is 1 where a machine has it that is not known to be another one.
	x86 uint64
}

type placeRec struct {
	region, zone str
	order, area  uint32
}

// header is what a snapshot says about itself.
type header struct {
	fileSize uint64
	// content is the SHA-256 of the CSV it was made from.
	content [32]byte
	// stamp identifies the file that held the CSV, so that an unchanged file need
	// not be hashed again.
	stamp    Stamp
	sections [numSections]extent
	checks   extent
	checkSum uint32 // of the table of checksums
}

type extent struct{ off, len uint64 }

// Stamp is what a file system tells of a file without reading it.
type Stamp struct {
	Size, MTime, CTime int64
	Inode              uint64
	// Taken is when the content was read, in Unix nanoseconds.
	Taken int64
}

// Same reports whether a file that looked like old when its content was taken,
// and looks like a now, still has that content.
func (a Stamp) Same(old Stamp) bool {
	return a.Size == old.Size && a.MTime == old.MTime && a.CTime == old.CTime && a.Inode == old.Inode &&
		max(old.MTime, old.CTime)+trustAfter.Nanoseconds() < old.Taken
}

// trustAfter is how much older than its reading a file's time must be for the time
// to vouch for the content: file systems count in steps of up to two seconds.
const trustAfter = 2 * time.Second

// checksum needs no table, as crc32 does, which takes longer to make than a cold
// query takes besides.
func checksum(b []byte) uint32 { return uint32(xxhash.Sum64(b)) }

// nativeMark tells byte orders apart.
const nativeMark uint32 = 0x01020304

func (h *header) encode() []byte {
	b := make([]byte, 0, headerSize)
	put := func(vs ...uint64) {
		for _, v := range vs {
			b = binary.NativeEndian.AppendUint64(b, v)
		}
	}
	b = append(b, magic[:]...)
	b = binary.NativeEndian.AppendUint32(b, nativeMark)
	b = binary.NativeEndian.AppendUint32(b, formatVersion)
	put(h.fileSize)
	b = append(b, h.content[:]...)
	put(uint64(h.stamp.Size), uint64(h.stamp.MTime), uint64(h.stamp.CTime), h.stamp.Inode, uint64(h.stamp.Taken))
	for _, s := range h.sections {
		put(s.off, s.len)
	}
	put(h.checks.off, h.checks.len, uint64(h.checkSum))
	b = b[:headerSize-4]
	return binary.NativeEndian.AppendUint32(b, checksum(b))
}

var (
	errForeign = errors.New("it is not a snapshot of this version")
	// ErrTorn says that a snapshot does not hold what was written.
	ErrTorn = errors.New("it is damaged")
)

// decodeHeader reads a header and checks that the file it heads can be whole.
func decodeHeader(data []byte) (*header, error) {
	if len(data) < headerSize || [8]byte(data[:8]) != magic ||
		binary.NativeEndian.Uint32(data[8:]) != nativeMark || binary.NativeEndian.Uint32(data[12:]) != formatVersion {
		return nil, errForeign
	}
	if checksum(data[:headerSize-4]) != binary.NativeEndian.Uint32(data[headerSize-4:]) {
		return nil, ErrTorn
	}
	at := 16
	next := func() uint64 {
		v := binary.NativeEndian.Uint64(data[at:])
		at += 8
		return v
	}
	h := &header{fileSize: next()}
	at += copy(h.content[:], data[at:])
	h.stamp = Stamp{Size: int64(next()), MTime: int64(next()), CTime: int64(next()), Inode: next(), Taken: int64(next())}
	for i := range h.sections {
		h.sections[i] = extent{next(), next()}
	}
	h.checks, h.checkSum = extent{next(), next()}, uint32(next())
	if h.fileSize != uint64(len(data)) {
		return nil, ErrTorn
	}
	for _, s := range append(h.sections[:], h.checks) {
		if s.off%8 != 0 || s.off < headerSize || s.off > h.fileSize || s.len > h.fileSize-s.off {
			return nil, ErrTorn
		}
	}
	return h, nil
}

// bytesOf returns the memory of a slice of plain records.
func bytesOf[T any](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(s[0])))
}

// recordsOf views memory as records. The section offsets are multiples of 8 of
// memory that is aligned to at least that.
func recordsOf[T any](b []byte) []T {
	var zero T
	n := len(b) / int(unsafe.Sizeof(zero))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), n)
}
