// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"fmt"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/listplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/uploads"
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

	Setup              types.String `tfsdk:"setup"`
	Secrets            types.Map    `tfsdk:"secrets"` // write-only: null in plan and state
	SecretsVersion     types.String `tfsdk:"secrets_version"`
	MaxDuration        types.String `tfsdk:"max_duration"`
	RecoverOnExitCodes types.List   `tfsdk:"recover_on_exit_codes"`
	MaxRestarts        types.Int64  `tfsdk:"max_restarts"`
	Parallel           types.Int64  `tfsdk:"parallel"`
	MaxLogMiB          types.Int64  `tfsdk:"max_log_mib"`
	GracePeriod        types.String `tfsdk:"grace_period"`
	Outputs            types.Object `tfsdk:"outputs"`
	Resources          types.Object `tfsdk:"resources"`

	ID                types.String `tfsdk:"id"`
	ClusterGeneration types.String `tfsdk:"cluster_generation"`
	SubmittedAt       types.String `tfsdk:"submitted_at"`
	LogPath           types.String `tfsdk:"log_path"`
	WorkdirDigest     types.String `tfsdk:"workdir_digest"`
	outcomeModel
}

// outcomeModel is what changes as a job goes on, and stays once it has ended.
type outcomeModel struct {
	Status       types.String `tfsdk:"status"`
	StatusReason types.String `tfsdk:"status_reason"`
	ExitCode     types.Int64  `tfsdk:"exit_code"`
	FailedRank   types.Int64  `tfsdk:"failed_rank"`
	StartedAt    types.String `tfsdk:"started_at"`
	EndedAt      types.String `tfsdk:"ended_at"`
	LogTail      types.String `tfsdk:"log_tail"`
	ExitCodes    types.List   `tfsdk:"exit_codes"`
	Restarts     types.Int64  `tfsdk:"restarts"`
	OutputFiles  types.List   `tfsdk:"output_files"`
}

func unknownOutcome() outcomeModel {
	text, number := types.StringUnknown(), types.Int64Unknown()
	return outcomeModel{
		Status: text, StatusReason: text, ExitCode: number, FailedRank: number, StartedAt: text, EndedAt: text, LogTail: text,
		ExitCodes: types.ListUnknown(types.Int64Type), Restarts: number, OutputFiles: types.ListUnknown(types.StringType),
	}
}

// outputsModel is what comes back after a job.
type outputsModel struct {
	Files      types.List   `tfsdk:"files"`
	Folder     types.String `tfsdk:"folder"`
	AllNodes   types.Bool   `tfsdk:"all_nodes"`
	MaxSizeMiB types.Int64  `tfsdk:"max_size_mib"`
	MaxFiles   types.Int64  `tfsdk:"max_files"`
}

func jobSchema() schema.Schema {
	attributes := jobInputs()
	maps.Copy(attributes, jobRules())
	maps.Copy(attributes, jobOutcome())
	return schema.Schema{
		MarkdownDescription: "A script run once on the nodes of a cluster, all of them together, with SkyPilot's environment variables " +
			"(`SKYPILOT_NODE_RANK`, `SKYPILOT_NODE_IPS`, `SKYPILOT_NUM_NODES`, `SKYPILOT_NUM_GPUS_PER_NODE`, ...). " +
			"It is started at most once and goes on when this computer is switched off. " +
			"Any change of what it runs replaces it, which runs it anew, once, from whatever computer; a destroyed one that still runs is cancelled. " +
			"Where its head does not answer within 30 seconds, the destroy goes on with a warning: what ends the job for certain then is the end of the machines. " +
			"A computer that lacks the cluster's SSH key or host keys cannot cancel it: that is an error and the job stays in state, unless the same plan destroys the cluster as well.\n\n" +
			"A job that was waited for and failed fails the apply; Terraform then marks it as tainted, and the next apply runs it again. " +
			"A wait that is cut off, by Ctrl-C, by its timeout or by trouble on the way, fails nothing: the job goes on, is kept in state as last seen, " +
			"and the next apply goes on waiting for it. Where an apply must not succeed before the job has, add a `postcondition` on `self.status`.\n\n" +
			"The nodes keep the logs of the last 50 jobs that ended; of earlier ones they keep only how they ended.",
		Attributes: attributes,
	}
}

