// SPDX-License-Identifier: MPL-2.0

package kit

import (
	"context"
	"fmt"
	"math"
	"math/big"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// FloatType is the framework's type but for numbers that no float64 holds, such
// as 1e400: the framework calls those an error in the provider. Here they are one
// of the configuration, at its path, which validation reports before any use.
type FloatType struct{ basetypes.Float64Type }

// Equal implements attr.Type. The values are the framework's.
func (FloatType) Equal(o attr.Type) bool {
	_, same := o.(FloatType)
	return same || o.Equal(types.Float64Type)
}

// ValueFromTerraform implements attr.Type.
func (t FloatType) ValueFromTerraform(ctx context.Context, in tftypes.Value) (attr.Value, error) {
	if _, far := beyond(in); far {
		return types.Float64Value(math.MaxFloat64), nil
	}
	return t.Float64Type.ValueFromTerraform(ctx, in)
}

// Validate reports what ValueFromTerraform does not.
func (t FloatType) Validate(ctx context.Context, in tftypes.Value, at path.Path) diag.Diagnostics {
	var diags diag.Diagnostics
	if n, far := beyond(in); far {
		Invalid(&diags, at, fmt.Sprintf("%s is out of range; write a number that needs no more than 64 bits, such as 2.5.", n.Text('g', 10)))
		return diags
	}
	return t.Float64Type.Validate(ctx, in, at)
}

// beyond reports whether a value is a number that no float64 comes near.
func beyond(in tftypes.Value) (*big.Float, bool) {
	var n *big.Float
	if !in.IsKnown() || in.IsNull() || in.As(&n) != nil {
		return nil, false
	}
	f, accuracy := n.Float64()
	return n, math.IsInf(f, 0) || f == 0 && accuracy != big.Exact
}
