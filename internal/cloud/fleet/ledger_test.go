// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// forgetful is a cloud that lists nothing and does not remember its dead. It
// notes where it was asked for which machines.
type forgetful struct {
	Calls[string, string]
	asked []string
}

func (f *forgetful) List(context.Context, cloud.ClusterRef) ([]Machine[string], error) {
	return nil, nil
}

func (f *forgetful) Get(_ context.Context, ref cloud.ClusterRef, ids []string) ([]Machine[string], error) {
	f.asked = append(f.asked, fmt.Sprint(ref.Region, ref.Zone, ids))
	return nil, nil
}

// TestMachineThatIsNotThereAnyMore: a machine of this process is asked for where
// it was launched, and forgotten after some looks: the cloud may never show its
// end. Whoever names it hears that it is missing all the same.
func TestMachineThatIsNotThereAnyMore(t *testing.T) {
	cloudOf := &forgetful{}
	f := New(Config[string, string]{Calls: cloudOf, MissingLooks: 3, Settle: time.Nanosecond})
	id := cloud.Identity{Owner: "o", Cluster: "c", Generation: "g"}
	launched := Machine[string]{Instance: cloud.Instance{ID: "m-1", Identity: id, Region: "r", Zone: "z"}}
	f.recent.add(launched)
	f.recent.saw(launched)
	ref := cloud.ClusterRef{Owner: "o"}
	for look, want := range [][]string{{"m-1"}, {"m-1"}, nil, nil} {
		found, err := f.Look(t.Context(), ref)
		if err != nil || !slices.Equal(found.Missing, want) {
			t.Errorf("look %d misses %v, %v, want %v", look, found.Missing, err, want)
		}
	}
	if want := []string{"rz[m-1]", "rz[m-1]", "rz[m-1]"}; !slices.Equal(cloudOf.asked, want) {
		t.Errorf("asked was %v, want %v", cloudOf.asked, want)
	}
	ref.Instances = []string{"m-1"}
	if found, err := f.Look(t.Context(), ref); err != nil || !slices.Equal(found.Missing, ref.Instances) {
		t.Errorf("who names it misses %v, %v", found.Missing, err)
	}
}
