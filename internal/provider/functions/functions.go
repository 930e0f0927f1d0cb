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
	return []func() function.Function{parseAcceleratorsFunction, parseResourcesFunction, taskFunction}
}

// textFunction makes an object of one text.
type textFunction struct {
	name       string
	definition function.Definition
	object     func(text string) (types.Object, error)
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
	object, err := f.object(text)
	if err != nil {
		resp.Error = function.NewArgumentFuncError(0, kit.Clause(err.Error()))
		return
	}
	resp.Error = resp.Result.Set(ctx, object)
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
	}, func(text string) (types.Object, error) {
		parsed, err := cloud.ParseAccelerators(text)
		if err != nil {
			return types.Object{}, err
		}
		if len(parsed) != 1 {
			return types.Object{}, errors.New("write one accelerator, such as \"A100:8\"")
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
			"A field that it cannot carry is an error that names it.",
		Parameters: []function.Parameter{function.StringParameter{Name: "yaml", MarkdownDescription: "The section's YAML, such as `yamlencode({ accelerators = \"A100:8\" })`."}},
		Return:     function.ObjectReturn{AttributeTypes: request.ResourcesTypes()},
	}, func(text string) (types.Object, error) {
		resources, err := skypilot.ParseResources(text)
		if err != nil {
			return types.Object{}, fmt.Errorf("the YAML cannot be used: %w", err)
		}
		return resourcesValue(resources), nil
	}}
}

func taskFunction() function.Function {
	return textFunction{"task", function.Definition{
		Summary: "Turn a SkyPilot task into arguments of sky_cluster and sky_job",
		MarkdownDescription: "Reads a SkyPilot task YAML and returns an object with `name`, `num_nodes`, `resources`, `setup`, `run`, `envs`, `workdir` and `file_mounts`, " +
			"each null where the task does not say it. What it cannot carry is an error that names the field; nothing is dropped in silence.",
		Parameters: []function.Parameter{function.StringParameter{Name: "yaml", MarkdownDescription: "The task, usually `file(\"task.yaml\")`."}},
		Return:     function.ObjectReturn{AttributeTypes: taskTypes()},
	}, func(text string) (types.Object, error) {
		parsed, err := skypilot.Parse(text)
		if err != nil {
			return types.Object{}, fmt.Errorf("the YAML cannot be used: %w", err)
		}
		return taskValue(parsed), nil
	}}
}
