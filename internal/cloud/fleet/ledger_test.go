// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
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

// TestLedger: what is late is what was launched a moment ago and never shown.
func TestLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l ledger[string]
		machine := func(id string) Machine[string] {
			return Machine[string]{Instance: cloud.Instance{ID: id, Identity: cloud.Identity{Owner: "o", Rank: len(id)}}, Native: "machine " + id}
		}
		all := func(Machine[string]) bool { return true }
		late := func(id string) bool {
			for _, e := range l.matching(all) {
				if e.m.ID == id && e.mayAppear(time.Minute) {
					return e.m.Native == "machine "+id
				}
			}
			return false
		}
		for _, id := range []string{"a", "bb", "ccc"} {
			l.add(machine(id))
		}
		l.saw(machine("a"))
		l.saw(machine("x"))
		if late("a") || !late("bb") || late("x") {
			t.Errorf("late: %t, %t, %t, want only what was launched and not seen", late("a"), late("bb"), late("x"))
		}
		<-time.After(time.Minute)
		l.add(machine("bb")) // again: it was launched when it was
		if late("bb") {
			t.Error("a machine is late for more than a minute")
		}
		dead := machine("a")
		dead.State = cloud.StateTerminated
		l.saw(dead)
		l.forget(func(m Machine[string]) bool { return m.ID == "bb" })
		if got := l.matching(all); len(got) != 1 || got[0].m.ID != "ccc" {
			t.Errorf("what is left is %v", got)
		}
	})
}
