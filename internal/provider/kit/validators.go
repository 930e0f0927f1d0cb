// SPDX-License-Identifier: MPL-2.0

package kit

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// StringCheck says what is wrong with a value and what would be right.
type StringCheck func(string) error

// stringsValidator applies a check to a string, or to every element of a list or
// map of strings. Null and unknown values pass, but for a null element.
type stringsValidator struct{ check StringCheck }

// Checked validates a string attribute.
func Checked(check StringCheck) validator.String { return stringsValidator{check} }

// Elements validates every element of a list or map of strings.
func Elements(check StringCheck) interface {
	validator.List
	validator.Map
} {
	return stringsValidator{check}
}

func (v stringsValidator) Description(context.Context) string { return "the value must be well-formed" }

func (v stringsValidator) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (v stringsValidator) report(diags *diag.Diagnostics, at path.Path, value string) {
	if err := v.check(value); err != nil {
		Invalid(diags, at, err.Error())
	}
}

// Invalid reports a bad value at its path.
func Invalid(diags *diag.Diagnostics, at path.Path, text string) {
	Refuse(diags, at, "Invalid value", text)
}

// Refuse reports an error at its path. Terraform shows the line of a member of
// an attribute only as the resource's first, so the text names it.
func Refuse(diags *diag.Diagnostics, at path.Path, summary, text string) {
	text = Sentence(text)
	if len(at.Steps()) > 1 {
		text = at.String() + ": " + text
	}
	diags.AddAttributeError(at, summary, text)
}

// ValidateString implements validator.String.
func (v stringsValidator) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if !req.ConfigValue.IsNull() && !req.ConfigValue.IsUnknown() {
		v.report(&resp.Diagnostics, req.Path, req.ConfigValue.ValueString())
	}
}

// ValidateList implements validator.List.
func (v stringsValidator) ValidateList(_ context.Context, req validator.ListRequest, resp *validator.ListResponse) {
	for i, e := range req.ConfigValue.Elements() {
		at := req.Path.AtListIndex(i)
		switch s, ok := e.(types.String); {
		case !ok || s.IsUnknown():
		case s.IsNull():
			Invalid(&resp.Diagnostics, at, "An element is null; leave it out.")
		default:
			v.report(&resp.Diagnostics, at, s.ValueString())
		}
	}
}

// ValidateMap implements validator.Map.
func (v stringsValidator) ValidateMap(_ context.Context, req validator.MapRequest, resp *validator.MapResponse) {
	members := req.ConfigValue.Elements()
	for _, key := range slices.Sorted(maps.Keys(members)) {
		at := req.Path.AtMapKey(key)
		switch s, ok := members[key].(types.String); {
		case !ok || s.IsUnknown():
		case s.IsNull():
			Invalid(&resp.Diagnostics, at, "The value is null; leave the key out.")
		default:
			v.report(&resp.Diagnostics, at, s.ValueString())
		}
	}
}

type uniqueValidator struct{}

// NoDuplicates refuses a list that holds a value twice.
func NoDuplicates() validator.List { return uniqueValidator{} }

func (uniqueValidator) Description(context.Context) string { return "no value may be listed twice" }

func (v uniqueValidator) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (uniqueValidator) ValidateList(_ context.Context, req validator.ListRequest, resp *validator.ListResponse) {
	seen := map[string]bool{}
	for i, e := range req.ConfigValue.Elements() {
		if e.IsNull() || e.IsUnknown() {
			continue
		}
		if seen[e.String()] {
			Invalid(&resp.Diagnostics, req.Path.AtListIndex(i), e.String()+" is listed twice; list it once.")
		}
		seen[e.String()] = true
	}
}

// NotEmpty refuses a list without elements.
func NotEmpty() validator.List { return notEmpty{} }

type notEmpty struct{}

func (notEmpty) Description(context.Context) string { return "the list must have an element" }

func (v notEmpty) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (notEmpty) ValidateList(_ context.Context, req validator.ListRequest, resp *validator.ListResponse) {
	if l := req.ConfigValue; !l.IsNull() && !l.IsUnknown() && len(l.Elements()) == 0 {
		Invalid(&resp.Diagnostics, req.Path, "The list is empty; write at least one element, or leave it out for the default.")
	}
}

// wholeNumber bounds an integer.
type wholeNumber struct {
	least, most int64
	what        string
}

// Between bounds a whole number of something.
func Between(least, most int64, what string) validator.Int64 { return wholeNumber{least, most, what} }

func (v wholeNumber) Description(context.Context) string {
	return fmt.Sprintf("%s from %d to %d", v.what, v.least, v.most)
}

func (v wholeNumber) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (v wholeNumber) ValidateInt64(ctx context.Context, req validator.Int64Request, resp *validator.Int64Response) {
	n := req.ConfigValue
	if n.IsNull() || n.IsUnknown() || (n.ValueInt64() >= v.least && n.ValueInt64() <= v.most) {
		return
	}
	Invalid(&resp.Diagnostics, req.Path, fmt.Sprintf("%d is out of range; write %s.", n.ValueInt64(), v.Description(ctx)))
}

// aboveZero bounds a number of something.
type aboveZero struct{ what, such string }

// Above is a number of something above zero.
func Above(what, such string) validator.Float64 { return aboveZero{what, such} }

// Price bounds what something may cost.
func Price() validator.Float64 { return notNegative{aboveZero{"US dollars an hour", "2.5"}} }

// notNegative is aboveZero that leaves 0 to the plan (machineModel.requirement):
// the prices that terraform test mocks are 0, and its plans do not come there.
type notNegative struct{ aboveZero }

// ValidateFloat64 implements validator.Float64.
func (v notNegative) ValidateFloat64(ctx context.Context, req validator.Float64Request, resp *validator.Float64Response) {
	if f := req.ConfigValue; !IsSet(f) || f.ValueFloat64() != 0 {
		v.aboveZero.ValidateFloat64(ctx, req, resp)
	}
}

func (v aboveZero) Description(context.Context) string {
	return v.what + ", above zero, such as " + v.such
}

func (v aboveZero) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (v aboveZero) ValidateFloat64(ctx context.Context, req validator.Float64Request, resp *validator.Float64Response) {
	f := req.ConfigValue
	if f.IsNull() || f.IsUnknown() || f.ValueFloat64() > 0 {
		return
	}
	Invalid(&resp.Diagnostics, req.Path, fmt.Sprintf("%v is out of range; write %s.", f.ValueFloat64(), v.Description(ctx)))
}
