// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"strconv"
	"strings"
	"unicode"
)

// plainError is an error whose text a host may have had a part in: what would
// move a terminal's cursor, or worse, is written as escapes.
type plainError struct{ err error }

func (e plainError) Error() string { return plain(e.err.Error()) }
func (e plainError) Unwrap() error { return e.err }

// plain writes what cannot be printed as Go would quote it; lines stay lines.
func plain(text string) string {
	odd := func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }
	if strings.IndexFunc(text, odd) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if odd(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
