// SPDX-License-Identifier: MPL-2.0

// Package clusters is the resource, the data source and the ephemeral resource of
// clusters.
package clusters

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
	"github.com/skybroker/terraform-provider-sky/internal/provider/uploads"
)

var (
	_ resource.ResourceWithConfigure      = (*clusterResource)(nil)
	_ resource.ResourceWithValidateConfig = (*clusterResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*clusterResource)(nil)
	_ resource.ResourceWithImportState    = (*clusterResource)(nil)
)

// The bounds of operations without a timeouts attribute.
const (
	defaultCreate = 60 * time.Minute
	defaultUpdate = 60 * time.Minute
	defaultDelete = 20 * time.Minute
)

type clusterResource struct{ data *session.Session }

// NewResource makes the resource sky_cluster.
func NewResource() resource.Resource { return &clusterResource{} }

func (r *clusterResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "sky_cluster"
}

func (r *clusterResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = clusterSchema()
}

func (r *clusterResource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.data = session.Of(req.ProviderData, &resp.Diagnostics)
}

// Create launches the cluster. Whatever is alive when it returns is in state.
func (r *clusterResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m clusterModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, end := r.data.Within(ctx, m.Timeouts.Create, defaultCreate, &resp.Diagnostics)
	defer end()
	spec, diags := m.spec(ctx, r.data.KeyPath)
	if resp.Diagnostics.Append(diags...); resp.Diagnostics.HasError() {
		return
	}
	doing := fmt.Sprintf("Launch of cluster %q", spec.Name)
	b, err := session.Broker[launcher](r.data)
	if err == nil {
		spec.Offers, err = offersFor(ctx, r.data, &spec.Request)
		resp.Diagnostics.Append(r.data.CatalogWarnings()...)
	}
	if err == nil {
		err = setDigests(r.data, &m)
	}
	if err != nil {
		resp.Diagnostics.Append(session.ErrorDiag(ctx, doing, err))
		return
	}
	c, err := b.Launch(ctx, spec)
	launched := c
	if err == nil && spec.Request.Needs.Stop {
		c, err = b.Stop(ctx, c)
	}
	if err != nil {
		resp.Diagnostics.Append(session.ClusterDiag(ctx, r.data, spec.Name, doing, err))
	}
	resp.Diagnostics.Append(replacedDiags(launched)...)
	if err != nil && !alive(c) {
		return
	}
	m.setRecord(c, reachOf(r.data, c))
	m.identify(ctx, resp.Identity, &resp.Diagnostics)
	resp.Diagnostics.Append(resp.State.Set(context.WithoutCancel(ctx), &m)...)
	r.remember(c, resp.State, &resp.Diagnostics)
}

// alive reports whether a failed launch returned machines that state must hold.
func alive(c cluster.Cluster) bool { return c.Generation != "" || len(c.Nodes) > 0 }

// setDigests fills in the digests that the plan left open.
func setDigests(d *session.Session, m *clusterModel) error {
	var err error
	if m.WorkdirDigest.IsUnknown() {
		if m.WorkdirDigest, err = uploads.WorkdirDigest(m.Workdir, uploads.Leave(d, nil)...); err != nil {
			return err
		}
	}
	if m.FileMountsDigest.IsUnknown() {
		m.FileMountsDigest, err = uploads.MountsDigest(m.FileMounts, uploads.Leave(d, nil)...)
	}
	return err
}

// Read brings the state up to date. Only positive proof that every machine is
// gone drops it; after any other trouble it stays as it is.
func (r *clusterResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m clusterModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	m.identify(ctx, resp.Identity, &resp.Diagnostics) // also where the resource goes: it must never be missing
	ctx, end := r.data.Within(ctx, m.Timeouts.Read, session.DefaultRead, &resp.Diagnostics)
	defer end()
	c, diags := m.record(ctx)
	if resp.Diagnostics.Append(diags...); resp.Diagnostics.HasError() {
		return
	}
	doing := fmt.Sprintf("Refresh of cluster %q", c.Name)
	b, err := session.Broker[refresher](r.data)
	if err != nil {
		resp.Diagnostics.Append(session.ErrorDiag(ctx, doing, err))
		return
	}
	fresh, err := b.Refresh(ctx, c)
	switch {
	case errors.Is(err, cluster.ErrGone):
		resp.Diagnostics.AddWarning(fmt.Sprintf("Cluster %q is gone", c.Name), fmt.Sprintf(
			"Every machine of %s (%s) has disappeared: it was removed outside Terraform, taken back by the cloud, or removed itself. "+
				"It was looked for twice under account %s. The plan will create it anew. Reported: %v.", c.ID, instanceIDs(c), c.Account, err))
		if err := b.RemoveRules(ctx, c); err != nil {
			resp.Diagnostics.AddWarning(fmt.Sprintf("Cluster %q left something behind", c.Name), kit.Sentence(err.Error()))
		}
		resp.State.RemoveResource(ctx)
	case err != nil:
		resp.Diagnostics.Append(session.ErrorDiag(ctx, doing, err))
	default:
		m.setRecord(fresh, reachOf(r.data, c).as(m))
		m.NumNodes = types.Int64Value(int64(fresh.Size))
		m.setDefaults(fresh)
		m.readDrift(ctx, b, fresh, &resp.Diagnostics)
		r.warnOfForgotten(ctx, b, c.Cloud, &resp.Diagnostics)
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	}
}

