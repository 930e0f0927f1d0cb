// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// Names of what Bootstrap finds or makes.
const (
	resourceImage     = "image"
	resourceDevice    = "root_device"
	resourceImageGiB  = "image_gib"
	resourceGroup     = "security_group_id"
	resourceSubnets   = "subnets" // id@zone, in the order to try them
	resourcePlacement = "placement_group"
	resourceEFACards  = "efa_cards"
)

// Bootstrap implements cloud.Provisioner: it finds image and network, and
// finds or makes the cluster's security group and, where asked for, its
// placement group.
func (d *driver) Bootstrap(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	if err := checkSpec(spec, at); err != nil {
		return cloud.RunConfig{}, err
	}
	s, err := d.defaults.of(spec)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	region := at.Offer.Region
	if err := d.c.checkRegion(ctx, region); err != nil {
		return cloud.RunConfig{}, err
	}
	t, err := d.typeInfo(ctx, region, at.Offer.InstanceType.Name)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	if err := checkType(t, s, at); err != nil {
		return cloud.RunConfig{}, err
	}
	img, err := d.image(ctx, region, spec.Image, t)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	net, err := d.network(ctx, region, s)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	if spec.AllowedCIDRs, err = d.cidrs(ctx, region, s, net, spec.AllowedCIDRs); err != nil {
		return cloud.RunConfig{}, err
	}
	places, err := d.places(ctx, net, at)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	resources := map[string]string{
		resourceImage: img.id, resourceDevice: img.rootDevice, resourceImageGiB: strconv.Itoa(int(img.minGiB)),
		resourceSubnets: strings.Join(places, ","),
	}
	if s.efa {
		resources[resourceEFACards] = strconv.Itoa(efaCards(t, s))
	}
	if resources[resourceGroup], err = d.ensureGroup(ctx, spec, at, s, net); err != nil {
		return cloud.RunConfig{}, err
	}
	if resources[resourcePlacement], err = d.ensurePlacementGroup(ctx, spec.Ref, at, s); err != nil {
		return cloud.RunConfig{}, err
	}
	return cloud.RunConfig{Spec: spec, Placement: at, Resources: resources}, nil
}

func checkType(t typeInfo, s settings, at cloud.Placement) error {
	switch {
	case s.efa && t.efaCards == 0:
		return fleet.ConfigErrorf(cloud.ScopeRegion, "node_config asks for EFA, which instance type %s does not have", t.name)
	case at.Offer.Market == cloud.Spot && t.noSpot:
		return fleet.ConfigErrorf(cloud.ScopeRegion, "instance type %s is not sold as spot in %s", t.name, at.Offer.Region)
	}
	return nil
}

// efaCards is how many interfaces have EFA. With a public address a machine can
// have one interface only.
func efaCards(t typeInfo, s settings) int {
	if s.internalIPs {
		return max(t.efaCards, 1)
	}
	return 1
}

// places are the subnets to launch in, "id@zone": those of the offer's zone, or
// of all zones that have the type, in the order to try them.
func (d *driver) places(ctx context.Context, net network, at cloud.Placement) ([]string, error) {
	region, typ := at.Offer.Region, at.Offer.InstanceType.Name
	zone, err := d.zoneName(ctx, region, at.Offer.Zone)
	if err != nil {
		return nil, err
	}
	zones := []string{zone}
	if zone == "" {
		if zones, err = d.zonesWith(ctx, region, typ); err != nil {
			return nil, err
		}
	}
	var places []string
	last := ""
	for _, s := range net.subnets {
		if slices.Contains(zones, s.zone) && s.zone != last {
			places = append(places, s.id+"@"+s.zone)
			last = s.zone
		}
	}
	if len(places) == 0 {
		scope := cloud.ScopeRegion
		if zone != "" {
			scope = cloud.ScopeZone
		}
		return nil, fleet.ConfigErrorf(scope, "VPC %s has no suitable subnet in %s, where %s is to run", net.vpcID, strings.Join(zones, ", "), typ)
	}
	return places, nil
}

// groupName is the name of a cluster's security group and placement group.
func groupName(ref cloud.ClusterRef) string { return ref.Name(120) }

// groupTags mark them.
func groupTags(ref cloud.ClusterRef) []types.Tag {
	tags := ref.Tags()
	tags[tagName], tags[tagCreated] = groupName(ref), time.Now().UTC().Format(time.RFC3339)
	return ec2Tags(tags)
}

// groupCreatedAt is when a group was made, zero where its tags do not say.
func groupCreatedAt(tags map[string]string) time.Time {
	t, err := time.Parse(time.RFC3339, tags[tagCreated])
	if err != nil {
		return time.Time{}
	}
	return t
}

// found is what Bootstrap found or made.
func found(cfg cloud.RunConfig) map[string]string {
	res, _ := cfg.Resources.(map[string]string)
	return res
}
