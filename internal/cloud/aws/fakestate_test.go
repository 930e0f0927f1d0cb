// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	fakeAccount  = "123456789012"
	fakeCPUImage = "ami-0000000000000002"
)

func (f *fakeEC2) id(prefix string) (string, int) {
	f.next++
	return fmt.Sprintf("%s-%017x", prefix, f.next), f.next
}

func (f *fakeEC2) describeGroups(v url.Values) (int, string) {
	out, ids := "", numbered(v, "GroupId")
	for _, g := range f.groups {
		if len(ids) > 0 && !slices.Contains(ids, g.id) || !shows(v, map[string][]string{"group-name": {g.name}, "vpc-id": {fakeVPC}}, g.tags) {
			continue
		}
		rules := ""
		for _, r := range g.rules {
			rules += ruleXML(r)
		}
		out += fmt.Sprintf("<item><groupId>%s</groupId><groupName>%s</groupName><vpcId>%s</vpcId><ipPermissions>%s</ipPermissions>%s</item>", g.id, g.name, fakeVPC, rules, tagXML(g.tags))
	}
	return http.StatusOK, "<securityGroupInfo>" + out + "</securityGroupInfo>"
}

func ruleXML(r url.Values) string {
	ports := ""
	if r.Has("FromPort") {
		ports = "<fromPort>" + r.Get("FromPort") + "</fromPort><toPort>" + r.Get("ToPort") + "</toPort>"
	}
	peer := "<ipRanges><item><cidrIp>" + r.Get("IpRanges.1.CidrIp") + "</cidrIp></item></ipRanges>"
	switch {
	case r.Has("Groups.1.GroupId"):
		peer = "<groups><item><groupId>" + r.Get("Groups.1.GroupId") + "</groupId></item></groups>"
	case r.Has("Ipv6Ranges.1.CidrIpv6"):
		peer = "<ipv6Ranges><item><cidrIpv6>" + r.Get("Ipv6Ranges.1.CidrIpv6") + "</cidrIpv6></item></ipv6Ranges>"
	}
	return "<item><ipProtocol>" + r.Get("IpProtocol") + "</ipProtocol>" + ports + peer + "</item>"
}

func (f *fakeEC2) createGroup(v url.Values) (int, string) {
	name := v.Get("GroupName")
	if slices.ContainsFunc(f.groups, func(g *fakeGroup) bool { return g.name == name }) {
		return fakeError("InvalidGroup.Duplicate", "The security group '"+name+"' already exists")
	}
	id, _ := f.id("sg")
	f.groups = append(f.groups, &fakeGroup{id: id, name: name, tags: tagsIn(v, "TagSpecification.1.Tag")})
	return http.StatusOK, "<groupId>" + id + "</groupId>"
}

func tagsIn(v url.Values, prefix string) map[string]string {
	out := map[string]string{}
	for i := 1; v.Has(fmt.Sprintf("%s.%d.Key", prefix, i)); i++ {
		out[v.Get(fmt.Sprintf("%s.%d.Key", prefix, i))] = v.Get(fmt.Sprintf("%s.%d.Value", prefix, i))
	}
	return out
}

// permissions reads the rules of a call, without their descriptions.
func permissions(v url.Values) []url.Values {
	var out []url.Values
	for i := 1; v.Has(fmt.Sprintf("IpPermissions.%d.IpProtocol", i)); i++ {
		rule := url.Values{}
		for k := range v {
			if rest, ok := strings.CutPrefix(k, fmt.Sprintf("IpPermissions.%d.", i)); ok && !strings.HasSuffix(rest, "Description") {
				rule.Set(rest, v.Get(k))
			}
		}
		out = append(out, rule)
	}
	return out
}

func (f *fakeEC2) group(id string) *fakeGroup {
	i := slices.IndexFunc(f.groups, func(g *fakeGroup) bool { return g.id == id })
	if i < 0 {
		return nil
	}
	return f.groups[i]
}

func (f *fakeEC2) authorize(v url.Values) (int, string) {
	g := f.group(v.Get("GroupId"))
	if g == nil {
		return fakeError("InvalidGroup.NotFound", v.Get("GroupId"))
	}
	add := permissions(v)
	for _, r := range add {
		if slices.ContainsFunc(g.rules, func(h url.Values) bool { return h.Encode() == r.Encode() }) {
			return fakeError("InvalidPermission.Duplicate", r.Encode())
		}
	}
	g.rules = append(g.rules, add...)
	return http.StatusOK, "<return>true</return>"
}

