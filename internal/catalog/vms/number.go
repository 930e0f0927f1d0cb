// SPDX-License-Identifier: MPL-2.0

package vms

import (
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
func number(f string, limit float64) (float64, string) {
	if len(f) == 0 {
		return 0, ""
	}
	n, err := strconv.ParseFloat(f, 64)
	switch {
	case err != nil && strings.IndexByte(f, ',') >= 0:
		return 0, fmt.Sprintf("%q is not a number; write a decimal point, not a comma", f)
	case math.IsNaN(n), math.IsInf(n, 0), err != nil:
		return 0, fmt.Sprintf("%q is not a finite number", clip(f, 40))
	case math.Signbit(n) && n != 0:
		return 0, fmt.Sprintf("%s is negative", f)
	case n > limit:
		return 0, fmt.Sprintf("%s is beyond anything sold (%v)", f, limit)
	}
	return n + 0, "" // + 0 turns -0 into 0
}

// price reads US dollars an hour; blank is NaN. Neither that nor zero is offered.
func price(f string) (float64, string) {
	if len(f) == 0 {
		return math.NaN(), ""
	}
	usd, problem := number(f, maxPrice)
	if usd > 0 && usd < minPrice {
		return 0, fmt.Sprintf("%s is below anything sold (%v); leave it blank where nothing is offered", clip(f, 40), minPrice)
	}
	return usd, problem
}

// Arch reads the words that catalogs and clouds use for an architecture.
func Arch(f string) (string, string) {
	switch strings.ToLower(f) {
	case "":
		return "", ""
	case "x86_64", "amd64", "x64", "x86_64_mac":
		return "x86_64", ""
	case "arm64", "aarch64", "arm64_mac":
		return "arm64", ""
	case "i386", "x86":
		return "i386", ""
	}
	return "", fmt.Sprintf("%q is not known; it is x86_64, arm64 or i386", clip(f, 40))
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
