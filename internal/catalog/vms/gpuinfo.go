// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"strconv"
	"strings"
)

// deviceMemory returns the memory of one device in GiB, 0 where GpuInfo does
// not tell. GpuInfo is a Python dict literal on some clouds and a bare name on
// others; only its first SizeInMiB is of use, so the literal is not parsed.
func deviceMemory(info string) float64 {
	if len(info) == 0 || info[0] != '{' {
		return 0
	}
	_, rest, ok := strings.Cut(info, "SizeInMiB")
	if !ok {
		return 0
	}
	rest = strings.TrimLeft(rest, `'": `)
	end := strings.IndexFunc(rest, func(c rune) bool { return (c < '0' || c > '9') && c != '.' })
	if end < 0 {
		end = len(rest)
	}
	size, err := strconv.ParseFloat(rest[:end], 64)
	switch {
	case err != nil || size <= 0 || size > 1e9:
		return 0
	case size < 1000:
		// Some files give GiB under this name; no device has under 1000 MiB.
		return size
	}
	return size / 1024
}
