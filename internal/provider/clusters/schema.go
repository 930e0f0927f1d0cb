// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"maps"

	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/float64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/listplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
	"github.com/skybroker/terraform-provider-sky/internal/provider/uploads"
)

func clusterSchema() schema.Schema {
	attributes := clusterInputs()
	for name, a := range clusterOutputs() {
		attributes[name] = a
	}
	return schema.Schema{
		MarkdownDescription: "A cluster of equal machines on the cheapest offer that fits, over all enabled clouds. " +
			"Where an offer cannot be had, what was begun is removed and the next one is tried. " +
			"The plan shows the machines considered; place and price are known after apply, since failover may change them.",
		Attributes: attributes,
		// 1: resources.accelerators became of any type.
		Version: 1,
	}
}

// clusterInputs are the arguments of a cluster.
func clusterInputs() map[string]schema.Attribute {
	inputs := lifeInputs()
	maps.Copy(inputs, nodeInputs())
	maps.Copy(inputs, map[string]schema.Attribute{
		"name": schema.StringAttribute{
			Required:            true,
			MarkdownDescription: "The cluster's name, unique for its owner: a letter, then up to 62 letters, digits, dashes, underscores and dots. A change replaces the cluster.",
			Validators:          []validator.String{kit.Checked(kit.CheckName)},
			PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
		},
		"num_nodes": schema.Int64Attribute{
			Optional: true, Computed: true, Default: int64default.StaticInt64(1),
			MarkdownDescription: "How many machines, 1 to 1024. Default 1. Changed in place: new machines are of the same offer and are set up before they count, the highest ranks go first. " +
				"The cluster is replaced only where that many do not fit the request any more.",
			Validators: []validator.Int64{kit.Between(1, kit.MaxNodes, "a number of machines")},
		},
		"resources": request.ResourcesAttribute(),
		"allowed_cidrs": schema.ListAttribute{
			Optional: true, Computed: true, ElementType: types.StringType,
			MarkdownDescription: "Who may reach SSH and `ports`, as CIDR prefixes. Default the address alone that the computer which applies is seen under: " +
				"it is known after apply, and once the cluster is there it stays until it is written here. Write it where runs come from several computers. " +
				"Nothing is ever open to the world unless `\"0.0.0.0/0\"` is written. Changed in place.",
			Validators:    []validator.List{kit.Elements(kit.CheckCIDR), kit.NoDuplicates(), kit.NotEmpty()},
			PlanModifiers: []planmodifier.List{listplanmodifier.UseStateForUnknown()},
		},
		"autostop":    autostopAttribute(),
		"on_autostop": onAutostopAttribute(),
		"timeouts": kit.TimeoutsAttribute(map[string]string{
			"create": "Bounds the whole launch, failover included. Default `60m`.",
			"read":   "Bounds a refresh. Default `5m`.",
			"update": "Bounds a change in place. Default `60m`.",
			"delete": "Bounds the removal. Default `20m`.",
		}),
	})
	return inputs
}

// nodeInputs say what is put and run on each machine.
func nodeInputs() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"setup": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "A script run on every node, in parallel, after the files are there and before any job: by bash, or what its `#!` line names, in `~/sky_workdir`, with the environment of an interactive login. " +
				"The guide \"How your scripts run on the machines\" has the details. " +
				"Run again, in place, when this text or `envs` changes; so write it so that it can be repeated.",
			Validators: []validator.String{kit.Checked(kit.CheckScript)},
		},
		"envs": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Environment variables of `setup`. They are stored in state in plain text: put no secrets here.",
			Validators:          []validator.Map{mapvalidator.KeysAre(kit.Checked(kit.CheckEnvName)), kit.Elements(kit.CheckText)},
		},
		"workdir": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Local folder copied to `~/sky_workdir` on every node, where setup and jobs start. " +
				uploads.WhatTravels + " Changed content is uploaded again in place.",
			Validators: []validator.String{kit.Checked(kit.CheckLocal)},
		},
		"file_mounts": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Further files and folders to copy to every node: path on the nodes (absolute or under `~/`) to local path. What of a folder is left out is said at `workdir`. " +
				"What would replace the provider's own files on the nodes, `~/.sky` and `~/.ssh/authorized_keys`, is refused. Changed content is uploaded again in place.",
			Validators: []validator.Map{mapvalidator.KeysAre(kit.Checked(kit.CheckRemotePath)), kit.Elements(kit.CheckLocal)},
		},
	}
}

