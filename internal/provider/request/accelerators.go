// SPDX-License-Identifier: MPL-2.0

package request

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// AcceleratorForms says what the attribute accelerators takes.
const AcceleratorForms = "one as `\"A100:8\"` (`NAME` or `NAME:COUNT`; a part of a name that no other has will do, and `\"80GB+:8\"` is eight of any device with so much memory); several in order of preference as a list, `[\"H100:8\", \"A100:8\"]`; " +
	"or several of which the cheapest wins as a set, `toset([\"H100:8\", \"A100:8\"])`, or a map, `{ H100 = 8, A100 = 8 }`. Upper and lower case are the same."

// acceleratorChoice is the attribute accelerators, read: one spec, several in
// order of preference, or several of which any will do.
type acceleratorChoice struct {
	specs   []acceleratorSpec
	ordered bool
}

// acceleratorSpec is one accelerator as it was written, and where.
type acceleratorSpec struct {
	text    string
	at      func(path.Path) path.Path
	unknown bool
}

func itself(p path.Path) path.Path { return p }

// readAccelerators reads a string, a list or tuple, a set, or a map or object of
// counts. The path of a problem is relative to the attribute.
func readAccelerators(v attr.Value) (acceleratorChoice, func(path.Path) path.Path, error) {
	if d, ok := v.(types.Dynamic); ok {
		if d.IsUnknown() || d.IsUnderlyingValueUnknown() {
			return acceleratorChoice{specs: []acceleratorSpec{{unknown: true, at: itself}}}, itself, nil
		}
		if d.IsNull() || d.IsUnderlyingValueNull() {
			return acceleratorChoice{}, itself, nil
		}
		v = d.UnderlyingValue()
	}
	switch v := v.(type) {
	case types.String:
		return inSequence([]attr.Value{v}, false, func(int) func(path.Path) path.Path { return itself })
	case types.List:
		return inSequence(v.Elements(), true, byIndex)
	case types.Tuple:
		return inSequence(v.Elements(), true, byIndex)
	case types.Set:
		all := v.Elements()
		return inSequence(all, false, func(i int) func(path.Path) path.Path {
			return func(p path.Path) path.Path { return p.AtSetValue(all[i]) }
		})
	case types.Map:
		return byName(v.Elements())
	case types.Object:
		return byName(v.Attributes())
	}
	return acceleratorChoice{}, itself, errors.New("this is no accelerator; write one such as \"A100:8\", a list of them in order of preference, or a set or map of which the cheapest wins")
}

func byIndex(i int) func(path.Path) path.Path {
	return func(p path.Path) path.Path { return p.AtListIndex(i) }
}

func inSequence(values []attr.Value, ordered bool, at func(i int) func(path.Path) path.Path) (acceleratorChoice, func(path.Path) path.Path, error) {
	c := acceleratorChoice{ordered: ordered}
	if len(values) == 0 {
		return c, itself, errors.New("it names no accelerator; write at least one, or leave the attribute out")
	}
	for i, e := range values {
		text, unknown, err := acceleratorText(e)
		if err != nil {
			return c, at(i), err
		}
		c.specs = append(c.specs, acceleratorSpec{text, at(i), unknown})
	}
	return c, itself, nil
}

// byName reads counts by name: { A100 = 8 }.
func byName(members map[string]attr.Value) (acceleratorChoice, func(path.Path) path.Path, error) {
	c := acceleratorChoice{}
	if len(members) == 0 {
		return c, itself, errors.New("it names no accelerator; write at least one, or leave the attribute out")
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		at := func(p path.Path) path.Path { return p.AtMapKey(name) }
		text, unknown, err := acceleratorText(members[name])
		if err != nil {
			return c, at, err
		}
		c.specs = append(c.specs, acceleratorSpec{name + ":" + text, at, unknown})
	}
	return c, itself, nil
}

// acceleratorText is the text of one element.
func acceleratorText(v attr.Value) (text string, unknown bool, err error) {
	if d, ok := v.(types.Dynamic); ok {
		if d.IsUnknown() || d.IsUnderlyingValueUnknown() {
			return "", true, nil
		}
		if d.IsNull() || d.IsUnderlyingValueNull() {
			return "", false, errors.New("an element is null; leave it out")
		}
		v = d.UnderlyingValue()
	}
	switch {
	case v.IsUnknown():
		return "", true, nil
	case v.IsNull():
		return "", false, errors.New("an element is null; leave it out")
	}
	switch v := v.(type) {
	case types.String:
		return v.ValueString(), false, nil
	case types.Number:
		return v.ValueBigFloat().Text('f', -1), false, nil
	case types.Int64:
		return fmt.Sprint(v.ValueInt64()), false, nil
	case types.Float64:
		return big.NewFloat(v.ValueFloat64()).Text('f', -1), false, nil
	}
	return "", false, errors.New("an element is no text; write an accelerator such as \"A100:8\"")
}

// parse turns the specs into accelerators; there are none where one is unknown.
func (c acceleratorChoice) parse() ([]cloud.Accelerator, func(path.Path) path.Path, error) {
	var texts []string
	for _, s := range c.specs {
		if s.unknown {
			return nil, itself, nil
		}
	}
	for _, s := range c.specs {
		if err := kit.CheckAccelerators(s.text); err != nil {
			return nil, s.at, err
		}
		if texts = append(texts, s.text); len(texts) > 1 {
			if _, err := cloud.ParseAccelerators(texts...); err != nil {
				return nil, s.at, err
			}
		}
	}
	out, err := cloud.ParseAccelerators(texts...)
	for i, a := range out {
		if _, byMemory := a.ByMemory(); byMemory && c.ordered && len(out) > 1 {
			return nil, c.specs[i].at, fmt.Errorf("%q are several devices, which have no order among themselves; write it alone, or in a set", a.Name)
		}
	}
	return out, itself, err
}

// acceleratorsOf is what an attribute accelerators asks for.
func acceleratorsOf(v attr.Value) (list []cloud.Accelerator, ordered bool, err error) {
	c, _, err := readAccelerators(v)
	if err == nil {
		list, _, err = c.parse()
	}
	return list, c.ordered && len(list) > 1, err
}

// AcceleratorsValidator checks the attribute accelerators.
func AcceleratorsValidator() validator.Dynamic { return acceleratorsValidator{} }

type acceleratorsValidator struct{}

func (acceleratorsValidator) Description(context.Context) string {
	return "one accelerator, a list in order of preference, or a set or map of which any will do"
}

func (v acceleratorsValidator) MarkdownDescription(ctx context.Context) string {
	return v.Description(ctx)
}

// ValidateDynamic implements validator.Dynamic.
func (acceleratorsValidator) ValidateDynamic(_ context.Context, req validator.DynamicRequest, resp *validator.DynamicResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnderlyingValueNull() {
		return
	}
	c, at, err := readAccelerators(req.ConfigValue)
	if err == nil {
		_, at, err = c.parse()
	}
	if err != nil {
		kit.Invalid(&resp.Diagnostics, at(req.Path), err.Error())
	}
}
