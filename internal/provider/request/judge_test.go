// SPDX-License-Identifier: MPL-2.0

package request

import (
	"maps"
	"slices"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

func TestJudge(t *testing.T) {
	present := cloud.Offer{
		Cloud: "fluffycloud", Region: "meadow-1", Zone: "meadow-1a", Market: cloud.OnDemand, HourlyUSD: 0.438,
		InstanceType: cloud.InstanceType{Name: "drizzle-t4-1", VCPUs: 4, MemoryGiB: 16, Accelerator: cloud.Accelerator{Name: "T4", Count: 1}},
	}
	t4 := values{"accelerators": text("T4:1")}
	with := func(v values) values {
		out := values{"accelerators": text("T4:1")}
		for k, x := range v {
			out[k] = x
		}
		return out
	}
	tests := []struct {
		name     string
		old, now values
		replace  []string
	}{
		{"another accelerator", t4, values{"accelerators": text("A100:1")}, []string{"accelerators"}},
		{"a looser wish", t4, values{"cpus": text("2+")}, nil},
		{"memory it has", t4, with(values{"memory": text("16+")}), nil},
		{"memory it lacks", t4, with(values{"memory": text("64+")}), []string{"memory"}},
		{"only the culprit is blamed", t4, with(values{"memory": text("64+"), "cpus": text("4")}), []string{"memory"}},
		{"its own region", t4, with(values{"region": text("meadow-1")}), nil},
		{"another zone", t4, with(values{"zone": text("meadow-1b")}), []string{"zone"}},
		{"another cloud", t4, with(values{"infra": text("aws")}), []string{"infra"}},
		{"spot", t4, with(values{"use_spot": types.BoolValue(true)}), []string{"use_spot"}},
		{"use_spot = false is the default", t4, with(values{"use_spot": types.BoolValue(false)}), nil},
		{"a bound above the price", t4, with(values{"max_hourly_cost": types.Float64Value(0.9)}), nil},
		{"a bound below the price", t4, with(values{"max_hourly_cost": types.Float64Value(0.8)}), []string{"max_hourly_cost"}},
		{"a faster disk", t4, with(values{"disk_tier": types.StringValue("high")}), []string{"disk_tier"}},
		{"a bigger disk", t4, with(values{"disk_size": types.Int64Value(200)}), []string{"disk_size"}},
		{"another image", t4, with(values{"image_id": text("img")}), []string{"image_id"}},
		{"an alternative fits", t4, values{"any_of": machines(values{"accelerators": text("A100")}, values{"accelerators": text("T4")})}, nil},
		{"no alternative fits", t4, values{"any_of": machines(values{"accelerators": text("A100")})}, []string{"accelerators", "any_of"}},
		{"after import", nil, with(values{"disk_size": types.Int64Value(200)}), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := requestOf(t, tt.now, 2)
			before := types.ObjectNull(ResourcesTypes())
			v := Verdict{}
			if tt.old == nil {
				v = Judge(present, 2, nil, now, ChangedMembers(before, resourcesOf(tt.now)))
			} else {
				old := requestOf(t, tt.old, 2)
				v = Judge(present, 2, &old, now, ChangedMembers(resourcesOf(tt.old), resourcesOf(tt.now)))
			}
			if !slices.Equal(v.Replace, tt.replace) || (v.Why == "") != (len(tt.replace) == 0) {
				t.Errorf("judge = %+v, want %v", v, tt.replace)
			}
		})
	}
}

// Reserved machines cost nothing, so a bound below their list price holds.
func TestJudgeReserved(t *testing.T) {
	present := cloud.Offer{Cloud: "aws", Region: "r", Market: cloud.OnDemand, HourlyUSD: 30, InstanceType: cloud.InstanceType{Name: "p4d.24xlarge", MemoryGiB: 1152}}
	req := optimizer.Request{Alternatives: []cloud.Requirement{{MaxHourlyUSD: 40}}}
	if v := Judge(present, 2, &req, req, []string{"memory"}); len(v.Replace) == 0 {
		t.Error("two machines at $30 stay under a bound of $40")
	}
	req.Reserved = []optimizer.Reservation{{Cloud: "aws", InstanceType: "p4d.24xlarge", Count: 1}}
	if v := Judge(present, 2, &req, req, []string{"memory"}); len(v.Replace) > 0 {
		t.Errorf("one of the two is reserved, and yet %+v", v)
	}
}

// What is left out by default decides about launches: a cluster that runs stays, until
// somebody asks for something else.
func TestJudgeKeepsWhatDefaultsLeaveOut(t *testing.T) {
	present := cloud.Offer{
		Cloud: "aws", Region: "us-east-1", Market: cloud.OnDemand, HourlyUSD: 0.2,
		InstanceType: cloud.InstanceType{Name: "t4g.2xlarge", VCPUs: 8, MemoryGiB: 32, Arch: cloud.ArchARM, Traits: cloud.Burstable},
	}
	list := func(s string) types.List { return types.ListValueMust(types.StringType, []attr.Value{text(s)}) }
	old := requestOf(t, values{}, 1)
	for name, tt := range map[string]struct {
		now     values
		replace []string
	}{
		"fewer":              {values{"cpus": text("2+")}, nil},
		"no burstable ones":  {values{"burstable": types.BoolValue(false)}, nil},
		"its architecture":   {values{"arch": text("arm64")}, nil},
		"another one":        {values{"arch": text("x86_64")}, []string{"arch"}},
		"its family":         {values{"instance_families": list("t4g")}, nil},
		"another family":     {values{"instance_families": list("m6i")}, []string{"instance_families"}},
		"excluded":           {values{"excluded_instance_types": list("t4*")}, []string{"excluded_instance_types"}},
		"a preferred region": {values{"preferred_regions": list("eu-west-1")}, nil},
	} {
		now := requestOf(t, tt.now, 1)
		v := Judge(present, 1, &old, now, ChangedMembers(resourcesOf(values{}), resourcesOf(tt.now)))
		if !slices.Equal(v.Replace, tt.replace) {
			t.Errorf("%s: %+v, want %v", name, v, tt.replace)
		}
	}
}

// TestUndecidedIsWhatMayForce holds neverForces to what running machines are judged by:
// a member that is known at apply only must not replace a cluster that it cannot replace.
func TestUndecidedIsWhatMayForce(t *testing.T) {
	forces := judged(&cloud.Requirement{})
	for _, name := range []string{"disk_size", "disk_tier", "image_id", "any_of", "ordered"} {
		forces[name] = cloud.Requirement{}
	}
	delete(forces, "max_hourly_cost") // forces only where the cluster became too expensive
	members := map[string]attr.Value{}
	for name, kind := range ResourcesTypes() {
		unknown, err := kind.ValueFromTerraform(t.Context(), tftypes.NewValue(kind.TerraformType(t.Context()), tftypes.UnknownValue))
		if err != nil {
			t.Fatal(err)
		}
		members[name] = unknown
	}
	want := slices.Sorted(maps.Keys(forces))
	if got := Undecided(types.ObjectValueMust(ResourcesTypes(), members)); !slices.Equal(got, want) {
		t.Errorf("members that may force a replacement once they are known:\n%v, want\n%v", got, want)
	}
}
