// SPDX-License-Identifier: MPL-2.0

package request

import (
	"maps"

	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// ResourcesAttribute is the attribute resources.
func ResourcesAttribute() schema.Attribute {
	attributes := machineAttributes()
	attributes["accelerators"] = schema.DynamicAttribute{
		Optional: true, MarkdownDescription: "Accelerators of a node: " + AcceleratorForms,
		Validators: []validator.Dynamic{AcceleratorsValidator()},
	}
	attributes["ports"] = schema.ListAttribute{
		Optional: true, ElementType: types.StringType,
		MarkdownDescription: "TCP ports and ranges to open to `allowed_cidrs` on every node, such as `\"8080\"` or `\"8000-8010\"`; SSH is open already. Changed in place where the cloud can.",
		Validators:          []validator.List{kit.Elements(kit.CheckPort), kit.NoDuplicates()},
	}
	attributes["labels"] = schema.MapAttribute{
		Optional: true, ElementType: types.StringType,
		MarkdownDescription: "Labels (tags) on every machine and disk that can carry them. Keys must not begin with `sky-`. Changed in place.",
		Validators:          []validator.Map{mapvalidator.KeysAre(kit.Checked(kit.CheckLabelKey)), kit.Elements(kit.CheckLabelValue)},
	}
	for name, text := range map[string]string{
		"any_of":  "Alternatives; the cheapest that can be had wins. Each takes the fields above it as defaults and overrides them with its own.",
		"ordered": "Alternatives in order of preference; an earlier one wins over a cheaper later one. Not together with `any_of`.",
	} {
		attributes[name] = schema.ListNestedAttribute{
			Optional: true, MarkdownDescription: text,
			NestedObject: schema.NestedAttributeObject{Attributes: machineAttributes()},
		}
	}
	maps.Copy(attributes, choiceAttributes())
	return schema.SingleNestedAttribute{
		Required: true, Attributes: attributes,
		MarkdownDescription: "What every node must be. Terraform passes over a member that it does not know, such as a misspelt one, without a word: the plan shows what it took. An empty object asks for 8 vCPUs or more with 4 GiB each. " +
			"A machine that nobody asked for by name or attribute is x86_64, neither burstable nor bare metal nor of a previous generation, and has no accelerators unless nothing else fits. " +
			"A change replaces the cluster only where its present machines no longer satisfy it.",
	}
}

// What the attributes say of which types are taken, here and in the data source.
const (
	FamiliesText = "Families or types to choose from, by the cloud's own names, with `*` for any part: `[\"m6i\", \"n2\"]`, `[\"t3*\"]`, `[\"*.metal\"]`. " +
		"What is named here is taken whatever it is: burstable, of a previous generation, promotional, bare metal, of any `arch`, with accelerators. Default any family but such types."
	PreferredText = "Regions that win among offers of one price, the first before the second; regions near them come next. A region of one cloud stands for the part of the world that it lies in on the others. Default the provider block's, else the regions that most users expect, those of the United States first."
	ExcludedText  = "Families or types that are not taken, as in `instance_families`, such as `[\"*-flex\"]`."
	ArchText      = "The architecture of the processors: `x86_64`, `arm64` or `any`. Default `x86_64`, and whatever there is where the accelerators, the instance type, the families or the image are for another one."
	BurstableText = "Whether to take burstable machines, too, which slow down once their credits are used up. Default `false`. On AWS they get the credits `standard`, which never cost more than the machine's price."
)

// typeList is an attribute of families or types.
func typeList(text string) schema.Attribute {
	return schema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: text, Validators: TypeValidators()}
}

// TypeValidators check an attribute of families or types.
func TypeValidators() []validator.List {
	return []validator.List{kit.Elements(cloud.CheckTypePattern), kit.NoDuplicates()}
}

