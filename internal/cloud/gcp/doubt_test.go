// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp/gcpfake"
)

// another is a driver of another process, which launched nothing.
func another(t *testing.T, a account) *driver {
	t.Helper()
	s, err := Factory{tune: hurry}.Open(t.Context(), a.Credentials())
	if err != nil {
		t.Fatal(err)
	}
	d, ok := s.Provisioner.(*driver)
	if !ok {
		t.Fatalf("the provisioner is a %T", s.Provisioner)
	}
	return d
}

// TestFailedLookupIsNotAbsence: a machine that the listing by labels misses, and
// whose lookup by id fails, is not one that is gone.
func TestFailedLookupIsNotAbsence(t *testing.T) {
	const lists = "compute.instances.aggregatedList"
	unreachable := fakekit.Fault{Call: lists, Answer: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(compute.InstanceAggregatedList{Items: map[string]compute.InstancesScopedList{
			"zones/" + testZone: {Warning: &compute.InstancesScopedListWarning{Code: "UNREACHABLE", Message: "no answer"}},
		}})
	}}
	for name, fault := range map[string]fakekit.Fault{
		"forbidden":           {Call: lists, Refuse: fakekit.Refusef(http.StatusForbidden, "forbidden", "no")},
		"too many calls":      {Call: lists, Refuse: fakekit.Refusef(http.StatusTooManyRequests, "rateLimitExceeded", "no")},
		"out of order":        {Call: lists, Refuse: fakekit.Refusef(http.StatusServiceUnavailable, "backendError", "no")},
		"an unreachable zone": unreachable,
	} {
		t.Run(name, func(t *testing.T) {
			a, d := opened(t, gcpfake.Options{VisibleAfter: time.Hour})
			spec, at := testSpec(1)
			_, record := up(t, d, spec, at)
			fresh, ref := another(t, a), testRef
			ref.Zone, ref.Instances = "", record.Created
			fault.Match = "id+%3D+" // the lookup by id
			remove := a.Kit.Inject(fault)
			if got, err := fresh.Query(t.Context(), ref); err == nil {
				t.Errorf("Query = %v, want an error", got)
			}
			if err := fresh.Terminate(t.Context(), ref); err == nil || len(a.Instances()) != 1 {
				t.Errorf("Terminate = %v with %d machines left, want an error", err, len(a.Instances()))
			}
			remove()
			if got, err := fresh.Query(t.Context(), ref); err != nil || len(got) != 0 {
				t.Errorf("after the fault Query = %v, %v; want what the listings show", got, err)
			}
		})
	}
}

// TestLaunchInDoubtIsNotForgotten: an insert that was accepted, or that met a
// machine of its name, may have made one, whatever becomes of the calls that follow.
func TestLaunchInDoubtIsNotForgotten(t *testing.T) {
	for name, tt := range map[string]struct {
		fault gcpfake.Fault
		// there says that a session before this one made the machine.
		there bool
	}{
		"the look is forbidden": {fault: gcpfake.Fault{Method: "compute.instances.get", Status: http.StatusForbidden, Reason: "forbidden"}},
		"the wait is forbidden": {fault: gcpfake.Fault{Method: "compute.zoneOperations.wait", Status: http.StatusForbidden, Reason: "forbidden"}},
		"the token expires":     {fault: gcpfake.Fault{Method: "compute.zoneOperations.wait", Status: http.StatusUnauthorized, Reason: "authError"}},
		"its name is there":     {fault: gcpfake.Fault{Method: "compute.instances.get", Status: http.StatusForbidden, Reason: "forbidden"}, there: true},
	} {
		t.Run(name, func(t *testing.T) {
			a, d := opened(t, gcpfake.Options{VisibleAfter: time.Hour})
			spec, at := testSpec(1)
			if tt.there {
				id := spec.Nodes[0].Identity
				labels, metadata := codec().Encode(id.Tags())
				a.AddInstance(compute.Instance{Name: id.Name(maxNameLength), MachineType: "e2-small", Labels: labels, Metadata: &compute.Metadata{Items: metadataItems(metadata)}}, testZone)
			}
			cfg, err := d.Bootstrap(t.Context(), spec, at)
			if err != nil {
				t.Fatal(err)
			}
			remove := a.Inject(tt.fault)
			_, err = d.Run(t.Context(), testRef, cfg)
			remove()
			if err == nil || d.Classify(err).Kind != cloud.KindAuth || d.Refused(err) {
				t.Errorf("Run = %v (%v), refused: %t; want an error of credentials that leaves it open", err, d.Classify(err), d.Refused(err))
			}
			if got, err := d.Query(t.Context(), testRef); err != nil || len(got) != 1 {
				t.Errorf("Query = %v, %v; want the machine", got, err)
			}
			if err := d.Terminate(t.Context(), testRef); err != nil || len(a.Instances())+len(a.Disks()) > 0 {
				t.Errorf("Terminate = %v with %d machines and %d disks left", err, len(a.Instances()), len(a.Disks()))
			}
		})
	}
}

// TestRescuedDisk: who attached a disk of ours to a machine of his own keeps it,
// and the removal ends.
func TestRescuedDisk(t *testing.T) {
	a, d := opened(t, gcpfake.Options{})
	spec, at := testSpec(1)
	up(t, d, spec, at)
	a.AddDisk(compute.Disk{Name: "rescued", Labels: a.Disks()[0].Labels, Users: []string{"projects/x/zones/" + testZone + "/instances/theirs"}}, testZone)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // of a removal that does not end
	defer cancel()
	if err := d.Terminate(ctx, spec.Ref); err != nil {
		t.Fatal(err)
	}
	if left := a.Disks(); len(left) != 1 || left[0].Name != "rescued" || len(a.Instances()) > 0 {
		t.Errorf("the disks left are %v, beside %d machines", left, len(a.Instances()))
	}
}
