// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeEC2 speaks as much of EC2, STS and SSM over HTTP as the driver uses, and
// keeps state. Tokens, placement groups and faults are the proxy's in front.
type fakeEC2 struct {
	mu         sync.Mutex
	next       int
	instances  []*fakeInstance
	groups     []*fakeGroup
	parameters map[string]string
	// pageSize cuts the list of instances into pages; 0 is one page.
	pageSize int
	// answers replaces the answer to an action.
	answers map[string]func(url.Values) (int, string)
	// leaveVolumes keeps the disks of terminated machines, which AWS may do.
	leaveVolumes bool
	// unknown are actions that were called and do not exist here.
	unknown []string
	// touchedForeign is what calls of the driver's concerned that carries no
	// owner's tag, by action.
	touchedForeign map[string][]string
}

type fakeInstance struct {
	id, typ, zone, state, lifecycle, userData, behavior, metadataTags, image, subnet string
	tags, volumeTags                                                                 map[string]string
	groups                                                                           []string
	launched                                                                         time.Time
	number                                                                           int
	reason                                                                           string
	volumeDeleted                                                                    bool
}

type fakeGroup struct {
	id, name string
	tags     map[string]string
	rules    []url.Values
}

const (
	fakeVPC  = "vpc-0000000000000000a"
	fakeVPC2 = "vpc-0000000000000000b"
)

func newFakeEC2(t *testing.T) (*fakeEC2, string) {
	t.Helper()
	f := &fakeEC2{parameters: map[string]string{}, answers: map[string]func(url.Values) (int, string){}, touchedForeign: map[string][]string{}}
	f.groups = append(f.groups, &fakeGroup{id: "sg-00000000000000000", name: "default"})
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return f, s.URL
}

func (f *fakeEC2) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetParameter") {
		f.getParameter(w, body)
		return
	}
	form, _ := url.ParseQuery(string(body))
	action := form.Get("Action")
	if strings.Contains(r.Header.Get("Authorization"), testAccessKey) {
		f.touch(action, form)
	}
	answer := f.answers[action]
	if answer == nil {
		answer = f.action(action)
	}
	if answer == nil {
		f.unknown = append(f.unknown, action)
		answer = func(url.Values) (int, string) { return fakeError("InvalidAction", action) }
	}
	status, inner := answer(form)
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.WriteHeader(status)
	if status != http.StatusOK {
		_, _ = io.WriteString(w, inner)
		return
	}
	_, _ = fmt.Fprintf(w, `<%sResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>%s</%sResponse>`, action, inner, action)
}

func fakeError(code, message string) (int, string) {
	return http.StatusBadRequest, fmt.Sprintf(`<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>r</RequestID></Response>`,
		code, html.EscapeString(message))
}

func done(url.Values) (int, string) { return http.StatusOK, "<return>true</return>" }

func fixed(text string) func(url.Values) (int, string) {
	return func(url.Values) (int, string) { return http.StatusOK, text }
}

func (f *fakeEC2) action(name string) func(url.Values) (int, string) {
	return map[string]func(url.Values) (int, string){
		"GetCallerIdentity": fixed(`<GetCallerIdentityResult><Account>` + fakeAccount + `</Account><Arn>arn:aws:iam::` + fakeAccount + `:user/t</Arn></GetCallerIdentityResult>`),
		"DescribeRegions":   fixed(`<regionInfo><item><regionName>us-east-1</regionName></item><item><regionName>eu-west-1</regionName></item></regionInfo>`),
		"DescribeAvailabilityZones": fixed(`<availabilityZoneInfo>` +
			`<item><zoneName>us-east-1a</zoneName><zoneId>use1-az4</zoneId></item>` +
			`<item><zoneName>us-east-1b</zoneName><zoneId>use1-az6</zoneId></item>` +
			`<item><zoneName>us-east-1c</zoneName><zoneId>use1-az1</zoneId></item></availabilityZoneInfo>`),
		"DescribeVpcs":    f.describeVpcs,
		"DescribeSubnets": f.describeSubnets,
		"DescribeRouteTables": func(v url.Values) (int, string) {
			if v.Get("Filter.1.Value.1") != fakeVPC {
				return http.StatusOK, "<routeTableSet/>"
			}
			return http.StatusOK, fakeRouteTables
		},
		"DescribeInstanceTypes":         f.describeTypes,
		"DescribeInstanceTypeOfferings": f.describeOfferings,
		"DescribeImages":                f.describeImages,
		"DescribeSecurityGroups":        f.describeGroups,
		"CreateSecurityGroup":           f.createGroup,
		"AuthorizeSecurityGroupIngress": f.authorize,
		"AuthorizeSecurityGroupEgress":  done,
		"RevokeSecurityGroupIngress":    f.revoke,
		"DeleteSecurityGroup":           f.deleteGroup,
		"RunInstances":                  f.runInstances,
		"DescribeInstances":             f.describeInstances,
		"TerminateInstances":            f.toState("terminated", "Client.UserInitiatedShutdown: User initiated shutdown"),
		"StopInstances":                 f.toState("stopped", "Client.UserInitiatedShutdown: User initiated shutdown"),
		"StartInstances":                f.toState("running", ""),
		"CreateTags":                    f.setTags,
		"DeleteTags":                    f.dropTags,
		"ModifyInstanceAttribute":       f.modify(func(i *fakeInstance, v url.Values) { i.behavior = v.Get("Value") }),
		"ModifyInstanceMetadataOptions": f.modify(func(i *fakeInstance, v url.Values) { i.metadataTags = v.Get("InstanceMetadataTags") }),
		"DescribeInstanceAttribute":     f.describeAttribute,
		"DescribeVolumes":               f.describeVolumes,
		"DeleteVolume":                  f.deleteVolume,
		"DescribeNetworkInterfaces":     f.describeInterfaces,
		"DescribeKeyPairs":              fixed(`<keySet/>`),
	}[name]
}