func machineAttributes() map[string]schema.Attribute {
	text := func(description string, check kit.StringCheck) schema.Attribute {
		return schema.StringAttribute{Optional: true, MarkdownDescription: description, Validators: []validator.String{kit.Checked(check)}}
	}
	return map[string]schema.Attribute{
		"infra":             text("Where: `cloud`, `cloud/region` or `cloud/region/zone`, `*` for any. Not together with `cloud`, `region` or `zone`.", kit.CheckInfra),
		"cloud":             text("The cloud. Default the cheapest enabled one.", kit.CheckPlaceName),
		"region":            text("The region. Default the cheapest.", kit.CheckPlaceName),
		"zone":              text("The zone. Default any of the region.", kit.CheckPlaceName),
		"instance_type":     text("The exact instance type, by the cloud's own name.", kit.CheckBlank),
		"instance_families": typeList(FamiliesText), "excluded_instance_types": typeList(ExcludedText),
		"arch":         text(ArchText, cloud.CheckArch),
		"burstable":    schema.BoolAttribute{Optional: true, MarkdownDescription: BurstableText},
		"accelerators": text("Accelerators of a node, `NAME` or `NAME:COUNT`, such as `\"A100:8\"`. One only: several are several alternatives.", kit.CheckAccelerators),
		"cpus":         text("vCPUs of a node: `\"8\"` exactly or `\"8+\"` at least.", kit.CheckCPUs),
		"memory":       text("Memory of a node in GiB: `\"32\"` exactly, `\"32+\"` at least, or `\"4x\"` at least four for each vCPU.", kit.CheckMemory),
		"use_spot":     schema.BoolAttribute{Optional: true, MarkdownDescription: "Whether to buy spot machines, cheaper ones that the cloud may take back. Default `false`. `market` says more; not together with it."},
		"market":       text("How machines are bought: `on_demand` (default), `spot`, `any` (whichever is cheaper) or `spot_then_on_demand` (spot wherever it can be had, else on demand).", kit.CheckMarket),
		"disk_size": schema.Int64Attribute{
			Optional: true, MarkdownDescription: "Size of a node's boot disk in GiB. Default the cloud's.",
			Validators: []validator.Int64{kit.Between(1, kit.MaxDiskGiB, "GiB")},
		},
		"disk_tier": text("How fast a node's boot disk is: `low`, `medium`, `high`, `ultra` or `best` (the fastest that the cloud has). Default the cloud's. Clouds without the tier are left out.", kit.CheckDiskTier),
		"image_id":  text("The machine image: a tag of the catalog, such as `skypilot:gpu-ubuntu-2204`, or the cloud's own id. Default the cloud's for the machine.", kit.CheckBlank),
		"max_hourly_cost": schema.Float64Attribute{
			CustomType: kit.FloatType{}, Optional: true, MarkdownDescription: "The most the whole cluster may cost, in US dollars an hour. It bounds every attempt of the failover.",
			Validators: []validator.Float64{kit.Price()},
		},
		"estimated_hours": schema.Float64Attribute{
			CustomType: kit.FloatType{}, Optional: true, MarkdownDescription: "How long the work runs on such machines, in hours, for `objective = \"time\"` and for weighing `inputs`. Default 1.",
			Validators: []validator.Float64{kit.Above("hours", "1.5")},
		},
	}
}

// choiceAttributes say how to choose between what fits.
func choiceAttributes() map[string]schema.Attribute {
	place := func(description string, check kit.StringCheck) schema.Attribute {
		return schema.StringAttribute{Optional: true, MarkdownDescription: description, Validators: []validator.String{kit.Checked(check)}}
	}
	return map[string]schema.Attribute{
		"preferred_regions": schema.ListAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: PreferredText,
			Validators:          []validator.List{kit.Elements(kit.CheckPlaceName), kit.NoDuplicates()},
		},
		"objective": schema.StringAttribute{
			Optional: true, MarkdownDescription: "What the best placement is: the one of the least `cost` (default), or of the least `time` by `estimated_hours`.",
			Validators: []validator.String{kit.Checked(kit.CheckOneOf(string(optimizer.Cost), string(optimizer.Time)))},
		},
		"inputs": schema.ListNestedAttribute{
			Optional: true, MarkdownDescription: "Data that the work reads. What it costs to bring it to another cloud counts in the ranking, by the list price of the cloud that it leaves; where that is not known, the plan says so.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"cloud":   schema.StringAttribute{Required: true, MarkdownDescription: "The cloud it lies on.", Validators: []validator.String{kit.Checked(kit.CheckPlaceName)}},
				"region":  place("The region it lies in.", kit.CheckPlaceName),
				"size_gb": schema.Float64Attribute{CustomType: kit.FloatType{}, Required: true, MarkdownDescription: "Its size in gigabytes.", Validators: []validator.Float64{kit.Above("gigabytes", "100")}},
			}},
		},
		"reserved": schema.ListNestedAttribute{
			Optional: true, MarkdownDescription: "Capacity that is paid for already: machines of it count as free.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"cloud":         schema.StringAttribute{Required: true, MarkdownDescription: "The cloud.", Validators: []validator.String{kit.Checked(kit.CheckPlaceName)}},
				"region":        place("The region. Default any.", kit.CheckPlaceName),
				"zone":          place("The zone. Default any.", kit.CheckPlaceName),
				"instance_type": schema.StringAttribute{Required: true, MarkdownDescription: "The instance type.", Validators: []validator.String{kit.NotBlank()}},
				"count": schema.Int64Attribute{
					Required: true, MarkdownDescription: "How many machines.", Validators: []validator.Int64{kit.Between(1, kit.MaxNodes, "a number of machines")},
				},
			}},
		},
	}
}
