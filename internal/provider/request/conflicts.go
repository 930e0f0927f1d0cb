// SPDX-License-Identifier: MPL-2.0

package request

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// Conflicts are combinations that contradict each other.
func (w Resources) Conflicts(root path.Path) diag.Diagnostics {
	var diags diag.Diagnostics
	Conflict(&diags, root, w.Machine)
	if kit.IsSet(w.AnyOf) && kit.IsSet(w.Ordered) {
		kit.Refuse(&diags, root.AtName("ordered"), "Conflicting attributes", "Write either any_of (the cheapest wins) or ordered (the first wins), not both.")
	}
	for _, l := range []struct {
		name  string
		value types.List
		items []alternativeModel
	}{{"any_of", w.AnyOf, w.anyOf}, {"ordered", w.Ordered, w.ordered}} {
		if kit.IsSet(l.value) && kit.Empty(l.value) {
			kit.Invalid(&diags, root.AtName(l.name), "The list is empty; write at least one alternative, or leave it out.")
		}
		for i, m := range l.items {
			Conflict(&diags, root.AtName(l.name).AtListIndex(i), m.Machine)
		}
	}
	return diags
}

// Conflict refuses infra beside cloud, region and zone, and market beside use_spot.
func Conflict(diags *diag.Diagnostics, at path.Path, m Machine) {
	if kit.IsSet(m.Market) && kit.IsSet(m.UseSpot) {
		kit.Refuse(diags, at.AtName("use_spot"), "Conflicting attributes",
			"Write either market or use_spot: market says how machines are bought, and use_spot = true is market = \"spot\".")
	}
	if !kit.IsSet(m.Infra) {
		return
	}
	for _, other := range []struct {
		name  string
		value types.String
	}{{"cloud", m.Cloud}, {"region", m.Region}, {"zone", m.Zone}} {
		if kit.IsSet(other.value) {
			kit.Refuse(diags, at.AtName(other.name), "Conflicting attributes",
				fmt.Sprintf("Write either infra or %s: infra says where already. All in one is infra = \"cloud/region/zone\", with * for any.", other.name))
		}
	}
}
