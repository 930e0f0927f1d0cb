// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/job"
)

var (
	_ resource.ResourceWithConfigure      = (*jobResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*jobResource)(nil)
	_ resource.ResourceWithValidateConfig = (*jobResource)(nil)
)

const (
	defaultJob    = 24 * time.Hour
	defaultCancel = 10 * time.Minute
	// lastLook bounds asking after a job once the caller's time is over.
	lastLook = 10 * time.Second
	// cripple bounds cancelling on a cluster that has lost nodes.
	cripple = time.Minute
	// glance bounds asking after a job during a refresh, which should not wait
	// long for machines that do not answer.
	glance = 30 * time.Second
)

type jobResource struct{ data *providerData }

func newJobResource() resource.Resource { return &jobResource{} }

func (r *jobResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "sky_job"
}

func (r *jobResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = jobSchema()
}

func (r *jobResource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.data = providerDataOf(req.ProviderData, &resp.Diagnostics)
}

// ValidateConfig checks what no attribute can by itself.
func (r *jobResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var m jobModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	if !m.MaxRestarts.IsNull() && m.RecoverOnExitCodes.IsNull() {
		invalid(&resp.Diagnostics, path.Root("max_restarts"), "It says how often recover_on_exit_codes starts the job again, which is not set; set that too, or leave this out.")
	}
	envs := m.Envs.Elements()
	for _, name := range slices.Sorted(maps.Keys(m.Secrets.Elements())) {
		if _, twice := envs[name]; twice {
			invalid(&resp.Diagnostics, path.Root("secrets").AtMapKey(name), "The variable is in envs as well; name it in one of them.")
		}
	}
}

// ModifyPlan replaces the job where the content of its workdir changed.
func (r *jobResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.data == nil || req.Plan.Raw.IsNull() {
		return
	}
	var old, m jobModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	if req.State.Raw.IsNull() {
		if m.Workdir.IsNull() {
			resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("workdir_digest"), types.StringNull())...)
		}
		return
	}
	if resp.Diagnostics.Append(req.State.Get(ctx, &old)...); resp.Diagnostics.HasError() {
		return
	}
	digest, err := pathDigest(m.Workdir)
	if err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("workdir"), "Invalid value", sentence(err.Error()))
		return
	}
	if digest.Equal(old.WorkdirDigest) {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("workdir_digest"), old.WorkdirDigest)...)
		phase := job.Phase(old.Status.ValueString())
		if phase.Final() {
			resp.Diagnostics.Append(planKept(ctx, &resp.Plan, old)...)
		}
		switch {
		case m.Wait.ValueBool() && !phase.Over():
			resp.Diagnostics.Append(planOutcome(ctx, &resp.Plan)...)
		case !m.Outputs.Equal(old.Outputs), phase == job.Succeeded && !m.Outputs.IsNull() && old.OutputFiles.IsNull():
			resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("output_files"), types.ListUnknown(types.StringType))...)
		}
		return
	}
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("workdir_digest"), types.StringUnknown())...)
	resp.RequiresReplace.Append(path.Root("workdir_digest"))
}

// planKept plans that a job that has ended stays as it ended.
func planKept(ctx context.Context, plan *tfsdk.Plan, old jobModel) diag.Diagnostics {
	var diags diag.Diagnostics
	for name, v := range map[string]any{
		"status": old.Status, "status_reason": old.StatusReason, "started_at": old.StartedAt, "ended_at": old.EndedAt, "log_tail": old.LogTail,
		"exit_code": old.ExitCode, "failed_rank": old.FailedRank, "restarts": old.Restarts, "exit_codes": old.ExitCodes, "output_files": old.OutputFiles,
	} {
		diags.Append(plan.SetAttribute(ctx, path.Root(name), v)...)
	}
	return diags
}

// planOutcome plans to wait for the end of a job that an interrupted apply
// left running. It is started no second time for that.
func planOutcome(ctx context.Context, plan *tfsdk.Plan) diag.Diagnostics {
	var diags diag.Diagnostics
	for _, name := range []string{"status", "status_reason", "started_at", "ended_at", "log_tail"} {
		diags.Append(plan.SetAttribute(ctx, path.Root(name), types.StringUnknown())...)
	}
	for _, name := range []string{"exit_code", "failed_rank", "restarts"} {
		diags.Append(plan.SetAttribute(ctx, path.Root(name), types.Int64Unknown())...)
	}
	diags.Append(plan.SetAttribute(ctx, path.Root("exit_codes"), types.ListUnknown(types.Int64Type))...)
	diags.Append(plan.SetAttribute(ctx, path.Root("output_files"), types.ListUnknown(types.StringType))...)
	return diags
}

