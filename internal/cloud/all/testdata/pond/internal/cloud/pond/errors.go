// SPDX-License-Identifier: MPL-2.0

package pond

import (
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// guide: errors

// table says what Pond's errors mean. Statuses that all clouds share, such as
// 401 and 429, fleet knows.
func table() fleet.Table {
	const general = "unprocessable_entity" // Pond says nearly everything by this one
	return fleet.Table{
		Rows: slices.Concat(
			fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, "not available in this region", general),
			fleet.TextRows(cloud.KindQuota, cloud.ScopeRegion, "droplet limit", general),
			fleet.Rows(cloud.KindConfig, cloud.ScopeRegion, general, "bad_request"),
		),
		Reasons:     fleet.TextRows(cloud.KindCapacity, cloud.ScopeZone, "not available in this region", ""),
		Unreachable: cloud.ScopeCloud,
		Read:        fleet.ReadAPIError,
	}
}

// Classify implements fleet.Calls.
func (d *driver) Classify(err error) cloud.Fault { return table().Classify(err) }

// guide: end
