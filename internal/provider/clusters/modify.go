// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
	"github.com/skybroker/terraform-provider-sky/internal/provider/uploads"
)

// ModifyPlan decides from the catalogs alone, without a call to any cloud:
// whether the request can be met, what is considered, and what forces a
// replacement.
func (r *clusterResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.data == nil {
		return
	}
	r.noteHeld(ctx, req)
	if req.Plan.Raw.IsNull() {
		r.planRemoval(ctx, req, resp)
		return
	}
	var m clusterModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	defer func() { resp.Diagnostics.Append(r.data.CatalogWarnings()...) }()
	if req.State.Raw.IsNull() {
		r.planCreate(ctx, m, resp)
		return
	}
	var old clusterModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &old)...); resp.Diagnostics.HasError() {
		return
	}
	r.planUpdate(ctx, old, m, !req.Plan.Raw.Equal(req.State.Raw), resp)
	// One that stays is not what a second resource of its name replaces. That
	// -replace was given nobody tells a provider.
	if len(resp.RequiresReplace) == 0 && !m.CreateFirst.ValueBool() {
		return
	}
	if c, diags := old.record(ctx); !diags.HasError() && c.Generation != "" {
		r.data.Prior.Add(c)
	}
}

// noteHeld tells the broker of a cluster that a state was seen to hold, where no
// refresh has: another resource of its name must not take it over.
func (r *clusterResource) noteHeld(ctx context.Context, req resource.ModifyPlanRequest) {
	if req.State.Raw.IsNull() {
		return
	}
	var name, generation, owner types.String
	diags := req.State.GetAttribute(ctx, path.Root("name"), &name)
	diags.Append(req.State.GetAttribute(ctx, path.Root("generation"), &generation)...)
	diags.Append(req.State.GetAttribute(ctx, path.Root("owner"), &owner)...)
	dir, err := r.data.StateFolder()
	if diags.HasError() || err != nil || !broker.Unheld(dir, owner.ValueString(), name.ValueString(), generation.ValueString()) {
		return
	}
	if b, err := session.Broker[planner](r.data); err == nil {
		b.NoteHeld(ctx, owner.ValueString(), name.ValueString(), generation.ValueString())
	}
}

// planCreate ranks the offers, and shows the table.
func (r *clusterResource) planCreate(ctx context.Context, m clusterModel, resp *resource.ModifyPlanResponse) {
	if !m.Name.IsUnknown() {
		if err := r.noteReplacement(ctx, m.Name.ValueString()); err != nil {
			resp.Diagnostics.Append(session.ErrorDiag(ctx, fmt.Sprintf("Plan of cluster %q", m.Name.ValueString()), err))
		}
	}
	warnOfElsewhere(r.data, &resp.Diagnostics)
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("changed_outside"), types.ListNull(types.StringType))...)
	if m.Workdir.IsNull() {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("workdir_digest"), types.StringNull())...)
	}
	r.data.PlanKeys(&resp.Diagnostics)
	uploads.PlanWorkdir(r.data, m.Workdir, uploads.Uploaded{Needed: true}, &resp.Diagnostics)
	uploads.PlanMounts(r.data, m.FileMounts, uploads.Uploaded{Needed: true}, &resp.Diagnostics)
	if m.FileMounts.IsNull() {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("file_mounts_digest"), types.StringNull())...)
	}
	if list, ok := request.Member(m.Resources, "ports").(types.List); ok && kit.Empty(list) {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("endpoints"), types.MapValueMust(types.StringType, nil))...)
	}
	plan, known := r.rank(ctx, m, &resp.Diagnostics)
	if !known || resp.Diagnostics.HasError() {
		return
	}
	r.checkTemplates(m.Name.ValueString(), plan.Placements, &resp.Diagnostics)
	r.warnOfTools(m, plan, &resp.Diagnostics)
	warnOfDeadMan(plan, r.data.Capabilities(), &r.data.Warned, &resp.Diagnostics)
	warnOfSources(plan, r.data.Capabilities(), &r.data.Warned, &resp.Diagnostics)
	warnOfPace(plan, r.data.Capabilities(), &resp.Diagnostics)
	r.warnOfStrangers(ctx, m, plan, &resp.Diagnostics)
	r.warnOfForgottenBy(ctx, plan, &resp.Diagnostics)
	if !r.data.ShowPlanTable {
		return
	}
	resp.Diagnostics.AddAttributeWarning(path.Root("resources"), fmt.Sprintf("Cluster %q: what was considered", m.Name.ValueString()),
		kit.Indent(plan.Table())+"\n\nThis is for information. Place and price are decided at apply, since the next best offer is tried where the first has no capacity. show_plan_table = false in the provider block switches this off.")
}