func instanceIDs(c cluster.Cluster) string {
	text := ""
	for i, n := range c.Nodes {
		if i > 0 {
			text += ", "
		}
		text += n.InstanceID
	}
	return text
}

// Update changes in place what machines allow; the plan has seen to the rest.
func (r *clusterResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var old, m clusterModel
	resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, end := r.data.Within(ctx, m.Timeouts.Update, defaultUpdate, &resp.Diagnostics)
	defer end()
	c, diags := old.record(ctx)
	resp.Diagnostics.Append(diags...)
	spec, diags := m.spec(ctx, r.data.KeyPath)
	if resp.Diagnostics.Append(diags...); resp.Diagnostics.HasError() {
		return
	}
	doing := fmt.Sprintf("Change of cluster %q", c.Name)
	b, err := session.Broker[changer](r.data)
	if err != nil {
		resp.Diagnostics.Append(session.ErrorDiag(ctx, doing, err))
		return
	}
	if int(m.NumNodes.ValueInt64()) > c.Size || len(c.Lost()) > 0 {
		spec.Offers = ownOffer(ctx, r.data, c)
		_, _, err = settle(ctx, r.data, &spec.Request)
	}
	fresh := c
	if err == nil {
		err = setDigests(r.data, &m)
	}
	if err == nil {
		fresh, err = m.update(ctx, b, old, c, spec)
	}
	if err != nil {
		resp.Diagnostics.Append(session.ClusterDiag(ctx, r.data, c.Name, doing, err))
		old.setRecord(fresh, reachOf(r.data, c).as(old))
		old.NumNodes = types.Int64Value(int64(fresh.Size))
		resp.Diagnostics.Append(resp.State.Set(context.WithoutCancel(ctx), &old)...)
		return
	}
	m.fillUnknown(fresh, reachOf(r.data, c).as(old))
	m.identify(ctx, resp.Identity, &resp.Diagnostics)
	resp.Diagnostics.Append(resp.State.Set(context.WithoutCancel(ctx), &m)...)
	r.remember(fresh, resp.State, &resp.Diagnostics)
}

// update brings the machines from old to m, in the order that asks least of
// them, and returns how far that came.
func (m *clusterModel) update(ctx context.Context, b changer, old clusterModel, c cluster.Cluster, spec broker.Spec) (cluster.Cluster, error) {
	var err error
	what := changes(old, *m)
	if c.Status == cluster.StatusTerminated || m.staysStopped(old) {
		return b.Update(ctx, c, spec, what) // notes what it can
	}
	if c.Status == cluster.StatusStopped && !m.wantsStopped() {
		if c, err = b.Start(ctx, c, spec); err != nil {
			return c, err
		}
		what.Autostop = false // armed at the start
	}
	nodes := int(m.NumNodes.ValueInt64())
	if nodes < c.Size {
		if c, err = b.Resize(ctx, c, spec, nodes); err != nil {
			return c, err
		}
	}
	if !m.wantsStopped() && len(c.Lost())+len(c.Resting()) > 0 {
		if c, err = b.Restore(ctx, c, spec); err != nil {
			return c, err
		}
	}
	if nodes > c.Size {
		if c, err = b.Resize(ctx, c, spec, nodes); err != nil {
			return c, err
		}
	}
	if what != (broker.Changes{}) {
		if c, err = b.Update(ctx, c, spec, what); err != nil {
			return c, err
		}
	}
	if m.wantsStopped() && !c.AtRest() {
		return b.Stop(ctx, c)
	}
	return c, nil
}

func (m clusterModel) wantsStopped() bool {
	return m.DesiredStatus.ValueString() == string(cluster.StatusStopped)
}

// Delete removes the machines and returns after their absence was observed.
func (r *clusterResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m clusterModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, end := r.data.Within(ctx, m.Timeouts.Delete, defaultDelete, &resp.Diagnostics)
	defer end()
	c, diags := m.record(ctx)
	if resp.Diagnostics.Append(diags...); resp.Diagnostics.HasError() {
		return
	}
	b, err := session.Broker[launcher](r.data)
	if err == nil {
		err = b.Destroy(ctx, c)
	}
	if err != nil {
		resp.Diagnostics.Append(session.ClusterDiag(ctx, r.data, c.Name, fmt.Sprintf("Removal of cluster %q", c.Name), err))
	}
}

// replacedDiags tells of a cluster that create_before_destroy let a launch pass by:
// where the state of an earlier apply was lost, nothing will ever remove it.
func replacedDiags(c cluster.Cluster) diag.Diagnostics {
	var diags diag.Diagnostics
	for _, r := range c.Replaced {
		diags.AddWarning(fmt.Sprintf("Another cluster %q was running already", c.Name), fmt.Sprintf(
			"%s, generation %s (%s), was taken for the one that this replaces, since create_before_destroy is true, and is still billed. "+
				"This apply removes it if the state holds it. If the state of an earlier apply was lost, nothing removes it: "+
				"import it with \"terraform import <address> %s\", under the address of a second resource of that name, and destroy it.",
			r.ID, r.Generation, strings.Join(r.Instances, ", "), r.ID))
	}
	return diags
}
