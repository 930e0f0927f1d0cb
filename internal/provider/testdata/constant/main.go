// SPDX-License-Identifier: MPL-2.0

// Command constant is a provider whose data source returns a constant: what
// BenchmarkPlan measures the real one against. The schema has the shape of
// sky_catalog_offer's, and the constant the size of its answers.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	pschema "github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func main() {
	err := providerserver.Serve(context.Background(), func() provider.Provider { return constant{} },
		providerserver.ServeOpts{Address: "registry.terraform.io/skybroker/sky", ProtocolVersion: 6})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type constant struct{}

func (constant) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "sky"
}

func (constant) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = pschema.Schema{Attributes: map[string]pschema.Attribute{
		"state_dir": pschema.StringAttribute{Optional: true},
		"catalog": pschema.SingleNestedAttribute{Optional: true, Attributes: map[string]pschema.Attribute{
			"offline": pschema.BoolAttribute{Optional: true},
		}},
	}}
}

func (constant) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}
func (constant) Resources(context.Context) []func() resource.Resource                              { return nil }
func (constant) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{func() datasource.DataSource { return offer{} }}
}

type offer struct{}

func (offer) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "sky_catalog_offer"
}

func inputs() []string {
	return []string{"region", "zone", "instance_type", "cpus", "memory", "market", "cloud", "accelerator_name", "catalog_version"}
}

func (offer) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	attributes := map[string]schema.Attribute{
		"clouds": schema.ListAttribute{Optional: true, ElementType: types.StringType}, "accelerators": schema.DynamicAttribute{Optional: true},
		"use_spot": schema.BoolAttribute{Optional: true}, "limit": schema.Int64Attribute{Optional: true},
		"max_hourly_cost": schema.Float64Attribute{Optional: true},
	}
	for _, name := range inputs() {
		attributes[name] = schema.StringAttribute{Optional: true, Computed: true}
	}
	for _, name := range []string{"hourly_cost", "vcpus", "memory_gib", "accelerator_count"} {
		attributes[name] = schema.Float64Attribute{Computed: true}
	}
	attributes["offers"] = nested(offerTypes())
	attributes["catalogs"] = nested(catalogTypes())
	resp.Schema = schema.Schema{Attributes: attributes}
}

func nested(of map[string]attr.Type) schema.Attribute {
	members := map[string]schema.Attribute{}
	for name, t := range of {
		switch t {
		case types.Float64Type:
			members[name] = schema.Float64Attribute{Computed: true}
		case types.Int64Type:
			members[name] = schema.Int64Attribute{Computed: true}
		default:
			members[name] = schema.StringAttribute{Computed: true}
		}
	}
	return schema.ListNestedAttribute{Computed: true, NestedObject: schema.NestedAttributeObject{Attributes: members}}
}

func offerTypes() map[string]attr.Type {
	return map[string]attr.Type{
		"cloud": types.StringType, "region": types.StringType, "zone": types.StringType, "instance_type": types.StringType,
		"market": types.StringType, "hourly_cost": types.Float64Type, "vcpus": types.Float64Type, "memory_gib": types.Float64Type,
		"accelerator_name": types.StringType, "accelerator_count": types.Float64Type, "accelerator_memory_gib": types.Float64Type,
		"arch": types.StringType,
	}
}

func catalogTypes() map[string]attr.Type {
	return map[string]attr.Type{
		"cloud": types.StringType, "kind": types.StringType, "path": types.StringType, "date": types.StringType,
		"sha256": types.StringType, "offers": types.Int64Type,
	}
}

func list(n int, of map[string]attr.Type) types.List {
	members := map[string]attr.Value{}
	for name, t := range of {
		switch t {
		case types.Float64Type:
			members[name] = types.Float64Value(21.957642)
		case types.Int64Type:
			members[name] = types.Int64Value(1234)
		default:
			members[name] = types.StringValue("a text of some length")
		}
	}
	values := make([]attr.Value, n)
	for i := range values {
		values[i] = types.ObjectValueMust(of, members)
	}
	return types.ListValueMust(types.ObjectType{AttrTypes: of}, values)
}

type model struct {
	Clouds         types.List    `tfsdk:"clouds"`
	Accelerators   types.Dynamic `tfsdk:"accelerators"`
	UseSpot        types.Bool    `tfsdk:"use_spot"`
	Limit          types.Int64   `tfsdk:"limit"`
	MaxHourlyCost  types.Float64 `tfsdk:"max_hourly_cost"`
	Region         types.String  `tfsdk:"region"`
	Zone           types.String  `tfsdk:"zone"`
	InstanceType   types.String  `tfsdk:"instance_type"`
	CPUs           types.String  `tfsdk:"cpus"`
	Memory         types.String  `tfsdk:"memory"`
	Market         types.String  `tfsdk:"market"`
	Cloud          types.String  `tfsdk:"cloud"`
	Accelerator    types.String  `tfsdk:"accelerator_name"`
	Version        types.String  `tfsdk:"catalog_version"`
	HourlyCost     types.Float64 `tfsdk:"hourly_cost"`
	VCPUs          types.Float64 `tfsdk:"vcpus"`
	MemoryGiB      types.Float64 `tfsdk:"memory_gib"`
	AcceleratorNum types.Float64 `tfsdk:"accelerator_count"`
	Offers         types.List    `tfsdk:"offers"`
	Catalogs       types.List    `tfsdk:"catalogs"`
}

func (offer) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m model
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	text, number := types.StringValue("a text of some length"), types.Float64Value(21.957642)
	m.Region, m.Zone, m.InstanceType, m.Memory, m.Market, m.Cloud, m.Accelerator, m.Version = text, text, text, text, text, text, text, text
	m.HourlyCost, m.VCPUs, m.MemoryGiB, m.AcceleratorNum = number, number, number, number
	m.Offers, m.Catalogs = list(int(m.Limit.ValueInt64()), offerTypes()), list(2, catalogTypes())
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
