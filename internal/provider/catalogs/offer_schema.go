// SPDX-License-Identifier: MPL-2.0

package catalogs

import (
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
)

// offerDataModel is sky_catalog_offer as Terraform holds it.
type offerDataModel struct {
	Clouds        types.List    `tfsdk:"clouds"`
	Region        types.String  `tfsdk:"region"`
	Zone          types.String  `tfsdk:"zone"`
	InstanceType  types.String  `tfsdk:"instance_type"`
	Families      types.List    `tfsdk:"instance_families"`
	ExcludedTypes types.List    `tfsdk:"excluded_instance_types"`
	Arch          types.String  `tfsdk:"arch"`
	Burstable     types.Bool    `tfsdk:"burstable"`
	NumNodes      types.Int64   `tfsdk:"num_nodes"`
	Preferred     types.List    `tfsdk:"preferred_regions"`
	Accelerators  types.Dynamic `tfsdk:"accelerators"`
	CPUs          types.String  `tfsdk:"cpus"`
	Memory        types.String  `tfsdk:"memory"`
	UseSpot       types.Bool    `tfsdk:"use_spot"`
	MaxHourlyCost types.Float64 `tfsdk:"max_hourly_cost"`
	Limit         types.Int64   `tfsdk:"limit"`

	Cloud            types.String  `tfsdk:"cloud"`
	Market           types.String  `tfsdk:"market"`
	HourlyCost       types.Float64 `tfsdk:"hourly_cost"`
	VCPUs            types.Float64 `tfsdk:"vcpus"`
	MemoryGiB        types.Float64 `tfsdk:"memory_gib"`
	AcceleratorName  types.String  `tfsdk:"accelerator_name"`
	AcceleratorCount types.Float64 `tfsdk:"accelerator_count"`
	Offers           types.List    `tfsdk:"offers"`
	Catalogs         types.List    `tfsdk:"catalogs"`
	CatalogVersion   types.String  `tfsdk:"catalog_version"`
}

const (
	// defaultOffers is how many offers are listed where limit is not set.
	defaultOffers = 20
	maxOffers     = 1000
)

func offerType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"cloud": types.StringType, "region": types.StringType, "zone": types.StringType, "instance_type": types.StringType,
		"market": types.StringType, "hourly_cost": types.Float64Type, "vcpus": types.Float64Type, "memory_gib": types.Float64Type,
		"accelerator_name": types.StringType, "accelerator_count": types.Float64Type, "accelerator_memory_gib": types.Float64Type,
		"arch": types.StringType,
	}}
}

func catalogType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"cloud": types.StringType, "kind": types.StringType, "path": types.StringType, "date": types.StringType,
		"sha256": types.StringType, "offers": types.Int64Type,
	}}
}

func offerSchema() schema.Schema {
	attributes := offerInputs()
	for name, a := range offerOutputs() {
		attributes[name] = a
	}
	return schema.Schema{
		MarkdownDescription: "The machines that fit, cheapest first, from the catalogs alone: nothing is launched and no cloud is asked. " +
			"Finding nothing is an error that says what each rule removed and what comes closest. " +
			"What it finds is part of the plan, so it can stand in conditions, `check` blocks and outputs.",
		Attributes: attributes,
	}
}

