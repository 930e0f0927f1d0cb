// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"cmp"
	"context"
	"net/netip"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
)

// spec converts the model to what the broker launches, less the offers.
func (m clusterModel) spec(ctx context.Context, keyPath string) (broker.Spec, diag.Diagnostics) {
	w, known, diags := request.Read(ctx, m.Resources)
	if diags.HasError() {
		return broker.Spec{}, diags
	}
	if !known {
		diags.AddAttributeError(path.Root("resources"), "Unknown value", "A value in resources is still unknown while the cluster is about to be launched or changed.")
		return broker.Spec{}, diags
	}
	req, err := w.Request(int(m.NumNodes.ValueInt64()))
	if err != nil {
		kit.Invalid(&diags, path.Root("resources"), err.Error())
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
		Name: m.Name.ValueString(), Request: req, Labels: kit.StringMap(w.Labels), Ports: req.Alternatives[0].Ports,
		Setup: m.Setup.ValueString(), Envs: kit.StringMap(m.Envs), Workdir: kit.ExpandHome(m.Workdir.ValueString()),
		KeyPath: kit.ExpandHome(keyPath), OnSetupFailure: broker.SetupFailure(m.OnSetupFailure.ValueString()),
		Recovery: broker.Recovery(m.Recovery.ValueString()), Autostop: stop, Runtime: m.Runtime.ValueString(),
		Beside: m.CreateFirst.ValueBool(), FileMounts: m.mounts(), AllowedCIDRs: m.prefixes(&diags),
	}
	return spec, diags
}

// mounts are file_mounts with their local paths as this computer has them.
func (m clusterModel) mounts() map[string]string {
	mounts := kit.StringMap(m.FileMounts)
	if len(mounts) == 0 {
		return nil // as without the attribute
	}
	for to, from := range mounts {
		mounts[to] = kit.ExpandHome(from)
	}
	return mounts
}

// prefixes are allowed_cidrs.
func (m clusterModel) prefixes(diags *diag.Diagnostics) []netip.Prefix {
	var out []netip.Prefix
	for i, text := range kit.StringList(m.AllowedCIDRs) {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			kit.Invalid(diags, path.Root("allowed_cidrs").AtListIndex(i), kit.CheckCIDR(text).Error())
			continue
		}
		out = append(out, prefix)
	}
	return out
}

// record converts the state to the broker's record of the cluster.
func (m clusterModel) record(ctx context.Context) (cluster.Cluster, diag.Diagnostics) {
	c := cluster.Cluster{
		ID: m.ID.ValueString(), Name: m.Name.ValueString(), Owner: m.Owner.ValueString(), Generation: m.Generation.ValueString(),
		Account: m.Account.ValueString(), Cloud: m.Cloud.ValueString(), Region: m.Region.ValueString(), Zone: m.Zone.ValueString(),
		InstanceType: m.InstanceType.ValueString(), Accelerators: m.Accelerators.ValueString(), Market: cloud.Market(m.Market.ValueString()),
		HourlyUSD: m.HourlyCost.ValueFloat64(), Status: cluster.Status(m.Status.ValueString()), StatusReason: m.StatusReason.ValueString(),
		SSHUser: m.SSHUser.ValueString(), KeyPath: kit.ExpandHome(m.SSHKeyPath.ValueString()), ProcessManager: m.ProcessManager.ValueString(),
		Runtime: m.Runtime.ValueString(),
		Size:    int(m.NumNodes.ValueInt64()), LaunchedAt: m.LaunchedAt.ValueString(), AllowedCIDRs: kit.StringList(m.AllowedCIDRs),
	}
	var nodes []nodeModel
	var diags diag.Diagnostics
	c.Autostop, _, diags = m.autostop(ctx)
	if !m.Nodes.IsNull() && !m.Nodes.IsUnknown() {
		diags.Append(m.Nodes.ElementsAs(ctx, &nodes, false)...)
	}
	for _, n := range nodes {
		c.Nodes = append(c.Nodes, cluster.Node{
			Rank: int(n.Rank.ValueInt64()), InstanceID: n.InstanceID.ValueString(), InternalIP: n.InternalIP.ValueString(),
			ExternalIP: n.ExternalIP.ValueString(), SSHPort: int(n.SSHPort.ValueInt64()), HostKey: n.HostKey.ValueString(),
			State: cloud.State(n.Status.ValueString()), Reason: n.Reason.ValueString(), PublicPorts: portsOf(n.PublicPorts),
		})
	}
	return c, diags
}