func (f *fakeEC2) revoke(v url.Values) (int, string) {
	g := f.group(v.Get("GroupId"))
	for _, r := range permissions(v) {
		before := len(g.rules)
		g.rules = slices.DeleteFunc(g.rules, func(h url.Values) bool { return h.Encode() == r.Encode() })
		if len(g.rules) == before {
			return fakeError("InvalidPermission.NotFound", r.Encode())
		}
	}
	return http.StatusOK, "<return>true</return>"
}

func (f *fakeEC2) deleteGroup(v url.Values) (int, string) {
	id := v.Get("GroupId")
	if f.group(id) == nil {
		return fakeError("InvalidGroup.NotFound", id)
	}
	f.groups = slices.DeleteFunc(f.groups, func(g *fakeGroup) bool { return g.id == id })
	return http.StatusOK, "<return>true</return>"
}

func (f *fakeEC2) runInstances(v url.Values) (int, string) {
	id, n := f.id("i")
	in := &fakeInstance{
		id: id, number: n, typ: v.Get("InstanceType"), zone: v.Get("Placement.AvailabilityZone"), state: "running", userData: v.Get("UserData"),
		behavior: v.Get("InstanceInitiatedShutdownBehavior"), metadataTags: v.Get("MetadataOptions.InstanceMetadataTags"), launched: time.Now(),
		image: v.Get("ImageId"), lifecycle: v.Get("InstanceMarketOptions.MarketType"), groups: numbered(v, "NetworkInterface.1.SecurityGroupId"),
		subnet: v.Get("NetworkInterface.1.SubnetId"), tags: map[string]string{}, volumeTags: map[string]string{},
	}
	for i := 1; v.Has(fmt.Sprintf("TagSpecification.%d.ResourceType", i)); i++ {
		switch tags := tagsIn(v, fmt.Sprintf("TagSpecification.%d.Tag", i)); v.Get(fmt.Sprintf("TagSpecification.%d.ResourceType", i)) {
		case "instance":
			in.tags = tags
		case "volume":
			in.volumeTags = tags
		}
	}
	f.instances = append(f.instances, in)
	shown := *in
	shown.state = "pending"
	return http.StatusOK, "<instancesSet><item>" + shown.xml() + "</item></instancesSet>"
}

