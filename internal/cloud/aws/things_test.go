// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"slices"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
)

// AWS does not say when a group was made, and a clean-up has to know: a group
// younger than its machines is not left behind.
func TestSurveyTellsTheAgeOfGroups(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	spec, at := request(2, "p4d.24xlarge", cloud.OnDemand)
	spec.NodeConfig = map[string]any{"placement_group": true}
	if _, err := w.launch(t.Context(), spec, at); err != nil {
		t.Fatal(err)
	}
	things, err := w.d.Survey(t.Context(), cloud.ClusterRef{Owner: spec.Ref.Owner, Cloud: Name})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[cloud.ThingKind]bool{}
	for _, thing := range things {
		seen[thing.Kind] = true
		if age := time.Since(thing.CreatedAt); thing.Kind != cloud.ThingMachine && (age < -time.Minute || age > time.Hour) {
			t.Errorf("%s %s was made %s ago", thing.Kind, thing.ID, age)
		}
	}
	if !seen[cloud.ThingFirewall] || !seen[cloud.ThingGroup] {
		t.Errorf("Survey = %+v", things)
	}
}

// A machine that lost the tag of its rank or attempt is nobody's rank any more,
// and is still paid for.
func TestSurveyShowsHalfTagged(t *testing.T) {
	for _, lost := range []string{cloud.TagRank, cloud.TagAttempt} {
		w := newWorld(t, &ec2proxy.Proxy{}, nil)
		spec, at := request(1, "m7g.large", cloud.OnDemand)
		if _, err := w.launch(t.Context(), spec, at); err != nil {
			t.Fatal(err)
		}
		w.fake.mu.Lock()
		for _, i := range w.fake.instances {
			delete(i.tags, lost)
		}
		w.fake.mu.Unlock()
		things, err := w.d.Survey(t.Context(), cloud.ClusterRef{Owner: spec.Ref.Owner, Cloud: Name})
		if err != nil || !slices.ContainsFunc(things, func(t cloud.Thing) bool { return t.Kind == cloud.ThingMachine }) {
			t.Errorf("without %s Survey = %+v, %v, want the machine", lost, things, err)
		}
	}
}

// Terminate of a generation without machines removes the disks that outlived
// them, wherever they are: gc counts on it.
func TestTerminateRemovesLeftDisks(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	spec, at := request(1, "m7g.large", cloud.OnDemand)
	if _, err := w.launch(t.Context(), spec, at); err != nil {
		t.Fatal(err)
	}
	w.fake.mu.Lock()
	w.fake.leaveVolumes = true
	for _, i := range w.fake.instances {
		i.state = "terminated"
	}
	w.fake.mu.Unlock()
	ref := cloud.ClusterRef{Owner: spec.Ref.Owner, Cluster: spec.Ref.Cluster, Generation: spec.Ref.Generation, Cloud: Name}
	disks := func() (n int) {
		things, err := w.d.Survey(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		for _, thing := range things {
			if thing.Kind == cloud.ThingDisk {
				n++
			}
		}
		return n
	}
	if n := disks(); n != 1 {
		t.Fatalf("%d disks are left before, want 1", n)
	}
	if err := w.Terminate(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if n := disks(); n != 0 {
		t.Errorf("%d disks are left after", n)
	}
}
