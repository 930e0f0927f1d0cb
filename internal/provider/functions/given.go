// SPDX-License-Identifier: MPL-2.0

package functions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/skypilot"
)

// givenFunction makes a value of a text, and of an object that need not be there.
type givenFunction struct {
	name       string
	definition function.Definition
	value      func(text string, given skypilot.Given) (attr.Value, error)
	// unknown is the value where something given is.
	unknown attr.Value
}

func (f givenFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = f.name
}

func (f givenFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = f.definition
}

func (f givenFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var text string
	var more []types.Dynamic
	if resp.Error = req.Arguments.Get(ctx, &text, &more); resp.Error != nil {
		return
	}
	for _, m := range more {
		if v, err := m.ToTerraformValue(ctx); err == nil && !v.IsFullyKnown() {
			resp.Error = resp.Result.Set(ctx, f.unknown)
			return
		}
	}
	given, err := givenOf(more)
	if err != nil {
		resp.Error = function.NewArgumentFuncError(1, kit.Clause(err.Error()))
		return
	}
	value, err := f.value(text, given)
	if err != nil {
		resp.Error = function.NewArgumentFuncError(0, kit.Clause(err.Error()))
		return
	}
	resp.Error = resp.Result.Set(ctx, value)
}

// givenOf reads the second argument; a null in it says nothing.
func givenOf(more []types.Dynamic) (g skypilot.Given, err error) {
	if len(more) > 1 {
		return g, errors.New("write one object with all that is given after the YAML")
	}
	if len(more) == 0 || more[0].IsNull() || more[0].IsUnderlyingValueNull() {
		return g, nil
	}
	members, ok := membersOf(more[0].UnderlyingValue())
	if !ok {
		return g, errors.New("what is given after the YAML must be an object, such as { base = path.module }")
	}
	texts := map[string]*string{"name": &g.Name, "infra": &g.Infra, "base": &g.Base, "commit": &g.Commit}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		v := members[name]
		switch into := texts[name]; {
		case v.IsNull():
		case name == "envs":
			if g.Envs, err = envsOf(v); err != nil {
				return g, err
			}
		case name == "ignore":
			if g.Ignore, err = ignoredOf(v); err != nil {
				return g, err
			}
		case into == nil:
			return g, fmt.Errorf("%q cannot be given; write base, envs, infra, name, commit or ignore", name)
		default:
			text, ok := textOf(v)
			if !ok || text == "" {
				return g, fmt.Errorf("%s must be a text that is not empty", name)
			}
			*into = text
		}
	}
	return g, nil
}

func ignoredOf(v attr.Value) ([]string, error) {
	elements, ok := elementsOf(v)
	if !ok {
		return nil, errors.New("ignore must be a list of fields, such as [\"network_tier\"]")
	}
	var out []string
	for _, e := range elements {
		name, ok := textOf(e)
		if !ok || !skypilot.Ignorable(name) {
			return nil, fmt.Errorf("ignore names %q, which is no field of a task or of resources", name)
		}
		out = append(out, name)
	}
	return out, nil
}

func elementsOf(v attr.Value) ([]attr.Value, bool) {
	switch v := v.(type) {
	case types.Dynamic:
		return elementsOf(v.UnderlyingValue())
	case types.Tuple:
		return v.Elements(), true
	case types.List:
		return v.Elements(), true
	case types.Set:
		return v.Elements(), true
	}
	return nil, false
}

func envsOf(v attr.Value) (map[string]string, error) {
	members, ok := membersOf(v)
	if !ok {
		return nil, errors.New("envs must be a map of texts")
	}
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if members[name].IsNull() {
			continue
		}
		if out[name], ok = textOf(members[name]); !ok {
			return nil, fmt.Errorf("envs[%q] must be a text, a number or a truth", name)
		}
	}
	return out, nil
}

func membersOf(v attr.Value) (map[string]attr.Value, bool) {
	switch v := v.(type) {
	case types.Dynamic:
		return membersOf(v.UnderlyingValue())
	case types.Object:
		return v.Attributes(), true
	case types.Map:
		return v.Elements(), true
	}
	return nil, false
}

// textOf is a value as Terraform makes a text of it.
func textOf(v attr.Value) (string, bool) {
	switch v := v.(type) {
	case types.Dynamic:
		return textOf(v.UnderlyingValue())
	case types.String:
		return v.ValueString(), true
	case types.Number:
		return v.ValueBigFloat().Text('f', -1), true
	case types.Bool:
		return fmt.Sprint(v.ValueBool()), true
	}
	return "", false
}
