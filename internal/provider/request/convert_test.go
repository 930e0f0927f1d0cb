// SPDX-License-Identifier: MPL-2.0

package request

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/about"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// object builds a Terraform object of the types, null where not given.
func object(of map[string]attr.Type, values map[string]attr.Value) types.Object {
	all := kit.Nulls(context.Background(), of)
	for name, v := range values {
		if of[name].Equal(types.DynamicType) {
			v = types.DynamicValue(v)
		}
		all[name] = v
	}
	return types.ObjectValueMust(of, all)
}

type values = map[string]attr.Value

func resourcesOf(v values) types.Object { return object(ResourcesTypes(), v) }

func machines(items ...values) types.List {
	var elems []attr.Value
	for _, v := range items {
		elems = append(elems, object(MachineTypes(), v))
	}
	return types.ListValueMust(types.ObjectType{AttrTypes: MachineTypes()}, elems)
}

func text(s string) attr.Value { return types.StringValue(s) }

func texts(s ...string) types.List {
	var elems []attr.Value
	for _, v := range s {
		elems = append(elems, types.StringValue(v))
	}
	return types.ListValueMust(types.StringType, elems)
}

func requestOf(t *testing.T, v values, nodes int) optimizer.Request {
	t.Helper()
	w, known, diags := Read(context.Background(), resourcesOf(v))
	if diags.HasError() || !known {
		t.Fatalf("readResources: known %v, %v", known, diags)
	}
	req, err := w.Request(nodes)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestRequest(t *testing.T) {
	t4 := []cloud.Accelerator{{Name: "T4", Count: 1}}
	tests := []struct {
		name string
		in   values
		want optimizer.Request
	}{
		{"nothing asked for", nil, optimizer.Request{Nodes: 2, Alternatives: []cloud.Requirement{{
			CPUs: cloud.Quantity{Value: 8, AtLeast: true}, Memory: cloud.Quantity{Value: 4, AtLeast: true, PerVCPU: true}, Ports: []cloud.PortRange{},
		}}}},
		{"everything", values{
			"infra": text("aws/us-east-1/*"), "accelerators": text("T4:1"), "cpus": text("8+"), "memory": text("32"), "instance_type": text("g4dn"),
			"use_spot": types.BoolValue(true), "disk_size": types.Int64Value(100), "disk_tier": text("high"), "image_id": text("ami-1"), "max_hourly_cost": types.Float64Value(2.5),
			"ports": texts("80"), "labels": types.MapValueMust(types.StringType, values{"team": text("x")}),
		}, optimizer.Request{Nodes: 2, Alternatives: []cloud.Requirement{{
			Cloud: "aws", Region: "us-east-1", InstanceType: "g4dn", Accelerators: t4, CPUs: cloud.Quantity{Value: 8, AtLeast: true},
			Memory: cloud.Quantity{Value: 32}, Markets: []cloud.Market{cloud.Spot}, MaxHourlyUSD: 2.5, DiskGiB: 100, DiskTier: "high", Image: "ami-1",
			Ports: []cloud.PortRange{{First: 80, Last: 80}}, Labels: map[string]string{"team": "x"},
		}}}},
		{"alternatives override", values{
			"infra": text("aws/us-east-1/us-east-1a"), "use_spot": types.BoolValue(true), "accelerators": text("T4:1"),
			"any_of": machines(values{}, values{"region": text("us-west-2")}, values{"cloud": text("GCP"), "use_spot": types.BoolValue(false)}),
		}, optimizer.Request{Nodes: 2, Alternatives: []cloud.Requirement{
			{Cloud: "aws", Region: "us-east-1", Zone: "us-east-1a", Accelerators: t4, Markets: []cloud.Market{cloud.Spot}, Ports: []cloud.PortRange{}},
			{Cloud: "aws", Region: "us-west-2", Accelerators: t4, Markets: []cloud.Market{cloud.Spot}, Ports: []cloud.PortRange{}},
			{Cloud: "gcp", Accelerators: t4, Ports: []cloud.PortRange{}},
		}}},
		{"how to choose", values{
			"accelerators": text("T4"), "market": text("spot_then_on_demand"), "estimated_hours": types.Float64Value(3), "objective": text("time"),
			"inputs": types.ListValueMust(inputType(), []attr.Value{object(inputType().AttrTypes, values{"cloud": text("AWS"), "size_gb": types.Float64Value(500)})}),
			"reserved": types.ListValueMust(reservedType(), []attr.Value{object(reservedType().AttrTypes, values{
				"cloud": text("gcp"), "instance_type": text("a2-highgpu-1g"), "count": types.Int64Value(4),
			})}),
		}, optimizer.Request{
			Nodes: 2, Objective: optimizer.Time, Inputs: []optimizer.Input{{Cloud: "aws", SizeGB: 500, Egress: about.Of("aws").Egress}},
			Reserved: []optimizer.Reservation{{Cloud: "gcp", InstanceType: "a2-highgpu-1g", Count: 4}},
			Alternatives: []cloud.Requirement{{
				Accelerators: t4, Markets: []cloud.Market{cloud.Spot, cloud.OnDemand}, MarketsOrdered: true, EstimatedHours: 3, Ports: []cloud.PortRange{},
			}},
		}},
		{"accelerators in order", values{"accelerators": texts("A100", "T4"), "any_of": machines(values{"cloud": text("aws")})},
			optimizer.Request{Nodes: 2, Alternatives: []cloud.Requirement{{
				Cloud: "aws", Accelerators: []cloud.Accelerator{{Name: "A100", Count: 1}, {Name: "T4", Count: 1}}, AcceleratorsOrdered: true, Ports: []cloud.PortRange{},
			}}}},
		{"ordered", values{"ordered": machines(values{"accelerators": text("T4")})},
			optimizer.Request{Nodes: 2, Ordered: true, Alternatives: []cloud.Requirement{{Accelerators: t4, Ports: []cloud.PortRange{}}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, requestOf(t, tt.in, 2)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnknownValuesDefer(t *testing.T) {
	for name, v := range map[string]values{
		"a member":         {"cpus": types.StringUnknown()},
		"a list":           {"any_of": types.ListUnknown(types.ObjectType{AttrTypes: MachineTypes()})},
		"a nested member":  {"any_of": machines(values{"cpus": types.StringUnknown()})},
		"an element":       {"ports": types.ListValueMust(types.StringType, []attr.Value{types.StringUnknown()})},
		"a value of a map": {"labels": types.MapValueMust(types.StringType, values{"a": types.StringUnknown()})},
	} {
		if _, known, diags := Read(context.Background(), resourcesOf(v)); known || diags.HasError() {
			t.Errorf("%s: known %v, %v", name, known, diags)
		}
	}
	if _, known, diags := Read(context.Background(), types.ObjectUnknown(ResourcesTypes())); known || diags.HasError() {
		t.Errorf("the whole: known %v, %v", known, diags)
	}
}

// TestConflicts: what is not known yet may turn out to be null, as the half that
// a module's caller leaves out does.
func TestConflicts(t *testing.T) {
	unknown := types.StringUnknown()
	for name, tt := range map[string]struct {
		in   values
		want int
	}{
		"infra and zone":     {values{"infra": text("aws"), "zone": text("z"), "region": text("r")}, 2},
		"market and spot":    {values{"market": text("spot"), "use_spot": types.BoolValue(false)}, 1},
		"infra later":        {values{"infra": unknown, "zone": text("z")}, 0},
		"zone later":         {values{"infra": text("aws"), "zone": unknown}, 0},
		"market later":       {values{"market": unknown, "use_spot": types.BoolValue(true)}, 0},
		"alternatives later": {values{"any_of": types.ListUnknown(types.ObjectType{AttrTypes: MachineTypes()}), "ordered": types.ListUnknown(types.ObjectType{AttrTypes: MachineTypes()})}, 0},
		"no alternatives":    {values{"any_of": types.ListValueMust(types.ObjectType{AttrTypes: MachineTypes()}, nil)}, 1},
	} {
		w, _, diags := Read(context.Background(), resourcesOf(tt.in))
		if diags = append(diags, w.Conflicts(path.Root("resources"))...); diags.ErrorsCount() != tt.want {
			t.Errorf("%s: %v, want %d errors", name, diags, tt.want)
		}
	}
}
