// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// end is how a machine came to its end, or to a stop.
type end struct {
	operation string
	ending    cloud.Ending
	// reason is for people; empty where somebody asked for it, who knows.
	reason string
}

// ends are the operations that end or stop a machine.
func ends() []end {
	return []end{
		{"compute.instances.preempted", cloud.EndedPreempted, "preempted; its disk is still charged for"},
		{"compute.instances.hostError", cloud.EndedFailed, "host error"},
		{"compute.instances.terminateOnHostMaintenance", cloud.EndedFailed, "host maintenance"},
		{"compute.instances.guestTerminate", cloud.EndedItself, "it shut down"},
		{"delete", cloud.EndedByUser, ""},
		{"stop", cloud.EndedByUser, ""},
	}
}

// history is the last of the ends that Compute Engine remembers of a machine;
// it reports false where it remembers none.
func (d *driver) history(ctx context.Context, zone, id string) (end, bool, error) {
	ops, err := call(ctx, d.c, "list operations", func(ctx context.Context) (*compute.OperationList, error) {
		return d.c.api.listZoneOperations(ctx, zone, "(targetId = "+id+")")
	})
	if err != nil {
		return end{}, false, err
	}
	var last end
	var at time.Time
	for _, op := range ops.Items {
		began, _ := time.Parse(time.RFC3339, op.InsertTime) // zero where it is unreadable
		for _, e := range ends() {
			if op.OperationType != e.operation || began.Before(at) {
				continue
			}
			last, at = e, began
			if e.operation == "delete" && d.defaults.serviceAccount != "" && op.User == d.defaults.serviceAccount {
				last.ending = cloud.EndedItself
			}
		}
	}
	return last, last.operation != "", nil
}

// Ended implements cloud.Chronicler, for the machines that ref names: their
// labels are gone with them.
func (d *driver) Ended(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	if ref.Zone == "" {
		return nil, nil
	}
	found, err := d.Look(ctx, ref)
	if err != nil {
		return nil, err
	}
	var out []cloud.Instance
	for _, id := range found.Missing {
		last, ok, err := d.history(ctx, ref.Zone, id)
		if err != nil {
			return nil, fmt.Errorf("look up the end of machine %s: %w", id, err)
		}
		if !ok {
			continue
		}
		out = append(out, cloud.Instance{
			ID: id, Region: regionOf(ref.Zone), Zone: ref.Zone, State: cloud.StateTerminated, Ending: last.ending, Reason: last.reason,
			Identity: cloud.Identity{Owner: ref.Owner, Cluster: ref.Cluster, Generation: ref.Generation},
		})
	}
	return out, nil
}