const fakeRouteTables = `<routeTableSet>` +
	`<item><vpcId>` + fakeVPC + `</vpcId><routeSet><item><gatewayId>local</gatewayId></item><item><gatewayId>igw-1</gatewayId></item></routeSet>` +
	`<associationSet><item><main>true</main></item></associationSet></item>` +
	`<item><vpcId>` + fakeVPC + `</vpcId><routeSet><item><gatewayId>local</gatewayId></item><item><natGatewayId>nat-1</natGatewayId></item></routeSet>` +
	`<associationSet><item><main>false</main><subnetId>subnet-000000000000000d</subnetId></item></associationSet></item></routeTableSet>`

func (f *fakeEC2) getParameter(w http.ResponseWriter, body []byte) {
	var in struct{ Name string }
	_ = json.Unmarshal(body, &in) // an empty name is not found
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	value, ok := f.parameters[in.Name]
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"ParameterNotFound","message":"no such parameter"}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"Parameter": map[string]string{"Name": in.Name, "Value": value}})
}

// numbered reads a list such as InstanceId.1, InstanceId.2.
func numbered(v url.Values, prefix string) []string {
	var out []string
	for i := 1; v.Has(fmt.Sprintf("%s.%d", prefix, i)); i++ {
		out = append(out, v.Get(fmt.Sprintf("%s.%d", prefix, i)))
	}
	return out
}

// shows reports whether the request's filters let a thing pass.
func shows(v url.Values, attributes map[string][]string, tags map[string]string) bool {
	for i := 1; v.Has(fmt.Sprintf("Filter.%d.Name", i)); i++ {
		name, want := v.Get(fmt.Sprintf("Filter.%d.Name", i)), numbered(v, fmt.Sprintf("Filter.%d.Value", i))
		have := attributes[name]
		if name == "tag-key" {
			have = slices.Collect(maps.Keys(tags))
		}
		if key, ok := strings.CutPrefix(name, "tag:"); ok {
			have = nil
			if value, ok := tags[key]; ok {
				have = []string{value}
			}
		}
		if !slices.ContainsFunc(have, func(h string) bool { return slices.Contains(want, h) }) {
			return false
		}
	}
	return true
}

func tagXML(tags map[string]string) string {
	var b strings.Builder
	for _, t := range ec2Tags(tags) {
		fmt.Fprintf(&b, "<item><key>%s</key><value>%s</value></item>", html.EscapeString(*t.Key), html.EscapeString(*t.Value))
	}
	return "<tagSet>" + b.String() + "</tagSet>"
}

func (f *fakeEC2) describeVpcs(v url.Values) (int, string) {
	out := ""
	for id, isDefault := range map[string]string{fakeVPC: "true", fakeVPC2: "false"} {
		ids := numbered(v, "VpcId")
		if (len(ids) == 0 || slices.Contains(ids, id)) && shows(v, map[string][]string{"is-default": {isDefault}, "vpc-id": {id}}, map[string]string{"vpc": id}) {
			out += "<item><vpcId>" + id + "</vpcId><cidrBlock>172.31.0.0/16</cidrBlock></item>"
		}
	}
	return http.StatusOK, "<vpcSet>" + out + "</vpcSet>"
}

