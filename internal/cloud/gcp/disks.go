// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/converge"
)

func (d *driver) setDiskLabels(ctx context.Context, zone, name string, merge func(map[string]string) map[string]string) error {
	disk, err := call(ctx, d.c, "look up disk "+name, func(ctx context.Context) (*compute.Disk, error) {
		return d.c.api.getDisk(ctx, zone, name)
	})
	if err != nil {
		return err
	}
	return d.c.do(ctx, "set the labels of disk "+name, func(ctx context.Context) (*compute.Operation, error) {
		return d.c.api.setDiskLabels(ctx, zone, name, &compute.ZoneSetLabelsRequest{
			LabelFingerprint: disk.LabelFingerprint, Labels: merge(disk.Labels),
		})
	})
}

// removeDisks deletes the disks that machines of ref left behind: they go with
// their machines, but for those of a machine that somebody deleted otherwise.
// Where ref names machines, only theirs count: the others' are in use.
func (d *driver) removeDisks(ctx context.Context, ref cloud.ClusterRef, removed map[cloud.Identity]bool) error {
	if ref.Instances != nil && len(removed) == 0 {
		return nil
	}
	all, err := d.disks(ctx, ref)
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(all, func(disk *compute.Disk) bool {
		zone := lastPart(disk.Zone)
		inPlace := (ref.Zone == "" || zone == ref.Zone) && (ref.Region == "" || regionOf(zone) == ref.Region)
		return len(disk.Users) > 0 || !inPlace || !labelsMatch(ref, disk.Labels) || (ref.Instances != nil && !isOf(disk, removed))
	})
	return each(left, func(disk *compute.Disk) error {
		err := d.c.do(ctx, "delete disk "+disk.Name, func(ctx context.Context) (*compute.Operation, error) {
			return d.c.api.deleteDisk(ctx, lastPart(disk.Zone), disk.Name)
		})
		if isNotFound(err) {
			return nil
		}
		return err
	})
}

// isOf reports whether the labels are of one of the machines.
func isOf(disk *compute.Disk, removed map[cloud.Identity]bool) bool {
	for id := range removed {
		own := cloud.ClusterRef{Owner: id.Owner, Cluster: id.Cluster, Generation: id.Generation}
		if labelsMatch(own, disk.Labels) && disk.Labels[cloud.TagRank] == strconv.Itoa(id.Rank) && disk.Labels[cloud.TagAttempt] == strconv.Itoa(id.Attempt) {
			return true
		}
	}
	return false
}

func (d *driver) disks(ctx context.Context, ref cloud.ClusterRef) ([]*compute.Disk, error) {
	return call(ctx, d.c, "list disks", func(ctx context.Context) ([]*compute.Disk, error) {
		var all []*compute.Disk
		if ref.Zone != "" {
			err := d.c.api.listDisks(ctx, ref.Zone, labelFilter(ref), func(page *compute.DiskList) error {
				all = append(all, page.Items...)
				return nil
			})
			return all, err
		}
		err := d.c.api.disksEverywhere(ctx, labelFilter(ref), func(page *compute.DiskAggregatedList) error {
			for scope, list := range page.Items {
				if w := list.Warning; w != nil && w.Code == "UNREACHABLE" {
					return &unreachableError{scope: scope, message: w.Message}
				}
				all = append(all, list.Disks...)
			}
			return nil
		})
		return all, err
	})
}

// explain adds to the error of a machine that stopped by itself whether Compute
// Engine took it back, which is what the fault is about.
func (d *driver) explain(ctx context.Context, ref cloud.ClusterRef, err error) error {
	if err == nil || ctx.Err() != nil || ref.Zone == "" {
		return err
	}
	var stuck *converge.MachineError
	var id string
	if !asStopped(err, &stuck) {
		return err
	}
	id, _, _ = strings.Cut(stuck.ID, " ")
	for _, kind := range []struct{ operation, reason string }{
		{"compute.instances.preempted", "preempted; its disk is still charged for"},
		{"compute.instances.hostError", "host error"},
	} {
		filter := fmt.Sprintf("(operationType = %q) AND (targetId = %s)", kind.operation, id)
		list, lookErr := call(ctx, d.c, "list operations", func(ctx context.Context) (*compute.OperationList, error) {
			return d.c.api.listZoneOperations(ctx, ref.Zone, filter)
		})
		if lookErr == nil && len(list.Items) > 0 {
			stuck.Reason = kind.reason
			return err
		}
	}
	return err
}
