// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// OpenPorts implements cloud.Provisioner. SSH always stays open.
func (d *driver) OpenPorts(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig, ports []cloud.PortRange) error {
	own, err := d.ownGroups(ctx, ref)
	if err != nil {
		return err
	}
	if len(own) == 0 {
		return fmt.Errorf("cluster %q has no security group: %w", ref.Cluster, cloud.ErrNotFound)
	}
	s, err := d.defaults.with(cfg.Spec.NodeConfig)
	if err != nil {
		return err
	}
	for _, g := range own {
		prefixes, err := d.cidrs(ctx, g.region, s, network{vpcID: g.vpcID}, cfg.Spec.AllowedCIDRs)
		if err != nil {
			return err
		}
		if err := d.setRules(ctx, g, rules(prefixes, ports)); err != nil {
			return err
		}
	}
	return nil
}

// ownGroups are the security groups that the driver made for ref's clusters.
func (d *driver) ownGroups(ctx context.Context, ref cloud.ClusterRef) ([]group, error) {
	if ref.Owner == "" {
		return nil, fleet.ConfigErrorf(cloud.ScopeCloud, "the cluster reference names no owner")
	}
	regions, err := d.regionsOf(ctx, ref)
	if err != nil {
		return nil, err
	}
	found := make([][]group, len(regions))
	err = each(indexes(regions), func(i int) error {
		var err error
		found[i], err = d.groups(ctx, regions[i], tagFilters(ref)...)
		return err
	})
	return slices.DeleteFunc(slices.Concat(found...), func(g group) bool { return !ref.Owns(g.tags) }), err
}

// PortDrift implements cloud.Auditor.
func (d *driver) PortDrift(ctx context.Context, ref cloud.ClusterRef, prefixes []netip.Prefix, ports []cloud.PortRange) ([]string, error) {
	own, err := d.ownGroups(ctx, ref)
	if err != nil {
		return nil, err
	}
	if len(own) == 0 {
		return []string{"the security group is gone"}, nil
	}
	var out []string
	for _, g := range own {
		out = append(out, fleet.Drift(openings(rulesOf(g)), openings(rules(prefixes, ports)))...)
	}
	return out, nil
}

func openings(rules []rule) []string {
	var out []string
	for _, r := range rules {
		out = append(out, fleet.OpeningLine(r.what(), r.cidr))
	}
	return out
}

// CleanupPorts implements cloud.Provisioner: it deletes the cluster's own
// security group and placement group.
func (d *driver) CleanupPorts(ctx context.Context, ref cloud.ClusterRef) error {
	own, err := d.ownGroups(ctx, ref)
	if err != nil {
		return err
	}
	errs := []error{each(own, func(g group) error {
		if err := d.deleteGroup(ctx, ref, g); err != nil {
			return fmt.Errorf("delete security group %s (%s): %w", g.name, g.id, err)
		}
		return nil
	})}
	regions, err := d.regionsOf(ctx, ref)
	if err != nil {
		return err
	}
	errs = append(errs, each(regions, func(region string) error { return d.cleanupPlacementGroups(ctx, region, ref) }))
	return errors.Join(errs...)
}

// deleteGroup deletes a security group. It is in use until the interfaces of
// the last machine behind it are gone, which takes a while after the machine
// is; so a refusal is repeated, unless a machine is alive and well.
func (d *driver) deleteGroup(ctx context.Context, ref cloud.ClusterRef, g group) error {
	refused := 0
	return retry.Poll(ctx, d.poll, func(ctx context.Context) (bool, error) {
		_, err := d.c.in(g.region).DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(g.id)})
		switch {
		case err == nil || isNotFound(err):
			return true, nil
		case !hasCode(err, codeDependency):
			return false, retry.Stop(err)
		}
		// A listing may lag behind a termination, so one look does not count.
		if user := d.user(ctx, ref, g); user == "" {
			refused = 0
		} else if refused++; refused >= d.missingLooks {
			return false, retry.Stop(fmt.Errorf("machine %s still runs behind it: %w", user, err))
		}
		return false, err
	})
}

// user returns a machine behind the group that nobody is removing.
func (d *driver) user(ctx context.Context, ref cloud.ClusterRef, g group) string {
	ref.Instances, ref.Zone = nil, ""
	found, err := d.look(ctx, ref)
	if err != nil {
		return ""
	}
	for _, m := range found.staying() {
		if slices.Contains(m.groups, g.id) {
			return m.id
		}
	}
	return ""
}

// removeVolumes sees the machines' disks go. AWS deletes them with their
// machines, a little later; one that stays behind unattached is deleted here.
func (d *driver) removeVolumes(ctx context.Context, ref cloud.ClusterRef, owned map[cloud.Identity]bool) error {
	regions, err := d.regionsOf(ctx, ref)
	if err != nil {
		return err
	}
	return each(regions, func(region string) error {
		return retry.Poll(ctx, d.poll, func(ctx context.Context) (bool, error) {
			left, err := d.volumes(ctx, region, ref, owned)
			if err != nil {
				return false, retry.Stop(err)
			}
			for _, v := range left {
				if v.State != types.VolumeStateAvailable {
					continue
				}
				_, err := d.c.in(region).DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: v.VolumeId})
				if err != nil && !isNotFound(err) && !isTransient(err) {
					return false, retry.Stop(fmt.Errorf("delete volume %s: %w", aws.ToString(v.VolumeId), err))
				}
			}
			if len(left) > 0 {
				return false, fmt.Errorf("volume %s is still there (%s)", aws.ToString(left[0].VolumeId), left[0].State)
			}
			return true, nil
		})
	})
}

// volumes are the disks of machines that were removed. Where ref names machines,
// only theirs count: the others' are in use.
func (d *driver) volumes(ctx context.Context, region string, ref cloud.ClusterRef, owned map[cloud.Identity]bool) ([]types.Volume, error) {
	client := d.c.in(region)
	all, err := pages("volumes in "+region, func(token *string) ([]types.Volume, *string, error) {
		out, err := client.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{Filters: tagFilters(ref), NextToken: token})
		if err != nil {
			return nil, nil, err
		}
		return out.Volumes, out.NextToken, nil
	})
	zone, zerr := d.zoneName(ctx, region, ref.Zone)
	if err == nil {
		err = zerr
	}
	return slices.DeleteFunc(all, func(v types.Volume) bool {
		id, ok := cloud.IdentityFromTags(tagsOf(v.Tags))
		mine := ok && ref.Matches(id, region, cmpZone(ref, zone, aws.ToString(v.AvailabilityZone)))
		if ref.Instances != nil {
			mine = mine && owned[id]
		}
		return !mine || v.State == types.VolumeStateDeleted || v.State == types.VolumeStateDeleting
	}), err
}

// cmpZone is a volume's zone in the words of ref.
func cmpZone(ref cloud.ClusterRef, name, have string) string {
	if have == name {
		return ref.Zone
	}
	return have
}
