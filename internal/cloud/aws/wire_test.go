// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

func launches(w *world) int { return len(w.proxy.Requests("RunInstances")) }

// TestCapacityIsAskedOnce: AWS reports it as HTTP 500, which the SDK alone
// would repeat.
func TestCapacityIsAskedOnce(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	w.proxy.Inject(ec2proxy.Fault{Action: "RunInstances", Status: 500, Code: "InsufficientInstanceCapacity", Message: "none"})
	spec, at := request(1, "m5.large", cloud.OnDemand)
	_, err := w.launch(t.Context(), spec, at)
	if w.Classify(err) != (cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}) || launches(w) != 1 {
		t.Errorf("%d launches, error %v", launches(w), err)
	}
}

func TestThrottledLaunchIsRepeatedWithOneToken(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	w.proxy.Inject(ec2proxy.Fault{Action: "RunInstances", Times: 3, Status: 503, Code: "RequestLimitExceeded", Message: "slow down"})
	spec, at := request(1, "m5.large", cloud.OnDemand)
	if _, err := w.launch(t.Context(), spec, at); err != nil {
		t.Fatal(err)
	}
	var tokens []string
	for _, r := range w.proxy.Requests("RunInstances") {
		tokens = append(tokens, r.Get("ClientToken"))
	}
	if len(tokens) != 4 || len(slices.Compact(tokens)) != 1 || len(w.fake.instances) != 1 {
		t.Errorf("tokens %v, %d machines", tokens, len(w.fake.instances))
	}
}

// TestRegionalOfferTriesZones: the first zones refuse, the last has room, and
// all nodes end up there.
func TestRegionalOfferTriesZones(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	w.proxy.Inject(ec2proxy.Fault{
		Action: "RunInstances", Match: map[string]string{"Placement.AvailabilityZone": "us-east-1b"},
		Status: 500, Code: "InsufficientInstanceCapacity", Message: "none",
	})
	spec, at := request(3, "m5.large", cloud.OnDemand)
	spec.Ref.Zone, at.Offer.Zone = "", ""
	if _, err := w.launch(t.Context(), spec, at); err != nil {
		t.Fatal(err)
	}
	var zones []string
	for _, r := range w.proxy.Requests("RunInstances") {
		zones = append(zones, r.Get("Placement.AvailabilityZone"))
	}
	if want := []string{"us-east-1b", "us-east-1c", "us-east-1c", "us-east-1c"}; !slices.Equal(zones, want) {
		t.Errorf("zones tried are %v, want %v", zones, want)
	}
	// A quota concerns the whole region: no other zone is tried.
	w.proxy.Inject(ec2proxy.Fault{Action: "RunInstances", Status: 400, Code: "VcpuLimitExceeded", Message: "limit"})
	spec = renamed(spec, "h")
	before := launches(w)
	if _, err := w.launch(t.Context(), spec, at); w.Classify(err).Kind != cloud.KindCapacity && w.Classify(err).Kind != cloud.KindQuota {
		t.Errorf("the error is %v", err)
	}
	if n := launches(w) - before; n > 2 {
		t.Errorf("%d launches against a quota", n)
	}
}

// TestNodesMoveOnTogether: where a zone has room for some of the nodes only,
// those are taken back and all go to the next one.
func TestNodesMoveOnTogether(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	w.proxy.Inject(ec2proxy.Fault{
		Action: "RunInstances", Match: map[string]string{"Placement.AvailabilityZone": "us-east-1b"}, Skip: 1,
		Status: 500, Code: "InsufficientInstanceCapacity", Message: "none",
	})
	spec, at := request(3, "m5.large", cloud.OnDemand)
	spec.Ref.Zone, at.Offer.Zone = "", ""
	cfg, err := w.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	record, err := w.Run(t.Context(), spec.Ref, cfg)
	if err != nil || len(record.Created) != 3 {
		t.Fatalf("Run = %+v, %v", record, err)
	}
	for _, in := range w.fake.instances {
		if made := slices.Contains(record.Created, in.id); made != (in.zone == "us-east-1c") || (in.state == "running") != made {
			t.Errorf("machine %s in %s is %s, recorded %t", in.id, in.zone, in.state, made)
		}
	}
	// Without room in the last zone either, what is there is in the record.
	w.proxy.Inject(ec2proxy.Fault{
		Action: "RunInstances", Match: map[string]string{"Placement.AvailabilityZone": "us-east-1c"}, Skip: 1,
		Status: 500, Code: "InsufficientInstanceCapacity", Message: "none",
	})
	spec = renamed(spec, "h")
	if cfg, err = w.Bootstrap(t.Context(), spec, at); err != nil {
		t.Fatal(err)
	}
	record, err = w.Run(t.Context(), spec.Ref, cfg)
	if w.Classify(err).Kind != cloud.KindCapacity || len(record.Created) != 1 {
		t.Errorf("no room anywhere: %+v, %v", record, err)
	}
}

