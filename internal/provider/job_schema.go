// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// jobModel is sky_job as Terraform holds it.
type jobModel struct {
	ClusterID types.String   `tfsdk:"cluster_id"`
	Name      types.String   `tfsdk:"name"`
	Run       types.String   `tfsdk:"run"`
	NumNodes  types.Int64    `tfsdk:"num_nodes"`
	Envs      types.Map      `tfsdk:"envs"`
	Workdir   types.String   `tfsdk:"workdir"`
	RunID     types.String   `tfsdk:"run_id"`
	Wait      types.Bool     `tfsdk:"wait"`
	Timeouts  timeouts.Value `tfsdk:"timeouts"`

	ID                types.String `tfsdk:"id"`
	ClusterGeneration types.String `tfsdk:"cluster_generation"`
	Status            types.String `tfsdk:"status"`
	StatusReason      types.String `tfsdk:"status_reason"`
	ExitCode          types.Int64  `tfsdk:"exit_code"`
	FailedRank        types.Int64  `tfsdk:"failed_rank"`
	SubmittedAt       types.String `tfsdk:"submitted_at"`
	StartedAt         types.String `tfsdk:"started_at"`
	EndedAt           types.String `tfsdk:"ended_at"`
	LogPath           types.String `tfsdk:"log_path"`
	LogTail           types.String `tfsdk:"log_tail"`
	WorkdirDigest     types.String `tfsdk:"workdir_digest"`
}

func jobSchema() schema.Schema {
	attributes := jobInputs()
	for name, a := range jobOutputs() {
		attributes[name] = a
	}
	return schema.Schema{
		MarkdownDescription: "A script run once on the nodes of a cluster, all of them together, with SkyPilot's environment variables " +
			"(`SKYPILOT_NODE_RANK`, `SKYPILOT_NODE_IPS`, `SKYPILOT_NUM_NODES`, `SKYPILOT_NUM_GPUS_PER_NODE`, ...). " +
			"It is started at most once and goes on when this computer is switched off. " +
			"Any change of what it runs replaces it, which runs it anew; a destroyed one that still runs is cancelled.",
		Attributes: attributes,
	}
}

func jobInputs() map[string]schema.Attribute {
	replace := []planmodifier.String{stringplanmodifier.RequiresReplace()}
	return map[string]schema.Attribute{
		"cluster_id": schema.StringAttribute{
			Required: true, MarkdownDescription: "The `id` of the `sky_cluster` to run on.",
			Validators: []validator.String{checked(checkClusterID)}, PlanModifiers: replace,
		},
		"name": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString("job"),
			MarkdownDescription: "The job's name, for people. Default `job`.",
			Validators:          []validator.String{checked(checkName)}, PlanModifiers: replace,
		},
		"run": schema.StringAttribute{
			Required: true,
			MarkdownDescription: "Shell commands run on every node, in `~/sky_workdir` where there is one. " +
				"The job fails with the exit code of the first node that fails, and the others are ended.",
			Validators: []validator.String{checked(checkScript)}, PlanModifiers: replace,
		},
		"num_nodes": schema.Int64Attribute{
			Optional: true, Computed: true, Default: int64default.StaticInt64(1),
			MarkdownDescription: "On how many nodes, from the head on. Default 1.",
			Validators:          []validator.Int64{between(1, maxNodes, "a number of machines")},
			PlanModifiers:       []planmodifier.Int64{int64planmodifier.RequiresReplace()},
		},
		"envs": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Environment variables of the job. They are stored in state in plain text: put no secrets here.",
			Validators:          []validator.Map{mapKeys(checkEnvName), mapValues(checkText)},
			PlanModifiers:       []planmodifier.Map{mapplanmodifier.RequiresReplace()},
		},
		"workdir": schema.StringAttribute{
			Optional: true, MarkdownDescription: "Local folder copied to `~/sky_workdir` before the job starts. Default what the cluster has there. Changed content replaces the job.",
			Validators: []validator.String{checked(checkWorkdir)}, PlanModifiers: replace,
		},
		"run_id": schema.StringAttribute{
			Optional: true, MarkdownDescription: "Any text; change it to run the same job again.", PlanModifiers: replace,
			Validators: []validator.String{checked(checkText)},
		},
		"wait": schema.BoolAttribute{
			Optional: true, Computed: true, Default: booldefault.StaticBool(true),
			MarkdownDescription: "Whether the apply waits for the job's end and fails where it fails. Default `true`.",
		},
		"timeouts": timeoutsAttribute(map[string]string{
			"create": "Bounds submission and, with `wait`, the job; one that runs on afterwards is not ended. Default `24h`.",
			"read":   "Bounds a refresh. Default `5m`.",
			"update": "Bounds waiting after `wait` was switched on. Default `24h`.",
			"delete": "Bounds the cancelling of a running job. Default `10m`.",
		}),
	}
}

func jobOutputs() map[string]schema.Attribute {
	keep := []planmodifier.String{stringplanmodifier.UseStateForUnknown()}
	fixed := func(description string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description, PlanModifiers: keep}
	}
	fresh := func(description string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	return map[string]schema.Attribute{
		"id":                 fixed("The job's id on its cluster."),
		"cluster_generation": fixed("Which of the clusters of that name it runs on."),
		"status": fresh("`INIT`, `PENDING`, `SETTING_UP`, `RUNNING`, `SUCCEEDED`, `FAILED`, `FAILED_SETUP`, `FAILED_DRIVER`, `CANCELLED`, " +
			"or `UNKNOWN` and `LOST_REBOOT` where the end cannot be known."),
		"status_reason":  fresh("Why it ended so; empty where there is nothing to say."),
		"exit_code":      schema.Int64Attribute{Computed: true, MarkdownDescription: "Exit code of the first node that failed, 0 after success; null before the end."},
		"failed_rank":    schema.Int64Attribute{Computed: true, MarkdownDescription: "Rank of the first node that failed; null where none did."},
		"submitted_at":   fixed("When it was submitted, RFC 3339, UTC, by the head's clock."),
		"started_at":     fresh("When it started; empty before."),
		"ended_at":       fresh("When it ended; empty before."),
		"log_path":       fixed("Local file with the whole log of all nodes; it grows while the apply waits (`tail -f`)."),
		"log_tail":       fresh("The end of the log: at most 100 lines and 16 KiB."),
		"workdir_digest": fresh("Digest of what was uploaded from `workdir`; null without one."),
	}
}
