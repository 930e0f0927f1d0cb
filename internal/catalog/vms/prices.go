// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// prices numbers the prices of a catalog as they come: there are far fewer of
// them than rows.
type Prices struct {
	// usd holds each price; the first two are those that are no offers.
	USD []float64
	// slots is a hash table of numbers, plus one; its length is a power of two.
	slots []uint32
	shift uint
}

// The numbers of what is no offer.
const (
	priceBlank = iota // not offered there, never free
	priceZero
	firstOffered
)

// Offered reports whether the price with a number is one.
func Offered(number uint32) bool { return number >= firstOffered }

// In is the number of the line's price in a market.
func (w *Line) In(m cloud.Market) uint32 {
	if m == cloud.Spot {
		return w.Spot
	}
	return w.Price
}

// spread multiplies what is hashed, so that its highest bits depend on all of it.
const spread = 0x9e3779b97f4a7c15

func newPrices() *Prices {
	p := &Prices{USD: []float64{priceBlank: math.NaN(), priceZero: 0}}
	p.grow(256)
	return p
}

// grow makes the table this long, a power of two.
func (p *Prices) grow(size int) {
	p.slots, p.shift = make([]uint32, size), uint(64-bits.TrailingZeros(uint(size)))
	for i, usd := range p.USD {
		*p.slot(math.Float64bits(usd)) = uint32(i) + 1
	}
}

// slot is where the number of a price, given by its bits, is or belongs.
func (p *Prices) slot(usd uint64) *uint32 {
	for at := usd * spread >> p.shift; ; at = (at + 1) & uint64(len(p.slots)-1) {
		s := &p.slots[at]
		if *s == 0 || math.Float64bits(p.USD[*s-1]) == usd {
			return s
		}
	}
}

// number returns the number of a price, NaN for a blank one.
func (p *Prices) number(usd float64) uint32 {
	if math.IsNaN(usd) {
		return priceBlank
	}
	s := p.slot(math.Float64bits(usd))
	if *s == 0 {
		p.USD = append(p.USD, usd)
		*s = uint32(len(p.USD))
		if 2*len(p.USD) > len(p.slots) {
			p.grow(2 * len(p.slots))
		}
		return uint32(len(p.USD)) - 1
	}
	return *s - 1
}

// sum is the number of what two cost together, blank where either is.
func (p *Prices) sum(a, b uint32) uint32 {
	if a == priceBlank || b == priceBlank {
		return priceBlank
	}
	return p.number(p.USD[a] + p.USD[b])
}

// Ascending returns the numbers of the prices offered, the lowest price first.
func (p *Prices) Ascending() []uint32 {
	all := make([]numbered, 0, len(p.USD)-firstOffered)
	for i := firstOffered; i < len(p.USD); i++ {
		all = append(all, numbered{math.Float64bits(p.USD[i]), uint32(i)})
	}
	out := make([]uint32, len(all))
	for i, n := range sortNumbered(all) {
		out[i] = n.number
	}
	return out
}

// numbered is a price by its bits, which order as it does, since no price is
// negative.
type numbered struct {
	bits   uint64
	number uint32
}

// sortNumbered sorts by digits. Comparing would take several times as long.
func sortNumbered(all []numbered) []numbered {
	const digit = 11
	spare := make([]numbered, len(all))
	for shift := 0; shift < 64; shift += digit {
		var at [1 << digit]int
		for i := range all {
			at[all[i].bits>>shift&(1<<digit-1)]++
		}
		if len(all) > 0 && at[all[0].bits>>shift&(1<<digit-1)] == len(all) {
			continue
		}
		next := 0
		for d, n := range at {
			at[d], next = next, next+n
		}
		for _, n := range all {
			d := n.bits >> shift & (1<<digit - 1)
			spare[at[d]] = n
			at[d]++
		}
		all, spare = spare, all
	}
	return all
}

// priceText is how rows write a price that was read before. There is room for so
// many that most rows need no more than to look theirs up.
type priceText struct {
	text   uint64
	number uint32
}

const priceTextBits = 13

// shortText packs a text of up to eight bytes, none of them NUL; 0 is that it is
// longer, or too near the end of its memory.
func shortText(f []byte) uint64 {
	if len(f) > 8 || cap(f) < 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(f[:8]) << (64 - 8*len(f))
}
