// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
)

func TestImages(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	w.fake.parameters["/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"] = "ami-0000000000000001"
	w.fake.parameters["/mine"] = fakeCPUImage
	for _, tt := range []struct{ name, typ, image, want, wrong string }{
		{"parameter", "m5.large", "", "ami-0000000000000001", ""},
		{"newest by name", "m7g.large", "", "ami-0000000000000003", ""},
		{"nvidia", "p4d.24xlarge", "", "ami-0000000000000004", ""},
		{"neuron", "trn1.2xlarge", "", "ami-0000000000000005", ""},
		{"by id", "m5.large", fakeCPUImage, fakeCPUImage, ""},
		{"own parameter", "m5.large", "ssm:/mine", fakeCPUImage, ""},
		{"wrong architecture", "m7g.large", fakeCPUImage, "", "is for x86_64"},
		{"absent", "m5.large", "ami-00000000deadbeef", "", "InvalidAMIID.NotFound"},
		{"a name", "m5.large", "ubuntu", "", "an image on AWS is an id"},
		{"none for the type", "g5g.xlarge", "", "", "set image_id"},
		{"no such type", "z9.large", "", "", "InvalidInstanceType"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec, at := request(1, tt.typ, cloud.OnDemand)
			spec.Image = tt.image
			cfg, err := w.Bootstrap(t.Context(), spec, at)
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) || w.Classify(err).Kind != cloud.KindConfig ||
					(tt.name == "wrong architecture" && w.Classify(err).Scope != cloud.ScopeRegion) { // other types will do
					t.Errorf("error %v (%s), want one with %q", err, w.Classify(err), tt.wrong)
				}
				return
			}
			if err != nil || found(cfg).image.id != tt.want {
				t.Errorf("image %q, want %q: %v", found(cfg).image.id, tt.want, err)
			}
		})
	}
}

func TestNetworks(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	for _, tt := range []struct {
		name        string
		node        map[string]any
		want, wrong string
	}{
		{"default", nil, "subnet-000000000000000b@us-east-1b", ""},
		{"private", map[string]any{"use_internal_ips": true}, "subnet-000000000000000d@us-east-1b", ""},
		{"by tag", map[string]any{"subnet_tags": map[string]any{"zone": "us-east-1b"}}, "subnet-000000000000000b@us-east-1b", ""},
		{"by vpc tag", map[string]any{"vpc_tags": map[string]any{"vpc": fakeVPC}}, "subnet-000000000000000b@us-east-1b", ""},
		{"subnet of another zone", map[string]any{"subnet_ids": []any{"subnet-000000000000000a"}}, "", "us-east-1b"},
		{"subnets of two VPCs", map[string]any{"subnet_ids": []any{"subnet-000000000000000b", "subnet-000000000000000e"}}, "", "two VPCs"},
		{"absent subnet", map[string]any{"subnet_ids": "subnet-00000000deadbeef"}, "", "no subnet that matches"},
		{"absent VPC", map[string]any{"vpc_id": "vpc-00000000deadbeef"}, "", "no VPC that matches"},
		{"private only", map[string]any{"vpc_id": fakeVPC2}, "", "no suitable public subnet"},
		{"typo", map[string]any{"vpcid": "x"}, "", "there are cpu_credits, disk_tier, efa"},
		{"wrong type", map[string]any{"efa": "yes"}, "", "efa cannot be yes"},
		{"EFA on a type without", map[string]any{"efa": true}, "", "does not have"},
		{"tier", map[string]any{"disk_tier": "warp"}, "", "there are best, high"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec, at := request(1, "m5.large", cloud.OnDemand)
			spec.NodeConfig = tt.node
			cfg, err := w.Bootstrap(t.Context(), spec, at)
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) || w.Classify(err).Kind != cloud.KindConfig {
					t.Errorf("error %v (%s), want one with %q", err, w.Classify(err), tt.wrong)
				}
				return
			}
			if err != nil || subnetsOf(cfg) != tt.want {
				t.Errorf("subnets %q, want %q: %v", subnetsOf(cfg), tt.want, err)
			}
		})
	}
	w.fake.mu.Lock()
	w.fake.answers["DescribeVpcs"] = func(url.Values) (int, string) { return http.StatusOK, "<vpcSet/>" }
	w.fake.mu.Unlock()
	spec, at := request(1, "m5.large", cloud.OnDemand)
	if _, err := w.Bootstrap(t.Context(), spec, at); err == nil || !strings.Contains(err.Error(), "create-default-vpc") || classify(err).Scope != cloud.ScopeRegion {
		t.Errorf("no default VPC: %v", err)
	}
}

