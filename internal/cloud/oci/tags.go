// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
)

// Bounds of free-form tags. There are only ten, so that what is the provider's own
// is written into as few as hold it: sky-1, sky-2, and so on, as one text. Labels
// that a tag can hold are tags of their own as long as there is room, since people
// filter by them.
const (
	maxTags      = 10
	maxTagKey    = 100
	maxTagValue  = 256
	storePrefix  = cloud.TagPrefix
	tagDeadline  = cloud.TagPrefix + "deadline"
	tagInternal  = cloud.TagPrefix + "internal" // it was made without a public address
	deadlineForm = time.RFC3339
)

// ownTags are all that a machine is to carry.
func ownTags(spec cloud.ClusterSpec, id cloud.Identity) map[string]string {
	own := tags.Merge(spec.Labels, spec.Marks(id), id.Tags())
	if !spec.Deadline.IsZero() {
		own[tagDeadline] = spec.Deadline.UTC().Format(deadlineForm)
	}
	return own
}

// isPlain reports that a label can be a tag as it is.
func isPlain(key, value string) bool {
	printable := func(r rune) bool { return r > ' ' && r < 0x7f && r != '.' }
	return key != "" && len(key) <= maxTagKey && len(value) <= maxTagValue && !strings.HasPrefix(strings.ToLower(key), storePrefix) &&
		!strings.ContainsFunc(key, func(r rune) bool { return !printable(r) })
}

// encodeTags writes tags as Oracle can hold them.
func encodeTags(all map[string]string) (map[string]string, error) {
	plain, stored := map[string]string{}, url.Values{}
	for key, value := range all {
		if isPlain(key, value) {
			plain[key] = value
		} else {
			stored.Set(key, value)
		}
	}
	for _, key := range slices.Backward(slices.Sorted(maps.Keys(plain))) {
		if len(plain)+pieces(stored) <= maxTags {
			break
		}
		stored.Set(key, plain[key])
		delete(plain, key)
	}
	if len(plain)+pieces(stored) > maxTags {
		return nil, fleet.ConfigErrorf(cloud.ScopeCloud, "the labels, with what the provider itself writes, have %d bytes; OCI's tags have room for %d: use fewer or shorter labels",
			len(stored.Encode()), maxTags*maxTagValue)
	}
	text := stored.Encode()
	for n := 1; text != ""; n++ {
		size := min(len(text), maxTagValue)
		plain[storePrefix+strconv.Itoa(n)], text = text[:size], text[size:]
	}
	return plain, nil
}

func pieces(stored url.Values) int { return (len(stored.Encode()) + maxTagValue - 1) / maxTagValue }

// decodeTags reads them back. What somebody spoiled shows no identity.
func decodeTags(held map[string]string) map[string]string {
	out, text := map[string]string{}, ""
	for n := 1; ; n++ {
		piece, ok := held[storePrefix+strconv.Itoa(n)]
		if !ok {
			break
		}
		text += piece
	}
	for key, value := range held {
		if !isStore(key) {
			out[key] = value
		}
	}
	stored, err := url.ParseQuery(text)
	if err != nil {
		return out
	}
	for key := range stored {
		out[key] = stored.Get(key)
	}
	return out
}

func isStore(key string) bool {
	_, err := strconv.Atoi(strings.TrimPrefix(key, storePrefix))
	return strings.HasPrefix(key, storePrefix) && err == nil
}

// deadlineOf is a machine's own end, zero where it has none.
func deadlineOf(held map[string]string) time.Time {
	t, err := time.Parse(deadlineForm, held[tagDeadline])
	if err != nil {
		return time.Time{}
	}
	return t
}

// token is a retry token, of 64 bytes, as Oracle takes them. Equal words give equal
// tokens, so that two sessions that make one thing make it once.
func token(n int, words ...string) *string {
	text := cloud.Identity{Owner: strings.Join(words, "\x00"), Rank: n}.Token()
	return &text
}
