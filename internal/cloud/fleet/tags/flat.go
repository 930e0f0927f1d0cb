// SPDX-License-Identifier: MPL-2.0

package tags

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Flat puts tags where keys are short words of lower-case letters, digits and
// dashes, and values are short: what a key cannot hold is escaped, and a long
// value goes over several tags. Nothing is lost, so that tags which are all of a
// launch can be read back by everybody.
type Flat struct {
	// MaxKey and MaxValue are in bytes.
	MaxKey, MaxValue int
}

// The marks in a key: ":" and two digits are a byte, oddStart begins a key that
// would begin with something else than a letter, or be a letter alone, and
// another "::" with a number is the part of a value.
const oddStart = "x::"

var partForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(.+[^:])::([1-9][0-9]*)$`) })

// Key is a key as a tag can hold it, and whether it fits.
func (f Flat) Key(key string) (string, bool) {
	var b strings.Builder
	for i, c := range []byte(key) {
		lower := c >= 'a' && c <= 'z'
		if lower && (i > 0 || len(key) > 1) || i > 0 && (c == '-' || c >= '0' && c <= '9') {
			b.WriteByte(c)
			continue
		}
		if i == 0 {
			b.WriteString(oddStart)
		}
		fmt.Fprintf(&b, ":%02x", c)
	}
	return b.String(), key != "" && b.Len() <= f.MaxKey
}

// Encode returns tags as they can be held. A key that does not fit is an error.
func (f Flat) Encode(tags map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for k, v := range tags {
		key, ok := f.Key(k)
		for part := 0; ; part++ {
			name := key
			if part > 0 {
				name = fmt.Sprintf("%s::%d", key, part)
			}
			if !ok || len(name) > f.MaxKey {
				return nil, fmt.Errorf("the key %q is too long for a tag", k)
			}
			n := min(len(v), f.MaxValue)
			for n > 1 && n < len(v) && v[n]&0xc0 == 0x80 { // not within a character
				n--
			}
			out[name], v = v[:n], v[n:]
			if v == "" {
				break
			}
		}
	}
	return out, nil
}

// Decode is the inverse of Encode. What somebody else wrote is kept as it is.
func (f Flat) Decode(held map[string]string) map[string]string {
	tags := map[string]string{}
	for k, v := range held {
		if partForm().MatchString(k) {
			continue
		}
		for part := 1; ; part++ {
			more, ok := held[fmt.Sprintf("%s::%d", k, part)]
			if !ok {
				break
			}
			v += more
		}
		tags[unescaped(k)] = v
	}
	return tags
}

func unescaped(key string) string {
	rest, b := strings.TrimPrefix(key, oddStart), []byte(nil)
	for i := 0; i < len(rest); i++ {
		if rest[i] == ':' && i+2 < len(rest) {
			if c, err := hex.DecodeString(rest[i+1 : i+3]); err == nil {
				b = append(b, c[0])
				i += 2
				continue
			}
		}
		b = append(b, rest[i])
	}
	return string(b)
}
