// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// conflicts are combinations that contradict each other.
func (w wish) conflicts(root path.Path) diag.Diagnostics {
	var diags diag.Diagnostics
	conflict(&diags, root, w.machineModel)
	if isSet(w.AnyOf) && isSet(w.Ordered) {
		refuse(&diags, root.AtName("ordered"), "Conflicting attributes", "Write either any_of (the cheapest wins) or ordered (the first wins), not both.")
	}
	for _, l := range []struct {
		name  string
		value types.List
		items []alternativeModel
	}{{"any_of", w.AnyOf, w.anyOf}, {"ordered", w.Ordered, w.ordered}} {
		if isSet(l.value) && empty(l.value) {
			invalid(&diags, root.AtName(l.name), "The list is empty; write at least one alternative, or leave it out.")
		}
		for i, m := range l.items {
			conflict(&diags, root.AtName(l.name).AtListIndex(i), m.machineModel)
		}
	}
	return diags
}

// conflict refuses infra beside cloud, region and zone, and market beside use_spot.
func conflict(diags *diag.Diagnostics, at path.Path, m machineModel) {
	if isSet(m.Market) && isSet(m.UseSpot) {
		refuse(diags, at.AtName("use_spot"), "Conflicting attributes",
			"Write either market or use_spot: market says how machines are bought, and use_spot = true is market = \"spot\".")
	}
	if !isSet(m.Infra) {
		return
	}
	for _, other := range []struct {
		name  string
		value types.String
	}{{"cloud", m.Cloud}, {"region", m.Region}, {"zone", m.Zone}} {
		if isSet(other.value) {
			refuse(diags, at.AtName(other.name), "Conflicting attributes",
				fmt.Sprintf("Write either infra or %s: infra says where already. All in one is infra = \"cloud/region/zone\", with * for any.", other.name))
		}
	}
}
