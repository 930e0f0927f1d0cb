// SPDX-License-Identifier: MPL-2.0

package ibm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
)

// Tags of a volume are "key:value", of 128 characters, in which IBM ignores case.
// What is not a small letter, a digit or a dash is escaped, so that everything can
// be read back. A long value goes over several tags.
const (
	maxTag      = 128
	maxTagKey   = 60
	maxTagValue = maxTag - maxTagKey - 1
)

func flat() tags.Flat { return tags.Flat{MaxKey: maxTagKey, MaxValue: maxTagValue} }

// tagWords are tags as a volume has them, sorted.
func tagWords(all map[string]string) ([]string, error) {
	escaped := make(map[string]string, len(all))
	for k, v := range all {
		escaped[k] = escape(v, '_', "-.")
	}
	held, err := flat().Encode(escaped)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the key
	}
	words := make([]string, 0, len(held))
	for k, v := range held {
		words = append(words, k+":"+v)
	}
	slices.Sort(words)
	return words, nil
}

// tagsOf reads them back. A tag of somebody's, which may have no value, is left out.
func tagsOf(words []string) map[string]string {
	held := map[string]string{}
	for _, w := range words {
		if i := strings.LastIndexByte(w, ':'); i > 0 { // a key may have one
			held[w[:i]] = w[i+1:]
		}
	}
	out := flat().Decode(held)
	for k, v := range out {
		out[k] = unescape(v, '_')
	}
	return out
}

// ownerTag is the tag by which lists are narrowed, empty where it fills more than one.
func ownerTag(owner string) string {
	if v := escape(owner, '_', "-."); owner != "" && len(v) <= maxTagValue {
		return cloud.TagOwner + ":" + v
	}
	return ""
}

// escape writes a text in small letters, digits and the signs that are plain; the
// mark and two hexadecimal digits are any other byte.
func escape(text string, mark byte, plain string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		lower := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte(plain, c) >= 0
		if lower && c != mark {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%c%02x", mark, c)
		}
	}
	return b.String()
}

func unescape(text string, mark byte) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == mark && i+2 < len(text) {
			if c, err := hex.DecodeString(text[i+1 : i+3]); err == nil {
				b.WriteByte(c[0])
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// Firewalls and addresses have no tags: their names say whose they are, as
// "sky--<cluster>--<owner>--<generation>", and for an address its attempt and rank.
// In the parts z marks what is escaped, and dashes stand alone. A cluster's name
// that is too long is cut, and "zz" begins a digest of it.
const (
	nameStart = "sky-"
	nameSep   = "--"
	nameCut   = "zz"
	// cutDigits is how long the digest is; cutSign stands before it where people see
	// the name of a cluster that nobody knows as a whole.
	cutDigits = 6
	cutSign   = "~"
)

// digest tells names apart that begin alike.
func digest(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])[:cutDigits]
}

// part is one part of such a name.
func part(text string) string {
	out := escape(text, 'z', "-")
	out = strings.ReplaceAll(out, "--", "z2dz2d")
	if strings.HasPrefix(out, "-") {
		out = "z2d" + out[1:]
	}
	if strings.HasSuffix(out, "-") {
		out = out[:len(out)-1] + "z2d"
	}
	return out
}

// clusterName is the name of what belongs to a cluster as a whole.
func clusterName(ref cloud.ClusterRef) string { return fullName(ref) }

// addressName is the name of a machine's address.
func addressName(id cloud.Identity) string {
	return fullName(cloud.ClusterRef{Owner: id.Owner, Cluster: id.Cluster, Generation: id.Generation}, strconv.Itoa(id.Attempt)+"-"+strconv.Itoa(id.Rank))
}

func fullName(ref cloud.ClusterRef, more ...string) string {
	rest := nameSep + strings.Join(append([]string{part(ref.Owner), part(ref.Generation)}, more...), nameSep)
	cluster := part(ref.Cluster)
	room := maxName - len(nameStart+"-") - len(rest)
	switch {
	case room >= len(cluster):
	case strings.Contains(ref.Cluster, cutSign): // it was read of such a name
		before, sum, _ := strings.Cut(ref.Cluster, cutSign)
		cluster = part(before) + nameCut + sum
	case room < len(nameCut)+cutDigits+1: // an owner's name of his own, and a very long one
		return ref.Name(maxName, more...)
	default:
		cluster = strings.TrimRight(cutEscaped(cluster, room-len(nameCut)-cutDigits), "-") + nameCut + digest(ref.Cluster)
	}
	return nameStart + "-" + cluster + rest
}

// cutEscaped cuts a part, but not within what is escaped.
func cutEscaped(text string, n int) string {
	for back := 1; back <= 2 && n-back >= 0; back++ {
		if text[n-back] == 'z' {
			return text[:n-back]
		}
	}
	return text[:n]
}

// named is whose a thing of this name is, and which machine's, where it is one's.
// Ref is for whom it is looked for: a name that was cut is his if it can be.
func named(name string, ref cloud.ClusterRef) (cloud.ClusterRef, *cloud.Identity, bool) {
	rest, ok := strings.CutPrefix(name, nameStart+"-")
	parts := strings.Split(rest, nameSep)
	if !ok || len(parts) < 3 || len(parts) > 4 {
		return cloud.ClusterRef{}, nil, false
	}
	whose := cloud.ClusterRef{Owner: unescape(parts[1], 'z'), Generation: unescape(parts[2], 'z')}
	cluster, sum, cut := strings.Cut(parts[0], nameCut)
	whose.Cluster = unescape(cluster, 'z')
	switch {
	case cut && strings.HasPrefix(ref.Cluster, whose.Cluster) && digest(ref.Cluster) == sum:
		whose.Cluster = ref.Cluster
	case cut:
		whose.Cluster += cutSign + sum
	}
	if len(parts) == 3 {
		return whose, nil, true
	}
	attempt, rank, ok := strings.Cut(parts[3], "-")
	id := cloud.Identity{Owner: whose.Owner, Cluster: whose.Cluster, Generation: whose.Generation}
	var errA, errR error
	id.Attempt, errA = strconv.Atoi(attempt)
	id.Rank, errR = strconv.Atoi(rank)
	return whose, &id, ok && errA == nil && errR == nil
}

// tellsAll reports whether the names of a cluster's things can be read back. Those of
// a very long owner id cannot.
func tellsAll(ref cloud.ClusterRef) bool {
	_, id, ok := named(addressName(cloud.Identity{Owner: ref.Owner, Cluster: ref.Cluster, Generation: ref.Generation, Attempt: 99, Rank: 999}), cloud.ClusterRef{})
	return ok && id != nil
}

// The name of a boot volume's attachment says whether the machine was recorded: it
// begins with unrecorded, and the machine's end in minutes of UNIX time, until it was.
const (
	unrecorded = "sky-new"
	recorded   = "sky-boot"
)

func mark(deadline time.Time) string {
	if deadline.IsZero() {
		return unrecorded
	}
	return unrecorded + "-" + strconv.FormatInt((deadline.Unix()+59)/60, 36)
}

// marked reads it back.
func marked(name string) (committed bool, deadline time.Time) {
	end, ok := strings.CutPrefix(name, unrecorded)
	if !ok || end != "" && end[0] != '-' {
		return true, time.Time{}
	}
	minutes, err := strconv.ParseInt(strings.TrimPrefix(end, "-"), 36, 32)
	if err != nil {
		return false, time.Time{} // the launch had none
	}
	return false, time.Unix(60*minutes, 0).UTC()
}
