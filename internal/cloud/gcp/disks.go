// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"time"

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

// disks are those of ref's machines. They go with their machines, but for those
// of a machine that somebody deleted otherwise.
func (d *driver) disks(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	all, err := d.listDisks(ctx, ref)
	if err != nil {
		return nil, err
	}
	var out []cloud.Thing
	for _, disk := range all {
		zone := lastPart(disk.Zone)
		t, ok := ref.ThingOf(cloud.ThingDisk, disk.Name, disk.Name, undigested(ref, disk.Labels), regionOf(zone))
		if ok && (ref.Zone == "" || zone == ref.Zone) {
			t.Ref.Zone, t.InUse = zone, len(disk.Users) > 0
			t.CreatedAt, _ = time.Parse(time.RFC3339, disk.CreationTimestamp) // zero where it is unreadable
			out = append(out, t)
		}
	}
	return out, nil
}

func (d *driver) listDisks(ctx context.Context, ref cloud.ClusterRef) ([]*compute.Disk, error) {
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

func (d *driver) deleteDisk(ctx context.Context, zone, name string) error {
	return unlessGone(d.c.do(ctx, "delete disk "+name, func(ctx context.Context) (*compute.Operation, error) {
		return d.c.api.deleteDisk(ctx, zone, name)
	}))
}
