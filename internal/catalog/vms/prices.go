// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"cmp"
	"math"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Prices numbers the prices of a catalog as they come: there are far fewer of
// them than rows.
type Prices struct {
	// USD holds each price; the first two are those that are no offers.
	USD     []float64
	numbers map[float64]uint32
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

func newPrices() *Prices {
	return &Prices{USD: []float64{priceBlank: math.NaN(), priceZero: 0}, numbers: map[float64]uint32{0: priceZero}}
}

// number returns the number of a price.
func (p *Prices) number(usd float64) uint32 { return intern(p.numbers, &p.USD, usd) }

// sum is the number of what two cost together, blank where either is.
func (p *Prices) sum(a, b uint32) uint32 {
	if a == priceBlank || b == priceBlank {
		return priceBlank
	}
	return p.number(p.USD[a] + p.USD[b])
}

// Ascending returns the numbers of the prices offered, the lowest price first.
func (p *Prices) Ascending() []uint32 {
	ids := order(len(p.USD), func(i, j uint32) int { return cmp.Compare(p.USD[i], p.USD[j]) })
	return slices.DeleteFunc(ids, func(id uint32) bool { return !Offered(id) })
}
