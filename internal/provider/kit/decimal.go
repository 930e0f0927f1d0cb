// SPDX-License-Identifier: MPL-2.0

package kit

import (
	"context"
	"math/big"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// precision is that of Terraform's own numbers, in bits.
const precision = 512

// Decimal is a number as its shortest decimal says, to the precision of
// Terraform: 0.168 is what 0.168 in a configuration is. The float itself is
// another number there, so that a state which was read again, or a sum made of it,
// would not equal what it is compared with.
//
//nolint:contextcheck // the framework asks for a context and does nothing with it
func Decimal(f float64) types.Float64 {
	exact, _, err := big.ParseFloat(strconv.FormatFloat(f, 'f', -1, 64), 10, precision, big.ToNearestEven)
	if err != nil { // infinite, or no number
		return types.Float64Value(f)
	}
	value, err := types.Float64Type.ValueFromTerraform(context.Background(), tftypes.NewValue(tftypes.Number, exact))
	if v, ok := value.(types.Float64); ok && err == nil {
		return v
	}
	return types.Float64Value(f)
}

// DecimalOf is decimal, or null.
func DecimalOf(f *float64) types.Float64 {
	if f == nil {
		return types.Float64Null()
	}
	return Decimal(*f)
}
