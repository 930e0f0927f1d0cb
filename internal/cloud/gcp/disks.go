// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"slices"
	"strconv"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
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
