// SPDX-License-Identifier: MPL-2.0

package kit

import (
	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// stringTypes is an object type of strings with the names of m.
func stringTypes[V any](m map[string]V) map[string]attr.Type {
	out := map[string]attr.Type{}
	for name := range m {
		out[name] = types.StringType
	}
	return out
}

// TimeoutsAttribute is the timeouts module's attribute with stricter checks
// and a description for each bound.
func TimeoutsAttribute(bounds map[string]string) schema.Attribute {
	members := map[string]schema.Attribute{}
	for name, text := range bounds {
		members[name] = schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: text + " A duration such as `30m` or `2h45m`.",
			Validators:          []validator.String{Checked(CheckDuration)},
		}
	}
	return schema.SingleNestedAttribute{
		Optional: true, Attributes: members,
		CustomType:          timeouts.Type{ObjectType: types.ObjectType{AttrTypes: stringTypes(bounds)}},
		MarkdownDescription: "How long operations may take.",
	}
}
