// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// resources are what Bootstrap finds or makes.
type resources struct {
	settings settings
	image    image
	group    string
	// places are subnets, in the order to try them.
	places []fleet.Place
	// placement is the name of a placement group, empty for none.
	placement string
	efaCards  int
	// credits are those of a burstable machine, empty for another one.
	credits string
}

// Bootstrap implements cloud.Provisioner: it finds image and network, and
// finds or makes the cluster's security group and, where asked for, its
// placement group.
func (d *driver) Bootstrap(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	if err := d.Check(spec, at); err != nil {
		return cloud.RunConfig{}, err //nolint:wrapcheck // it says what is wrong
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
	res := resources{settings: s}
	if s.efa {
		res.efaCards = efaCards(t, s)
	}
	if t.burstable {
		res.credits = cmp.Or(s.credits, creditsStandard)
	}
	if res.image, err = d.image(ctx, region, spec.Image, t); err != nil {
		return cloud.RunConfig{}, err
	}
	net, err := d.network(ctx, region, s)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	if res.places, err = d.places(ctx, net, at); err != nil {
		return cloud.RunConfig{}, err
	}
	if spec.AllowedCIDRs, err = d.AllowedCIDRs(ctx, spec, firewallIn(region, net.vpcID)); err != nil {
		return cloud.RunConfig{}, err //nolint:wrapcheck // it says what is wrong
	}
	if res.group, err = d.ensureGroup(ctx, spec, region, net.vpcID, s.efa); err != nil {
		return cloud.RunConfig{}, err
	}
	if res.placement, err = d.ensurePlacementGroup(ctx, spec.Ref, at, s); err != nil {
		return cloud.RunConfig{}, err
	}
	return cloud.RunConfig{Spec: spec, Placement: at, Resources: res}, nil
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

// places are the subnets to launch in: those of the offer's zone, or
// of all zones that have the type, in the order to try them.
func (d *driver) places(ctx context.Context, net network, at cloud.Placement) ([]fleet.Place, error) {
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
	var places []fleet.Place
	last := ""
	for _, s := range net.subnets {
		if slices.Contains(zones, s.zone) && s.zone != last {
			places = append(places, fleet.Place{ID: s.id, Zone: s.zone})
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

// Create implements fleet.Calls.
func (d *driver) Create(ctx context.Context, o fleet.Order[resources]) (machine, error) {
	in, err := launchInput(o)
	if err != nil {
		return machine{}, err
	}
	region := o.Placement.Offer.Region
	out, err := d.c.in(region).RunInstances(ctx, in, launching)
	switch {
	case err != nil:
		return machine{}, err //nolint:wrapcheck // the SDK names operation and code; fleet says the rest
	case len(out.Instances) != 1:
		return machine{}, fmt.Errorf("AWS answered with %d machines instead of one", len(out.Instances))
	}
	return newMachine(region, out.Instances[0]), nil
}

// launchInput is the call that makes one machine. Equal arguments give equal
// calls, or AWS refuses the token.
func launchInput(o fleet.Order[resources]) (*ec2.RunInstancesInput, error) {
	offer, s := o.Placement.Offer, o.Resources.settings
	data, err := userData(o.Node.UserData, o.Spec.Deadline)
	if err != nil {
		return nil, err
	}
	disk, err := disk(o.Resources.image, o.Spec.DiskGiB, s)
	if err != nil {
		return nil, err
	}
	in := &ec2.RunInstancesInput{
		ClientToken:                       aws.String(token(o.Node.Identity, offer.Zone, o.Place.Zone)),
		ImageId:                           aws.String(o.Resources.image.id),
		InstanceType:                      types.InstanceType(offer.InstanceType.Name),
		MinCount:                          aws.Int32(1),
		MaxCount:                          aws.Int32(1),
		InstanceInitiatedShutdownBehavior: firstBehavior(o.Spec, offer.Market),
		MetadataOptions:                   metadataOptions(),
		BlockDeviceMappings:               []types.BlockDeviceMapping{disk},
		NetworkInterfaces:                 interfaces(o.Resources, o.Place.ID),
		Placement:                         &types.Placement{AvailabilityZone: aws.String(o.Place.Zone)},
		TagSpecifications:                 tagSpecifications(o),
	}
	if len(data) > 0 {
		in.UserData = aws.String(base64.StdEncoding.EncodeToString(data))
	}
	if g := o.Resources.placement; g != "" {
		in.Placement.GroupName = aws.String(g)
	}
	if c := o.Resources.credits; c != "" {
		in.CreditSpecification = &types.CreditSpecificationRequest{CpuCredits: aws.String(c)}
	}
	if offer.Market == cloud.Spot {
		in.InstanceMarketOptions = spotOptions(o.Spec)
	}
	if s.profile != "" {
		in.IamInstanceProfile = instanceProfile(s.profile)
	}
	return in, nil
}

// token is the identity's own where the offer fixes the zone. Where the driver
// chooses among zones, each is a request of its own.
func token(id cloud.Identity, offered, zone string) string {
	if offered != "" {
		return id.Token()
	}
	sum := sha256.Sum256([]byte(id.Token() + "\x00" + zone))
	return hex.EncodeToString(sum[:])
}

// metadataOptions demand sessions of IMDSv2, one hop away at most, and show
// the machine its tags, by which the dead-man timer knows that it is off.
func metadataOptions() *types.InstanceMetadataOptionsRequest {
	return &types.InstanceMetadataOptionsRequest{
		HttpEndpoint:            types.InstanceMetadataEndpointStateEnabled,
		HttpTokens:              types.HttpTokensStateRequired,
		HttpPutResponseHopLimit: aws.Int32(1),
		InstanceMetadataTags:    types.InstanceMetadataTagsStateEnabled,
	}
}

// disk is the boot disk, encrypted with the account's key for EBS, and deleted
// with its machine.
func disk(img image, size int, s settings) (types.BlockDeviceMapping, error) {
	imageGiB := int(img.minGiB)
	switch {
	case size == 0:
		size = max(defaultDiskGiB, imageGiB)
	case size < imageGiB:
		return types.BlockDeviceMapping{}, fleet.ConfigErrorf(cloud.ScopeRegion, "disk_size is %d GiB, and image %s needs %d", size, img.id, imageGiB)
	case size > 65536:
		return types.BlockDeviceMapping{}, fleet.ConfigErrorf(cloud.ScopeCloud, "disk_size is %d GiB; a disk on AWS has 65536 at most", size)
	}
	tier := diskTiers()[s.diskTier]
	ebs := &types.EbsBlockDevice{
		DeleteOnTermination: aws.Bool(true), Encrypted: aws.Bool(true),
		VolumeSize: aws.Int32(int32(size)), VolumeType: types.VolumeType(tier.volume), //nolint:gosec // bounded above
	}
	if tier.iops > 0 {
		// gp3 gives 500 IOPS for each GiB at most, io2 rather more.
		ebs.Iops = aws.Int32(min(tier.iops, int32(size)*500)) //nolint:gosec // bounded above
	}
	if tier.throughput > 0 {
		ebs.Throughput = aws.Int32(tier.throughput)
	}
	return types.BlockDeviceMapping{DeviceName: aws.String(img.rootDevice), Ebs: ebs}, nil
}

func interfaces(res resources, subnetID string) []types.InstanceNetworkInterfaceSpecification {
	groups := append([]string{res.group}, res.settings.groupIDs...)
	nic := types.InstanceNetworkInterfaceSpecification{
		DeviceIndex: aws.Int32(0), SubnetId: aws.String(subnetID), Groups: groups, DeleteOnTermination: aws.Bool(true),
	}
	cards := res.efaCards
	if cards > 0 {
		nic.InterfaceType = aws.String("efa")
	}
	if cards <= 1 { // AWS takes this with one interface only
		nic.AssociatePublicIpAddress = aws.Bool(!res.settings.internalIPs)
	}
	all := []types.InstanceNetworkInterfaceSpecification{nic}
	for card := 1; card < cards; card++ {
		all = append(all, types.InstanceNetworkInterfaceSpecification{
			DeviceIndex: aws.Int32(1), NetworkCardIndex: aws.Int32(int32(card)), InterfaceType: aws.String("efa"), //nolint:gosec // a few dozen at most
			SubnetId: aws.String(subnetID), Groups: groups, DeleteOnTermination: aws.Bool(true),
		})
	}
	return all
}

func spotOptions(spec cloud.ClusterSpec) *types.InstanceMarketOptionsRequest {
	options := &types.SpotMarketOptions{
		SpotInstanceType:             types.SpotInstanceTypeOneTime,
		InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorTerminate,
	}
	if spec.MaxMachineUSD > 0 {
		// Down, to AWS's six decimals: the machines together must not cost more.
		options.MaxPrice = aws.String(strconv.FormatFloat(math.Floor(spec.MaxMachineUSD*1e6+1e-3)/1e6, 'f', 6, 64))
	}
	return &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot, SpotOptions: options}
}

func instanceProfile(name string) *types.IamInstanceProfileSpecification {
	if strings.HasPrefix(name, "arn:") {
		return &types.IamInstanceProfileSpecification{Arn: aws.String(name)}
	}
	return &types.IamInstanceProfileSpecification{Name: aws.String(name)}
}

// tagSpecifications mark everything that the call makes, in the call: nothing
// is ever there without its owner's mark. Ownership beats the user's labels.
func tagSpecifications(o fleet.Order[resources]) []types.TagSpecification {
	id, spec := o.Node.Identity, o.Spec
	tags := map[string]string{tagName: o.Name}
	maps.Copy(tags, spec.Labels)
	maps.Copy(tags, id.Tags())
	machine := maps.Clone(tags)
	maps.Copy(machine, spec.Marks(id))
	if !spec.Deadline.IsZero() {
		machine[tagDeadline] = strconv.FormatInt(spec.Deadline.Unix(), 10)
	}
	if spec.SSHUser != "" {
		machine[tagSSHUser] = spec.SSHUser
	}
	if o.Resources.settings.internalIPs {
		machine[tagNetwork] = networkPrivate
	}
	if spec.OnShutdown != "" {
		machine[tagOnShutdown] = string(spec.OnShutdown)
	}
	out := []types.TagSpecification{
		{ResourceType: types.ResourceTypeInstance, Tags: ec2Tags(machine)},
		{ResourceType: types.ResourceTypeVolume, Tags: ec2Tags(tags)},
		{ResourceType: types.ResourceTypeNetworkInterface, Tags: ec2Tags(tags)},
	}
	if o.Placement.Offer.Market == cloud.Spot {
		out = append(out, types.TagSpecification{ResourceType: types.ResourceTypeSpotInstancesRequest, Tags: ec2Tags(tags)})
	}
	return out
}
