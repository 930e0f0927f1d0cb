// SPDX-License-Identifier: MPL-2.0

package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// needsNewest ends the description of every action.
const needsNewest = " Terraform 1.14 or newer has actions; OpenTofu has none."

func stopSchema() described {
	return described{timeout: "20m", text: "Stops the machines of a cluster and keeps their disks; what runs on them ends. A cluster that is stopped is left so. " +
		"In state, the next refresh says `STOPPED`, with `stopped by the action sky_cluster_stop` as `status_reason`. That is not drift: while `desired_status` is `UP`, plans leave the cluster stopped, " +
		"with a warning, until the action `sky_cluster_start` or a change that needs its machines. Any computer sees this, since it is noted on the machines." + needsNewest}
}

type stopModel struct{ common }

func stop(ctx context.Context, r *run, _ stopModel) error {
	if r.cluster.StatusReason == cluster.StoppedByAction {
		r.say("it is stopped already")
		return nil
	}
	r.say("stopping %d machines in %s/%s", len(r.cluster.Nodes), r.cluster.Cloud, r.cluster.Region)
	c, err := r.broker.Rest(ctx, r.cluster)
	if err == nil && !c.AtRest() {
		err = fmt.Errorf("it is %s afterwards: %s", c.Status, c.StatusReason)
	}
	if err == nil {
		r.say("all machines are stopped")
	}
	return err
}

func startSchema() described {
	return described{timeout: "60m", text: "Starts the stopped machines of a cluster in place, perhaps under new addresses, with its autostop armed as it was. One that runs is left so. " +
		"In state, the next refresh says `UP` and has the new addresses; the next plan is empty. Where `desired_status` is `STOPPED`, that plan stops the cluster again: " +
		"what is configured to be stopped is not billed for long by accident. No machine is ever made: without capacity it is an error, and the cluster stays stopped." + needsNewest}
}

type startModel struct{ common }

func start(ctx context.Context, r *run, _ startModel) error {
	if len(r.cluster.Resting()) == 0 {
		r.say("no machine of it is stopped; it is %s", r.cluster.Status)
		return nil
	}
	if lost := r.cluster.Lost(); len(lost) > 0 {
		return fmt.Errorf("the machines of ranks %v are gone, and only an apply makes new ones", lost)
	}
	r.say("starting %d machines in %s/%s", len(r.cluster.Resting()), r.cluster.Cloud, r.cluster.Region)
	c, err := r.broker.Wake(ctx, r.cluster)
	if err == nil {
		r.say("all machines run; the head is at %s", headOf(c))
	}
	return err
}

func headOf(c cluster.Cluster) string {
	for _, n := range c.Nodes {
		if n.Rank == 0 {
			return n.ExternalIP
		}
	}
	return ""
}

func extendSchema() described {
	return described{timeout: "5m", text: "Gives a cluster with `autostop` more time: it does not end itself before that is over, whatever it does, and then its idle time begins anew. " +
		"A further extension replaces the last one, so a shorter one takes time back. It ends with the next start of the cluster or change of `autostop`. " +
		"Nothing in state changes: the extension is on the head, and no plan sees it." + needsNewest,
		attributes: map[string]schema.Attribute{"minutes": schema.Int64Attribute{
			Required: true, MarkdownDescription: "For how long, from now on: 1 to 10080 minutes, which is a week.",
			Validators: []validator.Int64{kit.Between(1, int64(autostop.MostExtended.Minutes()), "a number of minutes")},
		}}}
}

type extendModel struct {
	common
	Minutes types.Int64 `tfsdk:"minutes"`
}

func extend(ctx context.Context, r *run, m extendModel) error {
	until, err := r.broker.ExtendAutostop(ctx, r.cluster, time.Duration(m.Minutes.ValueInt64())*time.Minute)
	if err == nil {
		r.say("autostop does not end it before %s", until.UTC().Format(time.RFC3339))
	}
	return err
}

func execSchema() described {
	return described{timeout: "60m", text: "Runs a command on nodes of a cluster, on all at once, and shows what it prints as it comes, each line with its rank before it where there are several; of more than 4 MiB a node the rest is not shown. " +
		"The action fails where the command ends with another exit code than 0 on any node, and names rank and code. A command is never run twice, not after a lost connection either. At the timeout it gets SIGTERM. " +
		"It is no job: it waits in no queue, and is over with the connection; use `sky_job` for work that takes long. " +
		"Nothing in state changes, and no plan looks at what the command did." + needsNewest,
		attributes: map[string]schema.Attribute{
			"command": schema.StringAttribute{
				Required: true, MarkdownDescription: "A script, run as `setup` of `sky_cluster` is: by bash, or what its `#!` line names, in `~/sky_workdir`, with the environment of an interactive login.",
				Validators: []validator.String{kit.NotBlank(), kit.Checked(kit.CheckScript)},
			},
			"envs": schema.MapAttribute{
				Optional: true, ElementType: types.StringType, MarkdownDescription: "Environment variables of the command. They are part of the plan, in plain text: put no secrets here.",
				Validators: []validator.Map{mapvalidator.KeysAre(kit.Checked(kit.CheckEnvName)), kit.Elements(kit.CheckText)},
			},
			"ranks": schema.SetAttribute{
				Optional: true, ElementType: types.Int64Type, MarkdownDescription: "On which nodes, by rank; `[0]` is the head. Default all nodes.",
			},
		}}
}

type execModel struct {
	common
	Command types.String `tfsdk:"command"`
	Envs    types.Map    `tfsdk:"envs"`
	Ranks   types.Set    `tfsdk:"ranks"`
}

func execute(ctx context.Context, r *run, m execModel) error {
	var ranks []int
	for _, v := range m.Ranks.Elements() {
		if n, ok := v.(types.Int64); ok {
			ranks = append(ranks, int(n.ValueInt64()))
		}
	}
	several := len(ranks) > 1 || len(ranks) == 0 && r.cluster.Size > 1
	out := map[int]*lines{}
	for _, n := range r.cluster.Nodes {
		out[n.Rank] = &lines{show: r.say}
		if several {
			out[n.Rank].prefix = fmt.Sprintf("rank %d: ", n.Rank)
		}
	}
	done, err := r.broker.Exec(ctx, r.cluster, nodes.Exec{
		Script: m.Command.ValueString(), Envs: kit.StringMap(m.Envs), Ranks: ranks, Output: func(rank int) io.Writer { return out[rank] },
	})
	for _, l := range out {
		l.end()
	}
	if err != nil {
		return err
	}
	return failed(done)
}

// failed says on which nodes a command failed; nil is on none.
func failed(done []nodes.Executed) error {
	var errs []string
	for _, d := range done {
		switch {
		case d.Err != nil:
			errs = append(errs, fmt.Sprintf("rank %d: %v; the command may have run there, and is not run again", d.Rank, d.Err))
		case d.Code != 0:
			errs = append(errs, fmt.Sprintf("rank %d: the command ended with exit code %d", d.Rank, d.Code))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return errors.New(strings.Join(errs, "\n"))
}