func (f *fakeEC2) describeSubnets(v url.Values) (int, string) {
	out := ""
	for _, s := range [][3]string{
		{"subnet-000000000000000c", "us-east-1c", fakeVPC}, {"subnet-000000000000000a", "us-east-1a", fakeVPC},
		{"subnet-000000000000000b", "us-east-1b", fakeVPC}, {"subnet-000000000000000d", "us-east-1b", fakeVPC},
		{"subnet-000000000000000e", "us-east-1b", fakeVPC2},
	} {
		attributes := map[string][]string{"state": {"available"}, "vpc-id": {s[2]}, "subnet-id": {s[0]}}
		if shows(v, attributes, map[string]string{"zone": s[1]}) {
			out += fmt.Sprintf("<item><subnetId>%s</subnetId><availabilityZone>%s</availabilityZone><vpcId>%s</vpcId></item>", s[0], s[1], s[2])
		}
	}
	return http.StatusOK, "<subnetSet>" + out + "</subnetSet>"
}

func (f *fakeEC2) describeTypes(v url.Values) (int, string) {
	name := v.Get("InstanceType.1")
	more, arch := "", "x86_64"
	switch {
	case strings.HasPrefix(name, "m5."):
	case strings.HasPrefix(name, "t3."):
		more = "<burstablePerformanceSupported>true</burstablePerformanceSupported>"
	case strings.HasPrefix(name, "m7g."):
		arch = "arm64"
	case strings.HasPrefix(name, "p4d."):
		more = `<gpuInfo><gpus><item><manufacturer>NVIDIA</manufacturer></item></gpus></gpuInfo>` +
			`<networkInfo><efaSupported>true</efaSupported><efaInfo><maximumEfaInterfaces>4</maximumEfaInterfaces></efaInfo></networkInfo>`
	case strings.HasPrefix(name, "p3."):
		more = `<gpuInfo><gpus><item><manufacturer>NVIDIA</manufacturer></item></gpus></gpuInfo>`
	case strings.HasPrefix(name, "g5g."):
		arch, more = "arm64", `<gpuInfo><gpus><item><manufacturer>NVIDIA</manufacturer></item></gpus></gpuInfo>`
	case strings.HasPrefix(name, "trn1."):
		more = `<neuronInfo><neuronDevices><item><count>1</count></item></neuronDevices></neuronInfo>` +
			`<supportedUsageClasses><item>on-demand</item></supportedUsageClasses>`
	default:
		return fakeError("InvalidInstanceType", "The following supplied instance types do not exist: ["+name+"]")
	}
	return http.StatusOK, fmt.Sprintf(`<instanceTypeSet><item><instanceType>%s</instanceType><processorInfo><supportedArchitectures><item>%s</item></supportedArchitectures></processorInfo>%s</item></instanceTypeSet>`, name, arch, more)
}

func (f *fakeEC2) describeOfferings(v url.Values) (int, string) {
	out := ""
	for _, zone := range []string{"us-east-1c", "us-east-1b"} { // 1a does not have it
		out += fmt.Sprintf("<item><instanceType>%s</instanceType><locationType>availability-zone</locationType><location>%s</location></item>", v.Get("Filter.1.Value.1"), zone)
	}
	return http.StatusOK, "<instanceTypeOfferingSet>" + out + "</instanceTypeOfferingSet>"
}

// fakeImages have an id, an owner, a name, an architecture and a date each.
func fakeImages() [][5]string {
	return [][5]string{
		{"ami-0000000000000001", ownerCanonical, "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260101", "x86_64", "2026-01-01"},
		{fakeCPUImage, ownerCanonical, "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260901", "x86_64", "2026-09-01"},
		{"ami-0000000000000003", ownerCanonical, "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-20260901", "arm64", "2026-09-01"},
		{"ami-0000000000000004", ownerAmazon, "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) 20260901", "x86_64", "2026-09-01"},
		{"ami-0000000000000005", ownerAmazon, "Deep Learning Base Neuron AMI (Ubuntu 24.04) 20260901", "x86_64", "2026-09-01"},
	}
}

func (f *fakeEC2) describeImages(v url.Values) (int, string) {
	out, ids := "", numbered(v, "ImageId")
	pattern := strings.TrimSuffix(v.Get("Filter.1.Value.1"), "*")
	for _, i := range fakeImages() {
		byName := len(ids) == 0 && i[1] == v.Get("Owner.1") && strings.HasPrefix(i[2], pattern) && v.Get("Filter.2.Value.1") == i[3]
		if byName || slices.Contains(ids, i[0]) {
			out += fmt.Sprintf(`<item><imageId>%s</imageId><architecture>%s</architecture><creationDate>%s</creationDate><rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/sda1</rootDeviceName>`+
				`<blockDeviceMapping><item><deviceName>/dev/sda1</deviceName><ebs><volumeSize>8</volumeSize></ebs></item></blockDeviceMapping></item>`, i[0], i[3], i[4])
		}
	}
	if out == "" && len(ids) > 0 {
		return fakeError("InvalidAMIID.NotFound", "The image id '["+ids[0]+"]' does not exist")
	}
	return http.StatusOK, "<imagesSet>" + out + "</imagesSet>"
}