func jobInputs() map[string]schema.Attribute {
	replace := []planmodifier.String{stringplanmodifier.RequiresReplace()}
	return map[string]schema.Attribute{
		"cluster_id": schema.StringAttribute{
			Required: true, MarkdownDescription: "The `id` of the `sky_cluster` to run on.",
			Validators: []validator.String{kit.NotBlank()}, PlanModifiers: replace,
		},
		"name": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString("job"),
			MarkdownDescription: "The job's name, for people. Default `job`.",
			Validators:          []validator.String{kit.Checked(kit.CheckName)}, PlanModifiers: replace,
		},
		"run": schema.StringAttribute{
			Required: true,
			MarkdownDescription: "A script run on every node, in `~/sky_workdir`: by bash, or what its `#!` line names, with the environment of an interactive login. The guide \"How your scripts run on the machines\" has the details. " +
				"The job fails with the exit code of the first node that fails, and the others are ended.",
			Validators: []validator.String{kit.Checked(kit.CheckScript)}, PlanModifiers: replace,
		},
		"num_nodes": schema.Int64Attribute{
			Optional: true, Computed: true, Default: int64default.StaticInt64(1),
			MarkdownDescription: "On how many nodes, from the head on; with `runtime = \"ray\"` on those that have room. Default 1.",
			Validators:          []validator.Int64{kit.Between(1, kit.MaxNodes, "a number of machines")},
			PlanModifiers:       []planmodifier.Int64{int64planmodifier.RequiresReplace()},
		},
		"envs": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Environment variables of the job. They are stored in state in plain text: put no secrets here.",
			Validators:          []validator.Map{mapvalidator.KeysAre(kit.Checked(kit.CheckEnvName)), kit.Elements(kit.CheckText)},
			PlanModifiers:       replaceOtherMap(),
		},
		"workdir": schema.StringAttribute{
			Optional: true, MarkdownDescription: "Local folder copied to `~/sky_workdir` before the job starts. Default what the cluster has there. " + uploads.WhatTravels + " `outputs.folder` stays here as well. Changed content replaces the job.",
			Validators: []validator.String{kit.Checked(kit.CheckLocal)}, PlanModifiers: replace,
		},
		"run_id": schema.StringAttribute{
			Optional: true, MarkdownDescription: "Any text; change it to run the same job again.", PlanModifiers: replaceOtherText(),
			Validators: []validator.String{kit.Checked(kit.CheckText)},
		},
		"wait": schema.BoolAttribute{
			Optional: true, Computed: true, Default: booldefault.StaticBool(true),
			MarkdownDescription: "Whether the apply waits for the job's end and fails where it fails. Default `true`. With `false` it returns once the job is submitted, and every refresh brings the status up to date. Changed in place.",
		},
		"timeouts": kit.TimeoutsAttribute(map[string]string{
			"create": "Bounds submission and, with `wait`, waiting. The job is not ended: it goes on, and the next apply waits again (`max_duration` ends a job). A head that does not answer although its cloud says that it runs is waited for 3 hours at most. Default `24h`.",
			"read":   "Bounds a refresh. Default `5m`.",
			"update": "Bounds waiting for a job that an earlier apply left running. Default `24h`.",
			"delete": "Bounds the cancelling of a running job. Default `10m`.",
		}),
	}
}

