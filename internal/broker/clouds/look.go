// SPDX-License-Identifier: MPL-2.0

package clouds

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// List are the machines of a cluster that a cloud lists, by id where ids are known.
// It takes so many looks before it returns none, with pauses of gone between them.
func List(ctx context.Context, session cloud.Session, c cluster.Cluster, looks int, gone time.Duration) ([]cloud.Instance, error) {
	byTags := c.Ref()
	byID := byTags
	byID.Instances = c.InstanceIDs()
	for look := range looks {
		if look > 0 {
			if err := retry.Pause(ctx, gone); err != nil {
				return nil, err
			}
		}
		alive, err := session.Query(ctx, byTags)
		if err != nil {
			return nil, fmt.Errorf("list the machines of cluster %q: %w", c.Name, err)
		}
		named, err := session.Query(ctx, byID)
		if err != nil {
			return nil, fmt.Errorf("look up the machines of cluster %q: %w", c.Name, err)
		}
		for _, inst := range named {
			if !slices.ContainsFunc(alive, func(i cloud.Instance) bool { return i.ID == inst.ID }) {
				alive = append(alive, inst)
			}
		}
		alive = slices.DeleteFunc(alive, func(i cloud.Instance) bool { return i.State == cloud.StateTerminating })
		if len(alive) > 0 {
			return alive, nil
		}
	}
	return nil, nil
}

// Ended reports whether the cloud says, twice, that a machine does not run. A
// cloud that cannot be asked says nothing.
func Ended(ctx context.Context, session cloud.Session, gone time.Duration, c cluster.Cluster, n cluster.Node) bool {
	ref := c.Ref()
	ref.Instances = []string{n.InstanceID}
	for look := range 2 {
		if look > 0 && retry.Pause(ctx, gone) != nil {
			return false
		}
		alive, err := session.Query(ctx, ref)
		if err != nil {
			return false
		}
		for _, inst := range alive {
			if inst.ID == n.InstanceID && (inst.State == cloud.StateRunning || inst.State == cloud.StatePending) {
				return false
			}
		}
	}
	return true
}
