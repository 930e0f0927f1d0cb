// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// What means the same is the same job: a default that is written out, or nothing
// at all in other words, replaces none.

const replacesWhereOther = "Another meaning replaces the job."

// replaceOtherText replaces the job where the text differs; none is the empty one.
func replaceOtherText() []planmodifier.String {
	return replaceTextUnless(func(a, b types.String) bool { return a.ValueString() == b.ValueString() })
}

// replaceOtherDuration replaces it where the time differs.
func replaceOtherDuration() []planmodifier.String {
	return replaceTextUnless(func(a, b types.String) bool { return durationOf(a) == durationOf(b) })
}

func replaceTextUnless(same func(a, b types.String) bool) []planmodifier.String {
	return []planmodifier.String{stringplanmodifier.RequiresReplaceIf(
		func(_ context.Context, req planmodifier.StringRequest, resp *stringplanmodifier.RequiresReplaceIfFuncResponse) {
			resp.RequiresReplace = req.PlanValue.IsUnknown() || !same(req.StateValue, req.PlanValue)
		}, replacesWhereOther, replacesWhereOther)}
}

// replaceOtherNumber replaces it where the number differs; none is the default.
func replaceOtherNumber(byDefault int64) []planmodifier.Int64 {
	number := func(v types.Int64) int64 {
		if v.IsNull() {
			return byDefault
		}
		return v.ValueInt64()
	}
	return []planmodifier.Int64{int64planmodifier.RequiresReplaceIf(
		func(_ context.Context, req planmodifier.Int64Request, resp *int64planmodifier.RequiresReplaceIfFuncResponse) {
			resp.RequiresReplace = req.PlanValue.IsUnknown() || number(req.StateValue) != number(req.PlanValue)
		}, replacesWhereOther, replacesWhereOther)}
}

// replaceOtherMap replaces it where the map differs; none is the empty one.
func replaceOtherMap() []planmodifier.Map {
	return []planmodifier.Map{mapplanmodifier.RequiresReplaceIf(
		func(_ context.Context, req planmodifier.MapRequest, resp *mapplanmodifier.RequiresReplaceIfFuncResponse) {
			resp.RequiresReplace = req.PlanValue.IsUnknown() || len(req.StateValue.Elements())+len(req.PlanValue.Elements()) > 0 && !req.StateValue.Equal(req.PlanValue)
		}, replacesWhereOther, replacesWhereOther)}
}
