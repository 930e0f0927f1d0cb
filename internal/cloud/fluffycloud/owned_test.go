// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// TestDearAndUntagged: a machine above the price without its tags does not run on.
func TestDearAndUntagged(t *testing.T) {
	f := newFake(t)
	d := f.driver(t)
	f.on("POST", "/v1/instances", 1, func(w http.ResponseWriter, _ *http.Request) {
		in := f.add(launchRequest{Region: "meadow-1", Zone: "meadow-1a", InstanceType: "small", Market: "on_demand", Tags: map[string]string{}})
		in.HourlyUSD = 100
		answer(w, 201, map[string]any{"instance": in})
	})
	spec, at := testSpec(1)
	cfg, err := d.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	record, err := d.Run(t.Context(), testRef, cfg)
	var dear *priceError
	if !errors.As(err, &dear) || !slices.Equal(record.Created, []string{"i-0"}) {
		t.Errorf("Run = %+v, %v, want the machine and its price", record, err)
	}
	ref := testRef
	ref.Instances = record.Created
	other := f.driver(t) // another process finds it too
	if err := other.Terminate(t.Context(), ref); err != nil || f.machines[0].State != "terminated" {
		t.Errorf("Terminate = %v; the machine is %s", err, f.machines[0].State)
	}
}

// TestSilentExpiry: a machine that is marked and keeps its expiry would end all the
// same, so Commit asks until it has none.
func TestSilentExpiry(t *testing.T) {
	f := newFake(t)
	d := f.driver(t)
	spec, at := testSpec(1)
	spec.Deadline = time.Now().Add(time.Hour)
	cfg, err := d.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Run(t.Context(), testRef, cfg); err != nil {
		t.Fatal(err)
	}
	f.on("PUT", "/v1/instances/i-0/expiry", 2, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 202, map[string]any{"instance": f.machines[0]})
	})
	if err := d.Commit(t.Context(), testRef); err != nil || f.machines[0].ExpiresAt != nil {
		t.Errorf("Commit = %v; the machine ends at %v", err, f.machines[0].ExpiresAt)
	}
}

// TestSurveyShowsHalfTagged: a machine that lost the tag of its rank is paid for.
func TestSurveyShowsHalfTagged(t *testing.T) {
	f := newFake(t)
	d := f.driver(t)
	up(t, d, 1)
	f.edit(func() { delete(f.machines[0].Tags, cloud.TagRank) })
	things, err := d.Survey(t.Context(), testRef)
	if err != nil || !slices.ContainsFunc(things, func(t cloud.Thing) bool { return t.Kind == cloud.ThingMachine && t.ID == "i-0" }) {
		t.Errorf("Survey = %+v, %v, want the machine", things, err)
	}
}
