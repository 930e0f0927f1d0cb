// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"math"
	"regexp"
	"strings"
)

// byMemory is an accelerator that is asked for by its memory: "80GB", "16GB+".
var byMemory = regexp.MustCompile(`(?i)^[0-9]+(\.[0-9]+)?\s*[mgt]i?b?\+?$`)

// ByMemory reports whether a names devices by the memory of one of them, such as
// "80GB+", and how much.
func (a Accelerator) ByMemory() (memory Quantity, ok bool) {
	if !byMemory.MatchString(a.Name) {
		return Quantity{}, false
	}
	q, err := ParseMemory(a.Name)
	return q, err == nil
}

// memorySlack is what a device's memory may be off by: some catalogs say what its
// driver leaves.
const memorySlack = 0.05

// HasMemory reports whether a device of so many GiB is one that is asked for by
// memory; 0 is not known, and none.
func HasMemory(want Quantity, gib float64) bool {
	if gib <= 0 {
		return false
	}
	if want.AtLeast {
		return gib >= want.Value*(1-memorySlack)
	}
	return math.Abs(gib-want.Value) <= want.Value*memorySlack
}

var memorySuffix = regexp.MustCompile(`(?i)^(.+)-([0-9]+)GB$`)

// CutMemory splits the memory off a name such as "H100-MEGA-80GB".
func (a Accelerator) CutMemory() (name string, memory Quantity, ok bool) {
	found := memorySuffix.FindStringSubmatch(a.Name)
	if found == nil {
		return "", Quantity{}, false
	}
	q, err := ParseMemory(found[2])
	return found[1], q, err == nil
}

// PartOfName reports whether a name is some words of a device's name, one after the
// other: "V520" is of "Radeon Pro V520", and "A10" is not of "A100".
func PartOfName(part, name string) bool {
	words := func(s string) string {
		return " " + strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return strings.ContainsRune("-_ .()", r) }), " ") + " "
	}
	w := words(part)
	return len(w) > 2 && strings.Contains(words(name), w)
}
