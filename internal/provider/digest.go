// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
)

// pathDigest is the digest of a local path as it would be uploaded; null
// where there is none and unknown where the path is.
func pathDigest(path types.String) (types.String, error) {
	if path.IsNull() || path.IsUnknown() {
		if path.IsUnknown() {
			return types.StringUnknown(), nil
		}
		return types.StringNull(), nil
	}
	digest, err := broker.Digest(expandHome(path.ValueString()))
	if err != nil {
		return types.StringNull(), fmt.Errorf("%q cannot be uploaded: %w", path.ValueString(), err)
	}
	return types.StringValue(digest), nil
}

// mountsDigest is one digest over all file mounts.
func mountsDigest(mounts types.Map) (types.String, error) {
	switch {
	case mounts.IsNull():
		return types.StringNull(), nil
	case !fullyKnown(mounts):
		return types.StringUnknown(), nil
	}
	sum := sha256.New()
	members := stringMap(mounts)
	for _, to := range slices.Sorted(maps.Keys(members)) {
		digest, err := broker.Digest(expandHome(members[to]))
		if err != nil {
			return types.StringNull(), fmt.Errorf("%q for %q cannot be uploaded: %w", members[to], to, err)
		}
		_, _ = fmt.Fprintf(sum, "%q %s\n", to, digest)
	}
	return types.StringValue(hex.EncodeToString(sum.Sum(nil))), nil
}
