// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

var _ cloud.Chronicler = (*driver)(nil)

// Ended implements cloud.Chronicler: EC2 shows a terminated machine for about
// an hour, with the reason, as long as it still has its tags.
func (d *driver) Ended(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	found, err := d.look(ctx, ref)
	if err != nil {
		return nil, err
	}
	var out []cloud.Instance
	for _, m := range found.machines {
		if m.state == cloud.StateTerminated {
			ended := m.portable(ref.Zone)
			ended.Ending = endingOf(m.reason)
			out = append(out, ended)
		}
	}
	return out, nil
}

// endingRow gives the meaning of a part of AWS's state reason.
type endingRow struct {
	code   string
	ending cloud.Ending
}

func endingTable() []endingRow {
	return []endingRow{
		{"Client.InstanceInitiatedShutdown", cloud.EndedItself},
		{"Client.UserInitiatedShutdown", cloud.EndedByUser},
		{"User initiated", cloud.EndedByUser}, // where only the transition is told
		{"Server.SpotInstanceTermination", cloud.EndedPreempted},
		{"Server.SpotInstanceShutdown", cloud.EndedPreempted},
		{"Server.InsufficientInstanceCapacity", cloud.EndedFailed},
		{"Server.InternalError", cloud.EndedFailed},
		{"Server.ScheduledStop", cloud.EndedFailed},
		{"Client.InternalError", cloud.EndedFailed},
		{"Client.VolumeLimitExceeded", cloud.EndedFailed},
		{"Client.InvalidSnapshot.NotFound", cloud.EndedFailed},
	}
}

// endingOf reads a machine's reason; what it does not know stays unknown.
func endingOf(reason string) cloud.Ending {
	for _, row := range endingTable() {
		if strings.Contains(reason, row.code) {
			return row.ending
		}
	}
	return ""
}
