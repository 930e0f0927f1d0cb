// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

var _ resource.ResourceWithIdentity = (*clusterResource)(nil)

// clusterIdentity is what tells a cluster from all others, for import blocks.
type clusterIdentity struct {
	Name   types.String `tfsdk:"name"`
	Cloud  types.String `tfsdk:"cloud"`
	Region types.String `tfsdk:"region"`
	Owner  types.String `tfsdk:"owner"`
}

// IdentitySchema implements resource.ResourceWithIdentity.
func (r *clusterResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"name":   identityschema.StringAttribute{RequiredForImport: true, Description: "The cluster's name."},
		"cloud":  identityschema.StringAttribute{RequiredForImport: true, Description: "The cloud it runs on."},
		"region": identityschema.StringAttribute{RequiredForImport: true, Description: "The region it runs in."},
		"owner":  identityschema.StringAttribute{OptionalForImport: true, Description: "The owner in the machines' tags; by default the provider's own."},
	}}
}

// identify writes the cluster's identity. CLIs before Terraform 1.12 ignore it;
// tests that call the resource by hand have none to write to.
func (m clusterModel) identify(ctx context.Context, to *tfsdk.ResourceIdentity, diags *diag.Diagnostics) {
	if to != nil {
		diags.Append(to.Set(ctx, clusterIdentity{Name: m.Name, Cloud: m.Cloud, Region: m.Region, Owner: m.Owner})...)
	}
}

// importID is the id "cloud/region/name" of what is to be imported.
func importID(ctx context.Context, req resource.ImportStateRequest) (id, owner string, diags diag.Diagnostics) {
	if req.ID != "" || req.Identity == nil {
		return req.ID, "", nil
	}
	var from clusterIdentity
	diags = req.Identity.Get(ctx, &from)
	return from.Cloud.ValueString() + "/" + from.Region.ValueString() + "/" + from.Name.ValueString(), from.Owner.ValueString(), diags
}

