// SPDX-License-Identifier: MPL-2.0

package catalogs

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

var _ datasource.DataSourceWithConfigure = (*acceleratorsDataSource)(nil)

// acceleratorsDataSource is sky_accelerators: what sky show-gpus answers.
type acceleratorsDataSource struct{ data *session.Session }

// NewAccelerators makes the data source sky_accelerators.
func NewAccelerators() datasource.DataSource { return &acceleratorsDataSource{} }

type acceleratorsModel struct {
	Name         types.String `tfsdk:"name"`
	Clouds       types.List   `tfsdk:"clouds"`
	Region       types.String `tfsdk:"region"`
	Accelerators types.List   `tfsdk:"accelerators"`
	Names        types.List   `tfsdk:"names"`
}

func soldType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"accelerators": types.StringType, "name": types.StringType, "count": types.Float64Type, "cloud": types.StringType,
		"memory_gib": types.Float64Type, "instance_types": types.ListType{ElemType: types.StringType},
		"regions": types.ListType{ElemType: types.StringType}, "hourly_cost": types.Float64Type, "spot_hourly_cost": types.Float64Type,
	}}
}

func (d *acceleratorsDataSource) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "sky_accelerators"
}

func (d *acceleratorsDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	text := func(description string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	number := func(description string) schema.Attribute {
		return schema.Float64Attribute{Computed: true, MarkdownDescription: description}
	}
	texts := func(description string) schema.Attribute {
		return schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: description}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "Which accelerators the clouds sell, in which numbers, where, and from what price: what `sky show-gpus` answers. It reads the catalogs alone. Google's TPUs, which this provider cannot launch, are left out.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Only accelerators whose name contains this, whatever the case, such as `\"a100\"`.",
				Validators: []validator.String{kit.NotBlank()},
			},
			"clouds": schema.ListAttribute{
				Optional: true, ElementType: types.StringType, MarkdownDescription: "The clouds to look at; any that has a catalog. Default the enabled clouds.",
				Validators: []validator.List{kit.Elements(kit.CheckPlaceName), kit.NoDuplicates()},
			},
			"region": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Only this region.", Validators: []validator.String{kit.Checked(kit.CheckPlaceName)},
			},
			"names": texts("The names found, sorted, each once."),
			"accelerators": schema.ListNestedAttribute{
				Computed: true, MarkdownDescription: "One element for each name, count and cloud, sorted by these.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"accelerators": text("As `resources.accelerators` takes it, such as `A100:8`."), "name": text("The accelerator."),
					"count": number("How many on one machine."), "cloud": text("The cloud."),
					"memory_gib":     number("Memory of one accelerator in GiB; 0 where unknown."),
					"instance_types": texts("The instance types with them, sorted."), "regions": texts("Where they are sold, sorted."),
					"hourly_cost":      number("The lowest on-demand price of one machine in US dollars an hour; null where not sold so."),
					"spot_hourly_cost": number("The lowest spot price of one machine in US dollars an hour; null where not sold so."),
				}},
			},
		},
	}
}

func (d *acceleratorsDataSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.data = session.Of(req.ProviderData, &resp.Diagnostics)
}

func (d *acceleratorsDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m acceleratorsModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	rows, err := d.sold(ctx, m)
	if err != nil {
		resp.Diagnostics.Append(session.ErrorDiag(ctx, "Search for accelerators", err))
		return
	}
	resp.Diagnostics.Append(d.data.CatalogWarnings()...)
	m.set(rows)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (d *acceleratorsDataSource) sold(ctx context.Context, m acceleratorsModel) (rows []*sold, err error) {
	set, clouds, err := searched(d.data, m.Clouds)
	if err != nil {
		return nil, err
	}
	name := m.Name.ValueString()
	sources, err := set.Over(ctx, nil, clouds, func(offers iter.Seq[*cloud.Offer]) error {
		var known bool
		if rows, known = soldAccelerators(offers, name, m.Region.ValueString()); name == "" || known {
			return nil
		}
		devices := make(optimizer.Devices)
		for o := range offers {
			devices.Add(o)
		}
		nearest := optimizer.NearestAccelerators(cloud.Accelerator{Name: name, Count: 1}, devices)
		if len(nearest) == 0 {
			return fmt.Errorf("no accelerator's name contains %q", name)
		}
		return fmt.Errorf("no accelerator's name contains %q; near it are %s", name, strings.Join(nearest, ", "))
	})
	if sources != nil {
		d.data.CatalogsUsed(set, sources)
	}
	return rows, err
}

// sold is one row: an accelerator in a number on a cloud.
type sold struct {
	cloud            string
	accelerator      cloud.Accelerator
	memoryGiB        float64
	types, regions   []string
	onDemand, onSpot *float64
}

// soldAccelerators gathers the offers with accelerators whose name contains
// name, in region where it is set, and reports whether any region has one.
func soldAccelerators(offers iter.Seq[*cloud.Offer], name, region string) (rows []*sold, known bool) {
	type key struct {
		cloud       string
		accelerator cloud.Accelerator
	}
	index := map[key]*sold{}
	for o := range offers {
		a := o.InstanceType.Accelerator
		if a.IsZero() || a.IsTPU() || !strings.Contains(strings.ToLower(a.Name), strings.ToLower(name)) {
			continue
		}
		if known = true; region != "" && o.Region != region {
			continue
		}
		row := index[key{o.Cloud, a}]
		if row == nil {
			row = &sold{cloud: o.Cloud, accelerator: a}
			index[key{o.Cloud, a}] = row
			rows = append(rows, row)
		}
		row.add(o)
	}
	slices.SortFunc(rows, func(x, y *sold) int {
		return cmp.Or(cmp.Compare(x.accelerator.Name, y.accelerator.Name), cmp.Compare(x.accelerator.Count, y.accelerator.Count), cmp.Compare(x.cloud, y.cloud))
	})
	return rows, known
}

func (s *sold) add(o *cloud.Offer) {
	s.memoryGiB = max(s.memoryGiB, o.InstanceType.AcceleratorMemoryGiB)
	s.types, s.regions = insert(s.types, o.InstanceType.Name), insert(s.regions, o.Region)
	price := &s.onDemand
	if o.Market == cloud.Spot {
		price = &s.onSpot
	}
	if *price == nil || o.HourlyUSD < **price {
		usd := o.HourlyUSD
		*price = &usd
	}
}

// insert keeps a sorted list without duplicates.
func insert(list []string, s string) []string {
	i, found := slices.BinarySearch(list, s)
	if found {
		return list
	}
	return slices.Insert(list, i, s)
}

func (m *acceleratorsModel) set(rows []*sold) {
	var names []string
	values := make([]attr.Value, 0, len(rows))
	for _, r := range rows {
		names = insert(names, r.accelerator.Name)
		values = append(values, types.ObjectValueMust(soldType().AttrTypes, map[string]attr.Value{
			"accelerators": types.StringValue(r.accelerator.String()), "name": types.StringValue(r.accelerator.Name),
			"count": kit.Decimal(r.accelerator.Count), "cloud": types.StringValue(r.cloud), "memory_gib": kit.Decimal(r.memoryGiB),
			"instance_types": kit.ListOf(r.types), "regions": kit.ListOf(r.regions),
			"hourly_cost": kit.DecimalOf(r.onDemand), "spot_hourly_cost": kit.DecimalOf(r.onSpot),
		}))
	}
	m.Accelerators, m.Names = types.ListValueMust(soldType(), values), kit.ListOf(names)
}