// rank answers the plan's request. It reports false where values that matter
// are unknown and the answer must wait for apply.
func (r *clusterResource) rank(ctx context.Context, m clusterModel, diags *diag.Diagnostics) (optimizer.Plan, bool) {
	w, known, d := request.Read(ctx, m.Resources)
	if diags.Append(d...); d.HasError() || !known || m.NumNodes.IsUnknown() || r.data.CatalogUnknown {
		return optimizer.Plan{}, false
	}
	req, err := w.Request(int(m.NumNodes.ValueInt64()))
	req.Needs = m.needs(ctx)
	var plan optimizer.Plan
	if err == nil {
		r.warnOfRegions(ctx, req.Preferred, diags)
		loss := lossOf(r.data, m)
		if plan, err = rankOpenable(ctx, r.data, req, loss, diags); err == nil {
			warnLoss(m, loss, plan, diags)
			plan.Notes = append(plan.Notes, notCovered(req, plan)...)
		}
	}
	if err != nil && r.blameAutostop(ctx, req, err, diags) {
		return plan, false
	}
	if err != nil {
		diags.Append(diag.WithPath(path.Root("resources"), session.ErrorDiag(ctx, fmt.Sprintf("Plan of cluster %q", m.Name.ValueString()), err)))
	}
	return plan, true
}

// planUpdate plans digests, replacement and what stays unknown.
func (r *clusterResource) planUpdate(ctx context.Context, old, m clusterModel, changed bool, resp *resource.ModifyPlanResponse) {
	before := m
	r.planDigests(&m, old, resp)
	if resp.Diagnostics.HasError() {
		return
	}
	r.planAutostop(ctx, old, m, &resp.Diagnostics)
	if fresh := !m.WorkdirDigest.Equal(old.WorkdirDigest) || !m.FileMountsDigest.Equal(old.FileMountsDigest); fresh && !changed {
		m.Status, m.StatusReason = types.StringUnknown(), types.StringUnknown()
		changed = true
	}
	repair := m.planDrift(old)
	moved := r.planLife(ctx, old, &m, changed, resp)
	if resp.Diagnostics.HasError() || (!changed && !moved && !repair) {
		return
	}
	r.planReplacement(ctx, old, m, resp)
	if len(resp.RequiresReplace) > 0 || m.NumNodes.ValueInt64() > old.NumNodes.ValueInt64() {
		r.checkTemplates(old.Name.ValueString(), []cloud.Placement{old.placement()}, &resp.Diagnostics)
	}
	m.Endpoints = m.plannedEndpoints(old)
	if !moved && before.ChangedOutside.Equal(m.ChangedOutside) && before.Endpoints.Equal(m.Endpoints) && before.WorkdirDigest.Equal(m.WorkdirDigest) && before.FileMountsDigest.Equal(m.FileMountsDigest) && before.Status.Equal(m.Status) {
		return
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &m)...)
}

// planLife plans stopping, starting, restoring and resizing, in place. It
// reports whether any of it is to be done; what follows from it is known after
// apply.
func (r *clusterResource) planLife(ctx context.Context, old clusterModel, m *clusterModel, changed bool, resp *resource.ModifyPlanResponse) bool {
	if !old.is(cluster.StatusTerminated) && (m.DesiredStatus.IsUnknown() || m.NumNodes.IsUnknown()) {
		m.openLife()
		return true
	}
	if old.is(cluster.StatusTerminated) || m.staysStopped(old) {
		return r.planEnded(old, m, resp)
	}
	r.planEnded(old, m, resp)
	c, diags := old.record(ctx)
	if resp.Diagnostics.Append(diags...); diags.HasError() {
		return false
	}
	stopped := c.AtRest()
	resize, toggle := !m.NumNodes.Equal(old.NumNodes), stopped != m.wantsStopped()
	if stopped && m.wantsStopped() && changed && needsMachines(old, *m) {
		resp.Diagnostics.AddAttributeError(path.Root("desired_status"), "Cluster is stopped",
			"num_nodes, setup, envs, workdir and file_mounts cannot be changed while the machines are stopped. Set desired_status = \"UP\" together with the change.")
		return false
	}
	if toggle && m.wantsStopped() {
		cloudName := old.Cloud.ValueString()
		caps, ok := r.data.CapabilitiesOf(cloudName)
		if why := caps.CannotStop(old.offer()); ok && why != "" {
			resp.Diagnostics.AddAttributeError(path.Root("desired_status"), "Cluster cannot stop", kit.Sentence(why)+" Destroy it, or keep desired_status = \"UP\".")
			return false
		}
	}
	restored := planRestore(c, *m, resp)
	if !resize && !toggle && len(restored) == 0 {
		return false
	}
	m.Status, m.StatusReason = types.StringUnknown(), types.StringUnknown()
	m.Nodes = types.ListUnknown(nodeType())
	if resize {
		m.HourlyCost = types.Float64Unknown()
	}
	if toggle || slices.Contains(restored, 0) {
		m.HeadIP, m.SSHCommand = types.StringUnknown(), types.StringUnknown()
	}
	return true
}

