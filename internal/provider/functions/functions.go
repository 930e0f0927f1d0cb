// SPDX-License-Identifier: MPL-2.0

// Package functions is the provider's functions. What SkyPilot's YAML means is
// known by internal/skypilot; here it becomes Terraform's values.
package functions

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
	"github.com/skybroker/terraform-provider-sky/internal/skypilot"
)

// All are the functions of the provider.
func All() []func() function.Function {
	return []func() function.Function{parseAcceleratorsFunction, parseResourcesFunction, taskFunction, tasksFunction, taskProblemsFunction}
}

// textFunction makes a value of one text.
type textFunction struct {
	name       string
	definition function.Definition
	value      func(text string) (attr.Value, error)
}

func (f textFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = f.name
}

func (f textFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = f.definition
}

func (f textFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var text string
	if resp.Error = req.Arguments.Get(ctx, &text); resp.Error != nil {
		return
	}
	value, err := f.value(text)
	if err != nil {
		resp.Error = function.NewArgumentFuncError(0, kit.Clause(err.Error()))
		return
	}
	resp.Error = resp.Result.Set(ctx, value)
}

func acceleratorType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{"name": types.StringType, "count": types.Float64Type}}
}

func parseAcceleratorsFunction() function.Function {
	return textFunction{"parse_accelerators", function.Definition{
		Summary:             "Split accelerators into name and count",
		MarkdownDescription: "Reads accelerators as `sky_cluster` does, such as `\"A100:8\"`, and returns an object with `name` and `count`. A count left out is 1. It only reads the text: whether any cloud sells it is for `sky_catalog_offer` to say.",
		Parameters:          []function.Parameter{function.StringParameter{Name: "accelerators", MarkdownDescription: "`NAME` or `NAME:COUNT`."}},
		Return:              function.ObjectReturn{AttributeTypes: acceleratorType().AttrTypes},
	}, func(text string) (attr.Value, error) {
		parsed, err := cloud.ParseAccelerators(text)
		if err != nil {
			return nil, err
		}
		if len(parsed) != 1 {
			return nil, errors.New("write one accelerator, such as \"A100:8\"")
		}
		return types.ObjectValueMust(acceleratorType().AttrTypes, map[string]attr.Value{
			"name": types.StringValue(parsed[0].Name), "count": kit.Decimal(parsed[0].Count),
		}), nil
	}}
}

func parseResourcesFunction() function.Function {
	return textFunction{"parse_resources", function.Definition{
		Summary: "Turn SkyPilot's resources into the attribute resources",
		MarkdownDescription: "Reads the YAML of a SkyPilot `resources` section and returns an object for the attribute `resources` of `sky_cluster`. " +
			"A field that it cannot carry is an error that names it. SkyPilot's `max_hourly_cost` is that of one machine, and the attribute's that of the cluster: multiply it where there are several nodes, as `task` does by `num_nodes`.",
		Parameters: []function.Parameter{function.StringParameter{Name: "yaml", MarkdownDescription: "The section's YAML, such as `yamlencode({ accelerators = \"A100:8\" })`."}},
		Return:     function.ObjectReturn{AttributeTypes: request.ResourcesTypes()},
	}, func(text string) (attr.Value, error) {
		resources, err := skypilot.ParseResources(text)
		if err != nil {
			return nil, fmt.Errorf("the YAML cannot be used: %w", err)
		}
		return resourcesValue(resources), nil
	}}
}

// givenParameter is the second argument of what reads tasks.
func givenParameter() function.Parameter {
	return function.DynamicParameter{
		Name: "given", MarkdownDescription: "At most one object, with any of `base`, the folder that relative local paths begin in (`path.module` in a module); `envs`, values for the envs, or further ones; " +
			"`infra`, the place of the task and of each of its alternatives; `name`; `commit`, that of a `workdir` that is a git repository; and `ignore`, fields of tasks or resources that are not read, such as `[\"network_tier\"]`.",
	}
}

