// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp/gcpfake"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/lambda"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/lambda/lambdafake"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// TestFailoverOverThreeClouds: one launch goes from Lambda, which says before that
// it is full, to AWS, which refuses, and to GCP, whose operation fails; the table
// says what each said, in that order, and none of them has anything left.
func TestFailoverOverThreeClouds(t *testing.T) {
	// The fake of GCP asks go for its document, before the environment is emptied.
	l, g := lambdafake.Start(t, lambdafake.Options{}), gcpfake.Start(t, gcpfake.Options{})
	proxy := &ec2proxy.Proxy{}
	w := newWorld(t, proxy, nil)
	proxy.Inject(ec2proxy.Fault{Action: "RunInstances", Status: http.StatusInternalServerError, Code: "InsufficientInstanceCapacity", Message: "no room at AWS"})
	l.Fill("*", "us-east-1")
	g.Inject(gcpfake.Fault{Method: "compute.instances.insert", Code: "ZONE_RESOURCE_POOL_EXHAUSTED", Message: "no room at GCP"})
	registry, err := cloud.NewRegistry(w.h.Factory(), gcp.Factory{}, lambda.Factory{})
	if err != nil {
		t.Fatal(err)
	}
	creds := map[string]cloud.Credentials{
		Name:        w.h.Credentials(),
		gcp.Name:    {Values: map[string]string{"project": gcpfake.Project, "access_token": gcpfake.Token, "endpoint_url": g.URL}},
		lambda.Name: {Values: map[string]string{"api_key": lambdafake.Key, "endpoint_url": l.URL}},
	}
	state := t.TempDir()
	if err := os.Chmod(state, 0o700); err != nil { //nolint:gosec // a folder needs its x
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{
		StateDir: state, Registry: registry, Credentials: func(name string) cloud.Credentials { return creds[name] },
		Timeouts: broker.Timeouts{Gone: time.Millisecond, ListDelay: time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	offer := func(name, region, zone, instanceType string, usd float64) cloud.Offer {
		return cloud.Offer{
			Cloud: name, Region: region, Zone: zone, Market: cloud.OnDemand, HourlyUSD: usd,
			InstanceType: cloud.InstanceType{Name: instanceType, VCPUs: 8, MemoryGiB: 32, Arch: "x86_64"},
		}
	}
	_, err = b.Launch(t.Context(), broker.Spec{
		Name: "storm", Request: optimizer.Request{Alternatives: []cloud.Requirement{{}}, Nodes: 1}, AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Offers: []cloud.Offer{
			offer(gcp.Name, "us-central1", "us-central1-a", "n2-standard-4", 3), offer(Name, testRegion, testZone, "m5.large", 2),
			offer(lambda.Name, "us-east-1", "", "gpu_1x_a10", 1),
		},
	})
	table := regexp.MustCompile(`(?s)Attempts, in order:.*lambda/us-east-1.*gpu_1x_a10 free in us-east-1, it says, but in europe-central-1.*` +
		`aws/us-east-1.*capacity.*no room at AWS.*gcp/us-central1.*capacity.*no room at GCP`)
	if err == nil || !table.MatchString(err.Error()) {
		t.Errorf("the launch ends with %v", err)
	}
	if n := l.Calls(lambdafake.CallLaunch) + len(l.Keys()) + len(l.Rulesets()) + len(g.Instances()) + len(g.Firewalls()); n != 0 {
		t.Errorf("%d things are left, or were tried in vain", n)
	}
}
