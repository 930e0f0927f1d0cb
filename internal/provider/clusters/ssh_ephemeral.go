// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

var _ ephemeral.EphemeralResourceWithConfigure = (*clusterSSH)(nil)

// clusterSSH is the ephemeral resource sky_cluster_ssh: how to reach a node
// right now, for provisioners and other providers. Nothing of it is in state.
type clusterSSH struct{ data *session.Session }

// NewSSH makes the ephemeral resource sky_cluster_ssh.
func NewSSH() ephemeral.EphemeralResource { return &clusterSSH{} }

type clusterSSHModel struct {
	ClusterID  types.String `tfsdk:"cluster_id"`
	Rank       types.Int64  `tfsdk:"rank"`
	Host       types.String `tfsdk:"host"`
	Port       types.Int64  `tfsdk:"port"`
	User       types.String `tfsdk:"user"`
	HostKey    types.String `tfsdk:"host_key"`
	KeyPath    types.String `tfsdk:"key_path"`
	PrivateKey types.String `tfsdk:"private_key"`
	KnownHosts types.String `tfsdk:"known_hosts_path"`
	SSHConfig  types.String `tfsdk:"ssh_config_path"`
	Status     types.String `tfsdk:"status"`
	Bastion    types.Object `tfsdk:"bastion"`
}

func sshBastionTypes() map[string]attr.Type {
	return map[string]attr.Type{
		"host": types.StringType, "port": types.Int64Type, "user": types.StringType, "host_key": types.StringType, "key_path": types.StringType,
	}
}

func (e *clusterSSH) Metadata(_ context.Context, _ ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = "sky_cluster_ssh"
}

func (e *clusterSSH) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	text := func(description string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "How to reach a node of a cluster over SSH right now, for `connection` blocks of provisioners and for other providers. " +
			"It is asked for anew in every run and is neither in the plan nor in state. Needs Terraform 1.10 or OpenTofu 1.11.",
		Attributes: map[string]schema.Attribute{
			"cluster_id": schema.StringAttribute{
				Required: true, MarkdownDescription: "The cluster: `sky_cluster.<name>.id`, which reads `cloud/region/name`.", Validators: []validator.String{kit.NotBlank()},
			},
			"rank": schema.Int64Attribute{
				Optional: true, MarkdownDescription: "The node, by rank. Default 0, the head.", Validators: []validator.Int64{kit.Between(0, kit.MaxNodes-1, "a rank")},
			},
			"host":     text("Its address; null while it does not run."),
			"port":     schema.Int64Attribute{Computed: true, MarkdownDescription: "The TCP port of its SSH server; null while it does not run."},
			"user":     text("The user to log in as."),
			"host_key": text("Its pinned SSH host key, in the authorized_keys form, as `connection.host_key` takes it."),
			"key_path": text("File on this computer with the private key that logs in; null where the key is no file here."),
			"private_key": schema.StringAttribute{
				Computed: true, Sensitive: true,
				MarkdownDescription: "The private key that logs in, as `connection.private_key` takes it: your own of the provider block or of `SKY_SSH_PRIVATE_KEY`, else the content of `key_path`; null where this computer has none.",
			},
			"known_hosts_path": text("known_hosts file with the pinned keys of all nodes."),
			"ssh_config_path":  text("OpenSSH client configuration with a `Host` for each node; see the attribute of that name of `sky_cluster`."),
			"status":           text("The cluster's status, as of now."),
			"bastion": schema.SingleNestedAttribute{
				Computed: true, MarkdownDescription: "The machine on the way, as in the provider block; null without one. It is what `connection.bastion_host` and its like take.",
				Attributes: map[string]schema.Attribute{
					"host": text("Its name or address."), "port": schema.Int64Attribute{Computed: true, MarkdownDescription: "The TCP port of its SSH server."},
					"user": text("The user to log in as."), "host_key": text("Its SSH host key."), "key_path": text("File with the private key that logs in there; null for the keys of the SSH agent."),
				},
			},
		},
	}
}

