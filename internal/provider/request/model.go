// SPDX-License-Identifier: MPL-2.0

// Package request is the attribute resources: its schema, its types, the
// optimizer's request that it stands for, and whether machines that run satisfy a
// changed one. The conversions are pure.
package request

import (
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// Machine is what one node must be, less its accelerators, which are of
// one type in resources and of another in its alternatives.
type Machine struct {
	Infra          types.String  `tfsdk:"infra"`
	Cloud          types.String  `tfsdk:"cloud"`
	Region         types.String  `tfsdk:"region"`
	Zone           types.String  `tfsdk:"zone"`
	InstanceType   types.String  `tfsdk:"instance_type"`
	Families       types.List    `tfsdk:"instance_families"`
	ExcludedTypes  types.List    `tfsdk:"excluded_instance_types"`
	Arch           types.String  `tfsdk:"arch"`
	Burstable      types.Bool    `tfsdk:"burstable"`
	CPUs           types.String  `tfsdk:"cpus"`
	Memory         types.String  `tfsdk:"memory"`
	UseSpot        types.Bool    `tfsdk:"use_spot"`
	Market         types.String  `tfsdk:"market"`
	DiskSize       types.Int64   `tfsdk:"disk_size"`
	DiskTier       types.String  `tfsdk:"disk_tier"`
	ImageID        types.String  `tfsdk:"image_id"`
	MaxHourlyCost  types.Float64 `tfsdk:"max_hourly_cost"`
	EstimatedHours types.Float64 `tfsdk:"estimated_hours"`
}

// alternativeModel is one of any_of or ordered. Terraform has no lists whose
// elements hold values of any type, so it names one accelerator.
type alternativeModel struct {
	Machine
	Accelerators types.String `tfsdk:"accelerators"`
}

// resourcesModel is the attribute resources.
type resourcesModel struct {
	Machine
	Accelerators types.Dynamic `tfsdk:"accelerators"`
	Ports        types.List    `tfsdk:"ports"`
	Labels       types.Map     `tfsdk:"labels"`
	AnyOf        types.List    `tfsdk:"any_of"`
	Ordered      types.List    `tfsdk:"ordered"`
	Objective    types.String  `tfsdk:"objective"`
	Inputs       types.List    `tfsdk:"inputs"`
	Reserved     types.List    `tfsdk:"reserved"`
	Preferred    types.List    `tfsdk:"preferred_regions"`
}

// inputModel is data that the work reads.
type inputModel struct {
	Cloud  types.String  `tfsdk:"cloud"`
	Region types.String  `tfsdk:"region"`
	SizeGB types.Float64 `tfsdk:"size_gb"`
}

func inputType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"cloud": types.StringType, "region": types.StringType, "size_gb": kit.FloatType{},
	}}
}

// reservedModel is capacity that is paid for already.
type reservedModel struct {
	Cloud        types.String `tfsdk:"cloud"`
	Region       types.String `tfsdk:"region"`
	Zone         types.String `tfsdk:"zone"`
	InstanceType types.String `tfsdk:"instance_type"`
	Count        types.Int64  `tfsdk:"count"`
}

func reservedType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"cloud": types.StringType, "region": types.StringType, "zone": types.StringType,
		"instance_type": types.StringType, "count": types.Int64Type,
	}}
}

// MachineTypes are the types of one of any_of or ordered.
func MachineTypes() map[string]attr.Type {
	return map[string]attr.Type{
		"infra": types.StringType, "cloud": types.StringType, "region": types.StringType, "zone": types.StringType,
		"instance_families": types.ListType{ElemType: types.StringType}, "excluded_instance_types": types.ListType{ElemType: types.StringType},
		"arch": types.StringType, "burstable": types.BoolType,
		"instance_type": types.StringType, "accelerators": types.StringType, "cpus": types.StringType,
		"memory": types.StringType, "use_spot": types.BoolType, "market": types.StringType, "disk_size": types.Int64Type,
		"disk_tier": types.StringType,
		"image_id":  types.StringType, "max_hourly_cost": kit.FloatType{}, "estimated_hours": kit.FloatType{},
	}
}

// ResourcesTypes are the types of the attribute resources.
func ResourcesTypes() map[string]attr.Type {
	out := MachineTypes()
	out["accelerators"] = types.DynamicType
	alternatives := types.ListType{ElemType: types.ObjectType{AttrTypes: MachineTypes()}}
	out["ports"] = types.ListType{ElemType: types.StringType}
	out["labels"] = types.MapType{ElemType: types.StringType}
	out["any_of"], out["ordered"] = alternatives, alternatives
	out["objective"], out["preferred_regions"] = types.StringType, types.ListType{ElemType: types.StringType}
	out["inputs"], out["reserved"] = types.ListType{ElemType: inputType()}, types.ListType{ElemType: reservedType()}
	return out
}
