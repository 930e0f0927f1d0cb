// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
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
	googleLabelPrefix = "goog-"
)

var (
	labelKeyForm   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`) })
	labelValueForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9_-]{0,63}$`) })
)

// codec is what labels can hold.
func codec() tags.Codec {
	return tags.Codec{
		Key: func(k string) bool {
			return labelKeyForm().MatchString(k) && !strings.HasPrefix(k, googleLabelPrefix)
		},
		Value: labelValueForm().MatchString,
	}
}

// undigested are labels where the values that ref asks for stand in place of
// their digests: disks have no metadata with the whole values.
func undigested(ref cloud.ClusterRef, labels map[string]string) map[string]string {
	return codec().Decode(labels, tags.Merge(labels, ref.Tags()))
}

// userLabels divides the user's labels into what labels can hold and, as one
// piece of metadata, what they cannot.
func userLabels(want map[string]string) (labels map[string]string, rest string) {
	labels, others := codec().Divide(want)
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
	for _, key := range []string{cloud.TagOwner, cloud.TagCluster, cloud.TagGeneration} {
		if value := ref.Tags()[key]; value != "" {
			parts = append(parts, fmt.Sprintf("(labels.%s = %q)", key, codec().Tag(value)))
		}
	}
	if len(parts) == 0 {
		return "labels." + cloud.TagOwner + ":*"
	}
	return strings.Join(parts, " AND ")
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
