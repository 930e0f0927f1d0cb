// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bounds that no machine sold comes near; a value beyond them is a slip.
const (
	maxPrice     = 1e6
	minPrice     = 1e-6
	maxVCPUs     = 1e5
	maxMemoryGiB = 1e6
	maxDevices   = 1e5
)

// number reads an amount; blank is 0.
func number(f []byte, limit float64) (float64, string) {
	if len(f) == 0 {
		return 0, ""
	}
	n, ok := decimal(f)
	var err error
	if !ok {
		n, err = strconv.ParseFloat(string(f), 64)
	}
	switch {
	case err != nil && bytes.IndexByte(f, ',') >= 0:
		return 0, fmt.Sprintf("%q is not a number; write a decimal point, not a comma", f)
	case math.IsNaN(n), math.IsInf(n, 0), err != nil:
		return 0, fmt.Sprintf("%q is not a finite number", clip(string(f), 40))
	case math.Signbit(n) && n != 0:
		return 0, fmt.Sprintf("%s is negative", f)
	case n > limit:
		return 0, fmt.Sprintf("%s is beyond anything sold (%v)", f, limit)
	}
	return n + 0, "" // + 0 turns -0 into 0
}

// decimal reads plain decimals whose digits and power of ten are exact as
// float64, so that one division rounds as strconv would; it is several times
// faster. Others it leaves to strconv.
func decimal(f []byte) (float64, bool) {
	var mantissa uint64
	digits, after, point := 0, 0, false
	for _, c := range f {
		switch {
		case c >= '0' && c <= '9':
			mantissa = mantissa*10 + uint64(c-'0')
			digits++
			if point {
				after++
			}
		case c == '.' && !point:
			point = true
		default:
			return 0, false
		}
	}
	if digits == 0 || digits > 18 || mantissa >= 1<<53 {
		return 0, false
	}
	return float64(mantissa) / powers[after], true
}

// powers are the powers of ten that float64 holds exactly.
var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10,
	1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// price reads US dollars an hour; blank is NaN. Neither that nor zero is offered.
func price(f []byte) (float64, string) {
	if len(f) == 0 {
		return math.NaN(), ""
	}
	usd, problem := number(f, maxPrice)
	if usd > 0 && usd < minPrice {
		return 0, fmt.Sprintf("%s is below anything sold (%v); leave it blank where nothing is offered", clip(string(f), 40), minPrice)
	}
	return usd, problem
}

// Arch reads the words that catalogs and clouds use for an architecture.
func Arch(f []byte) (string, string) {
	switch strings.ToLower(string(f)) {
	case "":
		return "", ""
	case "x86_64", "amd64", "x64", "x86_64_mac":
		return "x86_64", ""
	case "arm64", "aarch64", "arm64_mac":
		return "arm64", ""
	case "i386", "x86":
		return "i386", ""
	}
	return "", fmt.Sprintf("%q is not known; it is x86_64, arm64 or i386", clip(string(f), 40))
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