// jobRules are the inputs that say how a job is run rather than what.
func jobRules() map[string]schema.Attribute {
	replace := []planmodifier.String{stringplanmodifier.RequiresReplace()}
	return map[string]schema.Attribute{
		"resources": shareAttribute(),
		"setup": schema.StringAttribute{
			Optional: true, MarkdownDescription: "A script run on every node, as `run` is, before `run` starts on any (status `SETTING_UP`). Where they fail on one, `run` starts on none and the job ends `FAILED_SETUP`. " +
				"What several jobs need belongs into the cluster's own `setup`.",
			Validators: []validator.String{kit.Checked(kit.CheckScript)}, PlanModifiers: replace,
		},
		"secrets": schema.MapAttribute{
			Optional: true, WriteOnly: true, ElementType: types.StringType,
			MarkdownDescription: "Environment variables of the job, `setup` included, that are kept nowhere: not in state or plan, and on the head only in a file of mode 0600 that is removed when the job is loaded. " +
				"Where the job prints one, as it is or a line of it, its log has `(secret)` instead, before anything is written down; values of less than 4 characters, and what was encoded or taken apart, are not recognized. " +
				"Terraform cannot see them change: change `secrets_version` with them. Needs Terraform 1.11 or OpenTofu 1.11; older ones work without this attribute.",
			Validators: []validator.Map{mapvalidator.KeysAre(kit.Checked(kit.CheckEnvName)), kit.Elements(kit.CheckText)},
		},
		"secrets_version": schema.StringAttribute{
			Optional: true, MarkdownDescription: "Any text; change it together with `secrets`, which runs the job anew with the new ones.",
			Validators: []validator.String{kit.Checked(kit.CheckText)}, PlanModifiers: replaceOtherText(),
		},
		"max_duration": schema.StringAttribute{
			Optional: true, MarkdownDescription: "How long the job may take from its turn in the queue on, `setup` and restarts included, as a duration such as `90m`. Then it is ended and `FAILED`. Default without end.",
			Validators: []validator.String{kit.Checked(kit.CheckJobDuration)}, PlanModifiers: replaceOtherDuration(),
		},
		"recover_on_exit_codes": schema.ListAttribute{
			Optional: true, ElementType: types.Int64Type,
			MarkdownDescription: "Exit codes, 1 to 255, on which the job is started again, on all its nodes. It is then run again as well where it was `LOST` with its head, by the next apply. Default none.",
			Validators:          []validator.List{listvalidator.NoNullValues(), listvalidator.ValueInt64sAre(kit.Between(1, 255, "exit codes")), kit.NoDuplicates()}, PlanModifiers: []planmodifier.List{listplanmodifier.RequiresReplace()},
		},
		"max_restarts": schema.Int64Attribute{
			Optional: true, MarkdownDescription: fmt.Sprintf("How often `recover_on_exit_codes` starts the job again at most. Default %d.", defaultRestarts),
			Validators: []validator.Int64{kit.Between(0, 1000, "a number of restarts")}, PlanModifiers: replaceOtherNumber(defaultRestarts),
		},
		"parallel": schema.Int64Attribute{
			Optional: true, MarkdownDescription: "How many jobs may run on the cluster at once while this one does, itself included. Default 1: first in, first out. " +
				"Jobs run side by side only where all of them ask for it.",
			Validators: []validator.Int64{kit.Between(1, 1000, "a number of jobs")}, PlanModifiers: replaceOtherNumber(1),
		},
		"max_log_mib": schema.Int64Attribute{
			Optional: true, MarkdownDescription: "How much of each node's log is kept, in MiB; what comes later is dropped, and the log says so. Default 1024. Counts from the next run on.",
			Validators: []validator.Int64{kit.Between(1, 1<<20, "a number of MiB")},
		},
		"grace_period": schema.StringAttribute{
			Optional: true, MarkdownDescription: "How long the job's processes have between SIGTERM and SIGKILL when the job is ended. Default `10s`. Counts from the next run on.",
			Validators: []validator.String{kit.Checked(kit.CheckDuration)},
		},
		"outputs": outputsAttribute(),
	}
}

func outputsAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Files to fetch to this computer once the job has ended. A pattern that matches nothing after a job that succeeded is reported, and tried again by the next apply; " +
			"of a job that failed comes what there is. Without `wait` they come with the first apply after the end. Changed in place.\n\n" +
			"What the machines send is not trusted. Only files that a pattern asks for are written, only below `folder`, and within `max_size_mib` and `max_files`. " +
			"A warning names, once, what is not taken while the rest is: links that lead out of the folder, pipes, sockets and devices; names with control characters, " +
			"or that some computers cannot tell from another one (`Model` and `model`); and files that Terraform or git would read where they lie " +
			"(`*.tf`, `*.tf.json`, `*.tofu`, `*.tfvars*`, `.terraform*`, `terraform.tfstate*`, `terraform.d`, `.git*`), unless a pattern names them without a wildcard.",
		Attributes: map[string]schema.Attribute{
			"files": schema.ListAttribute{
				Required: true, ElementType: types.StringType,
				MarkdownDescription: "Shell patterns such as `results/*.csv`, relative to `~/sky_workdir` where there is one, else to the home folder; absolute ones and `~/` are allowed, `..` is not. A folder comes whole.",
				Validators:          []validator.List{kit.NotEmpty(), kit.Elements(kit.CheckOutput), kit.NoDuplicates()},
			},
			"folder": schema.StringAttribute{
				Required: true, MarkdownDescription: "Local folder for them, made where it is missing. Files keep their paths below it; those of the same name are replaced. A file `.skylocal` in it lists what came, so that no upload takes it along.",
				Validators: []validator.String{kit.Checked(kit.CheckOutputName)},
			},
			"all_nodes": schema.BoolAttribute{
				Optional: true, MarkdownDescription: "Whether to fetch from every node of the job, into a folder `rank-0`, `rank-1`, ... each, instead of from the head alone. Default `false`.",
			},
			"max_size_mib": schema.Int64Attribute{
				Optional: true, MarkdownDescription: "How much is fetched from each node at most, in MiB. What is more is an error, and what came before stays. Default 102400, which is 100 GiB.",
				Validators: []validator.Int64{kit.Between(1, 1<<30, "a number of MiB")},
			},
			"max_files": schema.Int64Attribute{
				Optional: true, MarkdownDescription: "How many files, folders and links are fetched from each node at most. Default 100000.",
				Validators: []validator.Int64{kit.Between(1, 100_000_000, "a number of files")},
			},
		},
	}
}

func jobOutcome() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"id":                 kit.Fixed("The job's id on its cluster."),
		"cluster_generation": kit.Fixed("Which of the clusters of that name it runs on."),
		"status": kit.Fresh("`INIT`, `PENDING`, `SETTING_UP`, `RUNNING`, `SUCCEEDED`, `FAILED`, `FAILED_SETUP`, `FAILED_DRIVER`, `CANCELLED`, " +
			"or `LOST` where its head is gone, says the cloud, and `UNKNOWN` and `LOST_REBOOT` where the end cannot be known."),
		"status_reason": kit.Fresh("Why it ended so; empty where there is nothing to say."),
		"exit_code":     schema.Int64Attribute{Computed: true, MarkdownDescription: "Exit code of the first node that failed, 0 after success; null before the end."},
		"exit_codes": schema.ListAttribute{
			Computed: true, ElementType: types.Int64Type,
			MarkdownDescription: "Exit code of every node, by rank: 137 for those that were ended because another one failed, null for one that has not ended. Null before the first has.",
		},
		"restarts": schema.Int64Attribute{Computed: true, MarkdownDescription: "How often the job was started again because of `recover_on_exit_codes`."},
		"output_files": schema.ListAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "The local files that `outputs` brought, sorted. Null until they are here; where they could not be fetched, the next apply tries again.",
		},
		"failed_rank":    schema.Int64Attribute{Computed: true, MarkdownDescription: "Rank of the first node that failed; null where none did."},
		"submitted_at":   kit.Fixed("When it was submitted, RFC 3339, UTC, by the head's clock."),
		"started_at":     kit.Fresh("When it started; empty before."),
		"ended_at":       kit.Fresh("When it ended; empty before."),
		"log_path":       kit.Fixed("Local file with the whole log of all nodes; it grows while the apply waits (`tail -f`)."),
		"log_tail":       kit.Fresh("The end of the log: at most 100 lines and 16 KiB."),
		"workdir_digest": kit.Fresh("Digest of what was uploaded from `workdir`; null without one."),
	}
}
