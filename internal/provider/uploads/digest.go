// SPDX-License-Identifier: MPL-2.0

package uploads

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// digest is what state holds of local files as they would be uploaded. Version
// 0.1 counted all of a file's mode; where such a digest still holds, it stays.
type digest struct{ now, former string }

func digestOf(tree *broker.Tree) digest { return digest{tree.Digest(), tree.FormerDigest()} }

// after is the digest to keep where old is in state.
func (d digest) after(old types.String) types.String {
	if old.ValueString() == d.former {
		return old
	}
	return types.StringValue(d.now)
}

// WorkdirDigest is the digest of a local path as it would be uploaded; null where
// there is none and unknown where the path is. leave are folders that stay here.
func WorkdirDigest(path types.String, leave ...string) (types.String, error) {
	if path.IsNull() || path.IsUnknown() {
		if path.IsUnknown() {
			return types.StringUnknown(), nil
		}
		return types.StringNull(), nil
	}
	tree, err := openSource(path.ValueString(), leave...)
	if err != nil {
		return types.StringNull(), err
	}
	return types.StringValue(tree.Digest()), nil
}

// MountsDigest is one digest over all file mounts.
func MountsDigest(mounts types.Map, leave ...string) (types.String, error) {
	switch {
	case mounts.IsNull():
		return types.StringNull(), nil
	case !kit.FullyKnown(mounts):
		return types.StringUnknown(), nil
	}
	members := kit.StringMap(mounts)
	all := map[string]digest{}
	for to, from := range members {
		tree, err := openSource(from, leave...)
		if err != nil {
			return types.StringNull(), fmt.Errorf("for %q: %w", to, err)
		}
		all[to] = digestOf(tree)
	}
	return types.StringValue(joined(all).now), nil
}

// joined is one digest of several, by name.
func joined(all map[string]digest) digest {
	now, former := sha256.New(), sha256.New()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		_, _ = fmt.Fprintf(now, "%q %s\n", name, all[name].now)
		_, _ = fmt.Fprintf(former, "%q %s\n", name, all[name].former)
	}
	return digest{hex.EncodeToString(now.Sum(nil)), hex.EncodeToString(former.Sum(nil))}
}
