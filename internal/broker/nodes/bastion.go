// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"context"
	"fmt"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// bastionTimeout bounds the look at a bastion before machines are made.
const bastionTimeout = 30 * time.Second

// through is the way to a cloud's nodes; nil is the direct one.
func (via Reach) through(ctx context.Context, cloudName string) (*remote.Target, error) {
	if !via.Bastion.Serves(cloudName) {
		return nil, nil //nolint:nilnil // no bastion is no error
	}
	return via.Bastion.Target(ctx)
}

// TryBastion sees that the way to a cloud's nodes is open, before any is paid for.
func (via Reach) TryBastion(ctx context.Context, cloudName string) error {
	target, err := via.through(ctx, cloudName)
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
