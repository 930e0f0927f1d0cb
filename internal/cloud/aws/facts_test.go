// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
)

// kind checks a parameter's value.
type kind func(string) bool

func oneOf(values ...string) kind { return func(v string) bool { return slices.Contains(values, v) } }

func like(pattern string) kind { return regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString }

func text(v string) bool { return v != "" && len(v) <= 1024 }

func whole(v string) bool { _, err := strconv.ParseInt(v, 10, 32); return err == nil }

func decimal(v string) bool { f, err := strconv.ParseFloat(v, 64); return err == nil && f > 0 }

func encoded(v string) bool {
	data, err := base64.StdEncoding.DecodeString(v)
	return err == nil && len(data) <= 16384
}

func prefix(v string) bool { p, err := netip.ParsePrefix(v); return err == nil && p.Masked() == p }

// actionFacts is what EC2's reference says of one action beyond its official
// description (see model): forms of ids, limits, filters.
type actionFacts struct {
	required   []string
	parameters map[string]kind
	filters    []string
}

func join(tables ...map[string]kind) map[string]kind {
	out := map[string]kind{}
	for _, t := range tables {
		maps.Copy(out, t)
	}
	return out
}

func ec2Facts() map[string]actionFacts {
	id := func(prefix string) kind { return like(prefix + `-[0-9a-f]{8,17}`) }
	tags := map[string]kind{"Tag.N.Key": like(`.{1,128}`), "Tag.N.Value": like(`.{0,256}`)}
	specification := map[string]kind{
		"TagSpecification.N.ResourceType": oneOf("instance", "volume", "network-interface", "spot-instances-request", "security-group", "placement-group"),
		"TagSpecification.N.Tag.N.Key":    like(`.{1,128}`), "TagSpecification.N.Tag.N.Value": like(`.{0,256}`),
	}
	page := map[string]kind{"MaxResults": whole, "NextToken": text}
	rules := map[string]kind{
		"GroupId": id("sg"), "IpPermissions.N.IpProtocol": oneOf("tcp", "udp", "icmp", "icmpv6", "-1"),
		"IpPermissions.N.FromPort": whole, "IpPermissions.N.ToPort": whole, "IpPermissions.N.Groups.N.GroupId": id("sg"),
		"IpPermissions.N.IpRanges.N.CidrIp": prefix, "IpPermissions.N.Ipv6Ranges.N.CidrIpv6": prefix,
		"IpPermissions.N.IpRanges.N.Description": text, "IpPermissions.N.Ipv6Ranges.N.Description": text,
	}
	instances := actionFacts{required: []string{"InstanceId.1"}, parameters: map[string]kind{"InstanceId.N": id("i")}}
	list := func(filters ...string) actionFacts { return actionFacts{parameters: page, filters: filters} }
	return map[string]actionFacts{
		"RunInstances":                  {required: []string{"MinCount", "MaxCount"}, parameters: join(specification, runFacts())},
		"StartInstances":                instances,
		"StopInstances":                 instances,
		"TerminateInstances":            instances,
		"CreateTags":                    {required: []string{"ResourceId.1", "Tag.1.Key"}, parameters: join(tags, map[string]kind{"ResourceId.N": text})},
		"DeleteTags":                    {required: []string{"ResourceId.1"}, parameters: join(tags, map[string]kind{"ResourceId.N": text})},
		"DeleteVolume":                  {required: []string{"VolumeId"}, parameters: map[string]kind{"VolumeId": id("vol")}},
		"CreateSecurityGroup":           {required: []string{"GroupName", "GroupDescription"}, parameters: join(specification, map[string]kind{"GroupName": like(`.{1,255}`), "GroupDescription": like(`.{1,255}`), "VpcId": id("vpc")})},
		"DeleteSecurityGroup":           {required: []string{"GroupId"}, parameters: map[string]kind{"GroupId": id("sg")}},
		"AuthorizeSecurityGroupIngress": {required: []string{"GroupId"}, parameters: rules},
		"AuthorizeSecurityGroupEgress":  {required: []string{"GroupId"}, parameters: rules},
		"RevokeSecurityGroupIngress":    {required: []string{"GroupId"}, parameters: rules},
		"CreatePlacementGroup":          {required: []string{"GroupName"}, parameters: join(specification, map[string]kind{"GroupName": like(`.{1,255}`), "Strategy": oneOf("cluster", "spread", "partition")})},
		"DeletePlacementGroup":          {required: []string{"GroupName"}, parameters: map[string]kind{"GroupName": text}},
		"DescribePlacementGroups":       {filters: []string{"tag:", "tag-key"}},
		"ModifyInstanceAttribute":       {required: []string{"InstanceId"}, parameters: map[string]kind{"InstanceId": id("i"), "InstanceInitiatedShutdownBehavior.Value": oneOf("stop", "terminate")}},
		"ModifyInstanceMetadataOptions": {required: []string{"InstanceId"}, parameters: map[string]kind{
			"InstanceId": id("i"), "HttpEndpoint": oneOf("enabled", "disabled"), "HttpTokens": oneOf("optional", "required"),
			"HttpPutResponseHopLimit": whole, "InstanceMetadataTags": oneOf("enabled", "disabled"),
		}},
		"DescribeImages":                {parameters: join(page, map[string]kind{"ImageId.N": id("ami"), "Owner.N": like(`\d{12}|self|amazon|aws-marketplace`)}), filters: []string{"name", "architecture", "state", "root-device-type"}},
		"DescribeInstances":             list("instance-id", "tag:", "tag-key"),
		"DescribeVolumes":               list("tag:", "tag-key"),
		"DescribeSubnets":               list("vpc-id", "subnet-id", "state", "tag:"),
		"DescribeVpcs":                  {parameters: join(page, map[string]kind{"VpcId.N": id("vpc")}), filters: []string{"is-default", "vpc-id", "tag:"}},
		"DescribeRouteTables":           list("vpc-id"),
		"DescribeSecurityGroups":        list("group-name", "vpc-id", "tag:", "tag-key"),
		"DescribeInstanceTypes":         {parameters: map[string]kind{"InstanceType.N": text}},
		"DescribeInstanceTypeOfferings": {parameters: join(page, map[string]kind{"LocationType": oneOf("region", "availability-zone", "availability-zone-id", "outpost")}), filters: []string{"instance-type", "location"}},
		"DescribeAvailabilityZones":     {filters: []string{"zone-type", "state", "zone-id", "zone-name"}},
		"DescribeRegions":               {},
	}
}

