// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// clusterModel is sky_cluster as Terraform holds it.
type clusterModel struct {
	Name           types.String   `tfsdk:"name"`
	NumNodes       types.Int64    `tfsdk:"num_nodes"`
	Resources      types.Object   `tfsdk:"resources"`
	Setup          types.String   `tfsdk:"setup"`
	Envs           types.Map      `tfsdk:"envs"`
	Workdir        types.String   `tfsdk:"workdir"`
	FileMounts     types.Map      `tfsdk:"file_mounts"`
	AllowedCIDRs   types.List     `tfsdk:"allowed_cidrs"`
	OnSetupFailure types.String   `tfsdk:"on_setup_failure"`
	Runtime        types.String   `tfsdk:"runtime"`
	DesiredStatus  types.String   `tfsdk:"desired_status"`
	Recovery       types.String   `tfsdk:"recovery"`
	Autostop       types.Object   `tfsdk:"autostop"`
	OnAutostop     types.String   `tfsdk:"on_autostop"`
	CreateFirst    types.Bool     `tfsdk:"create_before_destroy"`
	Timeouts       timeouts.Value `tfsdk:"timeouts"`

	factsModel
	SSHConfigPath    types.String `tfsdk:"ssh_config_path"`
	Endpoints        types.Map    `tfsdk:"endpoints"`
	ProcessManager   types.String `tfsdk:"process_manager"`
	WorkdirDigest    types.String `tfsdk:"workdir_digest"`
	FileMountsDigest types.String `tfsdk:"file_mounts_digest"`
	ChangedOutside   types.List   `tfsdk:"changed_outside"`
}

// factsModel is what the resource and the data source both tell of a cluster.
type factsModel struct {
	ID           types.String  `tfsdk:"id"`
	Cloud        types.String  `tfsdk:"cloud"`
	Region       types.String  `tfsdk:"region"`
	Zone         types.String  `tfsdk:"zone"`
	InstanceType types.String  `tfsdk:"instance_type"`
	Accelerators types.String  `tfsdk:"accelerators"`
	Market       types.String  `tfsdk:"market"`
	HourlyCost   types.Float64 `tfsdk:"hourly_cost"`
	Status       types.String  `tfsdk:"status"`
	StatusReason types.String  `tfsdk:"status_reason"`
	SSHUser      types.String  `tfsdk:"ssh_user"`
	SSHKeyPath   types.String  `tfsdk:"ssh_key_path"`
	SSHCommand   types.String  `tfsdk:"ssh_command"`
	HeadIP       types.String  `tfsdk:"head_ip"`
	Nodes        types.List    `tfsdk:"nodes"`
	Generation   types.String  `tfsdk:"generation"`
	Account      types.String  `tfsdk:"account"`
	Owner        types.String  `tfsdk:"owner"`
	LaunchedAt   types.String  `tfsdk:"launched_at"`
}

// machineModel is what one node must be, less its accelerators, which are of
// one type in resources and of another in its alternatives.
type machineModel struct {
	Infra          types.String  `tfsdk:"infra"`
	Cloud          types.String  `tfsdk:"cloud"`
	Region         types.String  `tfsdk:"region"`
	Zone           types.String  `tfsdk:"zone"`
	InstanceType   types.String  `tfsdk:"instance_type"`
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
	machineModel
	Accelerators types.String `tfsdk:"accelerators"`
}

// resourcesModel is the attribute resources.
type resourcesModel struct {
	machineModel
	Accelerators types.Dynamic `tfsdk:"accelerators"`
	Ports        types.List    `tfsdk:"ports"`
	Labels       types.Map     `tfsdk:"labels"`
	AnyOf        types.List    `tfsdk:"any_of"`
	Ordered      types.List    `tfsdk:"ordered"`
	Objective    types.String  `tfsdk:"objective"`
	Inputs       types.List    `tfsdk:"inputs"`
	Reserved     types.List    `tfsdk:"reserved"`
}

// inputModel is data that the work reads.
type inputModel struct {
	Cloud  types.String  `tfsdk:"cloud"`
	Region types.String  `tfsdk:"region"`
	SizeGB types.Float64 `tfsdk:"size_gb"`
}

func inputType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"cloud": types.StringType, "region": types.StringType, "size_gb": floatType{},
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

// nodeModel is one element of nodes.
type nodeModel struct {
	Rank       types.Int64  `tfsdk:"rank"`
	InstanceID types.String `tfsdk:"instance_id"`
	InternalIP types.String `tfsdk:"internal_ip"`
	ExternalIP types.String `tfsdk:"external_ip"`
	SSHPort    types.Int64  `tfsdk:"ssh_port"`
	HostKey    types.String `tfsdk:"host_key"`
	Status     types.String `tfsdk:"status"`
	Reason     types.String `tfsdk:"reason"`
}

func nodeType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"rank": types.Int64Type, "instance_id": types.StringType, "internal_ip": types.StringType,
		"external_ip": types.StringType, "ssh_port": types.Int64Type, "host_key": types.StringType,
		"status": types.StringType, "reason": types.StringType,
	}}
}

func machineTypes() map[string]attr.Type {
	return map[string]attr.Type{
		"infra": types.StringType, "cloud": types.StringType, "region": types.StringType, "zone": types.StringType,
		"instance_type": types.StringType, "accelerators": types.StringType, "cpus": types.StringType,
		"memory": types.StringType, "use_spot": types.BoolType, "market": types.StringType, "disk_size": types.Int64Type,
		"disk_tier": types.StringType,
		"image_id":  types.StringType, "max_hourly_cost": floatType{}, "estimated_hours": floatType{},
	}
}

func resourcesTypes() map[string]attr.Type {
	out := machineTypes()
	out["accelerators"] = types.DynamicType
	alternatives := types.ListType{ElemType: types.ObjectType{AttrTypes: machineTypes()}}
	out["ports"] = types.ListType{ElemType: types.StringType}
	out["labels"] = types.MapType{ElemType: types.StringType}
	out["any_of"], out["ordered"] = alternatives, alternatives
	out["objective"] = types.StringType
	out["inputs"], out["reserved"] = types.ListType{ElemType: inputType()}, types.ListType{ElemType: reservedType()}
	return out
}

// stringTypes is an object type of strings with the names of m.
func stringTypes[V any](m map[string]V) map[string]attr.Type {
	out := map[string]attr.Type{}
	for name := range m {
		out[name] = types.StringType
	}
	return out
}
