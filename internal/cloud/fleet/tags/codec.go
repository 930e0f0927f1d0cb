// SPDX-License-Identifier: MPL-2.0

// Package tags puts the tags of machines where a cloud allows only some characters.
package tags

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"
)

// digestPrefix marks the digest of a value that a tag cannot hold.
const digestPrefix = "sha256-"

// Codec puts tags where only some characters are allowed. What a tag cannot hold
// goes elsewhere, whole, and a digest stands for it, so that listings can still
// be narrowed by it.
type Codec struct {
	// Key and Value report what a tag can hold. Both must take digests: lower-case
	// letters, digits and a dash, 55 characters.
	Key, Value func(string) bool
}

// Tag is the value of a tag that stands for v: v itself, or its digest.
func (c Codec) Tag(v string) string {
	if c.Value(v) && !strings.HasPrefix(v, digestPrefix) {
		return v
	}
	sum := sha256.Sum256([]byte(v))
	return digestPrefix + hex.EncodeToString(sum[:24])
}

// Encode returns tags as they can be held, and those values that they cannot.
// Their keys must be such that tags can hold them.
func (c Codec) Encode(tags map[string]string) (held, rest map[string]string) {
	held, rest = map[string]string{}, map[string]string{}
	for k, v := range tags {
		held[k] = c.Tag(v)
		if held[k] != v {
			rest[k] = v
		}
	}
	return held, rest
}

// Decode is the inverse of Encode. A digest without its value is left out.
func (c Codec) Decode(held, rest map[string]string) map[string]string {
	tags := map[string]string{}
	for k, v := range held {
		if strings.HasPrefix(v, digestPrefix) {
			whole, ok := rest[k]
			if !ok || c.Tag(whole) != v {
				continue
			}
			v = whole
		}
		tags[k] = v
	}
	return tags
}

// Divide parts labels into those that tags can hold as they are, and the others.
func (c Codec) Divide(labels map[string]string) (held, others map[string]string) {
	held, others = map[string]string{}, map[string]string{}
	for k, v := range labels {
		if c.Key(k) && c.Value(v) {
			held[k] = v
		} else {
			others[k] = v
		}
	}
	return held, others
}

// Merge is the union of tags; later ones win.
func Merge(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}
