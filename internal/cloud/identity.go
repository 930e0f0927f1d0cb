// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Reserved tag keys, which say whose a machine is. Users cannot set labels
// that begin with TagPrefix.
const (
	TagPrefix     = "sky-"
	TagOwner      = TagPrefix + "owner"
	TagCluster    = TagPrefix + "cluster"
	TagGeneration = TagPrefix + "generation"
	TagAttempt    = TagPrefix + "attempt"
	TagRank       = TagPrefix + "rank"
	TagCommitted  = TagPrefix + "committed"
)

// Reserved tag keys of what another computer has to know of a machine to work
// with it, and what no cloud would tell otherwise.
const (
	// TagHostKey holds the machine's public SSH host key.
	TagHostKey = TagPrefix + "host-key"
	// TagRuntime and TagAccelerators are the notes that the broker leaves.
	TagRuntime      = TagPrefix + "runtime"
	TagAccelerators = TagPrefix + "accelerators"
)

// noteKeys are the keys that ClusterSpec.Notes may have.
func noteKeys() []string { return []string{TagRuntime, TagAccelerators} }

// NotesFromTags reads the notes back; none is an empty map.
func NotesFromTags(tags map[string]string) map[string]string {
	notes := map[string]string{}
	for _, k := range noteKeys() {
		if v, ok := tags[k]; ok {
			notes[k] = v
		}
	}
	return notes
}

// Marks are the reserved tags that the machine of an identity carries beside its
// ownership: the notes, and its host key where the spec has it.
func (s ClusterSpec) Marks(id Identity) map[string]string {
	marks := NotesFromTags(s.Notes)
	for _, n := range s.Nodes {
		if n.Identity == id && n.HostKey != "" {
			marks[TagHostKey] = n.HostKey
		}
	}
	return marks
}

// Token is the idempotency token of the machine's create call: 64 lower-case
// hexadecimal digits, equal for equal identities.
func (id Identity) Token() string {
	parts := []string{id.Owner, id.Cluster, id.Generation, strconv.Itoa(id.Attempt), strconv.Itoa(id.Rank)}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// Name is the machine's name: readable, at most limit characters (0 is no
// bound), lower-case letters, digits and dashes, and distinct for distinct
// identities through a suffix of Token.
func (id Identity) Name(limit int) string {
	suffix := fmt.Sprintf("-%s-%d", id.Token()[:8], id.Rank)
	stem := "sky-" + Slug(id.Cluster)
	if limit > 0 && len(stem)+len(suffix) > limit {
		stem = stem[:max(limit-len(suffix), 1)]
	}
	return strings.TrimRight(stem, "-") + suffix
}

// Tags are the ownership tags of the machine, without TagCommitted.
func (id Identity) Tags() map[string]string {
	return map[string]string{
		TagOwner:      id.Owner,
		TagCluster:    id.Cluster,
		TagGeneration: id.Generation,
		TagAttempt:    strconv.Itoa(id.Attempt),
		TagRank:       strconv.Itoa(id.Rank),
	}
}

// IdentityFromTags reads Tags back. It reports false where an ownership tag is
// missing or malformed: such a machine is foreign.
func IdentityFromTags(tags map[string]string) (Identity, bool) {
	attempt, errA := strconv.Atoi(tags[TagAttempt])
	rank, errR := strconv.Atoi(tags[TagRank])
	id := Identity{
		Owner:      tags[TagOwner],
		Cluster:    tags[TagCluster],
		Generation: tags[TagGeneration],
		Attempt:    attempt,
		Rank:       rank,
	}
	ok := errA == nil && errR == nil && attempt >= 0 && rank >= 0 && id.Owner != "" && id.Cluster != "" && id.Generation != ""
	return id, ok
}

// Matches reports whether a machine with this identity at this place belongs to ref.
func (ref ClusterRef) Matches(id Identity, region, zone string) bool {
	return id.Owner == ref.Owner &&
		(ref.Cluster == "" || id.Cluster == ref.Cluster) &&
		(ref.Generation == "" || id.Generation == ref.Generation) &&
		(ref.Region == "" || region == ref.Region) &&
		(ref.Zone == "" || zone == ref.Zone)
}

// Tags mark what belongs to the ref's cluster as a whole, such as a firewall.
func (ref ClusterRef) Tags() map[string]string {
	return map[string]string{TagOwner: ref.Owner, TagCluster: ref.Cluster, TagGeneration: ref.Generation}
}

// Owns reports whether such tags mark something of ref's clusters.
func (ref ClusterRef) Owns(tags map[string]string) bool {
	return tags[TagCluster] != "" && tags[TagGeneration] != "" &&
		ref.Owner != "" && tags[TagOwner] == ref.Owner &&
		(ref.Cluster == "" || tags[TagCluster] == ref.Cluster) &&
		(ref.Generation == "" || tags[TagGeneration] == ref.Generation)
}

// Name is for what belongs to the ref's cluster as a whole, and has the form of
// a machine's name: at most limit characters (0 is no bound), distinct for distinct
// owners, clusters, generations and extras.
func (ref ClusterRef) Name(limit int, extra ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(append([]string{ref.Owner, ref.Cluster, ref.Generation}, extra...), "\x00")))
	const suffix = 16
	stem := "sky-" + Slug(ref.Cluster)
	if room := max(limit-suffix-1, 1); limit > 0 && len(stem) > room {
		stem = stem[:room]
	}
	return strings.TrimRight(stem, "-") + "-" + hex.EncodeToString(sum[:])[:suffix]
}

// Slug turns a name into lower-case letters, digits and single dashes.
func Slug(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			b.WriteRune(r)
		} else if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
			b.WriteByte('-')
		}
	}
	return strings.TrimRight(b.String(), "-")
}
