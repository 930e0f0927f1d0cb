// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
)

// ValidateConfig checks what concerns several attributes at once.
func (r *clusterResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var m clusterModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	kit.CheckVars(&resp.Diagnostics, kit.Vars{Attribute: "envs", Values: m.Envs})
	if m.Resources.IsUnknown() {
		return
	}
	root := path.Root("resources")
	w, _, diags := request.Read(ctx, m.Resources)
	if resp.Diagnostics.Append(diags...); diags.HasError() {
		return
	}
	resp.Diagnostics.Append(w.Conflicts(root)...)
	for _, version := range kit.OpenToWorld(kit.StringList(m.AllowedCIDRs)) {
		resp.Diagnostics.AddAttributeWarning(path.Root("allowed_cidrs"), "Open to the world",
			fmt.Sprintf("allowed_cidrs lets the %s internet reach SSH and the ports. Write your own prefix, or leave allowed_cidrs out for this computer's address alone.", version))
	}
}
