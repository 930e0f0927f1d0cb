// SPDX-License-Identifier: MPL-2.0

package session

import (
	"context"

	"github.com/hashicorp/terraform-plugin-log/tflog"
)

// LeastSecret is the length below which hiding a value would hide half a log.
const LeastSecret = 4

// HideFromLog keeps secrets out of the provider's log, whoever writes there.
func HideFromLog(ctx context.Context, secrets ...string) context.Context {
	for _, value := range secrets {
		if len(value) >= LeastSecret {
			ctx = tflog.MaskMessageStrings(tflog.MaskAllFieldValuesStrings(ctx, value), value)
		}
	}
	return ctx
}
