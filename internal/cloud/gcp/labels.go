// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Keys of the metadata that the driver keeps on a machine beside its labels.
// The mark of a committed machine is metadata, since the machine itself reads
// it, which it could not do with a label.
const (
	metaLabels        = cloud.TagPrefix + "labels"
	metaCommitted     = cloud.TagCommitted
	metaDeadline      = cloud.TagPrefix + "deadline"
	metaSSHUser       = cloud.TagPrefix + "ssh-user"
	metaNetwork       = cloud.TagPrefix + "network"
	metaUserData      = "user-data"
	metaSSHKeys       = "ssh-keys"
	metaBlockKeys     = "block-project-ssh-keys"
	metaStartup       = "startup-script"
	networkPrivate    = "private"
	committed         = "true"
	digestPrefix      = "sha256-"
	googleLabelPrefix = "goog-"
)

var (
	labelKeyForm   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`) })
	labelValueForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9_-]{0,63}$`) })
)

// labelValue is v itself where a label can hold it, else a digest of v.
func labelValue(v string) string {
	if labelValueForm().MatchString(v) && !strings.HasPrefix(v, digestPrefix) {
		return v
	}
	sum := sha256.Sum256([]byte(v))
	return digestPrefix + hex.EncodeToString(sum[:24])
}

// ownership are the labels of the tags, and as metadata those of their values
// that labels cannot hold.
func ownership(tags map[string]string) (labels, metadata map[string]string) {
	labels, metadata = map[string]string{}, map[string]string{}
	for k, v := range tags {
		labels[k] = labelValue(v)
		if labels[k] != v {
			metadata[k] = v
		}
	}
	return labels, metadata
}

// identityOf reads ownership back. A digest without its value is no identity.
func identityOf(labels, metadata map[string]string) (cloud.Identity, bool) {
	tags := map[string]string{}
	for k, v := range labels {
		if strings.HasPrefix(v, digestPrefix) {
			whole := metadata[k]
			if labelValue(whole) != v {
				continue
			}
			v = whole
		}
		tags[k] = v
	}
	return cloud.IdentityFromTags(tags)
}

// userLabels divides the user's labels into what labels can hold and, as one
// piece of metadata, what they cannot.
func userLabels(want map[string]string) (labels map[string]string, rest string) {
	labels = map[string]string{}
	others := map[string]string{}
	for k, v := range want {
		if labelKeyForm().MatchString(k) && labelValueForm().MatchString(v) && !strings.HasPrefix(k, googleLabelPrefix) {
			labels[k] = v
		} else {
			others[k] = v
		}
	}
	if len(others) == 0 {
		return labels, ""
	}
	text, _ := json.Marshal(others) //nolint:errchkjson // strings always marshal, sorted by key
	return labels, string(text)
}

// readUserLabels is the inverse of userLabels, beside other labels.
func readUserLabels(labels, metadata map[string]string) map[string]string {
	out := map[string]string{}
	if rest := metadata[metaLabels]; rest != "" {
		_ = json.Unmarshal([]byte(rest), &out) // what somebody else wrote there is no label
	}
	for k, v := range labels {
		if !strings.HasPrefix(k, cloud.TagPrefix) && !strings.HasPrefix(k, googleLabelPrefix) {
			out[k] = v
		}
	}
	return out
}

// labelFilter narrows a listing to what may belong to ref.
func labelFilter(ref cloud.ClusterRef) string {
	var parts []string
	add := func(key, value string) {
		if value != "" {
			parts = append(parts, fmt.Sprintf("(labels.%s = %q)", key, labelValue(value)))
		}
	}
	add(cloud.TagOwner, ref.Owner)
	add(cloud.TagCluster, ref.Cluster)
	add(cloud.TagGeneration, ref.Generation)
	return strings.Join(parts, " AND ")
}

// labelsMatch reports whether labels mark something of ref's cluster, as
// exactly as digests can tell.
func labelsMatch(ref cloud.ClusterRef, labels map[string]string) bool {
	same := func(key, value string) bool { return value == "" || labels[key] == labelValue(value) }
	return ref.Owner != "" && same(cloud.TagOwner, ref.Owner) && same(cloud.TagCluster, ref.Cluster) && same(cloud.TagGeneration, ref.Generation)
}

func metadataOf(in *compute.Metadata) map[string]string {
	out := map[string]string{}
	if in == nil {
		return out
	}
	for _, item := range in.Items {
		if item != nil && item.Value != nil {
			out[item.Key] = *item.Value
		}
	}
	return out
}

// metadataItems is the inverse of metadataOf, sorted, since a launch must be
// repeatable.
func metadataItems(values map[string]string) []*compute.MetadataItems {
	var items []*compute.MetadataItems
	for _, k := range slices.Sorted(maps.Keys(values)) {
		v := values[k]
		items = append(items, &compute.MetadataItems{Key: k, Value: &v})
	}
	return items
}
