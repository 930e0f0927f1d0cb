// SPDX-License-Identifier: MPL-2.0

// Package catalogs is the data sources that answer from the catalogs and the
// settings: offers, accelerators and clouds.
package catalogs

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/catalog"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

var (
	_ datasource.DataSourceWithConfigure      = (*offerDataSource)(nil)
	_ datasource.DataSourceWithValidateConfig = (*offerDataSource)(nil)
)

type offerDataSource struct{ data *session.Session }

// NewOffer makes the data source sky_catalog_offer.
func NewOffer() datasource.DataSource { return &offerDataSource{} }

func (d *offerDataSource) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "sky_catalog_offer"
}

func (d *offerDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = offerSchema()
}

func (d *offerDataSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.data = session.Of(req.ProviderData, &resp.Diagnostics)
}

// ValidateConfig checks what concerns several attributes at once.
func (d *offerDataSource) ValidateConfig(ctx context.Context, req datasource.ValidateConfigRequest, resp *datasource.ValidateConfigResponse) {
	var m offerDataModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); !resp.Diagnostics.HasError() {
		request.Conflict(&resp.Diagnostics, path.Empty(), m.machine())
	}
}

// Read answers from the catalogs alone.
func (d *offerDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m offerDataModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	f, err := d.find(ctx, m)
	if err != nil {
		resp.Diagnostics.Append(session.ErrorDiag(ctx, "Search for an offer", err))
		return
	}
	resp.Diagnostics.Append(d.data.CatalogWarnings()...)
	for _, note := range f.notes {
		resp.Diagnostics.AddWarning("Search for an offer", kit.Sentence(note))
	}
	version, err := d.version(ctx)
	if err != nil {
		resp.Diagnostics.Append(session.ErrorDiag(ctx, "Search for an offer", err))
		return
	}
	m.set(f.offers, f.sources)
	m.CatalogVersion = types.StringValue(version)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// found is an answer; notes are what people should know of it, a sentence each.
type found struct {
	offers  []cloud.Offer
	sources []catalog.Source
	notes   []string
}

func (d *offerDataSource) find(ctx context.Context, m offerDataModel) (found, error) {
	r, err := m.machine().Requirement(m.Accelerators)
	if err != nil {
		return found{}, err
	}
	set, clouds, err := searched(d.data, m.Clouds)
	if err != nil {
		return found{}, err
	}
	limit := defaultOffers
	if !m.Limit.IsNull() {
		limit = int(m.Limit.ValueInt64())
	}
	req, err := d.request(ctx, set, m, r, clouds)
	if err != nil {
		return found{}, err
	}
	offers, sources, err := cheapest(ctx, set, req, clouds, limit)
	d.data.CatalogsUsed(set, sources)
	if err != nil {
		return found{}, err
	}
	f := found{offers, sources, req.Unpriced}
	if len(offers) == 0 {
		f, err = d.explain(ctx, set, req, clouds, limit)
	}
	f.notes = append(f.notes, d.data.UnknownRegions(ctx, req.Preferred)...)
	return f, err
}

// request is what a cluster of such machines would ask for.
func (d *offerDataSource) request(ctx context.Context, set *catalog.Set, m offerDataModel, r cloud.Requirement, clouds []string) (optimizer.Request, error) {
	req := optimizer.Request{Nodes: max(int(m.NumNodes.ValueInt64()), 1), Preferred: request.Preferences(kit.StringList(m.Preferred))}
	if req.Preferred == nil {
		req.Preferred = request.Preferences(d.data.PreferredRegions)
	}
	var err error
	if req.Alternatives, err = set.Resolve(ctx, []cloud.Requirement{r}, clouds); err != nil {
		return req, err
	}
	req.Unpriced, err = set.Unpriced(ctx, req.Alternatives, d.data.SellingSpot(clouds))
	return req, err
}

// searched are the catalogs, and the clouds that a data source looks at: those
// it names, else those that may be used.
func searched(d *session.Session, names types.List) (*catalog.Set, []string, error) {
	if d.CatalogUnknown {
		return nil, nil, errors.New("the provider's catalog settings are not known yet; apply what they come from first, with -target")
	}
	set, err := d.Catalogs()
	if err != nil {
		return nil, nil, err
	}
	if clouds := kit.StringList(names); len(clouds) > 0 {
		return set, clouds, nil
	}
	clouds, err := d.Candidates(nil)
	return set, clouds, err
}

// cheapest returns the cheapest offers; where markets or accelerators are in an
// order, all of an earlier one come before those of a later one.
func cheapest(ctx context.Context, set *catalog.Set, req optimizer.Request, clouds []string, limit int) ([]cloud.Offer, []catalog.Source, error) {
	var all []cloud.Offer
	var sources []catalog.Source
	one := req.Alternatives[0]
	one.MaxHourlyUSD /= float64(req.Nodes)
	for _, step := range inOrder(one) {
		offers, from, err := preferred(ctx, set, req, step, clouds, limit-len(all))
		if err != nil {
			return nil, nil, err
		}
		all, sources = append(all, offers...), from
		if len(all) >= limit {
			break
		}
	}
	return all, sources, nil
}

// preferred is Set.Cheapest with the regions that are preferred first among offers of
// one price. The index has no such order, so offers of the last price are all fetched.
func preferred(ctx context.Context, set *catalog.Set, req optimizer.Request, step cloud.Requirement, clouds []string, limit int) ([]cloud.Offer, []catalog.Source, error) {
	for fetch := limit; ; fetch *= 2 {
		offers, sources, err := set.Cheapest(ctx, []cloud.Requirement{step}, clouds, fetch)
		if err != nil || len(req.Preferred) == 0 {
			return offers, sources, err
		}
		if n := len(offers); n < fetch || offers[n-1].HourlyUSD > offers[limit-1].HourlyUSD {
			req.Prefer(offers)
			return offers[:min(limit, n)], sources, nil
		}
	}
}

// inOrder takes a requirement apart into those to be met one after the other.
func inOrder(r cloud.Requirement) []cloud.Requirement {
	steps := []cloud.Requirement{r}
	if r.MarketsOrdered {
		steps = nil
		for _, m := range r.Markets {
			one := r
			one.Markets = []cloud.Market{m}
			steps = append(steps, one)
		}
	}
	if !r.AcceleratorsOrdered {
		return steps
	}
	var out []cloud.Requirement
	for _, s := range steps {
		for _, a := range r.Accelerators {
			one := s
			one.Accelerators = []cloud.Accelerator{a}
			out = append(out, one)
		}
	}
	return out
}

func (d *offerDataSource) version(ctx context.Context) (string, error) {
	set, err := d.data.Catalogs()
	if err != nil {
		return "", err
	}
	return set.Version(ctx)
}

// explain ranks everything: for machines that serve where nothing else does, and for
// the error that says why nothing fits.
func (d *offerDataSource) explain(ctx context.Context, set *catalog.Set, req optimizer.Request, clouds []string, limit int) (found, error) {
	var plan optimizer.Plan
	sources, err := set.Over(ctx, req.Alternatives, clouds, func(offers iter.Seq[*cloud.Offer]) (err error) {
		plan, err = optimizer.RankEach(req, offers, nil, nil)
		return err
	})
	d.data.CatalogsUsed(set, sources)
	if err != nil {
		return found{}, err
	}
	f := found{sources: sources, notes: plan.Notes}
	for _, p := range plan.Placements[:min(limit, len(plan.Placements))] {
		f.offers = append(f.offers, p.Offer)
	}
	return f, nil
}

func (m offerDataModel) machine() request.Machine {
	return request.Machine{
		Region: m.Region, Zone: m.Zone, InstanceType: m.InstanceType,
		Families: m.Families, ExcludedTypes: m.ExcludedTypes, Arch: m.Arch, Burstable: m.Burstable,
		CPUs: m.CPUs, Memory: m.Memory, UseSpot: m.UseSpot, Market: m.Market, MaxHourlyCost: m.MaxHourlyCost,
	}
}

// set writes what was found; offers holds at least one.
func (m *offerDataModel) set(offers []cloud.Offer, sources []catalog.Source) {
	best := offers[0]
	m.Cloud, m.Region, m.Zone = types.StringValue(best.Cloud), types.StringValue(best.Region), types.StringValue(best.Zone)
	m.InstanceType = types.StringValue(best.InstanceType.Name)
	if m.Market.IsNull() { // "any" stays what was asked for; each offer says its own
		m.Market = types.StringValue(string(best.Market))
	}
	m.HourlyCost, m.VCPUs = kit.Decimal(best.HourlyUSD), kit.Decimal(best.InstanceType.VCPUs)
	m.MemoryGiB = kit.Decimal(best.InstanceType.MemoryGiB)
	m.AcceleratorName = types.StringValue(best.InstanceType.Accelerator.Name)
	m.AcceleratorCount = kit.Decimal(best.InstanceType.Accelerator.Count)
	m.Offers, m.Catalogs = offerList(offers), catalogList(sources)
}

func offerList(offers []cloud.Offer) types.List {
	values := make([]attr.Value, 0, len(offers))
	for _, o := range offers {
		t := o.InstanceType
		values = append(values, types.ObjectValueMust(offerType().AttrTypes, map[string]attr.Value{
			"cloud": types.StringValue(o.Cloud), "region": types.StringValue(o.Region), "zone": types.StringValue(o.Zone),
			"instance_type": types.StringValue(t.Name), "market": types.StringValue(string(o.Market)),
			"hourly_cost": kit.Decimal(o.HourlyUSD), "vcpus": kit.Decimal(t.VCPUs), "memory_gib": kit.Decimal(t.MemoryGiB),
			"accelerator_name": types.StringValue(t.Accelerator.Name), "accelerator_count": kit.Decimal(t.Accelerator.Count),
			"accelerator_memory_gib": kit.Decimal(t.AcceleratorMemoryGiB), "arch": types.StringValue(t.Arch),
		}))
	}
	return types.ListValueMust(offerType(), values)
}

func catalogList(sources []catalog.Source) types.List {
	values := make([]attr.Value, 0, len(sources))
	for _, s := range sources {
		date := ""
		if !s.Date.IsZero() {
			date = s.Date.UTC().Format(time.RFC3339)
		}
		values = append(values, types.ObjectValueMust(catalogType().AttrTypes, map[string]attr.Value{
			"cloud": types.StringValue(s.Cloud), "kind": types.StringValue(string(s.Kind)), "path": types.StringValue(s.Path),
			"date": types.StringValue(date), "sha256": types.StringValue(s.SHA256), "offers": types.Int64Value(int64(s.Offers)),
		}))
	}
	return types.ListValueMust(catalogType(), values)
}
