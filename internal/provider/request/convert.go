// SPDX-License-Identifier: MPL-2.0

package request

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/about"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// Resources is the attribute resources with its lists read.
type Resources struct {
	resourcesModel
	anyOf, ordered []alternativeModel
	inputs         []inputModel
	reserved       []reservedModel
}

// Read reads the attribute resources. It reports false where a value
// that matters is not known yet.
func Read(ctx context.Context, object types.Object) (Resources, bool, diag.Diagnostics) {
	var w Resources
	var diags diag.Diagnostics
	if object.IsNull() || object.IsUnknown() {
		return w, false, diags
	}
	if diags.Append(object.As(ctx, &w.resourcesModel, kit.ObjectOptions)...); diags.HasError() {
		return w, false, diags
	}
	for _, list := range []struct {
		name string
		from types.List
		to   any
	}{{"any_of", w.AnyOf, &w.anyOf}, {"ordered", w.Ordered, &w.ordered}, {"inputs", w.Inputs, &w.inputs}, {"reserved", w.Reserved, &w.reserved}} {
		if refuseNulls(&diags, path.Root("resources").AtName(list.name), list.from) {
			continue
		}
		if !list.from.IsNull() && !list.from.IsUnknown() && !slices.ContainsFunc(list.from.Elements(), attr.Value.IsUnknown) {
			diags.Append(list.from.ElementsAs(ctx, list.to, false)...)
		}
	}
	return w, kit.FullyKnown(object), diags
}

// refuseNulls reports whether elements of a list are null, and refuses them.
func refuseNulls(diags *diag.Diagnostics, at path.Path, list types.List) bool {
	found := false
	for i, e := range list.Elements() {
		if e.IsNull() {
			kit.Invalid(diags, at.AtListIndex(i), "The element is null; write an object, or leave the element out, as [for x in list : x if x != null] does.")
			found = true
		}
	}
	return found
}

// Request converts the Resources for a cluster of so many nodes.
func (w Resources) Request(nodes int) (optimizer.Request, error) {
	base, err := w.Requirement(w.Accelerators)
	if err != nil {
		return optimizer.Request{}, err
	}
	ports, err := w.PortRanges()
	if err != nil {
		return optimizer.Request{}, err
	}
	base.Ports, base.Labels = ports, kit.StringMap(w.Labels)
	req := optimizer.Request{Nodes: nodes, Ordered: len(w.ordered) > 0, Objective: optimizer.Objective(w.Objective.ValueString())}
	req.Preferred = Preferences(kit.StringList(w.Preferred))
	for _, in := range w.inputs {
		req.Inputs = append(req.Inputs, optimizer.Input{
			Cloud: strings.ToLower(in.Cloud.ValueString()), Region: in.Region.ValueString(), SizeGB: in.SizeGB.ValueFloat64(),
			Egress: about.Of(strings.ToLower(in.Cloud.ValueString())).Egress,
		})
	}
	for _, r := range w.reserved {
		req.Reserved = append(req.Reserved, optimizer.Reservation{
			Cloud: strings.ToLower(r.Cloud.ValueString()), Region: r.Region.ValueString(), Zone: r.Zone.ValueString(),
			InstanceType: r.InstanceType.ValueString(), Count: int(r.Count.ValueInt64()),
		})
	}
	for i, m := range w.alternatives() {
		over, err := m.Requirement(m.Accelerators)
		if err != nil {
			return optimizer.Request{}, fmt.Errorf("alternative %d: %w", i+1, err)
		}
		req.Alternatives = append(req.Alternatives, optimizer.WithDefaults(overlay(base, over, m.Machine)))
	}
	if len(req.Alternatives) == 0 {
		req.Alternatives = []cloud.Requirement{optimizer.WithDefaults(base)}
	}
	return req, nil
}

// Preferences are the regions of an attribute preferred_regions.
func Preferences(regions []string) []optimizer.Preference {
	var out []optimizer.Preference
	for _, name := range regions {
		out = append(out, optimizer.Preference{Region: name, Area: about.AreaOf(name)})
	}
	return out
}

func (w Resources) alternatives() []alternativeModel {
	if len(w.ordered) > 0 {
		return w.ordered
	}
	return w.anyOf
}

