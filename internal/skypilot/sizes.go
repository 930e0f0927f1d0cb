// SPDX-License-Identifier: MPL-2.0

package skypilot

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// sizeText is a size as SkyPilot takes it. All its units are powers of 1024, and
// what has none is in GiB.
var sizeText = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)\s*(?:([kmgtp]?)(i?b?))?$`)

// gibibytes reads a size; false where it is none.
func gibibytes(text string) (float64, bool) {
	found := sizeText.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if found == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		return 0, false
	}
	if found[2]+found[3] == "" {
		return n, true
	}
	power := strings.Index("kmgtp", found[2]) + 1
	if found[2] == "" {
		power = 0
	}
	return n * math.Pow(1024, float64(power-3)), true
}

// diskSize is a disk's size in GiB, such as 256, "256GB" or "1TB".
func (a at) diskSize(v any) (int64, bool) {
	text := a.scalar(v)
	if text == nil {
		return 0, false
	}
	size, ok := gibibytes(*text)
	if !ok || size != math.Trunc(size) || size > math.MaxInt32 {
		a.refuse("write one such as 256, 256GB or 1TB", "%q is not a whole number of GiB", *text)
		return 0, false
	}
	return int64(size), true
}

// memory is a machine's memory as the provider takes it: 64GB+ is 64+. What it
// cannot read is left to the provider's own check.
func (a at) memory(v any) string {
	text := a.scalar(v)
	if text == nil {
		return ""
	}
	body, plus := strings.CutSuffix(strings.TrimSpace(*text), "+")
	size, ok := gibibytes(body)
	if !ok {
		return *text
	}
	out := strconv.FormatFloat(size, 'f', -1, 64)
	if plus {
		out += "+"
	}
	return out
}

// boolOf is a truth by YAML 1.1.
func boolOf(v any) (value, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		text, err := pythonScalar(v)
		return text == "True", err == nil && (text == "True" || text == "False")
	}
	return false, false
}

// ports are in a list, or in one text with commas.
func (a at) ports(v any) []string {
	var out []string
	for _, text := range a.texts(v) {
		for port := range strings.SplitSeq(text, ",") {
			out = append(out, strings.TrimSpace(port))
		}
	}
	return out
}
