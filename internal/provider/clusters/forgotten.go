// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// warnOfForgotten tells, once a cloud, of machines that a launch left there and that
// nothing ends. What cannot be asked is told of by whoever needs the answer.
func (r *clusterResource) warnOfForgotten(ctx context.Context, b refresher, cloudName string, diags *diag.Diagnostics) {
	if !r.data.Warned.First("forgotten on " + cloudName) {
		return
	}
	left, err := b.Forgotten(ctx, cloudName)
	if err != nil || len(left) == 0 {
		return
	}
	diags.AddWarning(fmt.Sprintf("%d machines on %s belong to no cluster", len(left), cloudName), forgottenText(cloudName, left))
}

func forgottenText(cloudName string, left []cloud.Instance) string {
	var rows []string
	for _, m := range left {
		rows = append(rows, fmt.Sprintf("%s in %s, for cluster %s, since %s", m.ID, cloud.ShortPlace(cloudName, m.Region, m.Zone), m.Identity.Cluster, m.CreatedAt.UTC().Format(time.RFC3339)))
	}
	return fmt.Sprintf("A launch that was cut off left them:\n\n%s\n\n%s removes no machine by itself, so they are billed. "+
		"\"terraform-provider-sky gc\" reports them, and removes them with --delete; so does the next launch of their cluster.", kit.Indent(strings.Join(rows, "\n")), cloudName)
}