func runFacts() map[string]kind {
	boolean := oneOf("true", "false")
	return map[string]kind{
		"CreditSpecification.CpuCredits": oneOf("standard", "unlimited"), "ClientToken": like(`[!-~]{1,64}`), "ImageId": like(`ami-[0-9a-f]{8,17}`), "InstanceType": like(`[a-z0-9-]+\.[a-z0-9-]+`),
		"MinCount": whole, "MaxCount": whole, "UserData": encoded, "InstanceInitiatedShutdownBehavior": oneOf("stop", "terminate"),
		"IamInstanceProfile.Name": text, "IamInstanceProfile.Arn": text,
		"MetadataOptions.HttpEndpoint": oneOf("enabled", "disabled"), "MetadataOptions.HttpTokens": oneOf("optional", "required"),
		"MetadataOptions.HttpPutResponseHopLimit": like(`[1-9]|[1-5]\d|6[0-4]`), "MetadataOptions.InstanceMetadataTags": oneOf("enabled", "disabled"),
		"BlockDeviceMapping.N.DeviceName": text, "BlockDeviceMapping.N.Ebs.DeleteOnTermination": boolean,
		"BlockDeviceMapping.N.Ebs.Encrypted": boolean, "BlockDeviceMapping.N.Ebs.VolumeSize": whole,
		"BlockDeviceMapping.N.Ebs.VolumeType": oneOf("standard", "io1", "io2", "gp2", "sc1", "st1", "gp3"),
		"BlockDeviceMapping.N.Ebs.Iops":       whole, "BlockDeviceMapping.N.Ebs.Throughput": whole,
		"NetworkInterface.N.AssociatePublicIpAddress": boolean, "NetworkInterface.N.DeleteOnTermination": boolean,
		"NetworkInterface.N.DeviceIndex": whole, "NetworkInterface.N.NetworkCardIndex": whole,
		"NetworkInterface.N.InterfaceType": oneOf("interface", "efa", "efa-only"), "NetworkInterface.N.SecurityGroupId.N": like(`sg-[0-9a-f]{8,17}`),
		"NetworkInterface.N.SubnetId": like(`subnet-[0-9a-f]{8,17}`), "Placement.AvailabilityZone": text, "Placement.GroupName": text,
		"InstanceMarketOptions.MarketType": oneOf("spot", "capacity-block", "interruptible-capacity-reservation"), "InstanceMarketOptions.SpotOptions.MaxPrice": decimal,
		"InstanceMarketOptions.SpotOptions.SpotInstanceType":             oneOf("one-time", "persistent"),
		"InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior": oneOf("hibernate", "stop", "terminate"),
	}
}