func TestZoneIDs(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	for want, given := range map[string]string{"us-east-1b": "use1-az6", "us-east-1c": "use1-az1", "us-east-1a": "us-east-1a", "": ""} {
		if got, err := w.d.zoneName(t.Context(), testRegion, given); err != nil || got != want {
			t.Errorf("zone %q is %q, want %q: %v", given, got, want, err)
		}
	}
	_, err := w.d.zoneName(t.Context(), testRegion, "use1-az9")
	if err == nil || !strings.Contains(err.Error(), "us-east-1b (use1-az6)") || classify(err).Scope != cloud.ScopeZone {
		t.Errorf("an unknown zone: %v", err)
	}
	if n := len(w.proxy.Requests("DescribeAvailabilityZones")); n != 1 {
		t.Errorf("asked %d times", n)
	}
	spec, at := request(1, "m5.large", cloud.OnDemand)
	spec.Ref.Zone, at.Offer.Zone = "use1-az6", "use1-az6"
	if _, err := w.launch(t.Context(), spec, at); err != nil {
		t.Fatal(err)
	}
	got, err := w.Query(t.Context(), spec.Ref)
	if err != nil || len(got) != 1 || got[0].Zone != "use1-az6" {
		t.Errorf("Query by zone id shows %+v, %v", got, err)
	}
	if z := w.proxy.Requests("RunInstances")[0].Get("Placement.AvailabilityZone"); z != "us-east-1b" {
		t.Errorf("launched in %q", z)
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	spec, at := request(7, "m5.large", cloud.OnDemand)
	if _, err := w.launch(t.Context(), spec, at); err != nil {
		t.Fatal(err)
	}
	w.fake.mu.Lock()
	w.fake.pageSize = 2
	w.fake.mu.Unlock()
	got, err := w.Query(t.Context(), spec.Ref)
	if err != nil || len(got) != 7 {
		t.Errorf("Query shows %d machines of 7, %v", len(got), err)
	}
}

func TestPagesAreBounded(t *testing.T) {
	endless := 0
	_, err := pages("things", func(*string) ([]int, *string, error) {
		endless++
		next := fmt.Sprint(endless)
		return nil, &next, nil
	})
	if err == nil || endless != fleet.MaxPages {
		t.Errorf("%d pages, %v", endless, err)
	}
	same := "again"
	_, err = pages("things", func(*string) ([]int, *string, error) { return nil, &same, nil })
	if err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a repeated token: %v", err)
	}
}

func TestDoubtfulLaunchIsWaitedFor(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	w.d.Settle = time.Hour
	spec, at := request(1, "m5.large", cloud.OnDemand)
	cfg, err := w.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	w.proxy.Inject(ec2proxy.Fault{Action: "RunInstances", Status: 500, Code: "InternalError", Message: "oops", Times: launchAttempts})
	short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := w.Run(short, spec.Ref, cfg); err == nil {
		t.Fatal("Run succeeded")
	}
	brief, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := w.Terminate(brief, spec.Ref); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Terminate believes in an absence that may be a delay: %v", err)
	}
	w.d.Settle = 0
	if err := w.Terminate(t.Context(), spec.Ref); err != nil {
		t.Errorf("Terminate: %v", err)
	}
}

