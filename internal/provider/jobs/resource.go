// SPDX-License-Identifier: MPL-2.0

// Package jobs is the resource sky_job and the data source sky_job_logs.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
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
	// glance bounds asking after a job during a refresh, which should not wait
	// long for machines that do not answer.
	glance = 30 * time.Second
)

type jobResource struct {
	data    *session.Session
	runners runners
}

// NewResource makes the resource sky_job.
func NewResource() resource.Resource { return &jobResource{runners: newRunner} }

func (r *jobResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "sky_job"
}

func (r *jobResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = jobSchema()
}

func (r *jobResource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.data = session.Of(req.ProviderData, &resp.Diagnostics)
}

// Create submits the job and, if asked to, waits for its end.
func (r *jobResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m jobModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, end := r.data.Within(ctx, m.Timeouts.Create, defaultJob, &resp.Diagnostics)
	defer end()
	secrets, diags := secretsOf(ctx, req.Config)
	if resp.Diagnostics.Append(diags...); resp.Diagnostics.HasError() {
		return
	}
	ctx = hideFromLog(ctx, secrets)
	h, err := r.open(ctx, m.ClusterID.ValueString(), broker.Whose{})
	if err == nil {
		defer h.close()
		h.secrets = secrets
		err = h.submit(ctx, &m)
	}
	if err != nil {
		resp.Diagnostics.Append(session.ErrorDiag(ctx, fmt.Sprintf("Submission of job %q", m.Name.ValueString()), err))
		return
	}
	resp.Diagnostics.Append(keepWhose(ctx, resp.Private, h.cluster)...)
	resp.Diagnostics.Append(h.follow(ctx, &m, true)...)
	resp.Diagnostics.Append(resp.State.Set(context.WithoutCancel(ctx), &m)...)
}

// secretsOf reads the write-only secrets, which only the configuration has.
func secretsOf(ctx context.Context, config tfsdk.Config) (map[string]string, diag.Diagnostics) {
	var secrets types.Map
	diags := config.GetAttribute(ctx, path.Root("secrets"), &secrets)
	return kit.StringMap(secrets), diags
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
	if m.phase().Final() {
		return
	}
	ctx, end := r.data.Within(ctx, m.Timeouts.Read, session.DefaultRead, &resp.Diagnostics)
	defer end()
	if resp.Diagnostics.HasError() {
		return
	}
	diags, err := r.look(ctx, &m, req.Private, resp.Private)
	resp.Diagnostics.Append(diags...)
	if err != nil {
		resp.Diagnostics.AddWarning(fmt.Sprintf("Job %q cannot be asked after", m.Name.ValueString()),
			kit.Sentence(fmt.Sprintf("its last known status is %s, and it stays so in state: %v", m.Status.ValueString(), err)))
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// look brings a job's status and log up to date.
func (r *jobResource) look(ctx context.Context, m *jobModel, private, kept privateData) (diag.Diagnostics, error) {
	h, err := r.open(ctx, m.ClusterID.ValueString(), m.whose(ctx, private))
	if errors.Is(err, cloud.ErrNotFound) {
		m.lost(lostStatus(clusterGone))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer h.close()
	_ = keepWhose(ctx, kept, h.cluster) // a later look may do it
	if c := h.cluster; c.Status == cluster.StatusStopped {
		return nil, fmt.Errorf("cluster %s is %s: %s", c.ID, c.Status, c.StatusReason)
	}
	if headLost(h.cluster) || h.cluster.Status == cluster.StatusTerminated { // nobody would answer
		if lost := h.lostSince(ctx); lost != nil {
			m.lost(*lost)
			return nil, nil
		}
	}
	short, stop := context.WithTimeout(ctx, glance)
	defer stop()
	status, err := h.runner.Peek(short, m.id()) // the refresh may be a plan's, whose state nobody keeps
	if errors.Is(err, job.ErrNotFound) {
		m.lost(lostStatus(headAnew))
		return nil, nil
	}
	if err != nil {
		if lost := h.lostSince(ctx); lost != nil {
			m.lost(*lost)
			return nil, nil
		}
		return nil, err
	}
	if err := h.fetchLog(short, m); err != nil {
		return nil, err
	}
	m.LogPath = types.StringValue(h.logPath(m))
	m.setStatus(status)
	return h.unkept(m), nil
}

// Update goes on with a job that was left running, and fetches its outputs. No
// error of it taints the job, and none of it starts one.
func (r *jobResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m, old jobModel
	resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, end := r.data.Within(ctx, m.Timeouts.Update, defaultJob, &resp.Diagnostics)
	defer end()
	secrets, diags := secretsOf(ctx, req.Config)
	if resp.Diagnostics.Append(diags...); resp.Diagnostics.HasError() {
		return
	}
	m.outcomeModel = old.outcomeModel
	resp.Diagnostics.Append(r.goOn(hideFromLog(ctx, secrets), &m, old, secrets, m.whose(ctx, resp.Private))...)
	resp.Diagnostics.Append(resp.State.Set(context.WithoutCancel(ctx), &m)...)
}

// goOn is Update's work: what is left to do for a job.
func (r *jobResource) goOn(ctx context.Context, m *jobModel, old jobModel, secrets map[string]string, w broker.Whose) diag.Diagnostics {
	var diags diag.Diagnostics
	phase := old.phase()
	unfetched := m.OutputFiles.IsNull() || !m.Outputs.Equal(old.Outputs)
	if m.Outputs.IsNull() {
		m.OutputFiles = types.ListNull(types.StringType)
	}
	if phase.Final() && (m.Outputs.IsNull() || !unfetched) {
		return diags
	}
	h, err := r.open(ctx, m.ClusterID.ValueString(), w)
	if err != nil {
		diags.Append(session.ErrorDiag(ctx, fmt.Sprintf("Look at job %q", m.Name.ValueString()), err))
		return diags
	}
	defer h.close()
	h.secrets = secrets
	if !phase.Final() {
		return h.follow(ctx, m, false)
	}
	refused, err := h.fetchOutputs(ctx, m)
	diags.Append(refused...)
	if err != nil {
		diags.Append(session.ErrorDiag(ctx, fetching(*m), err))
	}
	return diags
}

// Delete cancels a job that may still run, and notes on its cluster that it was
// removed. Where the cluster is gone, so is the job.
func (r *jobResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m jobModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	ctx, end := r.data.Within(ctx, m.Timeouts.Delete, defaultCancel, &resp.Diagnostics)
	defer end()
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(r.remove(ctx, m, m.whose(ctx, req.Private), fateIn(ctx, req.Private)))
}