// lifeInputs say how the cluster lives, rather than what it is.
func lifeInputs() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"recovery": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(string(broker.RecoverElsewhere)),
			MarkdownDescription: "Where a spot cluster that the cloud took back as a whole is launched again by the next apply: `failover` (default) tries every other region first, " +
				"for a day after the loss, or `same_region` stays in the region it was in. Single lost nodes are always restored in place, beside the others.",
			Validators: []validator.String{kit.Checked(kit.CheckOneOf(string(broker.RecoverElsewhere), string(broker.RecoverInRegion)))},
		},
		"on_setup_failure": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(string(broker.SetupFailureDestroy)),
			MarkdownDescription: "What becomes of the machines when `setup` fails during creation: `destroy` (default), or `keep` to look at them over SSH. " +
				"The apply fails either way; kept machines are in state, marked as tainted: the next apply replaces them, unless `terraform untaint` comes first.",
			Validators: []validator.String{kit.Checked(kit.CheckOneOf(string(broker.SetupFailureDestroy), string(broker.SetupFailureKeep)))},
		},
		"runtime": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(cluster.RuntimeSSH),
			MarkdownDescription: "How jobs run. `ssh` (default): over SSH alone, nothing is installed, and jobs run one after the other with all there is. " +
				"`ray`: Ray is installed on every node, in a Python environment of its own under `~/.sky/ray`, and runs the jobs side by side where they fit, by what they ask for (`resources` of `sky_job`). " +
				"It takes Python 3.10 to 3.14 and a package index that pip reaches, whose settings (`PIP_INDEX_URL`, ...) may stand in `envs`; an image may also bring that Ray along in `/opt/sky/ray-<version>`. " +
				"Your own Python and your own Ray are not touched: other ports, other folders. Its dashboard listens on the head's internal address only, and Ray takes no request without the cluster's own token. " +
				"Changed in place; a change to `ssh` ends the jobs that run in Ray.",
			Validators: []validator.String{kit.Checked(kit.CheckOneOf(cluster.RuntimeSSH, cluster.RuntimeRay))},
		},
		"desired_status": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(string(cluster.StatusUp)),
			MarkdownDescription: "`UP` (default) or `STOPPED`. Stopping keeps the disks and ends what runs; starting resumes the same machines, perhaps under new addresses. Refused at plan where the cloud or the market cannot stop.",
			Validators:          []validator.String{kit.Checked(kit.CheckOneOf(string(cluster.StatusUp), string(cluster.StatusStopped)))},
		},
		"create_before_destroy": schema.BoolAttribute{
			Optional: true,
			MarkdownDescription: "Write `true` where `lifecycle` says `create_before_destroy = true` and plans are applied on another computer, or in another folder, than they were made: Terraform does not tell a provider that what it creates replaces something. " +
				"A cluster of this name that was launched elsewhere is then taken for the one to be replaced, instead of being refused as somebody else's, with a warning that names it; of more than one none is, and nothing is launched. So after a lost state, import the cluster first. Changed in place.",
		},
	}
}