func offerInputs() map[string]schema.Attribute {
	text := func(description string, check kit.StringCheck) schema.Attribute {
		return schema.StringAttribute{Optional: true, MarkdownDescription: description, Validators: []validator.String{kit.Checked(check)}}
	}
	both := func(description string, check kit.StringCheck) schema.Attribute {
		return schema.StringAttribute{Optional: true, Computed: true, MarkdownDescription: description, Validators: []validator.String{kit.Checked(check)}}
	}
	return map[string]schema.Attribute{
		"clouds": schema.ListAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "The clouds to look at; any that has a catalog. Default the enabled clouds.",
			Validators:          []validator.List{kit.Elements(kit.CheckPlaceName), kit.NoDuplicates()},
		},
		"region":        both("The region to look in; the cheapest offer's when left out.", kit.CheckPlaceName),
		"zone":          both("The zone to look in; the cheapest offer's when left out.", kit.CheckPlaceName),
		"instance_type": both("The instance type to look for; the cheapest offer's when left out.", kit.CheckBlank),
		"accelerators": schema.DynamicAttribute{
			Optional: true, Validators: []validator.Dynamic{request.AcceleratorsValidator()},
			MarkdownDescription: "Accelerators: " + request.AcceleratorForms,
		},
		"cpus":     text("vCPUs: `\"8\"` exactly or `\"8+\"` at least.", kit.CheckCPUs),
		"memory":   text("Memory in GiB: `\"32\"` exactly, `\"32+\"` at least, or `\"4x\"` at least four for each vCPU.", kit.CheckMemory),
		"use_spot": schema.BoolAttribute{Optional: true, MarkdownDescription: "Whether to look at spot machines instead of on-demand ones. Default `false`. Not together with `market`."},
		"market":   both("`on_demand` (default), `spot`, `any` for both, or `spot_then_on_demand` for both, all spot offers first; each of `offers` says its own. Not together with `use_spot`.", kit.CheckMarket),
		"max_hourly_cost": schema.Float64Attribute{
			CustomType: kit.FloatType{}, Optional: true, MarkdownDescription: "The most the whole cluster of `num_nodes` may cost, in US dollars an hour, as in `sky_cluster`.", Validators: []validator.Float64{kit.Price()},
		},
		"num_nodes": schema.Int64Attribute{
			Optional: true, MarkdownDescription: "How many machines `max_hourly_cost` is for. Default 1. Prices are those of one machine all the same.",
			Validators: []validator.Int64{kit.Between(1, kit.MaxNodes, "a number of machines")},
		},
		"instance_families":       schema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: request.FamiliesText, Validators: request.TypeValidators()},
		"excluded_instance_types": schema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: request.ExcludedText, Validators: request.TypeValidators()},
		"arch":                    text(request.ArchText, cloud.CheckArch),
		"burstable":               schema.BoolAttribute{Optional: true, MarkdownDescription: request.BurstableText},
		"preferred_regions": schema.ListAttribute{
			Optional: true, ElementType: types.StringType, MarkdownDescription: request.PreferredText,
			Validators: []validator.List{kit.Elements(kit.CheckPlaceName), kit.NoDuplicates()},
		},
		"limit": schema.Int64Attribute{
			Optional: true, MarkdownDescription: "How many offers to list, 1 to 1000. Default 20.",
			Validators: []validator.Int64{kit.Between(1, maxOffers, "a number of offers")},
		},
	}
}

func offerOutputs() map[string]schema.Attribute {
	text := func(description string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	number := func(description string) schema.Attribute {
		return schema.Float64Attribute{Computed: true, MarkdownDescription: description}
	}
	return map[string]schema.Attribute{
		"catalog_version":   text("Hash of the content of all catalogs together; `catalog = { version = ... }` in the provider block pins it."),
		"cloud":             text("The cheapest offer's cloud."),
		"hourly_cost":       number("The cheapest offer's price of one machine, in US dollars an hour."),
		"vcpus":             number("Its virtual CPUs."),
		"memory_gib":        number("Its memory in GiB."),
		"accelerator_name":  text("Its accelerator; empty without one."),
		"accelerator_count": number("How many of them; 0 without any."),
		"offers": schema.ListNestedAttribute{
			Computed: true, MarkdownDescription: "The offers that fit, best first.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"cloud": text("The cloud."), "region": text("The region."), "zone": text("The zone; empty where there are none."),
				"instance_type": text("The instance type."), "market": text("`on_demand` or `spot`."),
				"hourly_cost": number("Price of one machine in US dollars an hour."), "vcpus": number("Virtual CPUs."),
				"memory_gib": number("Memory in GiB."), "accelerator_name": text("The accelerator; empty without one."),
				"accelerator_count": number("How many; 0 without any."), "accelerator_memory_gib": number("Memory of one accelerator in GiB; 0 where unknown."),
				"arch": text("`x86_64` or `arm64`; empty where unknown."),
			}},
		},
		"catalogs": schema.ListNestedAttribute{
			Computed: true, MarkdownDescription: "Which catalog answered for each cloud.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"cloud": text("The cloud."), "kind": text("`path`, `user`, `refreshed` or `embedded`."),
				"path": text("The file."), "date": text("When its prices were written down, RFC 3339; empty where unknown."),
				"sha256": text("Hash of its content."), "offers": schema.Int64Attribute{Computed: true, MarkdownDescription: "How many offers it holds."},
			}},
		},
	}
}
