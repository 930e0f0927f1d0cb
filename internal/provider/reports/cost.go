// SPDX-License-Identifier: MPL-2.0

// Package reports is the data sources that sum up over all clusters.
package reports

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/broker/cost"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

var (
	_ datasource.DataSourceWithConfigure = (*costReport)(nil)
	_ accountant                         = (*broker.Broker)(nil)
)

// accountant is a broker that says what clusters have cost.
type accountant interface {
	Cost(ctx context.Context, window time.Duration) (cost.Report, error)
}

// costReport is sky_cost_report.
type costReport struct{ data *session.Session }

// NewCost makes the data source sky_cost_report.
func NewCost() datasource.DataSource { return &costReport{} }

type sumModel struct {
	Hours    types.Float64 `tfsdk:"machine_hours"`
	USD      types.Float64 `tfsdk:"cost"`
	Unpriced types.Float64 `tfsdk:"unpriced_machine_hours"`
}

type rowModel struct {
	Name         types.String  `tfsdk:"name"`
	Generation   types.String  `tfsdk:"generation"`
	Cloud        types.String  `tfsdk:"cloud"`
	Region       types.String  `tfsdk:"region"`
	InstanceType types.String  `tfsdk:"instance_type"`
	Accelerators types.String  `tfsdk:"accelerators"`
	Market       types.String  `tfsdk:"market"`
	LaunchedAt   types.String  `tfsdk:"launched_at"`
	EndedAt      types.String  `tfsdk:"ended_at"`
	Running      types.Int64   `tfsdk:"running"`
	HourlyCost   types.Float64 `tfsdk:"hourly_cost"`
	Priced       types.Bool    `tfsdk:"priced"`
	Total        sumModel      `tfsdk:"total"`
	Window       sumModel      `tfsdk:"in_window"`
	Remark       types.String  `tfsdk:"remark"`
}

type costModel struct {
	Window     types.String        `tfsdk:"window"`
	Since      types.String        `tfsdk:"since"`
	Until      types.String        `tfsdk:"until"`
	Owner      types.String        `tfsdk:"owner"`
	Note       types.String        `tfsdk:"note"`
	HourlyCost types.Float64       `tfsdk:"hourly_cost"`
	Total      *sumModel           `tfsdk:"total"`
	InWindow   *sumModel           `tfsdk:"in_window"`
	Markets    map[string]sumModel `tfsdk:"total_by_market"`
	Clusters   []rowModel          `tfsdk:"clusters"`
	Unasked    types.Map           `tfsdk:"unasked"`
}

func (d *costReport) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "sky_cost_report"
}

func (d *costReport) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "What the clusters of the provider's owner have cost so far, by cluster and in all: **an estimate**, of the hours in which machines ran, as far as this computer's records and the clouds tell, times the price at launch. " +
			"Clusters that are gone are in it as long as the journal in `state_dir` knows them. A cluster that was launched from another computer has a price where this run has refreshed it before: write `depends_on = [sky_cluster.<name>]`. " +
			"A time without a look, such as that in which autostop ended a cluster, counts until it was seen. It is read anew by every plan, and never a part of `sky_cluster`, which would never stop changing.",
		Attributes: map[string]schema.Attribute{
			"window": schema.StringAttribute{
				Optional: true, MarkdownDescription: "How far back `in_window` reaches, a duration such as `24h`. Default `720h`.", Validators: []validator.String{kit.Checked(kit.CheckDuration)},
			},
			"since": text("When the window begins, RFC 3339."), "until": text("When the report was made, RFC 3339."),
			"owner": text("The owner id whose clusters these are."), "note": text("What the numbers are, in a sentence."),
			"hourly_cost": number("What all that runs now costs, in US dollars an hour, at launch prices."),
			"total":       sumAttribute("All clusters, since their launch."), "in_window": sumAttribute("All clusters, in the window."),
			"total_by_market": schema.MapNestedAttribute{
				Computed: true, MarkdownDescription: "All clusters since their launch, by `on_demand` and `spot`.", NestedObject: schema.NestedAttributeObject{Attributes: sumAttributes()},
			},
			"clusters": clustersAttribute(),
			"unasked":  schema.MapAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Clouds that could not be asked, with why. Their clusters are counted as they were last seen."},
		},
	}
}

