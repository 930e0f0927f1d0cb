// SPDX-License-Identifier: MPL-2.0

package cloud_test

import (
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// TestNamesAreReadBack: a name of limited length says whose a thing is, by itself
// where it is long enough, else to who knows for whom to look.
func TestNamesAreReadBack(t *testing.T) {
	for _, cluster := range []string{"c", "train.v2", "My_Cluster-1", strings.Repeat("long", 15)} {
		ref := cloud.ClusterRef{Owner: "sky-0123456789abcdef", Cluster: cluster, Generation: "0123456789ab"}
		name := ref.FullName(64)
		if len(name) > 64 {
			t.Errorf("%q has %d characters", name, len(name))
		}
		short := strings.HasPrefix(cluster, "long")
		if got, ok := cloud.RefOf(64, nil, name); ok == short || (ok && !sameRef(got, ref)) {
			t.Errorf("%q is read as %+v, %t", name, got, ok)
		}
		others := []cloud.ClusterRef{{Owner: "o", Cluster: cluster, Generation: "g"}, {Owner: ref.Owner}, ref}
		if got, ok := cloud.RefOf(64, others, "unrelated", name); !ok || !sameRef(got, ref) {
			t.Errorf("%q among likely ones is read as %+v, %t", name, got, ok)
		}
		if got, ok := cloud.RefOf(64, others[:2], "unrelated", "sky-"+cluster, "sky.a", "sky.a.b", "sky..b.c", "sky.a.b."); ok {
			t.Errorf("names of others are read as %+v", got)
		}
		for _, id := range []cloud.Identity{{Attempt: 0, Rank: 0}, {Attempt: 17, Rank: 3}, {Attempt: 999, Rank: 120}} {
			id.Owner, id.Cluster, id.Generation = ref.Owner, ref.Cluster, ref.Generation
			if got, ok := ref.IdentityOf(id.Name(60), 60); !ok || got != id {
				t.Errorf("%q is read as %+v, %t, want %+v", id.Name(60), got, ok, id)
			}
			other := ref
			other.Owner = "somebody-else"
			if got, ok := other.IdentityOf(id.Name(60), 60); ok {
				t.Errorf("another's %q is read as %+v", id.Name(60), got)
			}
		}
		for _, name := range []string{"", "-", "node-1", "sky-c-", "sky-c-01234567-99999999999999999999"} {
			if got, ok := ref.IdentityOf(name, 60); ok {
				t.Errorf("%q is read as %+v", name, got)
			}
		}
	}
}

func sameRef(a, b cloud.ClusterRef) bool {
	return a.Owner == b.Owner && a.Cluster == b.Cluster && a.Generation == b.Generation
}
