// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// replacedDiags tells of a cluster that create_before_destroy let a launch pass by:
// where the state of an earlier apply was lost, nothing will ever remove it.
func replacedDiags(c cluster.Cluster) diag.Diagnostics {
	var diags diag.Diagnostics
	for _, r := range c.Replaced {
		diags.AddWarning(fmt.Sprintf("Another cluster %q was running already", c.Name), fmt.Sprintf(
			"%s, generation %s (%s), was taken for the one that this replaces, since create_before_destroy is true, and is still billed. "+
				"This apply removes it if the state holds it. If the state of an earlier apply was lost, nothing removes it: "+
				"import it with \"terraform import <address> %s\", under the address of a second resource of that name, and destroy it.",
			r.ID, r.Generation, strings.Join(r.Instances, ", "), r.ID))
	}
	return diags
}
