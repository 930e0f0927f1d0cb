// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// What a plan does with a cluster that ended by itself.
const (
	autostopKeep    = "keep"
	autostopRestart = "restart"
)

func autostopAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Ends the cluster when it is idle, also while this computer is off: a watchdog on the head node sees to it, and survives reboots. " +
			"The idle time starts anew when a job is submitted or ends, when autostop changes, and when the cluster starts. " +
			"The other nodes end first. `status` and `status_reason` say what happened; `on_autostop` says what the next plan makes of it. " +
			"Changed in place; on a stopped cluster it is noted and takes effect at its start. " +
			"Refused at plan where the cloud or the market cannot do it.",
		Attributes: map[string]schema.Attribute{
			"idle_minutes": schema.Float64Attribute{
				CustomType: kit.FloatType{}, Optional: true, MarkdownDescription: "How long the cluster must be idle, in minutes; fractions count. Default 5.",
				Validators: []validator.Float64{kit.Above("minutes", "30")},
			},
			"down": schema.BoolAttribute{
				Optional: true,
				MarkdownDescription: "Whether the cluster removes itself, with its disks, instead of stopping. Default `false`. " +
					"It then stays in state with status `TERMINATED`, costs nothing, and is not created anew unless `on_autostop` says so or a change needs machines.",
			},
			"wait_for": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "What keeps the cluster from being idle: `jobs_and_ssh` (default; jobs, and SSH sessions on the head node), `jobs`, " +
					"or `none`, which ends it that long after autostop was set or the cluster started, whatever runs.",
				Validators: []validator.String{kit.Checked(kit.CheckOneOf(string(broker.WaitForJobsAndSSH), string(broker.WaitForJobs), string(broker.WaitForNone)))},
			},
			"hook": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "A script run on the head node before the end, as `setup` is: by bash, or what its `#!` line names, in `~/sky_workdir`. `SKY_AUTOSTOP` is `stop` or `terminate`. " +
					"One that fails holds the end for `hook_hold`; `status_reason` says so meanwhile, and its output is in `~/.sky/autostop/hook.log`. " +
					"A job submitted meanwhile keeps the cluster.",
				Validators: []validator.String{kit.Checked(kit.CheckScript)},
			},
			"hook_timeout": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "How long `hook` may take before it is killed, which is a failure of it. Default `1h`.",
				Validators:          []validator.String{kit.Checked(kit.CheckDuration)},
			},
			"hook_hold": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "How long a `hook` that fails holds the end, since its first failure. It is tried again every five minutes, or more often where this is less than an hour; " +
					"afterwards the cluster ends without it. The machines are billed meanwhile. `0s` does not wait. " +
					"Default `1h`, and `24h` with `down = true`, where what the hook was to save is lost with the disks.",
				Validators: []validator.String{kit.Checked(checkPause)},
			},
			"unread_hold": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "With `down = true`: how long an idle cluster waits, beyond `idle_minutes`, while there is a job whose end no apply has waited for; how it ended would be lost with the machines. A refresh that reads it does not count, since the state of a plan is not kept. " +
					"The machines are billed meanwhile. `0s` does not wait, nor does `wait_for = \"none\"`. Default `1h`.",
				Validators: []validator.String{kit.Checked(checkPause)},
			},
		},
	}
}

// checkPause checks a duration that may be zero.
func checkPause(text string) error {
	if d, err := time.ParseDuration(text); err == nil && d == 0 {
		return nil
	}
	return kit.CheckDuration(text)
}

func onAutostopAttribute() schema.Attribute {
	return schema.StringAttribute{
		Optional: true, Computed: true, Default: stringdefault.StaticString(autostopKeep),
		MarkdownDescription: "What a plan makes of a cluster that `autostop` ended: `keep` (default) leaves it ended, with an empty plan, until a change needs its machines; " +
			"`restart` starts it where it stopped, and creates it anew where it removed itself. Changed in place.",
		Validators: []validator.String{kit.Checked(kit.CheckOneOf(autostopKeep, autostopRestart))},
	}
}

func autostopType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"idle_minutes": kit.FloatType{}, "down": types.BoolType, "wait_for": types.StringType,
		"hook": types.StringType, "hook_timeout": types.StringType, "hook_hold": types.StringType, "unread_hold": types.StringType,
	}}
}

// autostopModel is the attribute autostop.
type autostopModel struct {
	IdleMinutes types.Float64 `tfsdk:"idle_minutes"`
	Down        types.Bool    `tfsdk:"down"`
	WaitFor     types.String  `tfsdk:"wait_for"`
	Hook        types.String  `tfsdk:"hook"`
	HookTimeout types.String  `tfsdk:"hook_timeout"`
	HookHold    types.String  `tfsdk:"hook_hold"`
	UnreadHold  types.String  `tfsdk:"unread_hold"`
}