func TestSpentIdentity(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	spec, at := request(1, "m5.large", cloud.OnDemand)
	cfg, err := w.launch(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Terminate(t.Context(), spec.Ref); err != nil {
		t.Fatal(err)
	}
	record, err := w.Run(t.Context(), spec.Ref, cfg)
	if !errors.Is(err, cloud.ErrSpent) {
		t.Errorf("Run of a spent identity = %+v, %v", record, err)
	}
	cfg.Spec.DiskGiB++ // another payload under the same token
	if _, err = w.Run(t.Context(), spec.Ref, cfg); !hasCode(err, "IdempotentParameterMismatch") {
		t.Errorf("another payload: %v", err)
	}
}

func TestUnknownStateIsNeitherAliveNorGone(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	spec, at := request(1, "m5.large", cloud.OnDemand)
	cfg, err := w.launch(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	w.fake.mu.Lock()
	w.fake.instances[0].state = "meditating"
	w.fake.mu.Unlock()
	got, err := w.Query(t.Context(), spec.Ref)
	if err != nil || len(got) != 1 || got[0].State != cloud.StateUnknown {
		t.Errorf("Query = %+v, %v", got, err)
	}
	if _, err := w.Run(t.Context(), spec.Ref, cfg); err == nil || launches(w) != 1 {
		t.Errorf("Run beside it: %v, %d launches", err, launches(w))
	}
}

// TestNoPermissionIsNoDeath: a refusal to list is an error, never an empty list.
func TestNoPermissionIsNoDeath(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	w.proxy.Inject(ec2proxy.Fault{Action: "DescribeInstances", Status: 403, Code: "UnauthorizedOperation", Message: "no"})
	ref := cloud.ClusterRef{Owner: "o", Cluster: "c", Cloud: Name, Region: testRegion}
	if _, err := w.Query(t.Context(), ref); w.Classify(err).Kind != cloud.KindAuth {
		t.Errorf("Query: %v", err)
	}
	if err := w.Terminate(t.Context(), ref); w.Classify(err).Kind != cloud.KindAuth {
		t.Errorf("Terminate: %v", err)
	}
	if err := w.Wait(t.Context(), ref, cloud.StateTerminated); w.Classify(err).Kind != cloud.KindAuth {
		t.Errorf("Wait: %v", err)
	}
}

func TestMissingCredentials(t *testing.T) {
	isolate(t)
	_, err := Factory{}.Open(t.Context(), cloud.Credentials{Values: map[string]string{optionEndpoint: "http://127.0.0.1:1"}})
	if classify(err).Kind != cloud.KindAuth || !strings.Contains(err.Error(), "aws configure") {
		t.Errorf("Open without credentials: %v", err)
	}
	for name, values := range map[string]map[string]string{
		"half a key": {optionAccessKey: "AKIA"}, "http abroad": {optionAccessKey: "a", optionSecretKey: "b", optionEndpoint: "http://example.com"},
		"no such region": {optionAccessKey: "a", optionSecretKey: "b", optionInternal: "maybe"}, "bad id": {optionVPC: "my vpc"},
	} {
		if _, err := (Factory{}).Open(t.Context(), cloud.Credentials{Values: values}); classify(err).Kind != cloud.KindConfig {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLaunchRequest(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, map[string]string{optionInternal: "true"})
	spec, at := request(1, "p4d.24xlarge", cloud.Spot)
	spec.NodeConfig, spec.MaxMachineUSD = map[string]any{"efa": true, "security_group_ids": []any{"sg-0123456789abcdef0"}}, 12.5
	if _, err := w.launch(t.Context(), spec, at); err != nil {
		t.Fatal(err)
	}
	checkRequests(t, w.proxy)
	got := w.proxy.Requests("RunInstances")[0]
	for name, want := range map[string]string{
		"ClientToken": spec.Nodes[0].Identity.Token(), "MetadataOptions.HttpTokens": "required", "MetadataOptions.HttpPutResponseHopLimit": "1",
		"InstanceInitiatedShutdownBehavior": "terminate", "BlockDeviceMapping.1.Ebs.Encrypted": "true", "BlockDeviceMapping.1.Ebs.VolumeSize": "50",
		"BlockDeviceMapping.1.Ebs.VolumeType": "gp3", "BlockDeviceMapping.1.DeviceName": "/dev/sda1", "BlockDeviceMapping.1.Ebs.DeleteOnTermination": "true",
		"InstanceMarketOptions.SpotOptions.MaxPrice": "12.500000", "InstanceMarketOptions.SpotOptions.SpotInstanceType": "one-time",
		"NetworkInterface.1.SubnetId": "subnet-000000000000000d", "NetworkInterface.1.InterfaceType": "efa", "NetworkInterface.4.NetworkCardIndex": "3",
		"NetworkInterface.1.SecurityGroupId.2": "sg-0123456789abcdef0", "NetworkInterface.1.AssociatePublicIpAddress": "", "IamInstanceProfile.Name": "",
		"ImageId": "ami-0000000000000004",
	} {
		if got.Get(name) != want {
			t.Errorf("%s = %q, want %q", name, got.Get(name), want)
		}
	}
	kinds := map[string]bool{}
	for i := 1; got.Has(fmt.Sprintf("TagSpecification.%d.ResourceType", i)); i++ {
		tags := tagsIn(got, fmt.Sprintf("TagSpecification.%d.Tag", i))
		if id, ok := cloud.IdentityFromTags(tags); !ok || id != spec.Nodes[0].Identity || tags["team"] != "weather" {
			t.Errorf("tags %d are %v", i, tags)
		}
		kinds[got.Get(fmt.Sprintf("TagSpecification.%d.ResourceType", i))] = true
	}
	for _, kind := range []string{"instance", "volume", "network-interface", "spot-instances-request"} {
		if !kinds[kind] {
			t.Errorf("%s is not tagged in the call", kind)
		}
	}
	info, err := w.Describe(t.Context(), spec.Ref)
	if err != nil || info.Instances[0].ExternalIP != info.Instances[0].InternalIP || info.SSHUser != "ubuntu" {
		t.Errorf("a private machine is described as %+v, %v", info, err)
	}
}

// A burstable machine cannot cost more than its price, unless that is asked for.
func TestCreditsOfBurstableMachines(t *testing.T) {
	for _, tt := range []struct {
		name, typ, node, want string
	}{
		{"by default", "t3.xlarge", "", "standard"},
		{"as asked", "t3.xlarge", "unlimited", "unlimited"},
		{"others have none", "m5.large", "unlimited", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, &ec2proxy.Proxy{}, nil)
			spec, at := request(1, tt.typ, cloud.OnDemand)
			if tt.node != "" {
				spec.NodeConfig = map[string]any{"cpu_credits": tt.node}
			}
			if _, err := w.launch(t.Context(), spec, at); err != nil {
				t.Fatal(err)
			}
			checkRequests(t, w.proxy)
			if got := w.proxy.Requests("RunInstances")[0].Get("CreditSpecification.CpuCredits"); got != tt.want {
				t.Errorf("credits %q, want %q", got, tt.want)
			}
		})
	}
	spec, _ := request(1, "t3.xlarge", cloud.OnDemand)
	spec.NodeConfig = map[string]any{"cpu_credits": "endless"}
	if _, err := (settings{}).of(spec); classify(err).Kind != cloud.KindConfig || !strings.Contains(err.Error(), "standard and unlimited") {
		t.Errorf("credits that there are none of: %v", err)
	}
}

func TestLabelKeys(t *testing.T) {
	for key, ok := range map[string]bool{"team": true, "a.b:c@d_e-f=g+h,i": true, "a b": false, "a/b": false, "aws:x": false, "..": false, "_index": false, "": false, strings.Repeat("k", 129): false} {
		if err := checkLabels(map[string]string{key: "v"}); (err == nil) != ok {
			t.Errorf("label %q: %v", key, err)
		}
	}
}

// TestGroupInUse: a machine that somebody keeps alive behind the group ends the
// wait; machines on their way out do not.
func TestGroupInUse(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{LingerFor: 100 * time.Millisecond, DetachFor: 300 * time.Millisecond}, nil)
	spec, at := request(1, "m5.large", cloud.OnDemand)
	if _, err := w.launch(t.Context(), spec, at); err != nil {
		t.Fatal(err)
	}
	err := w.CleanupPorts(t.Context(), spec.Ref)
	if err == nil || !strings.Contains(err.Error(), w.fake.instances[0].id) {
		t.Errorf("CleanupPorts beside a live machine: %v", err)
	}
	beside := w.proxy.Refused("DependencyViolation")
	if err := w.Terminate(t.Context(), spec.Ref); err != nil {
		t.Fatal(err)
	}
	if err := w.CleanupPorts(t.Context(), spec.Ref); err != nil {
		t.Errorf("CleanupPorts after Terminate: %v", err)
	}
	if after := w.proxy.Refused("DependencyViolation"); beside < 5 || after <= beside {
		t.Errorf("the group was in use %d times beside the live machine and %d times in all", beside, after)
	}
}

// What a cluster may cost is shared out among its machines, and never exceeded
// by the rounding.
func TestSpotBound(t *testing.T) {
	for bound, want := range map[float64]string{12.5: "12.500000", 2.0 / 3: "0.666666", 0.29: "0.290000", 1.0 / 7: "0.142857", 0.0123: "0.012300"} {
		if got := *spotOptions(cloud.ClusterSpec{MaxMachineUSD: bound}).SpotOptions.MaxPrice; got != want {
			t.Errorf("bound %v is told as %s, want %s", bound, got, want)
		}
	}
	if got := spotOptions(cloud.ClusterSpec{}).SpotOptions.MaxPrice; got != nil {
		t.Errorf("no bound is told as %s", *got)
	}
}
