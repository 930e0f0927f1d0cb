// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

var _ datasource.DataSourceWithConfigure = (*clusterDataSource)(nil)

// clusterDataSource is sky_cluster as a data source: a cluster by its name.
type clusterDataSource struct{ data *session.Session }

// NewDataSource makes the data source sky_cluster.
func NewDataSource() datasource.DataSource { return &clusterDataSource{} }

type clusterDataModel struct {
	Name     types.String `tfsdk:"name"`
	NumNodes types.Int64  `tfsdk:"num_nodes"`
	factsModel
}

func (d *clusterDataSource) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "sky_cluster"
}

func (d *clusterDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	text := func(description string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	whole := func(description string) schema.Attribute {
		return schema.Int64Attribute{Computed: true, MarkdownDescription: description}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "A cluster that is there already, by its name: as the state folder knows it, else as its machines on the enabled clouds show it, which is without its price. Its status is asked for anew.",
		Attributes: map[string]schema.Attribute{
			"name":      schema.StringAttribute{Required: true, MarkdownDescription: "The cluster's name.", Validators: []validator.String{kit.Checked(kit.CheckName)}},
			"id":        text("`cloud/region/name`."),
			"num_nodes": whole("How many nodes it has."),
			"cloud":     text("The cloud."), "region": text("The region."), "zone": text("The zone; empty where there are none."),
			"instance_type": text("The instance type."), "accelerators": text("The accelerators of one node; empty without any."),
			"market":      text("`on_demand` or `spot`."),
			"hourly_cost": schema.Float64Attribute{Computed: true, MarkdownDescription: "The price of the whole cluster at launch, in US dollars an hour; 0 where unknown."},
			"status":      text("`UP`, `STOPPED`, `INIT`, `DEGRADED` or `TERMINATED`, as in the resource."), "status_reason": text("Why it has that status; empty when all is well."),
			"ssh_user": text("The user who logs in."), "ssh_key_path": text("The private key's file on this computer; empty where unknown."),
			"ssh_command": text("Opens a shell on the head."), "head_ip": text("The head's address."),
			"generation": text("Tells this cluster from others that have had its name."), "account": text("The cloud account that pays."),
			"owner": text("The owner id on its machines."), "launched_at": text("When it was launched, RFC 3339; empty where unknown."),
			"nodes": schema.ListNestedAttribute{
				Computed: true, MarkdownDescription: "The machines, by rank.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"rank": whole("The node's rank; 0 is the head."), "instance_id": text("The cloud's id."),
					"internal_ip": text("Its address for the other nodes."), "external_ip": text("Its address for the caller."),
					"ssh_port": whole("SSH's port."), "host_key": text("Its pinned host key. A machine without one is an error."),
					"status": text("The machine's state."), "reason": text("Why it is in that state, where the cloud says so."),
					"public_ports": schema.MapAttribute{Computed: true, ElementType: types.Int64Type, MarkdownDescription: "The port at which `external_ip` answers for each of the machine's own; null where they are the same."},
				}},
			},
		},
	}
}

func (d *clusterDataSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.data = session.Of(req.ProviderData, &resp.Diagnostics)
}

func (d *clusterDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m clusterDataModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	b, err := session.Broker[finder](d.data)
	if err == nil {
		var c cluster.Cluster
		if c, err = b.FindByName(ctx, m.Name.ValueString(), d.data.Clouds()); err == nil {
			if c, err = b.Observe(ctx, c); err == nil {
				b.WriteSSHFiles(ctx, c)
				m.NumNodes, m.factsModel = types.Int64Value(int64(c.Size)), factsOf(c, reachOf(d.data, c))
			}
		}
	}
	if err != nil {
		resp.Diagnostics.Append(session.ErrorDiag(ctx, "Search for the cluster", err))
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
