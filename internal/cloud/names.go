// SPDX-License-Identifier: MPL-2.0

package cloud

import "strings"

// Some things have a name and nothing else that could say whose they are: keys,
// or machines on a cloud that dropped their tags. Their names can be read back.

// fullNameStart begins a name that holds a whole ref.
const fullNameStart = "sky."

// FullName is for what belongs to the ref's cluster as a whole and has no tags: a
// name that RefOf reads back, and Name where that is longer than limit. It has the
// characters of the ref, and dots between; escape it where a cloud takes fewer.
func (ref ClusterRef) FullName(limit int) string {
	whole := fullNameStart + strings.Join([]string{ref.Owner, ref.Cluster, ref.Generation}, ".")
	if (limit > 0 && len(whole) > limit) || strings.Contains(ref.Owner+ref.Generation, ".") {
		return ref.Name(limit)
	}
	return whole
}

// RefOf is whose a thing is that has this FullName, or one of the other words for
// which the same holds. One that is too short to hold a whole ref is known only
// where the ref is among those that are likely. Only Owner, Cluster and
// Generation are set.
func RefOf(limit int, likely []ClusterRef, words ...string) (ClusterRef, bool) {
	for _, word := range words {
		rest, ok := strings.CutPrefix(word, fullNameStart)
		first, last := strings.Index(rest, "."), strings.LastIndex(rest, ".")
		if !ok || first < 1 || last <= first+1 || last == len(rest)-1 {
			continue
		}
		return ClusterRef{Owner: rest[:first], Cluster: rest[first+1 : last], Generation: rest[last+1:]}, true
	}
	for _, ref := range likely {
		whole := ref.Owner != "" && ref.Cluster != "" && ref.Generation != ""
		for _, word := range words {
			if whole && word == ref.FullName(limit) {
				return ClusterRef{Owner: ref.Owner, Cluster: ref.Cluster, Generation: ref.Generation}, true
			}
		}
	}
	return ClusterRef{}, false
}

// maxReadAttempt bounds the attempts that IdentityOf tries.
const maxReadAttempt = 1000

// IdentityOf is the reverse of Identity.Name for the machines of a whole ref:
// which of them has this name under this limit.
func (ref ClusterRef) IdentityOf(name string, limit int) (Identity, bool) {
	id := Identity{Owner: ref.Owner, Cluster: ref.Cluster, Generation: ref.Generation}
	digits := name[strings.LastIndex(name, "-")+1:]
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' || id.Rank > 1<<20 {
			return Identity{}, false
		}
		id.Rank = id.Rank*10 + int(c-'0')
	}
	for id.Attempt = range maxReadAttempt {
		if digits != "" && id.Name(limit) == name {
			return id, true
		}
	}
	return Identity{}, false
}
