// SPDX-License-Identifier: MPL-2.0

package catalogs

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

var (
	_ datasource.DataSourceWithConfigure = (*cloudsDataSource)(nil)
	_ checker                            = (*broker.Broker)(nil)
)

// checker is a broker that says which clouds can be used.
type checker interface {
	Check(ctx context.Context, clouds []string) []broker.CloudStatus
}

// cloudsDataSource is sky_clouds: which clouds are enabled, and why not.
type cloudsDataSource struct{ data *session.Session }

// NewClouds makes the data source sky_clouds.
func NewClouds() datasource.DataSource { return &cloudsDataSource{} }

type cloudsModel struct {
	Clouds  types.Map  `tfsdk:"clouds"`
	Enabled types.List `tfsdk:"enabled"`
}

func cloudStatusType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"enabled": types.BoolType, "account": types.StringType, "reason": types.StringType,
	}}
}

func (d *cloudsDataSource) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "sky_clouds"
}

func (d *cloudsDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Which clouds can be used with the present credentials, and why the others cannot: what `sky check` answers. Each cloud is asked one cheap question.",
		Attributes: map[string]schema.Attribute{
			"clouds": schema.MapNestedAttribute{
				Computed: true, MarkdownDescription: "Every cloud that may be used (see `enabled_clouds`), by its name.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"enabled": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether machines can be launched there."},
					"account": schema.StringAttribute{Computed: true, MarkdownDescription: "The account that pays; empty where not enabled."},
					"reason":  schema.StringAttribute{Computed: true, MarkdownDescription: "Why it is not enabled, and what would enable it; empty where it is."},
				}},
			},
			"enabled": schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "The names of the enabled clouds, sorted."},
		},
	}
}

func (d *cloudsDataSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.data = session.Of(req.ProviderData, &resp.Diagnostics)
}

func (d *cloudsDataSource) Read(ctx context.Context, _ datasource.ReadRequest, resp *datasource.ReadResponse) {
	b, err := session.Broker[checker](d.data)
	if err != nil {
		resp.Diagnostics.Append(session.ErrorDiag(ctx, "Check of the clouds", err))
		return
	}
	m := newCloudsModel(b.Check(ctx, d.data.Clouds()))
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func newCloudsModel(statuses []broker.CloudStatus) cloudsModel {
	clouds, enabled := map[string]attr.Value{}, []string(nil)
	for _, s := range statuses {
		clouds[s.Name] = types.ObjectValueMust(cloudStatusType().AttrTypes, map[string]attr.Value{
			"enabled": types.BoolValue(s.Enabled), "account": types.StringValue(s.Account), "reason": types.StringValue(s.Reason),
		})
		if s.Enabled {
			enabled = append(enabled, s.Name)
		}
	}
	return cloudsModel{Clouds: types.MapValueMust(cloudStatusType(), clouds), Enabled: kit.ListOf(enabled)}
}