// setRecord writes the broker's record into the computed attributes. Nothing
// of them stays unknown.
func (m *clusterModel) setRecord(c cluster.Cluster, by reach) {
	m.factsModel = factsOf(c, by)
	m.ProcessManager, m.SSHConfigPath = types.StringValue(c.ProcessManager), types.StringValue(statedir.SSHConfigBeside(by.knownHosts))
	m.Endpoints = m.endpoints()
	if m.ChangedOutside.IsUnknown() {
		m.ChangedOutside = types.ListNull(types.StringType)
	}
	if m.AllowedCIDRs.IsUnknown() || (m.AllowedCIDRs.IsNull() && len(c.AllowedCIDRs) > 0) {
		m.AllowedCIDRs = kit.ListOf(c.AllowedCIDRs)
	}
}

func factsOf(c cluster.Cluster, by reach) factsModel {
	head := ""
	if len(c.Nodes) > 0 {
		head = c.Nodes[0].ExternalIP
	}
	return factsModel{
		ID: types.StringValue(c.ID), Cloud: types.StringValue(c.Cloud), Region: types.StringValue(c.Region), Zone: types.StringValue(c.Zone),
		InstanceType: types.StringValue(c.InstanceType), Accelerators: types.StringValue(c.Accelerators),
		Market: types.StringValue(string(c.Market)), HourlyCost: kit.Decimal(c.HourlyUSD),
		Status: types.StringValue(string(c.Status)), StatusReason: types.StringValue(c.StatusReason),
		SSHUser: types.StringValue(c.SSHUser), SSHKeyPath: types.StringValue(cmp.Or(by.key, c.KeyPath)),
		SSHCommand: types.StringValue(sshCommand(c, by)), HeadIP: types.StringValue(head), Nodes: nodeList(c.Nodes),
		Generation: types.StringValue(c.Generation), Account: types.StringValue(c.Account), Owner: types.StringValue(c.Owner),
		LaunchedAt: types.StringValue(c.LaunchedAt),
	}
}

// setDefaults gives what neither an earlier release's state nor an import says
// the value that a configuration without it has, as far as the cluster is so.
func (m *clusterModel) setDefaults(c cluster.Cluster) {
	desired := cluster.StatusUp
	if c.Status == cluster.StatusStopped {
		desired = cluster.StatusStopped
	}
	for field, value := range map[*types.String]string{
		&m.OnSetupFailure: string(broker.SetupFailureDestroy), &m.Recovery: string(broker.RecoverElsewhere),
		&m.DesiredStatus: string(desired), &m.OnAutostop: autostopKeep, &m.Runtime: cmp.Or(c.Runtime, cluster.RuntimeSSH),
	} {
		if field.IsNull() {
			*field = types.StringValue(value)
		}
	}
}

func nodeList(nodes []cluster.Node) types.List {
	values := make([]attr.Value, 0, len(nodes))
	for _, n := range nodes {
		values = append(values, types.ObjectValueMust(nodeType().AttrTypes, map[string]attr.Value{
			"rank": types.Int64Value(int64(n.Rank)), "instance_id": types.StringValue(n.InstanceID),
			"internal_ip": types.StringValue(n.InternalIP), "external_ip": types.StringValue(n.ExternalIP),
			"ssh_port": types.Int64Value(int64(n.SSHPort)), "host_key": types.StringValue(n.HostKey),
			"status": types.StringValue(string(n.State)), "reason": types.StringValue(n.Reason), "public_ports": portMap(n.PublicPorts),
		}))
	}
	return types.ListValueMust(nodeType(), values)
}

// fillUnknown replaces what the plan left open by what is true now; what the
// plan promised stays.
func (m *clusterModel) fillUnknown(c cluster.Cluster, by reach) {
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
