// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"context"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
	"github.com/skybroker/terraform-provider-sky/internal/provider/uploads"
)

// ValidateConfig checks what no attribute can by itself.
func (r *jobResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var m jobModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	if kit.IsSet(m.MaxRestarts) && m.RecoverOnExitCodes.IsNull() {
		kit.Invalid(&resp.Diagnostics, path.Root("max_restarts"), "It says how often recover_on_exit_codes starts the job again, which is not set; set that too, or leave this out.")
	}
	kit.CheckVars(&resp.Diagnostics, kit.Vars{Attribute: "envs", Values: m.Envs}, kit.Vars{Attribute: "secrets", Values: m.Secrets})
	envs := m.Envs.Elements()
	for _, name := range slices.Sorted(maps.Keys(m.Secrets.Elements())) {
		if _, twice := envs[name]; twice {
			kit.Invalid(&resp.Diagnostics, path.Root("secrets").AtMapKey(name), "The variable is in envs as well; name it in one of them.")
		}
	}
}

// ModifyPlan replaces the job where the content of its workdir changed, and else
// plans what is left to do for it.
func (r *jobResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.data == nil {
		return
	}
	if req.Plan.Raw.IsNull() {
		resp.Diagnostics.Append(fate{Plan: r.data.PlanName()}.leave(ctx, resp.Private)...)
		return
	}
	var old, m jobModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	if err := kit.CheckClusterID(m.ClusterID.ValueString()); kit.IsSet(m.ClusterID) && err != nil {
		// Not sooner: what terraform test mocks is any text, and its plans do not come here.
		kit.Invalid(&resp.Diagnostics, path.Root("cluster_id"), err.Error())
		return
	}
	if req.State.Raw.IsNull() {
		r.planCreate(ctx, m, resp)
		return
	}
	if resp.Diagnostics.Append(req.State.Get(ctx, &old)...); resp.Diagnostics.HasError() {
		return
	}
	digest := uploads.PlanWorkdir(r.data, m.Workdir, uploads.Uploaded{Digest: old.WorkdirDigest, Needed: !m.Workdir.Equal(old.Workdir)}, &resp.Diagnostics, m.outputsFolder()...)
	m.planOutputs(old, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	switch {
	case !digest.Equal(old.WorkdirDigest):
		m.WorkdirDigest = types.StringUnknown()
		resp.RequiresReplace.Append(path.Root("workdir_digest"))
	case r.elsewhere(old):
		m.ClusterGeneration = types.StringUnknown()
		resp.RequiresReplace.Append(path.Root("cluster_generation"))
	default:
		m.WorkdirDigest = digest
		m.planOutcome(old)
		m.planLost(old, resp)
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &m)...)
}

// planCreate plans a job that is not there yet. Where it replaces one, that one's
// removal hears of it.
func (r *jobResource) planCreate(ctx context.Context, m jobModel, resp *resource.ModifyPlanResponse) {
	resp.Diagnostics.Append(fate{Replaced: true, ClusterToo: m.ClusterID.IsUnknown()}.leave(ctx, resp.Private)...)
	if m.Workdir.IsNull() {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("workdir_digest"), types.StringNull())...)
	}
	uploads.PlanWorkdir(r.data, m.Workdir, uploads.Uploaded{Needed: true}, &resp.Diagnostics, m.outputsFolder()...)
	m.planOutputs(jobModel{}, &resp.Diagnostics)
}

// elsewhere reports whether the job's cluster was replaced by another one of the
// same id, as with -target: what it ran on is gone, and the job is none of the new
// one's.
func (r *jobResource) elsewhere(old jobModel) bool {
	b, opened := session.OpenedBroker[current](r.data)
	if !opened {
		return false // nothing was refreshed
	}
	now := b.Current(old.ClusterID.ValueString())
	return now != "" && now != old.ClusterGeneration.ValueString()
}

// outputsFolder is where outputs come to, which stays on this computer; none
// where it is not known.
func (m *jobModel) outputsFolder() []string {
	folder, ok := m.Outputs.Attributes()["folder"].(types.String)
	if !ok || folder.ValueString() == "" {
		return nil
	}
	return []string{kit.ExpandHome(folder.ValueString())}
}

// planOutputs refuses a folder that cannot be made, where one is asked for anew.
func (m *jobModel) planOutputs(old jobModel, diags *diag.Diagnostics) {
	if m.Outputs.Equal(old.Outputs) {
		return
	}
	for _, folder := range m.outputsFolder() {
		if err := kit.CheckOutputFolder(folder); err != nil {
			kit.Invalid(diags, path.Root("outputs").AtName("folder"), err.Error())
		}
	}
}

// planOutcome plans that a job that has ended stays as it ended, and to wait for
// the end of one that an interrupted apply left running. It is started no second
// time for that.
func (m *jobModel) planOutcome(old jobModel) {
	phase := old.phase()
	if phase.Final() {
		m.outcomeModel = old.outcomeModel
	}
	switch {
	case m.Wait.ValueBool() && !phase.Over():
		m.outcomeModel = unknownOutcome()
	case !m.Outputs.Equal(old.Outputs), phase == job.Succeeded && !m.Outputs.IsNull() && old.OutputFiles.IsNull():
		m.OutputFiles = types.ListUnknown(types.StringType)
	}
}
