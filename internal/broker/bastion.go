// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// through is the way to a cloud's nodes; nil is the direct one.
func (b *Broker) through(ctx context.Context, cloudName string) (*remote.Target, error) {
	if !b.cfg.Bastion.Serves(cloudName) {
		return nil, nil //nolint:nilnil // no bastion is no error
	}
	return b.cfg.Bastion.Target(ctx)
}

// bastionTimeout bounds the look at a bastion before machines are made.
const bastionTimeout = 30 * time.Second

// tryBastion sees that the way to a cloud's nodes is open, before any is paid for.
func (b *Broker) tryBastion(ctx context.Context, cloudName string) error {
	target, err := b.through(ctx, cloudName)
	if err != nil || target == nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, bastionTimeout, fmt.Errorf("no SSH within %s", bastionTimeout))
	defer cancel()
	hop, err := b.dial(ctx, *target, target.Signers)
	if err != nil {
		return fmt.Errorf("the bastion of cloud %s: %w", cloudName, err)
	}
	return hop.Close()
}