// planRestore says which nodes the plan brings back in place: those that are
// gone, and those that are stopped beside others that run.
func planRestore(c cluster.Cluster, m clusterModel, resp *resource.ModifyPlanResponse) []int {
	lost, resting := c.Lost(), c.Resting()
	if m.wantsStopped() || len(resting) == c.Size || c.Generation == "" {
		return nil
	}
	beyond := func(rank int) bool { return rank >= int(m.NumNodes.ValueInt64()) }
	lost, resting = slices.DeleteFunc(lost, beyond), slices.DeleteFunc(resting, beyond)
	for _, what := range []struct {
		ranks []int
		text  string
	}{{lost, "gone, and made anew by this plan, in place"}, {resting, "stopped, and started by this plan"}} {
		if len(what.ranks) > 0 {
			resp.Diagnostics.AddAttributeWarning(path.Root("num_nodes"), fmt.Sprintf("Cluster %q is not whole", c.Name),
				fmt.Sprintf("Of its %d nodes, by rank, %v are %s. The others stay as they are. Reported: %s.", c.Size, what.ranks, what.text, c.StatusReason))
		}
	}
	return append(lost, resting...)
}

// planDigests compares what lies on this computer with what was uploaded. A
// digest that will change stays unknown, since files may change until apply.
func (r *clusterResource) planDigests(m *clusterModel, old clusterModel, resp *resource.ModifyPlanResponse) {
	grows := m.NumNodes.ValueInt64() > old.NumNodes.ValueInt64()
	workdir := uploads.PlanWorkdir(r.data, m.Workdir, uploads.Uploaded{Digest: old.WorkdirDigest, Needed: grows || !m.Workdir.Equal(old.Workdir)}, &resp.Diagnostics)
	mounts := uploads.PlanMounts(r.data, m.FileMounts, uploads.Uploaded{Digest: old.FileMountsDigest, Needed: grows || !m.FileMounts.Equal(old.FileMounts)}, &resp.Diagnostics)
	m.WorkdirDigest = plannedDigest(workdir, old.WorkdirDigest)
	m.FileMountsDigest = plannedDigest(mounts, old.FileMountsDigest)
}

func plannedDigest(now, old types.String) types.String {
	switch {
	case now.IsNull():
		return types.StringNull()
	case !now.Equal(old):
		return types.StringUnknown()
	default:
		return old
	}
}

// planReplacement replaces the cluster where its machines do not satisfy the
// changed request, and says which attribute forced it.
func (r *clusterResource) planReplacement(ctx context.Context, old, m clusterModel, resp *resource.ModifyPlanResponse) {
	changed := request.ChangedMembers(old.Resources, m.Resources)
	portsChanged := !kit.Empty(request.Member(m.Resources, "ports")) && !request.Member(old.Resources, "ports").Equal(request.Member(m.Resources, "ports"))
	if !m.NumNodes.Equal(old.NumNodes) {
		changed = append(changed, "num_nodes")
	}
	if forced := request.Undecided(m.Resources); len(forced) > 0 {
		planUndecided(old, forced, resp)
		return
	}
	labels, before := request.Member(m.Resources, "labels"), request.Member(old.Resources, "labels")
	labelsChanged := !before.Equal(labels) && !(kit.Empty(before) && kit.Empty(labels))
	if (len(changed) == 0 && !portsChanged && !labelsChanged) || r.data.CatalogUnknown || m.NumNodes.IsUnknown() {
		return
	}
	c, diags := old.record(ctx)
	w, known, d := request.Read(ctx, m.Resources)
	if diags.Append(d...); diags.HasError() || !known {
		resp.Diagnostics.Append(diags...)
		return
	}
	now, err := w.Request(int(m.NumNodes.ValueInt64()))
	if err != nil {
		kit.Invalid(&resp.Diagnostics, path.Root("resources"), err.Error())
		return
	}
	now.Needs = m.needs(ctx)
	verdict, err := r.verdict(ctx, c, old, now, changed)
	if err != nil {
		resp.Diagnostics.Append(diag.WithPath(path.Root("resources"), session.ErrorDiag(ctx, fmt.Sprintf("Plan of cluster %q", c.Name), err)))
		return
	}
	if len(verdict.Replace) == 0 && portsChanged && !r.portsLater(c.Cloud) {
		verdict.Replace, verdict.Why = []string{"ports"}, fmt.Sprintf("The cloud %s opens ports only at launch.", c.Cloud)
	}
	if caps, ok := r.data.CapabilitiesOf(c.Cloud); ok && len(verdict.Replace) == 0 && labelsChanged && labelsFixed(caps) {
		refuseLabels(c, &resp.Diagnostics)
		return
	}
	r.replace(ctx, c, now, verdict, resp)
}

