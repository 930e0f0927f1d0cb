// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"context"
	"fmt"
	"time"
)

// bastionTimeout bounds the look at a bastion before machines are made.
const bastionTimeout = 30 * time.Second

// TryBastion sees that the way to a cloud's nodes is open, before any is paid for.
func (via Reach) TryBastion(ctx context.Context, cloudName string) error {
	target, err := via.Bastion.To(ctx, cloudName)
	if err != nil || target == nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, bastionTimeout, fmt.Errorf("no SSH within %s", bastionTimeout))
	defer cancel()
	hop, err := via.Connect(ctx, *target, target.Signers)
	if err != nil {
		return fmt.Errorf("the bastion of cloud %s: %w", cloudName, err)
	}
	return hop.Close()
}