var listIndex = regexp.MustCompile(`\.\d+`)

// check says what is wrong with a request.
func (f actionFacts) check(v url.Values) []string {
	var wrong []string
	for _, name := range f.required {
		if v.Get(name) == "" {
			wrong = append(wrong, name+" is required")
		}
	}
	for name := range v {
		plain := listIndex.ReplaceAllString(name, ".N")
		switch valid := f.parameters[plain]; {
		case name == "Action" || name == "Version" || plain == "Filter.N.Value.N" && f.filters != nil:
		case plain == "Filter.N.Name":
			known := func(filter string) bool {
				return v.Get(name) == filter || filter == "tag:" && strings.HasPrefix(v.Get(name), filter)
			}
			if !slices.ContainsFunc(f.filters, known) {
				wrong = append(wrong, "there is no filter "+v.Get(name))
			}
		case valid == nil:
			wrong = append(wrong, "there is no parameter "+name)
		case !valid(v.Get(name)):
			wrong = append(wrong, fmt.Sprintf("%s cannot be %q", name, v.Get(name)))
		}
	}
	return wrong
}

// checkRequests holds every request that went through the proxy to the official
// description and to the facts.
func checkRequests(t *testing.T, proxy *ec2proxy.Proxy) {
	t.Helper()
	official := readModel(t)
	for action := range proxy.Actions() {
		service, name, _ := strings.Cut(action, ":")
		if service != "ec2" {
			continue
		}
		facts, ok := ec2Facts()[name]
		if !ok {
			t.Errorf("there are no facts about %s", name)
		}
		for _, v := range proxy.Requests(name) {
			if v.Get("Version") != "2016-11-15" {
				t.Errorf("%s: version %q", name, v.Get("Version"))
			}
			for _, w := range append(official.check(v), facts.check(v)...) {
				t.Errorf("%s: %s", name, w)
			}
		}
	}
}

func TestRequestsFollowEC2sDescription(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	if err := wholeLife(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	checkRequests(t, w.proxy)
	if n := len(w.proxy.Requests("RunInstances")); n != 3 {
		t.Errorf("%d launches, want 3", n)
	}
}

func TestFactsCatchMistakes(t *testing.T) {
	facts := ec2Facts()["RunInstances"]
	good := url.Values{"MinCount": {"1"}, "MaxCount": {"1"}, "ImageId": {"ami-0123456789abcdef0"}}
	if wrong := facts.check(good); len(wrong) > 0 {
		t.Errorf("a good request is wrong: %v", wrong)
	}
	for name, bad := range map[string]string{"MinCount": "", "MaxCount": "one", "ImageId": "ubuntu", "Image": "ami-1", "ClientToken": strings.Repeat("x", 65)} {
		v := maps.Clone(good)
		v[name] = []string{bad}
		if len(facts.check(v)) == 0 {
			t.Errorf("%s = %q is not caught", name, bad)
		}
	}
}