func clustersAttribute() schema.Attribute {
	return schema.ListNestedAttribute{
		Computed: true, MarkdownDescription: "The clusters, by name and launch.",
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"name": text("The cluster's name."), "generation": text("Tells it from others of its name."), "cloud": text("The cloud."), "region": text("The region."),
			"instance_type": text("The instance type."), "accelerators": text("The accelerators of one node; empty without any."), "market": text("`on_demand` or `spot`."),
			"launched_at": text("When it was launched, RFC 3339; null where unknown."), "ended_at": text("When its machines were seen gone, RFC 3339; null while they live."),
			"running":     schema.Int64Attribute{Computed: true, MarkdownDescription: "How many of its machines run now."},
			"hourly_cost": number("What these cost, in US dollars an hour, at the launch price."),
			"priced":      schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the price at launch is known. If not, its hours are among `unpriced_machine_hours`, and its cost is 0."},
			"total":       sumAttribute("Since its launch."), "in_window": sumAttribute("In the window."),
			"remark": text("What is not known, in a sentence; empty where all is."),
		}},
	}
}

func text(description string) schema.Attribute {
	return schema.StringAttribute{Computed: true, MarkdownDescription: description}
}

func number(description string) schema.Attribute {
	return schema.Float64Attribute{Computed: true, MarkdownDescription: description}
}

func sumAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"machine_hours":          number("Hours in which machines ran, of all machines together."),
		"cost":                   number("What they cost, in US dollars."),
		"unpriced_machine_hours": number("Those of the hours that have no known price, and are not in `cost`."),
	}
}

func sumAttribute(description string) schema.Attribute {
	return schema.SingleNestedAttribute{Computed: true, MarkdownDescription: description, Attributes: sumAttributes()}
}

func (d *costReport) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.data = session.Of(req.ProviderData, &resp.Diagnostics)
}

func (d *costReport) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	ctx, end := d.data.Begin(ctx, session.DefaultRead)
	defer end()
	var asked types.String
	if resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("window"), &asked)...); resp.Diagnostics.HasError() {
		return
	}
	window := cost.DefaultWindow
	if kit.IsSet(asked) {
		window, _ = time.ParseDuration(asked.ValueString()) // it was checked
	}
	b, err := session.Broker[accountant](d.data)
	var r cost.Report
	if err == nil {
		r, err = b.Cost(ctx, window)
	}
	if err != nil {
		resp.Diagnostics.Append(session.ErrorDiag(ctx, "Report of costs", err))
		return
	}
	m := modelOf(r)
	m.Window = asked
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func modelOf(r cost.Report) costModel {
	total, window := sumOf(r.All.Total), sumOf(r.All.Window)
	m := costModel{
		Since: timeText(&r.Since), Until: timeText(&r.Until), Owner: types.StringValue(r.Owner), Note: types.StringValue(r.Note),
		HourlyCost: kit.Decimal(r.All.HourlyUSD), Total: &total, InWindow: &window, Markets: map[string]sumModel{}, Clusters: []rowModel{},
	}
	for market, s := range r.All.Markets {
		m.Markets[string(market)] = sumOf(s)
	}
	for _, c := range r.Clusters {
		m.Clusters = append(m.Clusters, rowModel{
			Name: types.StringValue(c.Cluster), Generation: types.StringValue(c.Generation), Cloud: types.StringValue(c.Cloud), Region: types.StringValue(c.Region),
			InstanceType: types.StringValue(c.InstanceType), Accelerators: types.StringValue(c.Accelerators), Market: types.StringValue(string(c.Market)),
			LaunchedAt: timeText(c.LaunchedAt), EndedAt: timeText(c.EndedAt), Running: types.Int64Value(int64(c.Running)), HourlyCost: kit.Decimal(c.HourlyUSD),
			Priced: types.BoolValue(c.Priced), Total: sumOf(c.Total), Window: sumOf(c.Window), Remark: types.StringValue(c.Remark),
		})
	}
	unasked := map[string]attr.Value{}
	for name, why := range r.Unasked {
		unasked[name] = types.StringValue(kit.Sentence(why))
	}
	m.Unasked = types.MapValueMust(types.StringType, unasked)
	return m
}

func sumOf(s cost.Sum) sumModel {
	return sumModel{Hours: kit.Decimal(s.Hours), USD: kit.Decimal(s.USD), Unpriced: kit.Decimal(s.Unpriced)}
}

func timeText(t *time.Time) types.String {
	if t == nil {
		return types.StringNull()
	}
	return types.StringValue(t.UTC().Format(time.RFC3339))
}
