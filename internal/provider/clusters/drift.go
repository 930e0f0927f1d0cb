// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
)

// readDrift compares ports, sources and labels with what state has of them. What
// cannot be compared stays as it was, with a warning.
func (m *clusterModel) readDrift(ctx context.Context, b refresher, c cluster.Cluster, diags *diag.Diagnostics) {
	w, known, d := request.Read(ctx, m.Resources)
	if d.HasError() || !known || c.Status == cluster.StatusTerminated {
		return
	}
	ports, err := w.PortRanges()
	var drift []string
	if err == nil {
		drift, err = b.Drift(ctx, c, broker.Spec{Ports: ports, Labels: kit.StringMap(w.Labels)})
	}
	if err != nil {
		diags.AddWarning(fmt.Sprintf("Ports and labels of cluster %q were not compared", c.Name), kit.Sentence(err.Error()))
		return
	}
	m.ChangedOutside = types.ListNull(types.StringType)
	if len(drift) > 0 {
		m.ChangedOutside = kit.ListOf(drift)
	}
}

// planDrift plans the repair of what was changed outside, which every change in
// place brings. It reports whether there is anything to repair.
func (m *clusterModel) planDrift(old clusterModel) bool {
	m.ChangedOutside = types.ListNull(types.StringType)
	return !old.ChangedOutside.IsNull()
}
