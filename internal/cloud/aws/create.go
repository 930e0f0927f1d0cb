// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"math"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// launchInput is the call that makes one machine. Equal arguments give equal
// calls, or AWS refuses the token.
func (d *driver) launchInput(n cloud.NodeSpec, cfg cloud.RunConfig, place string) (*ec2.RunInstancesInput, error) {
	offer := cfg.Placement.Offer
	s, err := d.defaults.of(cfg.Spec)
	if err != nil {
		return nil, err
	}
	data, err := userData(n.UserData, cfg.Spec.Deadline)
	if err != nil {
		return nil, err
	}
	subnetID, zone, _ := strings.Cut(place, "@")
	disk, err := disk(cfg, s)
	if err != nil {
		return nil, err
	}
	in := &ec2.RunInstancesInput{
		ClientToken:                       aws.String(token(n.Identity, offer.Zone, zone)),
		ImageId:                           aws.String(found(cfg)[resourceImage]),
		InstanceType:                      types.InstanceType(offer.InstanceType.Name),
		MinCount:                          aws.Int32(1),
		MaxCount:                          aws.Int32(1),
		InstanceInitiatedShutdownBehavior: firstBehavior(cfg.Spec, offer.Market),
		MetadataOptions:                   metadataOptions(),
		BlockDeviceMappings:               []types.BlockDeviceMapping{disk},
		NetworkInterfaces:                 interfaces(cfg, s, subnetID),
		Placement:                         &types.Placement{AvailabilityZone: aws.String(zone)},
		TagSpecifications:                 tagSpecifications(n.Identity, cfg.Spec, offer.Market, s),
	}
	if len(data) > 0 {
		in.UserData = aws.String(base64.StdEncoding.EncodeToString(data))
	}
	if g := found(cfg)[resourcePlacement]; g != "" {
		in.Placement.GroupName = aws.String(g)
	}
	if offer.Market == cloud.Spot {
		in.InstanceMarketOptions = spotOptions(cfg.Spec)
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
func disk(cfg cloud.RunConfig, s settings) (types.BlockDeviceMapping, error) {
	imageGiB, err := strconv.Atoi(found(cfg)[resourceImageGiB])
	if err != nil {
		return types.BlockDeviceMapping{}, fleet.ConfigErrorf(cloud.ScopeCloud, "the run configuration is not Bootstrap's: it lacks the image's size")
	}
	size := cfg.Spec.DiskGiB
	switch {
	case size == 0:
		size = max(defaultDiskGiB, imageGiB)
	case size < imageGiB:
		return types.BlockDeviceMapping{}, fleet.ConfigErrorf(cloud.ScopeRegion, "disk_size is %d GiB, and image %s needs %d", size, found(cfg)[resourceImage], imageGiB)
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
	return types.BlockDeviceMapping{DeviceName: aws.String(found(cfg)[resourceDevice]), Ebs: ebs}, nil
}

func interfaces(cfg cloud.RunConfig, s settings, subnetID string) []types.InstanceNetworkInterfaceSpecification {
	groups := append([]string{found(cfg)[resourceGroup]}, s.groupIDs...)
	nic := types.InstanceNetworkInterfaceSpecification{
		DeviceIndex: aws.Int32(0), SubnetId: aws.String(subnetID), Groups: groups, DeleteOnTermination: aws.Bool(true),
	}
	cards, _ := strconv.Atoi(found(cfg)[resourceEFACards]) // absent without EFA
	if cards > 0 {
		nic.InterfaceType = aws.String("efa")
	}
	if cards <= 1 { // AWS takes this with one interface only
		nic.AssociatePublicIpAddress = aws.Bool(!s.internalIPs)
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
	if spec.MaxHourlyUSD > 0 {
		// Down, to AWS's six decimals: the machines together must not cost more.
		options.MaxPrice = aws.String(strconv.FormatFloat(math.Floor(spec.MaxHourlyUSD*1e6+1e-3)/1e6, 'f', 6, 64))
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
func tagSpecifications(id cloud.Identity, spec cloud.ClusterSpec, market cloud.Market, s settings) []types.TagSpecification {
	tags := map[string]string{tagName: id.Name(maxNameLength)}
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
	if s.internalIPs {
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
	if market == cloud.Spot {
		out = append(out, types.TagSpecification{ResourceType: types.ResourceTypeSpotInstancesRequest, Tags: ec2Tags(tags)})
	}
	return out
}