// Create submits the job and, if asked to, waits for its end.
func (r *jobResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m jobModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	timeout, diags := m.Timeouts.Create(ctx, defaultJob)
	if resp.Diagnostics.Append(diags...); diags.HasError() {
		return
	}
	ctx, end := r.data.begin(ctx, timeout)
	defer end()
	secrets, diags := secretsOf(ctx, req.Config)
	if resp.Diagnostics.Append(diags...); diags.HasError() {
		return
	}
	ctx = hideFromLog(ctx, secrets)
	h, err := r.open(ctx, m.ClusterID.ValueString(), "")
	if err == nil {
		defer h.close()
		h.secrets = secrets
		err = h.submit(ctx, &m)
	}
	if err != nil {
		resp.Diagnostics.Append(errorDiag(ctx, fmt.Sprintf("Submission of job %q", m.Name.ValueString()), err))
		return
	}
	resp.Diagnostics.Append(h.follow(ctx, &m, true)...)
	resp.Diagnostics.Append(resp.State.Set(context.WithoutCancel(ctx), &m)...)
}

// secretsOf reads the write-only secrets, which only the configuration has.
func secretsOf(ctx context.Context, config tfsdk.Config) (map[string]string, diag.Diagnostics) {
	var secrets types.Map
	diags := config.GetAttribute(ctx, path.Root("secrets"), &secrets)
	return stringMap(secrets), diags
}

// hideFromLog keeps secrets out of the provider's log, whoever writes there.
func hideFromLog(ctx context.Context, secrets map[string]string) context.Context {
	for _, value := range secrets {
		if len(value) >= leastSecret {
			ctx = tflog.MaskMessageStrings(tflog.MaskAllFieldValuesStrings(ctx, value), value)
		}
	}
	return ctx
}