func yamlParameter(of string) []function.Parameter {
	return []function.Parameter{function.StringParameter{Name: "yaml", MarkdownDescription: of + ", usually `file(\"task.yaml\")`."}}
}

func taskFunction() function.Function {
	return givenFunction{"task", function.Definition{
		Summary: "Turn a SkyPilot task into arguments of sky_cluster and sky_job",
		MarkdownDescription: "Reads a SkyPilot task YAML as SkyPilot reads it, and returns an object with the arguments `name` (`\"task\"` where the YAML has none), `num_nodes`, `resources`, `setup`, `run`, `envs`, `workdir`, `file_mounts`, `autostop`, " +
			"`recover_on_exit_codes` and `max_restarts`: each can be given as it is, and is null where the task does not say it; `resources` is never null. `$NAME` and `${NAME}` of `envs` are filled in within `workdir`, `file_mounts` and `service`. " +
			"A `workdir` that is a git repository becomes the beginning of `setup`.\n\n" +
			"Beside the arguments it returns `required_envs`, the names of envs that have no value in the YAML (give them in a second argument, `task(file(\"task.yaml\"), { envs = { NAME = var.name } })`); " +
			"`secrets`, the names of its secrets, whose values are for `secrets` of `sky_job`; and `service`, the section as it is read, since serving is not part of this provider.\n\n" +
			"What cannot be carried is an error: all problems of the task at once, each with its line and what to write instead; nothing is dropped in silence. `task_problems` returns them as values. " +
			"`tasks` reads files of several documents. The guide \"From SkyPilot to Terraform\" has a table of all fields.",
		Parameters: yamlParameter("The task"), VariadicParameter: givenParameter(), Return: function.ObjectReturn{AttributeTypes: taskTypes()},
	}, func(text string, given skypilot.Given) (attr.Value, error) {
		parsed, err := skypilot.ParseGiven(text, given)
		if err != nil {
			return nil, fmt.Errorf("the YAML cannot be used: %w", err)
		}
		return taskValue(parsed), nil
	}, types.ObjectUnknown(taskTypes())}
}

func tasksFunction() function.Function {
	return givenFunction{"tasks", function.Definition{
		Summary: "Turn a SkyPilot pipeline or job group into arguments of sky_cluster and sky_job",
		MarkdownDescription: "Reads a YAML of one or more documents, as `sky jobs launch` takes it, and returns an object with `name`, that of the whole, null without one; `parallel`, true for a job group (`execution: parallel`), whose tasks run side by side, " +
			"and false for a pipeline, whose tasks run in order; and `tasks`, a list of what `task` returns for each, in order. Where there are several, each has a name: its own, or the pipeline's with its number.\n\n" +
			"What cannot be carried is an error, as for `task`, with the problems of all tasks at once.",
		Parameters: yamlParameter("The tasks"), VariadicParameter: givenParameter(), Return: function.ObjectReturn{AttributeTypes: tasksTypes()},
	}, func(text string, given skypilot.Given) (attr.Value, error) {
		parsed, err := skypilot.ParseTasks(text, given)
		if err != nil {
			return nil, fmt.Errorf("the YAML cannot be used: %w", err)
		}
		return tasksValue(parsed), nil
	}, types.ObjectUnknown(tasksTypes())}
}

func taskProblemsFunction() function.Function {
	return givenFunction{"task_problems", function.Definition{
		Summary: "List what has to change in a SkyPilot task before it can be used",
		MarkdownDescription: "Reads a SkyPilot task YAML as `task` does, or one of several documents as `tasks` does, and returns its problems in place of failing, for `check` blocks, conditions and outputs: a list of objects with `line` (null for the file as a whole), " +
			"`field`, `means` (what is wrong) and `write` (what to write instead). It is empty for what those functions take.",
		Parameters: yamlParameter("The task"), VariadicParameter: givenParameter(), Return: function.ListReturn{ElementType: problemType()},
	}, func(text string, given skypilot.Given) (attr.Value, error) {
		_, err := skypilot.ParseTasks(text, given)
		return problemsValue(err), nil
	}, types.ListUnknown(problemType())}
}