// autostop converts the attribute; nil is none. It reports false where a value
// is still unknown.
func (m clusterModel) autostop(ctx context.Context) (cfg *broker.Autostop, known bool, diags diag.Diagnostics) {
	if m.Autostop.IsNull() {
		return nil, true, nil
	}
	if m.Autostop.IsUnknown() {
		return nil, false, nil
	}
	var a autostopModel
	if diags = m.Autostop.As(ctx, &a, kit.ObjectOptions); diags.HasError() {
		return nil, false, diags
	}
	for _, v := range []attr.Value{a.IdleMinutes, a.Down, a.WaitFor, a.Hook, a.HookTimeout, a.HookHold, a.UnreadHold} {
		if v.IsUnknown() {
			return nil, false, nil
		}
	}
	return a.config(&diags), true, diags
}

// config is the autostop of known values.
func (a autostopModel) config(diags *diag.Diagnostics) *broker.Autostop {
	cfg := &broker.Autostop{
		Idle: broker.DefaultIdle, Down: a.Down.ValueBool(), WaitFor: broker.WaitForJobsAndSSH,
		Hook: a.Hook.ValueString(), HookTimeout: broker.DefaultHookTimeout, HookHold: broker.DefaultHookHold, UnreadHold: broker.DefaultUnreadHold,
	}
	if cfg.Down {
		cfg.HookHold = broker.DefaultHookHoldDown
	}
	for _, hold := range []struct {
		from types.String
		to   *time.Duration
	}{{a.HookHold, &cfg.HookHold}, {a.UnreadHold, &cfg.UnreadHold}} {
		if d, err := time.ParseDuration(hold.from.ValueString()); err == nil { // else it is not set: it was checked
			*hold.to = d
		}
	}
	if !a.IdleMinutes.IsNull() {
		cfg.Idle = max(time.Second, time.Duration(min(a.IdleMinutes.ValueFloat64(), 1e6)*float64(time.Minute)).Round(time.Second))
	}
	if !a.WaitFor.IsNull() {
		cfg.WaitFor = broker.WaitFor(a.WaitFor.ValueString())
	}
	if !a.HookTimeout.IsNull() {
		timeout, err := time.ParseDuration(a.HookTimeout.ValueString())
		if err != nil || timeout < time.Second {
			kit.Invalid(diags, path.Root("autostop").AtName("hook_timeout"), fmt.Sprintf("%q is no duration of a second or more, such as \"30m\"", a.HookTimeout.ValueString()))
		}
		cfg.HookTimeout = timeout
	}
	return cfg
}

// needs are the abilities that the cluster wants of its machines.
func (m clusterModel) needs(ctx context.Context) optimizer.Needs {
	needs := optimizer.Needs{Stop: m.wantsStopped(), UserData: true} // it brings host key, keys and timer
	if cfg, known, _ := m.autostop(ctx); known && cfg != nil {
		needs.SelfEnd = cfg.Shutdown()
	}
	return needs
}

// autostopPath is the attribute that asks for an end that machines cannot come to.
func autostopPath(how cloud.Shutdown) path.Path {
	if how == cloud.ShutdownTerminate {
		return path.Root("autostop").AtName("down")
	}
	return path.Root("autostop")
}

// otherEnd is the end that autostop has beside this one.
func otherEnd(how cloud.Shutdown) cloud.Shutdown {
	if how == cloud.ShutdownTerminate {
		return cloud.ShutdownStop
	}
	return cloud.ShutdownTerminate
}

// autostopAdvice is what to write where machines cannot end themselves so. Other
// says that they could end the other way.
func autostopAdvice(how cloud.Shutdown, other bool) string {
	var advice []string
	if other {
		advice = append(advice, map[cloud.Shutdown]string{
			cloud.ShutdownTerminate: "write down = false to have them stopped instead", cloud.ShutdownStop: "write down = true to have them removed instead",
		}[how])
	}
	advice = append(advice, "leave autostop out and end the cluster with terraform destroy")
	if how == cloud.ShutdownTerminate {
		return strings.Join(append(advice, "or name a cloud whose machines can remove themselves"), ", ")
	}
	return strings.Join(append(advice, "or ask for machines that can stop by themselves, which spot machines mostly cannot"), ", ")
}

// blameAutostop says so where a request fails only for what autostop needs.
func (r *clusterResource) blameAutostop(ctx context.Context, req optimizer.Request, failure error, diags *diag.Diagnostics) bool {
	how := req.Needs.SelfEnd
	if how == "" {
		return false
	}
	req.Needs.SelfEnd = ""
	if _, err := rankOffers(ctx, r.data, req, nil); err != nil {
		return false
	}
	req.Needs.SelfEnd = otherEnd(how)
	_, err := rankOffers(ctx, r.data, req, nil)
	kit.Invalid(diags, autostopPath(how), fmt.Sprintf("no machine that satisfies resources can do this; %s: %s", autostopAdvice(how, err == nil), failure))
	return true
}