// Read asks after a job whose end is not known yet.
func (r *jobResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m jobModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	if job.Phase(m.Status.ValueString()).Final() {
		return
	}
	timeout, diags := m.Timeouts.Read(ctx, defaultRead)
	if resp.Diagnostics.Append(diags...); diags.HasError() {
		return
	}
	ctx, end := r.data.begin(ctx, timeout)
	defer end()
	if err := r.look(ctx, &m); err != nil {
		resp.Diagnostics.AddWarning(fmt.Sprintf("Job %q cannot be asked after", m.Name.ValueString()),
			sentence(fmt.Sprintf("its last known status is %s, and it stays so in state: %v", m.Status.ValueString(), err)))
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// look brings a job's status and log up to date.
func (r *jobResource) look(ctx context.Context, m *jobModel) error {
	h, err := r.open(ctx, m.ClusterID.ValueString(), m.ClusterGeneration.ValueString())
	if err != nil {
		return err
	}
	defer h.close()
	if s := h.cluster.Status; s == broker.StatusStopped || s == broker.StatusTerminated {
		return fmt.Errorf("cluster %s is %s: %s", h.cluster.ID, s, h.cluster.StatusReason)
	}
	ctx, stop := context.WithTimeout(ctx, glance)
	defer stop()
	status, err := h.runner.Status(ctx, job.ID(m.ID.ValueString()))
	if err != nil {
		return err
	}
	if err := h.fetchLog(ctx, m); err != nil {
		return err
	}
	m.setStatus(status)
	return nil
}

// Update goes on with a job that was left running, and fetches its outputs. No
// error of it taints the job, and none of it starts one.
func (r *jobResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m, old jobModel
	resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	timeout, diags := m.Timeouts.Update(ctx, defaultJob)
	if resp.Diagnostics.Append(diags...); diags.HasError() {
		return
	}
	ctx, end := r.data.begin(ctx, timeout)
	defer end()
	secrets, diags := secretsOf(ctx, req.Config)
	if resp.Diagnostics.Append(diags...); diags.HasError() {
		return
	}
	m.keepOutcome(old)
	resp.Diagnostics.Append(r.goOn(hideFromLog(ctx, secrets), &m, old, secrets)...)
	resp.Diagnostics.Append(resp.State.Set(context.WithoutCancel(ctx), &m)...)
}

// goOn is Update's work: what is left to do for a job.
func (r *jobResource) goOn(ctx context.Context, m *jobModel, old jobModel, secrets map[string]string) diag.Diagnostics {
	var diags diag.Diagnostics
	phase := job.Phase(old.Status.ValueString())
	unfetched := m.OutputFiles.IsNull() || !m.Outputs.Equal(old.Outputs)
	if m.Outputs.IsNull() {
		m.OutputFiles = types.ListNull(types.StringType)
	}
	if phase.Final() && (m.Outputs.IsNull() || !unfetched) {
		return diags
	}
	h, err := r.open(ctx, m.ClusterID.ValueString(), m.ClusterGeneration.ValueString())
	if err != nil {
		diags.Append(errorDiag(ctx, fmt.Sprintf("Look at job %q", m.Name.ValueString()), err))
		return diags
	}
	defer h.close()
	h.secrets = secrets
	if !phase.Final() {
		return h.follow(ctx, m, false)
	}
	if err := h.fetchOutputs(ctx, m); err != nil {
		diags.Append(errorDiag(ctx, fetching(*m), err))
	}
	return diags
}

// Delete cancels a job that may still run. Where the cluster is gone, so is
// the job.
func (r *jobResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m jobModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	timeout, diags := m.Timeouts.Delete(ctx, defaultCancel)
	if resp.Diagnostics.Append(diags...); diags.HasError() {
		return
	}
	ctx, end := r.data.begin(ctx, timeout)
	defer end()
	err := r.remove(ctx, m)
	if missing := (*broker.MissingKeyError)(nil); errors.As(err, &missing) {
		// No error: it would keep the cluster alive, and billed, for a key that may never come back.
		resp.Diagnostics.AddWarning(fmt.Sprintf("Job %q was not cancelled", m.Name.ValueString()),
			sentence("It is dropped from state and ends with its cluster, if not by itself: "+missing.Error()))
		return
	}
	if err != nil {
		resp.Diagnostics.Append(errorDiag(ctx, fmt.Sprintf("Cancelling of job %q", m.Name.ValueString()), err))
	}
}

func (r *jobResource) remove(ctx context.Context, m jobModel) error {
	if !job.Phase(m.Status.ValueString()).Final() {
		if err := r.cancel(ctx, m); err != nil {
			return err
		}
	}
	dir, err := r.data.stateFolder()
	if err != nil {
		return err
	}
	return noteRemoved(dir, m)
}

// cancel asks the cloud first: a job cannot run where no machine does, and
// asking dead machines would last until the timeout.
func (r *jobResource) cancel(ctx context.Context, m jobModel) error {
	h, err := r.open(ctx, m.ClusterID.ValueString(), m.ClusterGeneration.ValueString())
	if errors.Is(err, cloud.ErrNotFound) || errors.Is(err, errOtherCluster) {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.close()
	fresh, rerr := h.broker.Refresh(ctx, h.cluster)
	if errors.Is(rerr, broker.ErrGone) || (rerr == nil && (fresh.Status == broker.StatusStopped || fresh.Status == broker.StatusTerminated)) {
		return nil
	}
	if rerr == nil && fresh.Status != broker.StatusUp {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, cripple, fmt.Errorf("the cluster is %s: %s", fresh.Status, fresh.StatusReason))
		defer stop()
	}
	err = h.runner.Cancel(ctx, job.ID(m.ID.ValueString()))
	if errors.Is(err, job.ErrNotFound) {
		return nil
	}
	return err
}

// errOtherCluster says that the cluster was replaced since.
var errOtherCluster = errors.New("the cluster it ran on was replaced by another one of the same name")

// open finds the cluster and makes a runner for it. An empty generation is any.
func (r *jobResource) open(ctx context.Context, clusterID, generation string) (*jobHandle, error) {
	b, err := r.data.broker()
	if err != nil {
		return nil, err
	}
	c, err := b.Find(ctx, clusterID)
	if err != nil {
		return nil, fmt.Errorf("find cluster %s: %w", clusterID, err)
	}
	if generation != "" && c.Generation != generation {
		return nil, errOtherCluster
	}
	p := &progress{}
	runner, err := r.data.openJobs(c, p)
	if err != nil {
		return nil, err
	}
	dir, err := r.data.stateFolder()
	if err != nil {
		return nil, errors.Join(err, runner.Close())
	}
	return &jobHandle{broker: b, cluster: c, runner: runner, progress: p, stateDir: dir}, nil
}

// diagnose is the diagnostic for a job that ended badly; nil for a good end.
func diagnose(m jobModel, s job.Status, created bool) diag.Diagnostic {
	if s.Phase == job.Succeeded {
		return nil
	}
	summary := fmt.Sprintf("Job %q ended %s", m.Name.ValueString(), s.Phase)
	if s.ExitCode != nil {
		summary += fmt.Sprintf(" with exit code %d", *s.ExitCode)
	}
	if s.FailedRank >= 0 && (s.Phase == job.Failed || s.Phase == job.FailedSetup) {
		summary += fmt.Sprintf(" on rank %d", s.FailedRank)
	}
	text := ""
	if s.Reason != "" {
		text = sentence(s.Reason) + "\n\n"
	}
	next := "is kept in state as it ended, and not run again by itself: change run_id for that."
	if created {
		next = "is kept in state as tainted; the next apply runs it again."
		if !s.Phase.Final() {
			next = "is kept in state as tainted. How far it came nobody knows: the next apply runs it a second time, unless you run \"terraform untaint\" before."
		}
	}
	text += fmt.Sprintf("Job %s on cluster %s %s\nThe whole log is in %s. Its end:\n\n%s",
		m.ID.ValueString(), m.ClusterID.ValueString(), next, m.LogPath.ValueString(), indent(printable(m.LogTail.ValueString())))
	return diag.NewErrorDiagnostic(summary, text)
}
