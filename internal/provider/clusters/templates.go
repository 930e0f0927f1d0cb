// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// checkTemplates refuses a plan whose launch would fail by a template of the
// user's own, in every place alike. A removal needs no template, so that the
// provider block itself is not refused for it.
func (r *clusterResource) checkTemplates(cluster string, placements []cloud.Placement, diags *diag.Diagnostics) {
	if r.data.TemplatesDir == "" {
		return
	}
	if err := nodes.CheckTemplates(r.data.TemplatesDir, placements); err != nil {
		diags.AddError(fmt.Sprintf("Cluster %q: a template of templates_dir cannot be used", cluster),
			fmt.Sprintf("%s\n\ntemplates_dir of the provider block is %q. Mend the file, or remove it, and the built-in one is used.", kit.Sentence(err.Error()), r.data.TemplatesDir))
	}
}

// placement is where the cluster is, as far as a template asks.
func (m clusterModel) placement() cloud.Placement {
	return cloud.Placement{Nodes: int(m.NumNodes.ValueInt64()), Offer: cloud.Offer{
		Cloud: m.Cloud.ValueString(), Region: m.Region.ValueString(), Zone: m.Zone.ValueString(),
		InstanceType: cloud.InstanceType{Name: m.InstanceType.ValueString()},
	}}
}
