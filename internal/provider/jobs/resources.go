// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// shareAttribute is what a job takes of its nodes.
func shareAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true, PlanModifiers: []planmodifier.Object{objectplanmodifier.RequiresReplace()},
		MarkdownDescription: "What the job takes of each of its nodes, on a cluster with `runtime = \"ray\"`: jobs that fit beside each other run at the same time, " +
			"on whichever nodes have room, and the others wait their turn, first in, first out. Default all accelerators of the node, and half a CPU. An error on other clusters.",
		Attributes: map[string]schema.Attribute{
			"accelerators": schema.StringAttribute{
				Optional: true, Validators: []validator.String{kit.Checked(kit.CheckAccelerators)},
				MarkdownDescription: "Accelerators of each node, `NAME:COUNT`, such as `\"A100:4\"`, or a fraction of one; the job sees these alone (`CUDA_VISIBLE_DEVICES`). Default none, where `resources` is written.",
			},
			"cpus": schema.StringAttribute{
				Optional: true, Validators: []validator.String{kit.Checked(kit.CheckCPUs)},
				MarkdownDescription: "vCPUs of each node, such as `\"4\"`; `\"4+\"` is the same. The job is not held to it. Default half a CPU.",
			},
		},
	}
}

// share is what the job takes of its nodes; nil where it does not say.
func (m *jobModel) share() (*job.Resources, error) {
	if m.Resources.IsNull() {
		return nil, nil //nolint:nilnil // nothing asked for is not an error
	}
	text := func(name string) string {
		s, _ := m.Resources.Attributes()[name].(types.String)
		return s.ValueString()
	}
	var r job.Resources
	if s := text("accelerators"); s != "" {
		parsed, err := cloud.ParseAccelerators(s)
		if err != nil {
			return nil, err
		}
		r.Accelerator, r.Accelerators = parsed[0].Name, parsed[0].Count
	}
	if s := text("cpus"); s != "" {
		parsed, err := cloud.ParseCPUs(s)
		if err != nil {
			return nil, err
		}
		r.CPUs = parsed.Value
	}
	return &r, nil
}
