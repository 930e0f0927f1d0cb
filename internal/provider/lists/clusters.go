// SPDX-License-Identifier: MPL-2.0

// Package lists is what "terraform query" finds: the clusters that live on the clouds,
// and the jobs of a cluster.
package lists

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/list"
	"github.com/hashicorp/terraform-plugin-framework/list/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider/clusters"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

var (
	_ list.ListResourceWithConfigure = (*clusterList)(nil)
	_ lister                         = (*broker.Broker)(nil)
)

// All are the provider's list resources.
func All() []func() list.ListResource {
	return []func() list.ListResource{func() list.ListResource { return &clusterList{} }}
}

// lister finds clusters on clouds.
type lister interface {
	List(ctx context.Context, ref cloud.ClusterRef) ([]broker.Listed, error)
}

// clusterList lists sky_cluster.
type clusterList struct{ data *session.Session }

type clusterListModel struct {
	Cloud  types.String `tfsdk:"cloud"`
	Region types.String `tfsdk:"region"`
	Name   types.String `tfsdk:"name"`
	Owner  types.String `tfsdk:"owner"`
	Unheld types.Bool   `tfsdk:"unheld"`
}

func (l *clusterList) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "sky_cluster"
}

func (l *clusterList) ListResourceConfigSchema(_ context.Context, _ list.ListResourceSchemaRequest, resp *list.ListResourceSchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The whole clusters that live on the enabled clouds. One that no state is known to hold says so in its name: what a state holds is known where a plan, a refresh or an apply of it ran with this `state_dir`. " +
			"What `-generate-config-out` writes imports without a change. Machines of launches that were never finished are no clusters; `terraform-provider-sky gc` reports them. Terraform 1.14 or newer has queries; OpenTofu has none.",
		Attributes: map[string]schema.Attribute{
			"cloud":  schema.StringAttribute{Optional: true, MarkdownDescription: "Only this cloud. Default all enabled clouds; one that cannot be asked is a warning."},
			"region": schema.StringAttribute{Optional: true, MarkdownDescription: "Only this region.", Validators: []validator.String{kit.Checked(kit.CheckPlaceName)}},
			"name":   schema.StringAttribute{Optional: true, MarkdownDescription: "Only the cluster of this name.", Validators: []validator.String{kit.Checked(kit.CheckName)}},
			"owner": schema.StringAttribute{Optional: true, MarkdownDescription: "The owner id on the machines. Default the provider's own. Another one's clusters are imported by a provider block that has that `owner`.",
				Validators: []validator.String{kit.NotBlank()}},
			"unheld": schema.BoolAttribute{Optional: true, MarkdownDescription: "Whether only clusters are listed that no state is known to hold. Default `false`."},
		},
	}
}

func (l *clusterList) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	l.data = session.Of(req.ProviderData, &resp.Diagnostics)
}

// List implements list.ListResource.
func (l *clusterList) List(ctx context.Context, req list.ListRequest, stream *list.ListResultsStream) {
	var m clusterListModel
	if diags := req.Config.Get(ctx, &m); diags.HasError() {
		stream.Results = list.ListResultsStreamDiagnostics(diags)
		return
	}
	clouds := l.data.Clouds()
	if kit.IsSet(m.Cloud) {
		if err := kit.CheckCloudName(l.data.Registry, m.Cloud.ValueString()); err != nil {
			var diags diag.Diagnostics
			kit.Invalid(&diags, path.Root("cloud"), err.Error())
			stream.Results = list.ListResultsStreamDiagnostics(diags)
			return
		}
		clouds = []string{m.Cloud.ValueString()}
	}
	stream.Results = func(push func(list.ListResult) bool) { l.stream(ctx, req, m, clouds, push) }
}

// stream lists cloud after cloud.
func (l *clusterList) stream(ctx context.Context, req list.ListRequest, m clusterListModel, clouds []string, push func(list.ListResult) bool) {
	ctx, end := l.data.Begin(ctx, session.DefaultRead)
	defer end()
	b, err := session.Broker[lister](l.data)
	if err != nil {
		push(list.ListResult{Diagnostics: diag.Diagnostics{session.ErrorDiag(ctx, "Query of clusters", err)}})
		return
	}
	left := req.Limit
	for _, name := range clouds {
		found, err := b.List(ctx, cloud.ClusterRef{Cloud: name, Region: m.Region.ValueString(), Cluster: m.Name.ValueString(), Owner: m.Owner.ValueString()})
		for _, c := range found {
			if m.Unheld.ValueBool() && c.Held {
				continue
			}
			if left == 0 || !push(l.result(ctx, req, c)) {
				return
			}
			left--
		}
		if err != nil && !push(list.ListResult{Diagnostics: unasked(ctx, name, kit.IsSet(m.Cloud), err)}) {
			return
		}
	}
}

// unasked says that a cloud could not be asked: an error where it is the one that was
// named.
func unasked(ctx context.Context, name string, named bool, err error) diag.Diagnostics {
	d := session.ErrorDiag(ctx, fmt.Sprintf("Query of the clusters on %s", name), err)
	if named {
		return diag.Diagnostics{d}
	}
	return diag.Diagnostics{diag.NewWarningDiagnostic(d.Summary(), d.Detail())}
}

func (l *clusterList) result(ctx context.Context, req list.ListRequest, c broker.Listed) list.ListResult {
	out := req.NewListResult(ctx)
	out.DisplayName = display(c)
	out.Diagnostics.Append(clusters.Describe(ctx, l.data, c.Cluster, out.Identity, out.Resource)...)
	return out
}

// display is the line that people see.
func display(c broker.Listed) string {
	parts := []string{fmt.Sprintf("%s: %d x %s", c.Name, c.Size, c.InstanceType), cloud.ShortPlace(c.Cloud, c.Region, c.Zone), string(c.Status)}
	switch {
	case c.Held:
	case c.Known:
		parts = append(parts, "IN NO STATE")
	default:
		parts = append(parts, "in no state that this computer knows of")
	}
	return strings.Join(parts, ", ")
}