func TestCallerAddress(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	answer := "203.0.113.9\n"
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(out, answer) }))
	defer s.Close()
	w.d.CallerSource = s.URL
	spec, at := request(1, "m5.large", cloud.OnDemand)
	spec.AllowedCIDRs = nil
	if _, err := w.Bootstrap(t.Context(), spec, at); err != nil {
		t.Fatal(err)
	}
	if got := w.proxy.Requests("AuthorizeSecurityGroupIngress")[0].Get("IpPermissions.1.IpRanges.1.CidrIp"); got != "203.0.113.9/32" {
		t.Errorf("SSH is open to %q", got)
	}
	answer = "<html>captive portal</html>"
	spec = renamed(spec, "h")
	if _, err := w.Bootstrap(t.Context(), spec, at); err == nil || !strings.Contains(err.Error(), "allowed_cidrs") {
		t.Errorf("no address: %v", err)
	}
}

// TestDiskTiers: what the cluster asks for beats its template.
func TestDiskTiers(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	for i, tt := range []struct{ spec, node, volume, iops, throughput string }{
		{"", "", "gp3", "", ""},
		{"", "medium", "gp3", "4000", "250"},
		{"high", "medium", "gp3", "7000", "500"},
		{"ultra", "", "io2", "20000", ""},
	} {
		spec, at := request(1, "m5.large", cloud.OnDemand)
		spec = renamed(spec, fmt.Sprintf("g%d", i))
		spec.DiskTier, spec.NodeConfig = tt.spec, map[string]any{"disk_tier": tt.node}
		if _, err := w.launch(t.Context(), spec, at); err != nil {
			t.Fatal(err)
		}
		got := w.proxy.Requests("RunInstances")[i]
		for name, want := range map[string]string{"VolumeType": tt.volume, "Iops": tt.iops, "Throughput": tt.throughput, "Encrypted": "true"} {
			if have := got.Get("BlockDeviceMapping.1.Ebs." + name); have != want {
				t.Errorf("tier %q over %q: %s = %q, want %q", tt.spec, tt.node, name, have, want)
			}
		}
	}
	checkRequests(t, w.proxy)
	spec, at := request(1, "m5.large", cloud.OnDemand)
	spec.DiskTier = "warp"
	if _, err := w.Bootstrap(t.Context(), spec, at); err == nil || !strings.Contains(err.Error(), "there are best, high") {
		t.Errorf("an unknown tier: %v", err)
	}
}

// Security groups of other clusters survive, also where a cluster's name cannot
// be told in a filter, so that AWS shows them all.
func TestOnlyOwnGroupsAreTouched(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	spec, at := request(1, "m5.large", cloud.OnDemand)
	spec.Ref.Cluster = "any*"
	for i := range spec.Nodes {
		spec.Nodes[i].Identity.Cluster = spec.Ref.Cluster
	}
	cfg, err := w.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	for name, tags := range map[string]map[string]string{
		"another cluster":  {cloud.TagOwner: spec.Ref.Owner, cloud.TagCluster: "anything", cloud.TagGeneration: spec.Ref.Generation},
		"no cluster":       {cloud.TagOwner: spec.Ref.Owner, cloud.TagGeneration: spec.Ref.Generation},
		"another owner":    {cloud.TagOwner: "they", cloud.TagCluster: spec.Ref.Cluster, cloud.TagGeneration: spec.Ref.Generation},
		"the user's own":   {"Name": "mine"},
		"another launch's": {cloud.TagOwner: spec.Ref.Owner, cloud.TagCluster: spec.Ref.Cluster, cloud.TagGeneration: "before"},
	} {
		w.fake.groups = append(w.fake.groups, &fakeGroup{id: fmt.Sprintf("sg-%017x", 0xf00+len(w.fake.groups)), name: name, tags: tags})
	}
	before := len(w.fake.groups)
	if err := w.OpenPorts(t.Context(), spec.Ref, cfg, []cloud.PortRange{{First: 80, Last: 80}}); err != nil {
		t.Fatal(err)
	}
	if err := w.CleanupPorts(t.Context(), spec.Ref); err != nil {
		t.Fatal(err)
	}
	if len(w.fake.groups) != before-1 {
		t.Errorf("%d of %d groups are left, want all but one", len(w.fake.groups), before)
	}
	for _, g := range w.fake.groups {
		if len(g.rules) > 0 || g.id == found(cfg).group {
			t.Errorf("group %q: %d rules", g.name, len(g.rules))
		}
	}
}
