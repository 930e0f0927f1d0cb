// SPDX-License-Identifier: MPL-2.0

package clusters

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
	// PublicPorts is null where every port is reached under its own number.
	PublicPorts types.Map `tfsdk:"public_ports"`
}

func nodeType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"rank": types.Int64Type, "instance_id": types.StringType, "internal_ip": types.StringType,
		"external_ip": types.StringType, "ssh_port": types.Int64Type, "host_key": types.StringType,
		"status": types.StringType, "reason": types.StringType, "public_ports": types.MapType{ElemType: types.Int64Type},
	}}
}
