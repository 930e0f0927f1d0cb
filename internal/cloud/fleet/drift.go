// SPDX-License-Identifier: MPL-2.0

package fleet

import "slices"

// openingLine is a line of what is let in: what, such as "8080" or "udp 53", and from where.
func openingLine(what, from string) string { return what + " from " + from }

// drift says what is open and was not wanted, and what is wanted and not open.
func drift(have, want []string) []string {
	var out []string
	for _, h := range have {
		if line := h + " is open"; !slices.Contains(want, h) && !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	for _, w := range want {
		if line := w + " is closed"; !slices.Contains(have, w) && !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}
