// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"context"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Forgotten are machines of this owner that no launch recorded and whose launch is
// over by now, on a cloud that ends none by itself. They are billed until somebody
// removes them; the next launch of their cluster does, and gc.
func (o Observer) Forgotten(ctx context.Context, cloudName string) ([]cloud.Instance, error) {
	caps, ok := o.Down.Clouds.Capabilities(cloudName)
	if !ok || caps.DeadMan || caps.DeadManStops {
		return nil, nil
	}
	session, err := o.Down.Clouds.Open(ctx, cloudName)
	if err != nil {
		return nil, err
	}
	all, err := session.Query(ctx, cloud.ClusterRef{Owner: o.Down.Owner, Cloud: cloudName})
	if err != nil {
		return nil, fmt.Errorf("look for machines that a launch left: %w", err)
	}
	now := o.Down.Now()
	return slices.DeleteFunc(all, func(m cloud.Instance) bool {
		return m.Committed || m.Deadline.IsZero() || now.Before(m.Deadline)
	}), nil
}
