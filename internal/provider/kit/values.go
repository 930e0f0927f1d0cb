// SPDX-License-Identifier: MPL-2.0

// Package kit is what every resource, data source and function of the provider
// shares: values, types, validators, checks of what a user wrote, and the texts of
// diagnostics. It knows Terraform and the vocabulary of clouds, and no broker.
package kit

import (
	"context"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// ObjectOptions read an object whose members may be null or unknown.
var ObjectOptions = basetypes.ObjectAsOptions{}

// FullyKnown reports whether a value holds nothing unknown, however deep.
func FullyKnown(v attr.Value) bool {
	if v.IsUnknown() {
		return false
	}
	var inner []attr.Value
	switch v := v.(type) {
	case types.Dynamic:
		return v.IsNull() || FullyKnown(v.UnderlyingValue())
	case types.Object:
		inner = slices.Collect(maps.Values(v.Attributes()))
	case types.Map:
		inner = slices.Collect(maps.Values(v.Elements()))
	case interface{ Elements() []attr.Value }: // List, Set, Tuple
		inner = v.Elements()
	}
	return !slices.ContainsFunc(inner, func(e attr.Value) bool { return !FullyKnown(e) })
}

// IsSet reports whether a value is known to be there: one that is not known yet
// may turn out to be null.
func IsSet(v attr.Value) bool { return !v.IsNull() && !v.IsUnknown() }

// Empty reports whether a value is null, or a list or map without elements.
func Empty(v attr.Value) bool {
	switch v := v.(type) {
	case types.List:
		return len(v.Elements()) == 0 && !v.IsUnknown()
	case types.Map:
		return len(v.Elements()) == 0 && !v.IsUnknown()
	default:
		return v.IsNull()
	}
}

// Nulls are the null values of some types.
func Nulls(ctx context.Context, of map[string]attr.Type) map[string]attr.Value {
	out := map[string]attr.Value{}
	for name, typ := range of {
		v, err := typ.ValueFromTerraform(ctx, tftypes.NewValue(typ.TerraformType(ctx), nil))
		if err != nil {
			v = types.DynamicNull() // not reached: every type can be null
		}
		out[name] = v
	}
	return out
}

// StringMap is what a map of strings holds; nil where it is null or unknown.
func StringMap(m types.Map) map[string]string {
	if m.IsNull() || m.IsUnknown() {
		return nil
	}
	out := map[string]string{}
	for k, v := range m.Elements() {
		if s, ok := v.(types.String); ok {
			out[k] = s.ValueString()
		}
	}
	return out
}

// StringList is what a list of strings holds.
func StringList(l types.List) []string {
	var out []string
	for _, v := range l.Elements() {
		if s, ok := v.(types.String); ok {
			out = append(out, s.ValueString())
		}
	}
	return out
}

// ListOf is a list of these strings, empty for none.
func ListOf(texts []string) types.List {
	values := make([]attr.Value, 0, len(texts))
	for _, t := range texts {
		values = append(values, types.StringValue(t))
	}
	return types.ListValueMust(types.StringType, values)
}

// MapOf is a map of these strings, null for nil.
func MapOf(m map[string]string) types.Map {
	if m == nil {
		return types.MapNull(types.StringType)
	}
	values := map[string]attr.Value{}
	for k, v := range m {
		values[k] = types.StringValue(v)
	}
	return types.MapValueMust(types.StringType, values)
}
