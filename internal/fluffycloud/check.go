// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxName     = 128
	maxTags     = 64
	maxTagKey   = 128
	maxTagValue = 256
)

func checkName(name string) error {
	if name == "" {
		return invalid("name", "is missing")
	}
	if len(name) > maxName {
		return invalid("name", "is longer than %d characters", maxName)
	}
	for i, r := range name {
		letter := (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9')
		if !letter && (i == 0 || !strings.ContainsRune("-_.", r)) {
			return invalid("name", "%q may only hold letters, digits, dashes, dots and underscores, and begins with a letter or digit", name)
		}
	}
	return nil
}

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return invalid("tags", "are %d; at most %d are allowed", len(tags), maxTags)
	}
	for k, v := range tags {
		if k == "" || len(k) > maxTagKey || !plain(k) || strings.Contains(k, "=") {
			return invalid("tags", "key %q must have 1 to %d plain characters without %q", k, maxTagKey, "=")
		}
		if len(v) > maxTagValue || !plain(v) {
			return invalid("tags", "the value of %q must have at most %d plain characters", k, maxTagValue)
		}
	}
	return nil
}

// plain reports whether s is text without control characters.
func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// tagFilter reads the ?tag=KEY=VALUE of a list call.
func tagFilter(c *call) (map[string]string, error) {
	want := make(map[string]string)
	for _, t := range c.URL.Query()["tag"] {
		k, v, ok := strings.Cut(t, "=")
		if !ok || k == "" {
			return nil, invalid("tag", "%q is not KEY=VALUE", t)
		}
		want[k] = v
	}
	return want, nil
}

func hasTags(tags, want map[string]string) bool {
	for k, v := range want {
		if have, ok := tags[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// matches reports whether a filter, if any, equals the value.
func matches(want, have string) bool { return want == "" || want == have }

func orEmpty(tags map[string]string) map[string]string {
	if tags == nil {
		return map[string]string{}
	}
	return tags
}