// PortRanges are the ports to open.
func (w Resources) PortRanges() ([]cloud.PortRange, error) {
	return cloud.ParsePorts(kit.StringList(w.Ports)...)
}

// Requirement converts the fields of one machine; unset ones ask for nothing.
func (m Machine) Requirement(accelerators attr.Value) (cloud.Requirement, error) {
	r := cloud.Requirement{
		Cloud: strings.ToLower(m.Cloud.ValueString()), Region: m.Region.ValueString(), Zone: m.Zone.ValueString(),
		InstanceType: m.InstanceType.ValueString(), Image: m.ImageID.ValueString(),
		DiskGiB: int(m.DiskSize.ValueInt64()), DiskTier: m.DiskTier.ValueString(), MaxHourlyUSD: m.MaxHourlyCost.ValueFloat64(),
		EstimatedHours: m.EstimatedHours.ValueFloat64(),
	}
	r.Families, r.ExcludedTypes = kit.StringList(m.Families), kit.StringList(m.ExcludedTypes)
	r.Arch, r.Burstable = m.Arch.ValueString(), m.Burstable.ValueBool()
	if m.UseSpot.ValueBool() {
		r.Markets = []cloud.Market{cloud.Spot}
	}
	if kit.IsSet(m.MaxHourlyCost) && r.MaxHourlyUSD == 0 {
		return r, errors.New("max_hourly_cost is 0, which no machine costs; write US dollars an hour, above zero, such as 2.5")
	}
	var err error
	if s := m.Market.ValueString(); s != "" {
		if r.Markets, r.MarketsOrdered, err = cloud.ParseMarket(s); err != nil {
			return r, err
		}
	}
	if s := m.Infra.ValueString(); s != "" {
		var in cloud.Infra
		if in, err = cloud.ParseInfra(s); err != nil {
			return r, err
		}
		r.Cloud, r.Region, r.Zone = in.Cloud, in.Region, in.Zone
	}
	if !accelerators.IsNull() {
		if r.Accelerators, r.AcceleratorsOrdered, err = acceleratorsOf(accelerators); err != nil {
			return r, err
		}
	}
	if s := m.CPUs.ValueString(); s != "" {
		if r.CPUs, err = cloud.ParseCPUs(s); err != nil {
			return r, err
		}
	}
	if s := m.Memory.ValueString(); s != "" {
		if r.Memory, err = cloud.ParseMemory(s); err != nil {
			return r, err
		}
	}
	return r, nil
}

// overlay returns base with what an alternative sets. A cloud of its own
// drops base's region and zone, a region of its own base's zone.
func overlay(base, over cloud.Requirement, m Machine) cloud.Requirement {
	out := base
	switch {
	case over.Cloud != "":
		out.Cloud, out.Region, out.Zone = over.Cloud, over.Region, over.Zone
	case over.Region != "":
		out.Region, out.Zone = over.Region, over.Zone
	case over.Zone != "":
		out.Zone = over.Zone
	}
	out.InstanceType, out.Arch = cmp.Or(over.InstanceType, base.InstanceType), cmp.Or(over.Arch, base.Arch)
	out.CPUs, out.Memory = cmp.Or(over.CPUs, base.CPUs), cmp.Or(over.Memory, base.Memory)
	out.EstimatedHours, out.MaxHourlyUSD = cmp.Or(over.EstimatedHours, base.EstimatedHours), cmp.Or(over.MaxHourlyUSD, base.MaxHourlyUSD)
	out.DiskGiB, out.DiskTier = cmp.Or(over.DiskGiB, base.DiskGiB), cmp.Or(over.DiskTier, base.DiskTier)
	out.Image = cmp.Or(over.Image, base.Image)
	if len(over.Accelerators) > 0 {
		out.Accelerators, out.AcceleratorsOrdered = over.Accelerators, over.AcceleratorsOrdered
	}
	if len(over.Families) > 0 {
		out.Families = over.Families
	}
	if !m.ExcludedTypes.IsNull() {
		out.ExcludedTypes = over.ExcludedTypes
	}
	if !m.Burstable.IsNull() {
		out.Burstable = over.Burstable
	}
	if !m.UseSpot.IsNull() || !m.Market.IsNull() {
		out.Markets, out.MarketsOrdered = over.Markets, over.MarketsOrdered
	}
	return out
}
