// SPDX-License-Identifier: MPL-2.0

package request

import (
	"context"
	"math/big"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

func specs(list ...string) []attr.Value {
	out := make([]attr.Value, len(list))
	for i, s := range list {
		out[i] = types.StringValue(s)
	}
	return out
}

func tuple(values ...attr.Value) types.Tuple {
	kinds := make([]attr.Type, len(values))
	for i, v := range values {
		kinds[i] = v.Type(context.Background())
	}
	return types.TupleValueMust(kinds, values)
}

func anObject(members map[string]attr.Value) types.Object {
	kinds := map[string]attr.Type{}
	for name, v := range members {
		kinds[name] = v.Type(context.Background())
	}
	return types.ObjectValueMust(kinds, members)
}

func TestAcceleratorForms(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		value   attr.Value
		want    string
		ordered bool
	}{
		{"string", types.StringValue("A100:8"), "A100:8", false},
		{"list", types.ListValueMust(types.StringType, specs("H100:8", "A100:8")), "H100:8 A100:8", true},
		{"tuple", tuple(specs("H100:8", "A100")...), "H100:8 A100:1", true},
		{"tuple of one", tuple(specs("H100:8")...), "H100:8", false},
		{"set", types.SetValueMust(types.StringType, specs("A100:8", "H100:8")), "A100:8 H100:8", false},
		{"map", types.MapValueMust(types.NumberType, map[string]attr.Value{"H100": types.NumberValue(big.NewFloat(8)), "A100": types.NumberValue(big.NewFloat(0.5))}), "A100:0.5 H100:8", false},
		{"object", anObject(map[string]attr.Value{"V100-32GB": types.StringValue("8"), "A100": types.NumberValue(big.NewFloat(4))}), "A100:4 V100-32GB:8", false},
		{"null", types.StringNull(), "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			value := types.DynamicValue(tt.value)
			got, ordered, err := acceleratorsOf(value)
			var names []string
			for _, a := range got {
				names = append(names, a.String())
			}
			if err != nil || strings.Join(names, " ") != tt.want || ordered != tt.ordered {
				t.Errorf("acceleratorsOf = %v, %v, %v; want %s, %v", names, ordered, err, tt.want, tt.ordered)
			}
			if text := validateAccelerators(value); text != "" {
				t.Errorf("the validator says %s", text)
			}
			if !kit.FullyKnown(value) {
				t.Error("it counts as unknown")
			}
		})
	}
}

func validateAccelerators(v types.Dynamic) string {
	var resp validator.DynamicResponse
	AcceleratorsValidator().ValidateDynamic(context.Background(), validator.DynamicRequest{Path: path.Root("resources").AtName("accelerators"), ConfigValue: v}, &resp)
	var out []string
	for _, d := range resp.Diagnostics {
		out = append(out, d.Detail())
	}
	return strings.Join(out, "\n")
}

func TestAcceleratorsRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		value attr.Value
		want  string
	}{
		{"no count", types.StringValue("A100:0"), `resources.accelerators: Accelerator "A100:0"`},
		{"in a list", tuple(specs("A100:8", "H100:x")...), `resources.accelerators[1]: Accelerator "H100:x"`},
		{"twice", tuple(specs("A100:8", "a100:8")...), "resources.accelerators[1]: Accelerator \"a100:8\" is listed twice"},
		{"in a set", types.SetValueMust(types.StringType, specs("A100:")), `Value("A100:")]: Accelerator "A100:"`},
		{"in a map", anObject(map[string]attr.Value{"A100": types.NumberValue(big.NewFloat(-1))}), `resources.accelerators["A100"]: Accelerator "A100:-1"`},
		{"an empty list", tuple(), "names no accelerator"},
		{"an empty map", anObject(nil), "names no accelerator"},
		{"a null element", tuple(types.StringNull()), "resources.accelerators[0]: An element is null"},
		{"a number", types.NumberValue(big.NewFloat(8)), "this is no accelerator"},
		{"a list of objects", tuple(anObject(nil)), "resources.accelerators[0]: An element is no text"},
		{"memory in an order", tuple(specs("A100:8", "80GB+:8")...), `resources.accelerators[1]: "80GB+" are several devices`},
		{"a TPU", types.StringValue("tpu-v3-8"), "TPU VMs are not supported yet"},
		{"a TPU in a list", tuple(specs("A100:8", "TPU-v3-8")...), "resources.accelerators[1]: \"TPU-v3-8\" is a TPU"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := validateAccelerators(types.DynamicValue(tt.value))
			if !strings.Contains(strings.ToLower(got), strings.ToLower(tt.want)) {
				t.Errorf("the validator says %q, want %q", got, tt.want)
			}
		})
	}
}

// What is not known yet is neither refused nor taken for an answer.
func TestUnknownAccelerators(t *testing.T) {
	for name, v := range map[string]types.Dynamic{
		"whole":   types.DynamicUnknown(),
		"inside":  types.DynamicValue(types.StringUnknown()),
		"element": types.DynamicValue(tuple(types.StringValue("A100:8"), types.StringUnknown())),
		"untyped": types.DynamicValue(tuple(types.StringValue("A100:8"), types.DynamicUnknown())),
		"count":   types.DynamicValue(anObject(map[string]attr.Value{"A100": types.NumberUnknown()})),
	} {
		if text := validateAccelerators(v); text != "" {
			t.Errorf("%s: the validator says %s", name, text)
		}
		if got, _, err := acceleratorsOf(v); len(got) != 0 || err != nil {
			t.Errorf("%s: acceleratorsOf = %v, %v", name, got, err)
		}
		if kit.FullyKnown(v) {
			t.Errorf("%s counts as known", name)
		}
	}
}