// planAutostop refuses an end that the present machines cannot come to by themselves.
func (r *clusterResource) planAutostop(ctx context.Context, old, m clusterModel, diags *diag.Diagnostics) {
	cfg, known, d := m.autostop(ctx)
	if diags.Append(d...); d.HasError() || !known || cfg == nil || old.Autostop.Equal(m.Autostop) {
		return
	}
	cloudName := old.Cloud.ValueString()
	caps, ok := r.data.CapabilitiesOf(cloudName)
	if !ok {
		return
	}
	if why := caps.CannotEndItself(old.offer(), cfg.Shutdown()); why != "" {
		other := caps.CannotEndItself(old.offer(), otherEnd(cfg.Shutdown())) == ""
		kit.Invalid(diags, autostopPath(cfg.Shutdown()), why+". "+kit.Sentence(autostopAdvice(cfg.Shutdown(), other)))
	}
}

// offer is what the machines of the state are, as far as Capabilities look at it.
func (m clusterModel) offer() cloud.Offer {
	return cloud.Offer{Cloud: m.Cloud.ValueString(), Market: cloud.Market(m.Market.ValueString()), InstanceType: cloud.InstanceType{Name: m.InstanceType.ValueString()}}
}

func (m clusterModel) is(s cluster.Status) bool { return m.Status.ValueString() == string(s) }

func (m clusterModel) restarts() bool { return m.OnAutostop.ValueString() == autostopRestart }

// needsMachines reports whether a change cannot be made without machines that run.
func needsMachines(old, m clusterModel) bool {
	what := changes(old, m)
	return what.Files || what.Setup || !m.NumNodes.Equal(old.NumNodes)
}

// staysStopped reports whether a stopped cluster that is wanted UP is left
// stopped: autostop did it, and nothing asks for its machines.
func (m clusterModel) staysStopped(old clusterModel) bool {
	return old.is(cluster.StatusStopped) && !old.wantsStopped() && !m.wantsStopped() &&
		!old.Autostop.IsNull() && !m.restarts() && !needsMachines(old, m)
}

// planEnded plans what becomes of a cluster that autostop ended, and says so.
// It reports whether the cluster is started or created anew.
func (r *clusterResource) planEnded(old clusterModel, m *clusterModel, resp *resource.ModifyPlanResponse) bool {
	name, reason := old.Name.ValueString(), old.StatusReason.ValueString()
	if m.staysStopped(old) {
		m.Status, m.StatusReason = old.Status, old.StatusReason
		resp.Diagnostics.AddAttributeWarning(path.Root("on_autostop"), fmt.Sprintf("Cluster %q is stopped", name),
			kit.Sentence(reason)+" It is left so, as on_autostop = \"keep\" says, and is billed for its disks only. "+
				"on_autostop = \"restart\" starts it, as does a change that needs its machines.")
		return false
	}
	if old.is(cluster.StatusStopped) && !m.wantsStopped() && m.restarts() && !old.Autostop.IsNull() && !old.wantsStopped() {
		resp.Diagnostics.AddAttributeWarning(path.Root("on_autostop"), fmt.Sprintf("Cluster %q will be started", name), kit.Sentence(reason))
	}
	if !old.is(cluster.StatusTerminated) {
		return false
	}
	switch {
	case m.wantsStopped() && !old.wantsStopped():
		resp.Diagnostics.AddAttributeError(path.Root("desired_status"), "Cluster is gone",
			kit.Sentence(reason)+" There is nothing to stop. Set on_autostop = \"restart\" to create it anew, or destroy it.")
		return false
	case m.restarts() || needsMachines(old, *m):
		m.Status, m.StatusReason = types.StringUnknown(), types.StringUnknown()
		resp.RequiresReplace.Append(path.Root("status"))
		resp.Diagnostics.AddAttributeWarning(path.Root("on_autostop"), fmt.Sprintf("Cluster %q will be created anew", name), kit.Sentence(reason))
		return true
	}
	m.Status, m.StatusReason = old.Status, old.StatusReason
	resp.Diagnostics.AddAttributeWarning(path.Root("on_autostop"), fmt.Sprintf("Cluster %q is gone", name),
		kit.Sentence(reason)+" It is left so, as on_autostop = \"keep\" says, and costs nothing. "+
			"on_autostop = \"restart\" creates it anew, as does a change that needs its machines; terraform destroy drops it from state.")
	return false
}