func (i *fakeInstance) xml() string {
	number := map[string]int{"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}[i.state]
	public, lifecycle, reason, volume := "", "", "", ""
	if i.state == "running" {
		public = fmt.Sprintf("<ipAddress>54.0.%d.%d</ipAddress>", i.number/250, i.number%250+1)
	}
	if i.lifecycle == "spot" {
		lifecycle = "<instanceLifecycle>spot</instanceLifecycle>"
	}
	if i.reason != "" {
		code, message, _ := strings.Cut(i.reason, ": ")
		reason = "<stateReason><code>" + code + "</code><message>" + message + "</message></stateReason>"
	}
	if i.state != "terminated" {
		volume = fmt.Sprintf("<blockDeviceMapping><item><deviceName>/dev/sda1</deviceName><ebs><volumeId>vol-%s</volumeId></ebs></item></blockDeviceMapping>", i.id[2:])
	}
	groups := ""
	for _, g := range i.groups {
		groups += "<item><groupId>" + g + "</groupId></item>"
	}
	return fmt.Sprintf("<instanceId>%s</instanceId><imageId>%s</imageId><instanceState><code>%d</code><name>%s</name></instanceState>", i.id, i.image, number, i.state) +
		fmt.Sprintf("<instanceType>%s</instanceType><launchTime>%s</launchTime><placement><availabilityZone>%s</availabilityZone></placement>", i.typ, i.launched.UTC().Format(time.RFC3339), i.zone) +
		fmt.Sprintf("<privateIpAddress>172.31.%d.%d</privateIpAddress>", i.number/250, i.number%250+1) + public + lifecycle + reason + volume +
		"<groupSet>" + groups + "</groupSet><metadataOptions><instanceMetadataTags>" + i.metadataTags + "</instanceMetadataTags></metadataOptions>" + tagXML(i.tags)
}

func (f *fakeEC2) describeInstances(v url.Values) (int, string) {
	var shown []*fakeInstance
	ids := numbered(v, "InstanceId")
	for _, i := range f.instances {
		if (len(ids) == 0 || slices.Contains(ids, i.id)) && shows(v, map[string][]string{"instance-id": {i.id}}, i.tags) {
			shown = append(shown, i)
		}
	}
	start, _ := strconv.Atoi(v.Get("NextToken")) // absent on the first page
	next := ""
	shown = shown[min(start, len(shown)):]
	if f.pageSize > 0 && len(shown) > f.pageSize {
		shown, next = shown[:f.pageSize], fmt.Sprintf("<nextToken>%d</nextToken>", start+f.pageSize)
	}
	out := ""
	for _, i := range shown {
		out += "<item><reservationId>r-1</reservationId><instancesSet><item>" + i.xml() + "</item></instancesSet></item>"
	}
	return http.StatusOK, "<reservationSet>" + out + "</reservationSet>" + next
}

func (f *fakeEC2) instance(id string) *fakeInstance {
	for _, i := range f.instances {
		if i.id == id {
			return i
		}
	}
	return nil
}

func (f *fakeEC2) toState(state, reason string) func(url.Values) (int, string) {
	return func(v url.Values) (int, string) {
		out := ""
		for _, id := range numbered(v, "InstanceId") {
			i := f.instance(id)
			if i == nil {
				return fakeError("InvalidInstanceID.NotFound", "The instance ID '"+id+"' does not exist")
			}
			if i.state != "terminated" {
				i.state, i.reason = state, reason
			}
			out += "<item><instanceId>" + id + "</instanceId></item>"
		}
		return http.StatusOK, "<instancesSet>" + out + "</instancesSet>"
	}
}

func (f *fakeEC2) eachTagged(v url.Values, change func(map[string]string)) (int, string) {
	for _, id := range numbered(v, "ResourceId") {
		machine := f.instance("i-" + strings.TrimPrefix(strings.TrimPrefix(id, "vol-"), "i-"))
		switch {
		case machine == nil:
			return fakeError("InvalidID", "The ID '"+id+"' is not valid")
		case strings.HasPrefix(id, "vol-"):
			change(machine.volumeTags)
		default:
			change(machine.tags)
		}
	}
	return http.StatusOK, "<return>true</return>"
}

func (f *fakeEC2) setTags(v url.Values) (int, string) {
	return f.eachTagged(v, func(tags map[string]string) {
		for k, value := range tagsIn(v, "Tag") {
			tags[k] = value
		}
	})
}

func (f *fakeEC2) dropTags(v url.Values) (int, string) {
	return f.eachTagged(v, func(tags map[string]string) {
		for k := range tagsIn(v, "Tag") {
			delete(tags, k)
		}
	})
}

func (f *fakeEC2) modify(change func(*fakeInstance, url.Values)) func(url.Values) (int, string) {
	return func(v url.Values) (int, string) {
		i := f.instance(v.Get("InstanceId"))
		if i == nil {
			return fakeError("InvalidInstanceID.NotFound", v.Get("InstanceId"))
		}
		change(i, v)
		return http.StatusOK, "<return>true</return>"
	}
}

func (f *fakeEC2) describeAttribute(v url.Values) (int, string) {
	i := f.instance(v.Get("InstanceId"))
	return http.StatusOK, "<userData><value>" + i.userData + "</value></userData><instanceInitiatedShutdownBehavior><value>" + i.behavior + "</value></instanceInitiatedShutdownBehavior>"
}

func (f *fakeEC2) describeVolumes(v url.Values) (int, string) {
	out := ""
	for _, i := range f.instances {
		status := "in-use"
		if i.state == "terminated" {
			status = "available"
		}
		if (status == "in-use" || f.leaveVolumes && !i.volumeDeleted) && shows(v, nil, i.volumeTags) {
			out += fmt.Sprintf("<item><volumeId>vol-%s</volumeId><status>%s</status><availabilityZone>%s</availabilityZone>%s</item>", i.id[2:], status, i.zone, tagXML(i.volumeTags))
		}
	}
	return http.StatusOK, "<volumeSet>" + out + "</volumeSet>"
}

func (f *fakeEC2) deleteVolume(v url.Values) (int, string) {
	id := v.Get("VolumeId")
	machine := f.instance("i-" + strings.TrimPrefix(id, "vol-"))
	switch {
	case machine == nil || machine.volumeDeleted:
		return fakeError("InvalidVolume.NotFound", id)
	case machine.state != "terminated":
		return fakeError("VolumeInUse", id)
	}
	machine.volumeDeleted = true
	return http.StatusOK, "<return>true</return>"
}

func (f *fakeEC2) describeInterfaces(v url.Values) (int, string) {
	out := ""
	for _, i := range f.instances {
		if i.state != "terminated" && shows(v, map[string][]string{"group-id": i.groups}, nil) {
			out += "<item><networkInterfaceId>eni-" + i.id[2:] + "</networkInterfaceId></item>"
		}
	}
	return http.StatusOK, "<networkInterfaceSet>" + out + "</networkInterfaceSet>"
}
