// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// wish is the attribute resources with its lists read.
type wish struct {
	resourcesModel
	anyOf, ordered []alternativeModel
	inputs         []inputModel
	reserved       []reservedModel
}

// readResources reads the attribute resources. It reports false where a value
// that matters is not known yet.
func readResources(ctx context.Context, object types.Object) (wish, bool, diag.Diagnostics) {
	var w wish
	var diags diag.Diagnostics
	if object.IsNull() || object.IsUnknown() {
		return w, false, diags
	}
	if diags.Append(object.As(ctx, &w.resourcesModel, objectOptions)...); diags.HasError() {
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
	return w, fullyKnown(object), diags
}

// refuseNulls reports whether elements of a list are null, and refuses them.
func refuseNulls(diags *diag.Diagnostics, at path.Path, list types.List) bool {
	found := false
	for i, e := range list.Elements() {
		if e.IsNull() {
			invalid(diags, at.AtListIndex(i), "The element is null; write an object, or leave the element out, as [for x in list : x if x != null] does.")
			found = true
		}
	}
	return found
}

// request converts the wish for a cluster of so many nodes.
func (w wish) request(nodes int) (optimizer.Request, error) {
	base, err := w.requirement(w.Accelerators)
	if err != nil {
		return optimizer.Request{}, err
	}
	ports, err := w.ports()
	if err != nil {
		return optimizer.Request{}, err
	}
	base.Ports, base.Labels = ports, stringMap(w.Labels)
	req := optimizer.Request{Nodes: nodes, Ordered: len(w.ordered) > 0, Objective: optimizer.Objective(w.Objective.ValueString())}
	for _, in := range w.inputs {
		req.Inputs = append(req.Inputs, optimizer.Input{
			Cloud: strings.ToLower(in.Cloud.ValueString()), Region: in.Region.ValueString(), SizeGB: in.SizeGB.ValueFloat64(),
		})
	}
	for _, r := range w.reserved {
		req.Reserved = append(req.Reserved, optimizer.Reservation{
			Cloud: strings.ToLower(r.Cloud.ValueString()), Region: r.Region.ValueString(), Zone: r.Zone.ValueString(),
			InstanceType: r.InstanceType.ValueString(), Count: int(r.Count.ValueInt64()),
		})
	}
	for i, m := range w.alternatives() {
		over, err := m.requirement(m.Accelerators)
		if err != nil {
			return optimizer.Request{}, fmt.Errorf("alternative %d: %w", i+1, err)
		}
		req.Alternatives = append(req.Alternatives, optimizer.WithDefaults(overlay(base, over, m.machineModel)))
	}
	if len(req.Alternatives) == 0 {
		req.Alternatives = []cloud.Requirement{optimizer.WithDefaults(base)}
	}
	return req, nil
}

func (w wish) alternatives() []alternativeModel {
	if len(w.ordered) > 0 {
		return w.ordered
	}
	return w.anyOf
}

func (w wish) ports() ([]cloud.PortRange, error) {
	return cloud.ParsePorts(stringList(w.Ports)...)
}

// requirement converts the fields of one machine; unset ones ask for nothing.
func (m machineModel) requirement(accelerators attr.Value) (cloud.Requirement, error) {
	r := cloud.Requirement{
		Cloud: strings.ToLower(m.Cloud.ValueString()), Region: m.Region.ValueString(), Zone: m.Zone.ValueString(),
		InstanceType: m.InstanceType.ValueString(), Image: m.ImageID.ValueString(),
		DiskGiB: int(m.DiskSize.ValueInt64()), DiskTier: m.DiskTier.ValueString(), MaxHourlyUSD: m.MaxHourlyCost.ValueFloat64(),
		EstimatedHours: m.EstimatedHours.ValueFloat64(),
	}
	if m.UseSpot.ValueBool() {
		r.Markets = []cloud.Market{cloud.Spot}
	}
	if isSet(m.MaxHourlyCost) && r.MaxHourlyUSD == 0 {
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
func overlay(base, over cloud.Requirement, m machineModel) cloud.Requirement {
	out := base
	switch {
	case over.Cloud != "":
		out.Cloud, out.Region, out.Zone = over.Cloud, over.Region, over.Zone
	case over.Region != "":
		out.Region, out.Zone = over.Region, over.Zone
	case over.Zone != "":
		out.Zone = over.Zone
	}
	if over.InstanceType != "" {
		out.InstanceType = over.InstanceType
	}
	if len(over.Accelerators) > 0 {
		out.Accelerators, out.AcceleratorsOrdered = over.Accelerators, over.AcceleratorsOrdered
	}
	if !over.CPUs.IsZero() {
		out.CPUs = over.CPUs
	}
	if !over.Memory.IsZero() {
		out.Memory = over.Memory
	}
	if !m.UseSpot.IsNull() || !m.Market.IsNull() {
		out.Markets, out.MarketsOrdered = over.Markets, over.MarketsOrdered
	}
	if over.EstimatedHours > 0 {
		out.EstimatedHours = over.EstimatedHours
	}
	if over.MaxHourlyUSD > 0 {
		out.MaxHourlyUSD = over.MaxHourlyUSD
	}
	if over.DiskGiB > 0 {
		out.DiskGiB = over.DiskGiB
	}
	if over.DiskTier != "" {
		out.DiskTier = over.DiskTier
	}
	if over.Image != "" {
		out.Image = over.Image
	}
	return out
}

// spec converts the model to what the broker launches, less the offers.
func (m clusterModel) spec(ctx context.Context, keyPath string) (broker.Spec, diag.Diagnostics) {
	w, known, diags := readResources(ctx, m.Resources)
	if diags.HasError() {
		return broker.Spec{}, diags
	}
	if !known {
		diags.AddAttributeError(path.Root("resources"), "Unknown value", "A value in resources is still unknown while the cluster is about to be launched or changed.")
		return broker.Spec{}, diags
	}
	req, err := w.request(int(m.NumNodes.ValueInt64()))
	if err != nil {
		invalid(&diags, path.Root("resources"), err.Error())
		return broker.Spec{}, diags
	}
	req.Needs = m.needs(ctx)
	stop, known, d := m.autostop(ctx)
	if diags.Append(d...); !known && !diags.HasError() {
		diags.AddAttributeError(path.Root("autostop"), "Unknown value", "A value in autostop is still unknown while the cluster is about to be launched or changed.")
	}
	if diags.HasError() {
		return broker.Spec{}, diags
	}
	spec := broker.Spec{
		Name: m.Name.ValueString(), Request: req, Labels: stringMap(w.Labels), Ports: req.Alternatives[0].Ports,
		Setup: m.Setup.ValueString(), Envs: stringMap(m.Envs), Workdir: expandHome(m.Workdir.ValueString()),
		KeyPath: expandHome(keyPath), OnSetupFailure: broker.SetupFailure(m.OnSetupFailure.ValueString()),
		Recovery: broker.Recovery(m.Recovery.ValueString()), Autostop: stop, Runtime: m.Runtime.ValueString(),
		Beside: m.CreateFirst.ValueBool(),
	}
	for to, from := range stringMap(m.FileMounts) {
		if spec.FileMounts == nil {
			spec.FileMounts = map[string]string{}
		}
		spec.FileMounts[to] = expandHome(from)
	}
	for i, text := range stringList(m.AllowedCIDRs) {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			invalid(&diags, path.Root("allowed_cidrs").AtListIndex(i), checkCIDR(text).Error())
			continue
		}
		spec.AllowedCIDRs = append(spec.AllowedCIDRs, prefix)
	}
	return spec, diags
}

// record converts the state to the broker's record of the cluster.
func (m clusterModel) record(ctx context.Context) (broker.Cluster, diag.Diagnostics) {
	c := broker.Cluster{
		ID: m.ID.ValueString(), Name: m.Name.ValueString(), Owner: m.Owner.ValueString(), Generation: m.Generation.ValueString(),
		Account: m.Account.ValueString(), Cloud: m.Cloud.ValueString(), Region: m.Region.ValueString(), Zone: m.Zone.ValueString(),
		InstanceType: m.InstanceType.ValueString(), Accelerators: m.Accelerators.ValueString(), Market: cloud.Market(m.Market.ValueString()),
		HourlyUSD: m.HourlyCost.ValueFloat64(), Status: broker.Status(m.Status.ValueString()), StatusReason: m.StatusReason.ValueString(),
		SSHUser: m.SSHUser.ValueString(), KeyPath: expandHome(m.SSHKeyPath.ValueString()), ProcessManager: m.ProcessManager.ValueString(),
		Runtime: m.Runtime.ValueString(),
		Size:    int(m.NumNodes.ValueInt64()), LaunchedAt: m.LaunchedAt.ValueString(), AllowedCIDRs: stringList(m.AllowedCIDRs),
	}
	var nodes []nodeModel
	var diags diag.Diagnostics
	c.Autostop, _, diags = m.autostop(ctx)
	if !m.Nodes.IsNull() && !m.Nodes.IsUnknown() {
		diags.Append(m.Nodes.ElementsAs(ctx, &nodes, false)...)
	}
	for _, n := range nodes {
		c.Nodes = append(c.Nodes, broker.Node{
			Rank: int(n.Rank.ValueInt64()), InstanceID: n.InstanceID.ValueString(), InternalIP: n.InternalIP.ValueString(),
			ExternalIP: n.ExternalIP.ValueString(), SSHPort: int(n.SSHPort.ValueInt64()), HostKey: n.HostKey.ValueString(),
			State: cloud.State(n.Status.ValueString()), Reason: n.Reason.ValueString(),
		})
	}
	return c, diags
}

// setRecord writes the broker's record into the computed attributes. Nothing
// of them stays unknown.
func (m *clusterModel) setRecord(c broker.Cluster, by reach) {
	m.factsModel = factsOf(c, by)
	m.ProcessManager, m.SSHConfigPath = types.StringValue(c.ProcessManager), types.StringValue(broker.SSHConfigBeside(by.knownHosts))
	m.Endpoints = m.endpoints()
	if m.ChangedOutside.IsUnknown() {
		m.ChangedOutside = types.ListNull(types.StringType)
	}
	if m.AllowedCIDRs.IsUnknown() || (m.AllowedCIDRs.IsNull() && len(c.AllowedCIDRs) > 0) {
		m.AllowedCIDRs = textListValue(c.AllowedCIDRs)
	}
}

func factsOf(c broker.Cluster, by reach) factsModel {
	head := ""
	if len(c.Nodes) > 0 {
		head = c.Nodes[0].ExternalIP
	}
	return factsModel{
		ID: types.StringValue(c.ID), Cloud: types.StringValue(c.Cloud), Region: types.StringValue(c.Region), Zone: types.StringValue(c.Zone),
		InstanceType: types.StringValue(c.InstanceType), Accelerators: types.StringValue(c.Accelerators),
		Market: types.StringValue(string(c.Market)), HourlyCost: decimal(c.HourlyUSD),
		Status: types.StringValue(string(c.Status)), StatusReason: types.StringValue(c.StatusReason),
		SSHUser: types.StringValue(c.SSHUser), SSHKeyPath: types.StringValue(cmp.Or(by.key, c.KeyPath)),
		SSHCommand: types.StringValue(sshCommand(c, by)), HeadIP: types.StringValue(head), Nodes: nodeList(c.Nodes),
		Generation: types.StringValue(c.Generation), Account: types.StringValue(c.Account), Owner: types.StringValue(c.Owner),
		LaunchedAt: types.StringValue(c.LaunchedAt),
	}
}

// setDefaults gives what neither an earlier release's state nor an import says
// the value that a configuration without it has, as far as the cluster is so.
func (m *clusterModel) setDefaults(c broker.Cluster) {
	desired := broker.StatusUp
	if c.Status == broker.StatusStopped {
		desired = broker.StatusStopped
	}
	for field, value := range map[*types.String]string{
		&m.OnSetupFailure: string(broker.SetupFailureDestroy), &m.Recovery: string(broker.RecoverElsewhere),
		&m.DesiredStatus: string(desired), &m.OnAutostop: autostopKeep, &m.Runtime: cmp.Or(c.Runtime, broker.RuntimeSSH),
	} {
		if field.IsNull() {
			*field = types.StringValue(value)
		}
	}
}

func nodeList(nodes []broker.Node) types.List {
	values := make([]attr.Value, 0, len(nodes))
	for _, n := range nodes {
		values = append(values, types.ObjectValueMust(nodeType().AttrTypes, map[string]attr.Value{
			"rank": types.Int64Value(int64(n.Rank)), "instance_id": types.StringValue(n.InstanceID),
			"internal_ip": types.StringValue(n.InternalIP), "external_ip": types.StringValue(n.ExternalIP),
			"ssh_port": types.Int64Value(int64(n.SSHPort)), "host_key": types.StringValue(n.HostKey),
			"status": types.StringValue(string(n.State)), "reason": types.StringValue(n.Reason),
		}))
	}
	return types.ListValueMust(nodeType(), values)
}

// fillUnknown replaces what the plan left open by what is true now; what the
// plan promised stays.
func (m *clusterModel) fillUnknown(c broker.Cluster, by reach) {
	now := *m
	now.setRecord(c, by)
	for _, f := range []struct{ to, from *types.String }{
		{&m.ID, &now.ID}, {&m.Cloud, &now.Cloud}, {&m.Region, &now.Region}, {&m.Zone, &now.Zone},
		{&m.InstanceType, &now.InstanceType}, {&m.Accelerators, &now.Accelerators}, {&m.Market, &now.Market},
		{&m.Status, &now.Status}, {&m.StatusReason, &now.StatusReason}, {&m.SSHUser, &now.SSHUser},
		{&m.SSHKeyPath, &now.SSHKeyPath}, {&m.SSHCommand, &now.SSHCommand}, {&m.HeadIP, &now.HeadIP}, {&m.SSHConfigPath, &now.SSHConfigPath},
		{&m.Generation, &now.Generation}, {&m.Account, &now.Account}, {&m.Owner, &now.Owner},
		{&m.LaunchedAt, &now.LaunchedAt}, {&m.ProcessManager, &now.ProcessManager},
	} {
		if f.to.IsUnknown() {
			*f.to = *f.from
		}
	}
	if m.HourlyCost.IsUnknown() {
		m.HourlyCost = now.HourlyCost
	}
	if m.Nodes.IsUnknown() {
		m.Nodes = now.Nodes
	}
	if m.Endpoints.IsUnknown() {
		m.Endpoints = now.Endpoints
	}
	if m.AllowedCIDRs.IsUnknown() {
		m.AllowedCIDRs = now.AllowedCIDRs
	}
	if m.ChangedOutside.IsUnknown() {
		m.ChangedOutside = now.ChangedOutside
	}
}