func clusterOutputs() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"id":            kit.Fixed("`cloud/region/name`; what `sky_job.cluster_id` and `terraform import` take."),
		"cloud":         kit.Fixed("The cloud the cluster runs on."),
		"region":        kit.Fixed("The region it runs in."),
		"zone":          kit.Fixed("The zone it runs in; empty on clouds without zones."),
		"instance_type": kit.Fixed("The instance type of every node."),
		"accelerators":  kit.Fixed("The accelerators of every node, such as `A100:8`; empty without any."),
		"market":        kit.Fixed("`on_demand` or `spot`."),
		"hourly_cost": schema.Float64Attribute{
			Computed: true, MarkdownDescription: "Price of the whole cluster at launch, in US dollars an hour. It stays what it was, whatever the market does.",
			PlanModifiers: []planmodifier.Float64{float64planmodifier.UseStateForUnknown()},
		},
		"status":          kit.Fresh("`UP`, `INIT` (not ready; see `status_reason`), `STOPPED`, `DEGRADED` (some nodes are lost) or `TERMINATED` (it removed itself; see `autostop`)."),
		"status_reason":   kit.Fresh("Why the status is what it is; empty when all is well."),
		"ssh_user":        kit.Fixed("The user to log in as."),
		"ssh_key_path":    kit.Fixed("File with the private key, on the computer that launched the cluster, `~` for its home folder; its content is not in state. Empty where the key is no file, as with `ssh_private_key`. What another computer has is told by `sky_cluster_ssh`."),
		"ssh_command":     kit.Fixed("Command that opens a shell on the head node, with its pinned host key checked."),
		"head_ip":         kit.Fixed("External address of the head node."),
		"ssh_config_path": kit.Fixed("An OpenSSH client configuration with a `Host` for the head, named like the cluster, and one for each other node, `<name>-worker<rank>`, or `<name>+worker<rank>` where another cluster of this computer has that name. `ssh -F` takes it; one `Include` line in `~/.ssh/config` takes those of all clusters. It holds no key."),
		"nodes":           nodesAttribute(),
		"endpoints": schema.MapAttribute{
			Computed: true, ElementType: types.StringType, PlanModifiers: []planmodifier.Map{mapplanmodifier.UseStateForUnknown()},
			MarkdownDescription: "Where the head answers on each of `ports`: port to `host:port`. A range of more than 64 ports is one entry, such as `8000-9000`.",
		},
		"generation":         kit.Fixed("Tells this cluster from earlier ones of its name."),
		"account":            kit.Fixed("The cloud account that pays."),
		"owner":              kit.Fixed("The owner in the machines' tags."),
		"launched_at":        kit.Fixed("When it was launched, RFC 3339, UTC."),
		"process_manager":    kit.Fixed("How jobs are detached on the nodes: `auto` (systemd where it runs) or `setsid`."),
		"workdir_digest":     kit.Fresh("Digest of what was uploaded from `workdir`: names, contents, and which files can be executed."),
		"file_mounts_digest": kit.Fresh("Digest of what was uploaded from `file_mounts`."),
		"changed_outside": schema.ListAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "What somebody changed outside Terraform, in words: ports and sources that are open or closed otherwise than `ports` and `allowed_cidrs` say, and labels that are not those of `labels`. Null where nothing is. The next apply restores exactly what is configured.",
		},
	}
}

// nodesAttribute is a list of objects without a schema of their own: OpenTofu
// crashes when it writes a configuration for a resource with a nested attribute
// that is only computed.
func nodesAttribute() schema.Attribute {
	return schema.ListAttribute{
		Computed: true, ElementType: nodeType(), PlanModifiers: []planmodifier.List{listplanmodifier.UseStateForUnknown()},
		MarkdownDescription: "The machines, by rank; rank 0 is the head. Of each: `rank`, its number in the cluster, which is stable; `instance_id`, the cloud's id of it; " +
			"`internal_ip`, where the nodes reach it; `external_ip`, where you do; `ssh_port`, the TCP port of its SSH server; `host_key`, its pinned SSH host key in the authorized_keys form; " +
			"`status`, one of `pending`, `running`, `stopping`, `stopped`, `terminated` and `unknown`; `reason`, why, where that is known; and `public_ports`, " +
			"on clouds that map ports, where each port of the machine is reached, as a map of its number there to the one at `external_ip`; null elsewhere.",
	}
}