func (e *clusterSSH) Configure(_ context.Context, req ephemeral.ConfigureRequest, resp *ephemeral.ConfigureResponse) {
	e.data = session.Of(req.ProviderData, &resp.Diagnostics)
}

// Open implements ephemeral.EphemeralResource. A node that does not run, or is
// not there, is no error: the same run may be about to start or to add it, and
// asks again then; and an error would stand in the way of a destroy.
func (e *clusterSSH) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	var m clusterSSHModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	if err := kit.CheckClusterID(m.ClusterID.ValueString()); err != nil {
		kit.Invalid(&resp.Diagnostics, path.Root("cluster_id"), err.Error())
		return
	}
	ctx, end := e.data.Begin(ctx, session.DefaultRead)
	defer end()
	b, err := session.Broker[finder](e.data)
	var c cluster.Cluster
	if err == nil {
		if c, err = b.Find(ctx, m.ClusterID.ValueString()); err == nil {
			c, err = b.Observe(ctx, c)
		}
	}
	if err != nil {
		resp.Diagnostics.Append(session.ErrorDiag(ctx, fmt.Sprintf("Search for the way to cluster %q", m.ClusterID.ValueString()), err))
		return
	}
	for _, n := range c.Nodes { // an empty key would have the other side check nothing
		if n.Rank == int(m.Rank.ValueInt64()) && n.Runs() && n.HostKey == "" {
			resp.Diagnostics.Append(session.ErrorDiag(ctx, fmt.Sprintf("Search for the way to cluster %q", m.ClusterID.ValueString()),
				&cluster.MissingHostKeyError{Cluster: c.Name, Rank: n.Rank, InstanceID: n.InstanceID}))
			return
		}
	}
	b.WriteSSHFiles(ctx, c)
	by := reachHere(e.data, c) // of this computer: nothing of it is kept
	m.set(c, by)
	if key := e.data.OwnKeyText(by.key); key != "" {
		m.PrivateKey = types.StringValue(key)
	}
	if m.Host.IsNull() {
		resp.Diagnostics.AddWarning(fmt.Sprintf("Rank %d of cluster %q does not run", m.Rank.ValueInt64(), c.Name),
			fmt.Sprintf("The cluster has %d nodes and is %s. There is no address to connect to for now. %s", c.Size, c.Status, kit.Sentence(c.StatusReason)))
	}
	resp.Diagnostics.Append(resp.Result.Set(ctx, &m)...)
}

func (m *clusterSSHModel) set(c cluster.Cluster, by reach) {
	m.User = types.StringValue(c.SSHUser)
	if by.key != "" {
		m.KeyPath = types.StringValue(by.key)
	}
	m.KnownHosts, m.SSHConfig = types.StringValue(by.knownHosts), types.StringValue(statedir.SSHConfigBeside(by.knownHosts))
	m.Status, m.Bastion = types.StringValue(string(c.Status)), types.ObjectNull(sshBastionTypes())
	for _, n := range c.Nodes {
		if n.Rank == int(m.Rank.ValueInt64()) && n.Runs() {
			m.Host, m.Port, m.HostKey = types.StringValue(n.ExternalIP), types.Int64Value(int64(n.SSHPort)), types.StringValue(n.HostKey)
		}
	}
	if hop := by.bastion; hop != nil {
		key := types.StringNull()
		if hop.KeyPath != "" {
			key = types.StringValue(hop.KeyPath)
		}
		m.Bastion = types.ObjectValueMust(sshBastionTypes(), map[string]attr.Value{
			"host": types.StringValue(hop.Host), "port": types.Int64Value(int64(hop.SSHPort())), "user": types.StringValue(hop.User),
			"host_key": types.StringValue(hop.HostKey), "key_path": key,
		})
	}
}