func (r *clusterResource) replace(ctx context.Context, c cluster.Cluster, now optimizer.Request, v request.Verdict, resp *resource.ModifyPlanResponse) {
	if len(v.Replace) == 0 {
		return
	}
	for _, name := range v.Replace {
		at := path.Root("resources").AtName(name)
		if name == "num_nodes" {
			at = path.Root(name)
		}
		resp.RequiresReplace.Append(at)
		if name == "accelerators" { // the CLI marks no attribute of a dynamic type
			resp.RequiresReplace.Append(path.Root("resources"))
		}
	}
	resp.Diagnostics.AddAttributeWarning(path.Root("resources"), fmt.Sprintf("Cluster %q will be replaced", c.Name),
		fmt.Sprintf("%s Forced by: %s.", v.Why, strings.Join(v.Replace, ", ")))
	if _, err := rankOffers(ctx, r.data, now, nil); err != nil {
		resp.Diagnostics.Append(diag.WithPath(path.Root("resources"), session.ErrorDiag(ctx, fmt.Sprintf("Plan of cluster %q", c.Name), err)))
	}
}

func (r *clusterResource) verdict(ctx context.Context, c cluster.Cluster, old clusterModel, now optimizer.Request, changed []string) (request.Verdict, error) {
	if len(changed) == 0 {
		return request.Verdict{}, nil
	}
	present, ok, err := presentOffer(ctx, r.data, c)
	if err != nil {
		return request.Verdict{}, err
	}
	if !ok {
		return request.Verdict{Replace: changed, Why: fmt.Sprintf("The catalog no longer knows %s in %s, so that it cannot be told whether the machines satisfy the change.",
			c.InstanceType, cloud.ShortPlace(c.Cloud, c.Region, c.Zone))}, nil
	}
	var was *optimizer.Request
	if w, known, _ := request.Read(ctx, old.Resources); known {
		if req, err := w.Request(c.Size); err == nil {
			if _, _, err := settle(ctx, r.data, &req); err == nil {
				was = &req
			}
		}
	}
	if _, _, err := settle(ctx, r.data, &now); err != nil {
		return request.Verdict{}, err
	}
	if f, ok := r.data.Registry.Get(c.Cloud); ok && now.Nodes > 1 && !f.Capabilities().MultiNode {
		return request.Verdict{Replace: []string{"num_nodes"}, Why: fmt.Sprintf("The cloud %s has no clusters of several machines.", c.Cloud)}, nil
	}
	return request.Judge(present, now.Nodes, was, now, changed), nil
}

func (r *clusterResource) portsLater(cloudName string) bool {
	f, ok := r.data.Registry.Get(cloudName)
	return ok && f.Capabilities().PortsLater
}

// refuseLabels says that machines keep their labels. Labels alone are not worth the
// machines, so that who wants others has to say that it may cost them.
func refuseLabels(c cluster.Cluster, diags *diag.Diagnostics) {
	diags.AddAttributeError(path.Root("resources").AtName("labels"), fmt.Sprintf("The labels of cluster %q cannot change", c.Name),
		fmt.Sprintf("The cloud %s labels machines only at launch, so that these keep the labels that they have. Write those, or mark the cluster "+
			"with \"terraform taint\": the next apply then launches other machines with the new labels in place of these.", c.Cloud))
}

// labelsFixed reports whether machines keep the labels of their launch.
func labelsFixed(c cloud.Capabilities) bool { return c.LabelsFixed || !c.Labels }

// planRemoval notes that a cluster is removed, for the sake of its jobs.
func (r *clusterResource) planRemoval(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	var generation types.String
	resp.Diagnostics.Append(req.State.GetAttribute(ctx, path.Root("generation"), &generation)...)
	if generation.ValueString() != "" {
		r.data.NoteRemoval(ctx, generation.ValueString())
	}
}
