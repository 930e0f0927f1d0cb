// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// openLife leaves open what follows from a size or a wanted status that is known
// at apply only. What is known in a plan is a promise, and a change of either may
// bring other nodes, addresses and another price.
func (m *clusterModel) openLife() {
	m.Status, m.StatusReason = types.StringUnknown(), types.StringUnknown()
	m.HeadIP, m.SSHCommand = types.StringUnknown(), types.StringUnknown()
	m.Nodes, m.HourlyCost = types.ListUnknown(nodeType()), types.Float64Unknown()
}

// planUndecided plans a replacement for them: Terraform allows no change in place
// to become one once they are known.
func planUndecided(old clusterModel, members []string, resp *resource.ModifyPlanResponse) {
	for _, name := range members {
		at := path.Root("resources")
		if name != "resources" {
			at = at.AtName(name)
		}
		resp.RequiresReplace.Append(at)
	}
	resp.RequiresReplace.Append(path.Root("resources")) // the CLI marks no member that is unknown within
	resp.Diagnostics.AddAttributeWarning(path.Root("resources"), fmt.Sprintf("Cluster %q will be replaced", old.Name.ValueString()),
		fmt.Sprintf("What its machines must be is known at apply only (%s), so that this plan cannot tell whether those that run will do. "+
			"To keep them, apply first what the value comes from, with -target, and plan again.", strings.Join(members, ", ")))
}
