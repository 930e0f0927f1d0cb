// SPDX-License-Identifier: MPL-2.0

// Package actions is what is done to clusters and jobs beside their configuration:
// the provider's actions, for "terraform apply -invoke" and for triggers.
package actions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/provider/jobs"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

// All are the provider's actions.
func All() []func() action.Action {
	return []func() action.Action{
		of("sky_cluster_stop", stopSchema, stop), of("sky_cluster_start", startSchema, start), of("sky_cluster_exec", execSchema, execute),
		of("sky_autostop_extend", extendSchema, extend), of("sky_job_cancel", cancelSchema, cancel), of("sky_job_logs", logsSchema, logs),
	}
}

// brokered is what actions ask of the broker.
type brokered interface {
	Find(ctx context.Context, id string) (cluster.Cluster, error)
	Observe(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error)
	Owner() string
	Rest(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error)
	Wake(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error)
	ExtendAutostop(ctx context.Context, c cluster.Cluster, by time.Duration) (time.Time, error)
	Exec(ctx context.Context, c cluster.Cluster, e nodes.Exec) ([]nodes.Executed, error)
}

var _ brokered = (*broker.Broker)(nil)

// common is what the models of all actions have.
type common struct {
	ClusterID types.String `tfsdk:"cluster_id"`
	Timeout   types.String `tfsdk:"timeout"`
}

func (c common) base() common { return c }

// model is the configuration of an action.
type model interface{ base() common }

// run is one invocation of an action.
type run struct {
	data    *session.Session
	broker  brokered
	cluster cluster.Cluster
	resp    *action.InvokeResponse

	mu sync.Mutex // one message at a time
}

// say shows people how far it is.
func (r *run) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resp.SendProgress(action.InvokeProgressEvent{Message: kit.Printable(fmt.Sprintf(format, args...))})
}

// kind is an action with the configuration M.
type kind[M model] struct {
	data   *session.Session
	name   string
	schema func() described
	do     func(ctx context.Context, r *run, m M) error
}

// described is what an action says of itself.
type described struct {
	text       string
	attributes map[string]schema.Attribute
	// timeout bounds an invocation where nothing is configured.
	timeout string
}

// of makes an action of its parts.
func of[M model](name string, schema func() described, do func(context.Context, *run, M) error) func() action.Action {
	return func() action.Action { return &kind[M]{name: name, schema: schema, do: do} }
}

func (k *kind[M]) Metadata(_ context.Context, _ action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = k.name
}

func (k *kind[M]) Schema(_ context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	d := k.schema()
	attributes := map[string]schema.Attribute{
		"cluster_id": schema.StringAttribute{
			Required: true, MarkdownDescription: "The cluster: `sky_cluster.<name>.id`, which reads `cloud/region/name`.", Validators: []validator.String{kit.NotBlank()},
		},
		"timeout": schema.StringAttribute{
			Optional: true, MarkdownDescription: "How long it may take, a duration such as `30m` or `2h45m`. Default `" + d.timeout + "`.",
			Validators: []validator.String{kit.Checked(kit.CheckDuration)},
		},
	}
	maps.Copy(attributes, d.attributes)
	resp.Schema = schema.Schema{MarkdownDescription: d.text, Attributes: attributes}
}

// Configure implements action.ActionWithConfigure.
func (k *kind[M]) Configure(_ context.Context, req action.ConfigureRequest, resp *action.ConfigureResponse) {
	k.data = session.Of(req.ProviderData, &resp.Diagnostics)
}

// ModifyPlan implements action.ActionWithModifyPlan: it refuses an id that is none. A
// mock of terraform test is any text, and its plans do not come here.
func (k *kind[M]) ModifyPlan(ctx context.Context, req action.ModifyPlanRequest, resp *action.ModifyPlanResponse) {
	var id types.String
	if resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("cluster_id"), &id)...); !kit.IsSet(id) {
		return
	}
	if err := kit.CheckClusterID(id.ValueString()); err != nil {
		kit.Invalid(&resp.Diagnostics, path.Root("cluster_id"), err.Error())
	}
}

// Invoke implements action.Action.
func (k *kind[M]) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	var m M
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	text := k.schema().timeout
	if kit.IsSet(m.base().Timeout) {
		text = m.base().Timeout.ValueString()
	}
	timeout, err := time.ParseDuration(text)
	if err != nil {
		kit.Invalid(&resp.Diagnostics, path.Root("timeout"), err.Error())
		return
	}
	ctx, end := k.data.Begin(ctx, timeout)
	defer end()
	r := &run{data: k.data, resp: resp}
	if err = r.find(ctx, m.base().ClusterID.ValueString()); err == nil {
		err = k.do(ctx, r, m)
	}
	if err != nil {
		resp.Diagnostics.Append(session.ErrorDiag(ctx, fmt.Sprintf("The action %s on cluster %s", k.name, m.base().ClusterID.ValueString()), err))
	}
}

// find finds the cluster as its cloud sees it now.
func (r *run) find(ctx context.Context, id string) (err error) {
	if r.broker, err = session.Broker[brokered](r.data); err != nil {
		return err
	}
	r.cluster, err = r.broker.Find(ctx, id)
	if err == nil {
		r.cluster, err = r.broker.Observe(ctx, r.cluster)
	}
	switch {
	case errors.Is(err, cloud.ErrNotFound):
		return fmt.Errorf("find it: %w. It was looked for as owner %q: where another provider block or another computer launched it, set the same owner here", err, r.broker.Owner())
	case err != nil:
		return fmt.Errorf("find it: %w", err)
	case r.cluster.Status == cluster.StatusTerminated:
		return fmt.Errorf("it is gone: %s", r.cluster.StatusReason)
	}
	return nil
}

// connect connects to the machines of the cluster, as what runs its jobs.
func (r *run) connect() (*job.Runner, error) {
	if r.cluster.Status == cluster.StatusStopped {
		return nil, errors.New("it is stopped, and no job runs on it; the action sky_cluster_start starts it")
	}
	return jobs.Open(r.data, r.cluster)
}