// ImportState takes "cloud/region/name" or an identity. What was configured is
// restored from the record of the state folder; a cluster that was launched
// from elsewhere gets the resources that its machines are.
func (r *clusterResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	ctx, end := r.data.Begin(ctx, session.DefaultRead)
	defer end()
	id, owner, diags := importID(ctx, req)
	if resp.Diagnostics.Append(diags...); diags.HasError() {
		return
	}
	b, err := session.Broker[finder](r.data)
	var c cluster.Cluster
	if err == nil {
		c, err = b.Find(ctx, id)
	}
	if err == nil && owner != "" && owner != c.Owner {
		err = fmt.Errorf("the cluster is owner %q's and the identity names %q; set the provider's owner to the one in the machines' tags", c.Owner, owner)
	}
	if err != nil {
		resp.Diagnostics.Append(session.ErrorDiag(ctx, fmt.Sprintf("Import of %q", id), err))
		return
	}
	m := r.remembered(ctx, c, resp.State)
	m.setRecord(c, reachOf(r.data, c))
	m.Name, m.NumNodes = types.StringValue(c.Name), types.Int64Value(int64(c.Size))
	m.identify(ctx, resp.Identity, &resp.Diagnostics)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// remembered is the state as it was when the cluster was last changed from
// this state folder, else what can be told from its machines.
func (r *clusterResource) remembered(ctx context.Context, c cluster.Cluster, state tfsdk.State) clusterModel {
	m := emptyCluster(ctx, state)
	var text []byte
	if b, err := session.Broker[clusterFiles](r.data); err == nil {
		text = b.Settings(c)
	}
	if text != nil {
		was, err := stateFromJSON(ctx, state, text)
		var old clusterModel
		if err == nil && !was.Get(ctx, &old).HasError() {
			m = old
		}
	}
	if m.Resources.IsNull() {
		m.Resources = resourcesOfMachines(ctx, c)
	}
	m.setDefaults(c)
	return m
}

// resourcesOfMachines is the request that asks for just these machines.
func resourcesOfMachines(ctx context.Context, c cluster.Cluster) types.Object {
	values := kit.Nulls(ctx, request.ResourcesTypes())
	values["infra"] = types.StringValue(cloud.ShortPlace(c.Cloud, c.Region, c.Zone))
	values["instance_type"] = types.StringValue(c.InstanceType)
	if c.Market == cloud.Spot {
		values["market"] = types.StringValue(string(c.Market))
	}
	return types.ObjectValueMust(request.ResourcesTypes(), values)
}

// remember keeps what is in state now, for an import after the state was lost.
// It is no more secret than the state is, and lies in a folder of mode 0700.
func (r *clusterResource) remember(c cluster.Cluster, state tfsdk.State, diags *diag.Diagnostics) {
	plain, err := plainValue(state.Raw)
	var text []byte
	if err == nil {
		text, err = json.Marshal(plain)
	}
	var b clusterFiles
	if err == nil {
		b, err = session.Broker[clusterFiles](r.data)
	}
	if err == nil {
		err = b.SaveSettings(c, text)
	}
	if err != nil {
		diags.AddWarning(fmt.Sprintf("The settings of cluster %q are not noted", c.Name),
			"An import of this cluster would not know its configuration: "+kit.Sentence(err.Error()))
	}
}

// plainValue turns a Terraform value into what encoding/json writes as the
// JSON that Terraform itself keeps in its state.
func plainValue(v tftypes.Value) (any, error) {
	if v.IsNull() || !v.IsKnown() {
		return nil, nil //nolint:nilnil // JSON's null
	}
	switch typ := v.Type(); {
	case typ.Is(tftypes.String):
		var s string
		err := v.As(&s)
		return s, err
	case typ.Is(tftypes.Bool):
		var b bool
		err := v.As(&b)
		return b, err
	case typ.Is(tftypes.Number):
		n := new(big.Float)
		err := v.As(&n)
		return json.Number(n.Text('g', -1)), err
	case typ.Is(tftypes.Object{}), typ.Is(tftypes.Map{}):
		return plainMembers(v)
	default:
		return plainElements(v)
	}
}

// plainMembers is plainValue of an object or a map.
func plainMembers(v tftypes.Value) (any, error) {
	var members map[string]tftypes.Value
	if err := v.As(&members); err != nil {
		return nil, err
	}
	out := map[string]any{}
	for name, member := range members {
		plain, err := plainValue(member)
		if err != nil {
			return nil, err
		}
		out[name] = plain
	}
	return out, nil
}

// plainElements is plainValue of a list, a set or a tuple.
func plainElements(v tftypes.Value) (any, error) {
	var elements []tftypes.Value
	if err := v.As(&elements); err != nil {
		return nil, err
	}
	out := make([]any, 0, len(elements))
	for _, element := range elements {
		plain, err := plainValue(element)
		if err != nil {
			return nil, err
		}
		out = append(out, plain)
	}
	return out, nil
}

// stateFromJSON reads such JSON with the schema of the state; what the schema
// does not know is passed over, what the JSON lacks is null.
func stateFromJSON(ctx context.Context, like tfsdk.State, text []byte) (tfsdk.State, error) {
	raw, err := tftypes.ValueFromJSONWithOpts(text, like.Schema.Type().TerraformType(ctx), tftypes.ValueFromJSONOpts{IgnoreUndefinedAttributes: true})
	if err != nil {
		return tfsdk.State{}, fmt.Errorf("read the noted settings: %w", err)
	}
	return tfsdk.State{Schema: like.Schema, Raw: raw}, nil
}

// emptyCluster is a model whose collections are null with the right types.
func emptyCluster(ctx context.Context, state tfsdk.State) clusterModel {
	var m clusterModel
	_ = state.GetAttribute(ctx, path.Root("timeouts"), &m.Timeouts)
	m.Resources = types.ObjectNull(request.ResourcesTypes())
	m.Envs, m.FileMounts = types.MapNull(types.StringType), types.MapNull(types.StringType)
	m.ChangedOutside = types.ListNull(types.StringType)
	m.AllowedCIDRs, m.Nodes = types.ListNull(types.StringType), types.ListNull(nodeType())
	m.Endpoints = types.MapNull(types.StringType)
	m.Autostop = types.ObjectNull(autostopType().AttrTypes)
	return m
}
